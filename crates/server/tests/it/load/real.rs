//! The commands against the real server.

use super::Where;
use super::folder::{QUICK, Watched};
use ia_testkit::{Dice, ServerProcess, prepare_data_dir};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Each round logs in.
const NO_LOGIN_LIMIT: [(&str, &str); 1] = [("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0")];

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_instant-audience"))
}

async fn at(server: &ServerProcess) -> Where {
    let token = server.login("provider").await.token.unwrap();
    Where { url: format!("http://{}", server.api), token }
}

#[tokio::test]
async fn what_is_loaded_is_in_its_segments() {
    let (_dir, data_dir) = prepare_data_dir(binary());
    let server = ServerProcess::serve(binary(), &data_dir, &[]).await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.txt");
    let path = path.to_str().unwrap();
    fs::write(path, "100:12,0,5;13,0,0\n101:12,0,0\nnonsense\n").unwrap();
    let ended = at(&server).await.run("load", &[path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.contains("applied: 3 memberships of 2 users\nrefused: 1 malformed lines\n"),
        "{ended:?}"
    );
    let report: Value = serde_json::from_slice(&fs::read(format!("{path}.report.json")).unwrap()).unwrap();
    assert_eq!((&report["phase"], &report["num_valid"]), (&Value::from("completed"), &Value::from(3)));
    let client = server.login("provider").await;
    assert_eq!(client.segments_of("100").await, [12, 13]);

    fs::write(path, "102:12,0,0\n").unwrap();
    assert_eq!(at(&server).await.run("load", &[path, "--replace", "12"]).await.code, Some(0));
    assert_eq!(client.segments_of("100").await, [13]);
    assert_eq!((client.segments_of("101").await, client.segments_of("102").await), (vec![], vec![12]));

    fs::write(path, b"\x1f\x8bnot gzip").unwrap();
    let ended = at(&server).await.run("load", &[path]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    fs::write(path, "").unwrap();
    let ended = at(&server).await.run("load", &[path]).await;
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
}

/// Both the watcher and the server are killed at random moments.
#[tokio::test]
async fn kills_on_both_sides_lose_no_file_and_apply_none_twice() {
    const FILES: u64 = 20;
    let (_dir, data_dir) = prepare_data_dir(binary());
    let watched = Watched::new();
    for user in 100..100 + FILES {
        watched.put(&format!("{user}.txt"), &format!("{user}:12,0,0\n"));
    }
    let mut dice = Dice::new(7);
    let mut rounds = 0;
    while watched.left().iter().any(|name| name.ends_with(".txt")) {
        let server = ServerProcess::serve(binary(), &data_dir, &NO_LOGIN_LIMIT).await;
        let at = at(&server).await;
        for _ in 0..3 {
            let running = watched.start(&at);
            tokio::time::sleep(Duration::from_millis(50 + dice.below(250))).await;
            running.kill();
        }
        server.kill().await;
        rounds += 1;
        assert!(
            rounds < 200,
            "no progress: {:?}\n{}",
            watched.left(),
            fs::read_to_string(&watched.log).unwrap_or_default()
        );
    }
    let server = ServerProcess::serve(binary(), &data_dir, &NO_LOGIN_LIMIT).await;
    let args = [watched.path.to_str().unwrap(), "--once", QUICK[0], QUICK[1]];
    assert_eq!(at(&server).await.run("watch", &args).await.code, Some(0));
    assert_eq!((watched.left().len(), watched.moved("failed").len()), (0, 0));
    let client = server.login("provider").await;
    let answer = client.get("/batch-segment?member_id=958").await.ok();
    let jobs = answer["batch_segment_upload_job"].as_array().expect("many jobs").clone();
    let completed = jobs.iter().filter(|job| job["phase"] == "completed");
    let completed: BTreeSet<_> = completed.map(|job| job["job_id"].as_str().unwrap().to_owned()).collect();
    let moved = watched.moved("done");
    let moved: BTreeSet<_> = moved.iter().map(|name| name.split('.').nth(1).unwrap().to_owned()).collect();
    assert_eq!((completed.len() as u64, &completed), (FILES, &moved), "each file in one job");
    for user in 100..100 + FILES {
        assert_eq!(client.segments_of(&user.to_string()).await, [12]);
    }
}
