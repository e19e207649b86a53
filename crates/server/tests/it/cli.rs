//! The commands beside `serve`.

use ia_testkit::{ServerProcess, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(BINARY).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn catalog() -> Value {
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [{"username": "provider", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "member"}],
        "segments": [{"id": 12, "member_id": 958, "code": "cars"}],
    })
}

#[tokio::test]
async fn the_demo_keeps_its_data_and_answers_the_lines_that_it_prints() {
    use tokio::io::AsyncReadExt;
    let dir = TempDir::new().unwrap();
    for start in 1..=2 {
        let mut demo = tokio::process::Command::new(BINARY)
            .args(["demo", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut out, mut printed) = (demo.stdout.take().unwrap(), String::new());
        while !printed.contains("rt-segment-processed") {
            let mut chunk = [0; 4096];
            let read = out.read(&mut chunk).await.unwrap();
            assert!(read > 0, "{printed}");
            printed.push_str(&text(&chunk[..read]));
        }
        assert!(printed.starts_with("ready api=http://127.0.0.1:"), "{printed}");
        // Run by a shell, as a new user does.
        let is_command = |line: &&str| line.starts_with("TOKEN=") || line.starts_with("curl");
        let script = printed.lines().filter(is_command).collect::<Vec<_>>().join("\n");
        let shell = tokio::process::Command::new("bash").args(["-ec", &script]).output().await.unwrap();
        let answers = text(&shell.stdout);
        assert!(shell.status.success(), "{answers} {}", text(&shell.stderr));
        assert!(answers.contains(r#"{"users_in_request":1,"segments_in_request":2}"#), "{answers}");
        assert!(answers.contains(r#""id":10001"#) && answers.contains(r#""id":10002"#), "{answers}");
        if start == 2 {
            let log = run(dir.path(), &["inspect", "log"]);
            assert_eq!(
                text(&log.stdout).matches("\"kind\":\"ingest\"").count(),
                2,
                "the first start's record is kept"
            );
        }
        let mode = std::fs::metadata(dir.path().join("data")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the folder is private");
        for entry in std::fs::read_dir(dir.path().join("data")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o077,
                0,
                "{:?} is private",
                entry.path()
            );
        }
        demo.kill().await.unwrap();
    }
}

#[test]
fn a_demo_does_not_listen_to_the_world() {
    let dir = TempDir::new().unwrap();
    let output = run(dir.path(), &["demo", "--listen", "0.0.0.0:0"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("loopback"), "{}", text(&output.stderr));
    assert!(!dir.path().join("data").exists());
}

#[tokio::test]
async fn one_folder_has_one_server_and_apply_and_inspect_work_beside_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("catalog.json"), catalog().to_string()).unwrap();
    let first = run(path, &["apply", "catalog.json"]);
    assert!(text(&first.stdout).contains("segments: 1 created"), "{}", text(&first.stdout));
    let server = ServerProcess::serve(Path::new(BINARY), &path.join("data"), &[]).await;
    let second = run(path, &["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    assert!(!second.status.success());
    assert!(text(&second.stderr).contains("in use by another process"), "{}", text(&second.stderr));

    let client = server.login("provider").await;
    client.add("123456789", None, json!([{"seg_id": 12, "value": 5}])).await;
    let again = run(path, &["apply", "catalog.json"]);
    assert!(again.status.success() && !text(&again.stdout).contains("1 created"), "{}", text(&again.stdout));
    let mut more = catalog();
    more["segments"].as_array_mut().unwrap().push(json!({"id": 13, "member_id": 958}));
    std::fs::write(path.join("more.json"), more.to_string()).unwrap();
    assert!(run(path, &["apply", "more.json"]).status.success());
    eventually("the new segment", async || {
        let answer = client.add("5", None, json!([{"seg_id": 13}])).await;
        (answer["message"]["segments_accepted"] == 1).then_some(())
    })
    .await;

    let log = run(path, &["inspect", "log"]);
    assert!(log.status.success(), "{}", text(&log.stderr));
    let lines: Vec<Value> =
        text(&log.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let record = lines.iter().find(|line| line["position"] == 1).unwrap();
    assert_eq!(record["record"]["users"][0]["user_id"], "123456789");
    assert_eq!(
        record["record"]["users"][0]["operations"],
        json!([{"add": 12, "value": 5, "expires_on": null}])
    );
    let profile = run(path, &["inspect", "profile", "123456789"]);
    assert!(text(&profile.stdout).contains("\"add\":12"), "{}", text(&profile.stdout));
    assert!(run(path, &["inspect", "checkpoint"]).status.success());
    server.kill().await;
}

#[test]
fn a_bad_catalog_changes_nothing_and_names_the_place() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    let mut bad = catalog();
    bad["segments"].as_array_mut().unwrap().push(json!({"id": 13, "member_id": 4711}));
    for (content, place) in [
        (bad.to_string(), "segments[1].member_id"),
        ("{\n  \"members\": [}\n".to_owned(), "line 2"),
        ("{\"membrs\": []}".to_owned(), "membrs"),
    ] {
        std::fs::write(path.join("bad.json"), content).unwrap();
        let output = run(path, &["apply", "bad.json"]);
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert!(error.contains(place) && error.contains("changes nothing"), "{error}");
        assert!(!error.contains(ia_testkit::PASSWORD), "{error}");
    }
    std::fs::write(path.join("good.json"), catalog().to_string()).unwrap();
    let good = run(path, &["apply", "good.json"]);
    assert!(text(&good.stdout).contains("members: 1 created"), "nothing was there: {}", text(&good.stdout));
    assert!(!run(path, &["apply", "missing.json"]).status.success());
}

#[test]
fn the_configuration_is_checked_and_shown() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("ia.toml"), "[limits]\nposts_per_second = 7\n").unwrap();
    let shown = run(path, &["check-config", "--config", "ia.toml", "--listen", "127.0.0.1:1234"]);
    let config = text(&shown.stdout);
    assert!(config.contains("posts_per_second = 7") && config.contains("127.0.0.1:1234"), "{config}");
    std::fs::write(path.join("ia.toml"), "[limits]\npost_per_second = 7\n").unwrap();
    let refused = run(path, &["check-config", "--config", "ia.toml"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("post_per_second"), "{}", text(&refused.stderr));
    std::fs::write(path.join("ia.toml"), "[tls]\ncert = \"a.pem\"\nkey = \"b.pem\"\n").unwrap();
    let refused = run(path, &["check-config", "--config", "ia.toml"]);
    assert!(text(&refused.stderr).contains("a.pem"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn damage_is_found_by_inspect_and_refused_by_serve() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    assert!(!run(path, &["inspect", "log"]).status.success(), "there is nothing to look into");
    std::fs::write(path.join("catalog.json"), catalog().to_string()).unwrap();
    run(path, &["apply", "catalog.json"]);
    let server = ServerProcess::serve(Path::new(BINARY), &path.join("data"), &[]).await;
    let client = server.login("provider").await;
    for user in ["1", "2", "3"] {
        client.add(user, None, json!([{"seg_id": 12}])).await;
    }
    server.kill().await;
    let file = std::fs::read_dir(path.join("data/log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    // In the first record: after the header of the file (32 bytes) and of the frame (24).
    bytes[60] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let log = run(path, &["inspect", "log"]);
    assert_eq!(log.status.code(), Some(1));
    assert!(text(&log.stdout).contains("\"damaged\":32"), "{}", text(&log.stdout));
    let serve = run(path, &["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(serve.status.code(), Some(1));
    let error = text(&serve.stderr);
    assert!(
        error.contains(&file.display().to_string().replace("./", ""))
            || error.contains("00000000000000000001.log"),
        "{error}"
    );
    assert!(error.contains("byte 32"), "{error}");
}

#[tokio::test]
async fn lost_statistics_do_not_keep_the_memberships_from_being_served() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("catalog.json"), catalog().to_string()).unwrap();
    run(path, &["apply", "catalog.json"]);
    let data_dir = path.join("data");
    // Small files, so that old log files are removed after a checkpoint.
    let small = [
        ("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "1MiB"),
        ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ];
    let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &small).await;
    let client = server.login("provider").await;
    for round in 0..100u64 {
        let users: Vec<_> = (1..=1000)
            .map(|user| json!({"user_id": round * 1000 + user, "seg_block": [{"seg_id": 12}]}))
            .collect();
        client.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    }
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().await.code(), Some(0));
    assert!(!data_dir.join("log/00000000000000000001.log").exists(), "the log was given up");
    for file in ["usage.sqlite", "usage.sqlite-wal", "usage.sqlite-shm"] {
        let _ = std::fs::remove_file(data_dir.join(file));
    }
    let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &small).await;
    let client = server.login("provider").await;
    assert_eq!(client.segments_of("1").await, [12]);
    client.add("1", None, json!([{"seg_id": 12}])).await;
    let report = client.get("/rt-segment-processed?agg=true").await.ok();
    assert!(report["report"]["num_valid_users"].as_u64().unwrap() >= 1);
    server.kill().await;
}

#[tokio::test]
async fn a_demo_never_gives_its_login_to_a_catalog_that_is_not_its_own() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("catalog.json"), catalog().to_string()).unwrap();
    run(path, &["apply", "catalog.json"]);
    let demo = ["demo", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let refused = run(path, &demo);
    assert!(text(&refused.stderr).contains("not the demo's"), "{}", text(&refused.stderr));
    let server = ServerProcess::serve(Path::new(BINARY), &path.join("data"), &[]).await;
    assert!(!run(path, &demo).status.success());
    let login = json!({"auth": {"username": "demo", "password": "Instant-Audience-1"}});
    let client = ia_testkit::Client { address: server.api, token: None };
    assert_eq!(client.post("/auth", &login).await.status, 401);
    server.kill().await;
}

#[test]
fn a_folder_with_the_demos_login_is_not_served_to_the_world() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    let mut with_demo = catalog();
    let login = json!({"username": "Demo", "password": "Instant-Audience-1", "member_id": 958, "user_type": "member"});
    with_demo["users"].as_array_mut().unwrap().push(login);
    std::fs::write(path.join("catalog.json"), with_demo.to_string()).unwrap();
    run(path, &["apply", "catalog.json"]);
    let refused = run(path, &["serve", "--listen", "0.0.0.0:0", "--ops-listen", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("everybody knows"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn a_log_output_that_cannot_be_written_disturbs_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("catalog.json"), catalog().to_string()).unwrap();
    run(path, &["apply", "catalog.json"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let server = ServerProcess::serve_with_log(Path::new(BINARY), &path.join("data"), &[], full.into()).await;
    let client = server.login("provider").await;
    // This writes to the log output, or tries to.
    assert_eq!(client.get("/nothing").await.status, 404);
    client.add("7", None, json!([{"seg_id": 12}])).await;
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().await.code(), Some(0));
}
