//! `load`.

use super::fake::{PASSWORD, USER};
use super::{Fake, Fault, MEMBER, Where};
use crate::tls::SelfSigned;
use ia_testkit::eventually;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

const GOOD: &str = "1:12\n2:12\n";

/// A folder with a file.
fn file(content: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("users.txt");
    fs::write(&path, content).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

fn without_token(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env_remove("INSTANT_AUDIENCE_TOKEN")
}

fn report(path: &str) -> Value {
    serde_json::from_slice(&fs::read(format!("{path}.report.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_file_is_sent_and_its_outcome_told() {
    let fake = Fake::start().await;
    let (dir, path) = file(GOOD);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let [job] = &fake.jobs()[..] else { panic!("one job") };
    assert_eq!((&job.content[..], job.content_length.as_deref()), (GOOD.as_bytes(), Some("10")));
    assert_eq!(job.query, format!("member_id={MEMBER}"));
    let expected = format!(
        "job {}: completed\napplied: 2 memberships of 2 users\nrefused: nothing\nreport: {path}.report.json\n",
        job.id
    );
    assert_eq!(ended.out, expected);
    for line in [&*format!("job {}", job.id), "uploaded", "processing"] {
        assert!(ended.err.lines().any(|found| found == line), "{line} in {ended:?}");
    }
    let report = report(&path);
    assert_eq!((&report["phase"], &report["num_valid"]), (&Value::from("completed"), &Value::from(2)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the file and its report");

    let other = dir.path().join("other.json");
    let args = [&*path, "--quiet", "--report", other.to_str().unwrap(), "--replace", "12"];
    let ended = fake.at().run("load", &args).await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    assert!(other.exists());
    assert_eq!(fake.jobs()[1].query, format!("member_id={MEMBER}&replace=12"));

    fs::remove_file(format!("{path}.report.json")).unwrap();
    assert_eq!(fake.at().run("load", &[&path, "--no-report"]).await.code, Some(0));
    assert!(!Path::new(&format!("{path}.report.json")).exists());
}

#[tokio::test]
async fn what_was_refused_is_told_and_strict_fails_for_it() {
    let fake = Fake::start().await;
    let (_dir, path) = file("1:12\nno colon\n");
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.contains("refused: 1 malformed lines\nfaults:\n  num_invalid_format-no colon failed"),
        "{ended:?}"
    );
    let ended = fake.at().run("load", &[&path, "--strict"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.ends_with(": something in the file was refused\n"), "{ended:?}");
    assert_eq!(report(&path)["num_invalid_format"], 1);
}

#[tokio::test]
async fn a_job_that_fails_and_a_file_that_is_refused_end_with_4() {
    let fake = Fake::start().await;
    let (_dir, path) = file("BAD");
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.out.contains("error: validating-error\n"), "{ended:?}");
    assert_eq!(report(&path)["error_code"], "validating-error");
    for (status, error_id) in [(413, "LIMIT"), (409, "INTEGRITY"), (408, "LIMIT")] {
        let before = fake.jobs().len();
        fake.fail([Fault::Upload(status, error_id, None)]);
        let ended = fake.at().run("load", &[&path]).await;
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert!(ended.out.contains(&format!("error: refused with {status}")), "{ended:?}");
        assert_eq!(fake.jobs().len(), before + 1, "it is not tried again");
    }
    fake.fail([Fault::Create(403, "UNAUTH", None)]);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("the server refuses: refused with 403 (403 UNAUTH)"), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_is_busy_is_waited_for() {
    let fake = Fake::start().await;
    let (_dir, path) = file(GOOD);
    fake.fail([
        Fault::Create(429, "LIMIT", Some(1)),
        Fault::Create(503, "SYSTEM", None),
        Fault::Upload(429, "LIMIT", Some(1)),
        Fault::Upload(500, "SYSTEM", None),
    ]);
    let begun = std::time::Instant::now();
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed().as_secs() >= 2, "Retry-After is heeded");
    assert!(ended.err.contains("refused with 429 (429 LIMIT); next try in 1 s"), "{ended:?}");
    assert_eq!(fake.jobs().len(), 1);
    assert_eq!(fake.completed(), [GOOD]);

    fake.fail([Fault::OverRate(1)]);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!((ended.code, fake.jobs().len()), (Some(0), 3), "a new job after a while: {ended:?}");

    fake.fail([Fault::Create(429, "LIMIT", Some(4000))]);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("the server says to come again in 4000 s"), "{ended:?}");
}

#[tokio::test]
async fn a_broken_upload_is_tried_anew_and_a_lost_answer_is_asked_for() {
    let fake = Fake::start().await;
    let (_dir, path) = file(GOOD);
    fake.fail([Fault::CutUpload, Fault::CutUpload]);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((fake.jobs().len(), fake.completed()), (3, vec![GOOD.to_owned()]));

    fake.fail([Fault::CutAnswer]);
    let uploads = fake.state().uploads;
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((fake.jobs().len(), fake.state().uploads), (4, uploads + 1), "nothing is sent twice");

    // No upload arrives at all: the URL leads nowhere.
    fake.state().upload_to = Some("http://127.0.0.1:1".to_owned());
    let ended = fake.at().run("load", &[&path, "--timeout", "1"]).await;
    assert_eq!((ended.code, fake.jobs().len()), (Some(5), 5), "{ended:?}");
    assert!(ended.err.lines().count() < 10, "it does not ask without a pause: {ended:?}");
    fake.state().upload_to = None;

    fake.fail(vec![Fault::CutUpload; 5]);
    let ended = fake.at().run("load", &[&path]).await;
    assert_eq!((ended.code, fake.jobs().len()), (Some(5), 10), "{ended:?}");
    assert!(ended.err.contains("the upload broke (uploading-error), 5 times"), "{ended:?}");
}

#[tokio::test]
async fn standard_input_is_sent_as_it_comes_and_once() {
    let fake = Fake::start().await;
    let (dir, path) = file(GOOD);
    let cat = || Stdio::from(fs::File::open(&path).unwrap());
    let pipe = || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, GOOD.as_bytes()).unwrap();
        Stdio::from(reader)
    };
    for input in [cat(), pipe()] {
        let ended =
            fake.at().run_with("load", &["-"], |command| command.stdin(input).current_dir(dir.path())).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(fake.jobs().last().unwrap().content_length, None, "chunked");
    }
    assert_eq!(fake.completed(), [GOOD, GOOD]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no report");
    fake.fail([Fault::CutUpload]);
    // The server cuts where the job has not begun for it yet: it may be sent again only if it can be read again.
    let ended = fake.at().run_with("load", &["-"], |command| command.stdin(pipe())).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("cannot be read again"), "{ended:?}");
}

#[tokio::test]
async fn a_user_name_logs_in_and_again_when_the_token_is_over() {
    let fake = Fake::start().await;
    let (dir, path) = file(GOOD);
    let password = dir.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let at = fake.at();
    fake.fail([Fault::CutAnswer, Fault::Expire]);
    let args = [&*path, "--user", USER, "--password-file", password.to_str().unwrap()];
    let ended = at.run("load", &args).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(fake.state().logins, 2);

    let ended = at
        .run_with("load", &[&path, "--user", USER], |command| {
            command.env("INSTANT_AUDIENCE_PASSWORD", PASSWORD)
        })
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    fs::write(&password, "wrong").unwrap();
    let ended = at.run("load", &args).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");

    let token = dir.path().join("token");
    fs::write(&token, format!("{}\n", fake.at().token)).unwrap();
    let ended = at.run_with("load", &[&path, "--token-file", token.to_str().unwrap()], without_token).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = Where { token: "not-good".to_owned(), ..at }.run("load", &[&path]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_begin_says_why() {
    let fake = Fake::start().await;
    let (dir, path) = file(GOOD);
    let at = fake.at();
    let ended = at.run_with("load", &[&path], without_token).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("who is calling?"), "{ended:?}");
    for args in [
        &[&*path, "--replace", "0"][..],
        &[&*path, "--token-file", "t", "--user", "u"],
        &[&*path, "--password-file", "p"],
        &[],
    ] {
        assert_eq!(at.run("load", args).await.code, Some(2), "{args:?}");
    }
    let with_password = Where { url: "http://u:p@127.0.0.1:1".to_owned(), token: "t0ken".to_owned() };
    assert_eq!(with_password.run("load", &[&path]).await.code, Some(2));
    for missing in [dir.path().join("no"), dir.path().to_owned()] {
        assert_eq!(at.run("load", &[missing.to_str().unwrap()]).await.code, Some(1));
    }
    assert_eq!(fake.jobs().len(), 0);
    drop(fake);
    let ended = at.run("load", &[&path, "--timeout", "1"]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("refused"), "{ended:?}");
}

#[tokio::test]
async fn an_interrupted_load_names_its_job() {
    let fake = Fake::start().await;
    let (dir, path) = file(GOOD);
    fake.state().holds_jobs = true;
    let running = fake.at().start("load", &[&path], &dir.path().join("log"));
    eventually("processing", async || running.log().contains("processing").then_some(())).await;
    running.signal(Signal::INT);
    let ended = running.wait().await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    let job = &fake.jobs()[0].id;
    assert!(
        ended.err.ends_with(&format!("interrupted; ask for it with GET /batch-segment?job_id={job}\n")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_large_file_is_not_held_in_memory() {
    const BYTES: usize = 256 << 20;
    let fake = Fake::start().await;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("large");
    // Without blocks on the disk.
    fs::File::create(&path).unwrap().set_len(BYTES as u64).unwrap();
    fake.state().holds_jobs = true;
    let running = fake.at().start("load", &[path.to_str().unwrap()], &dir.path().join("log"));
    eventually("processing", async || running.log().contains("processing").then_some(())).await;
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB");
    assert_eq!(fake.jobs()[0].length, BYTES);
}

#[tokio::test]
async fn a_certificate_of_the_own_house_is_trusted_by_its_file() {
    let pair = SelfSigned::new();
    let dir = TempDir::new().unwrap();
    pair.write(dir.path());
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = dir.path().join("data");
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let settings = [("TLS__CERT", file("cert.pem")), ("TLS__KEY", file("key.pem"))];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let installation =
        ia_testkit::Installation::create(binary, &data, dir.path(), "{}").unwrap().with_all(&settings);
    let server = installation.start().await.unwrap();
    let (_file, path) = self::file(GOOD);
    let at = Where { url: format!("https://localhost:{}", server.api.port()), token: "unknown".to_owned() };
    let ended = at.run("load", &[&path, "--timeout", "0"]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("certificate"), "{ended:?}");
    let ended = at.run("load", &[&path, "--timeout", "30", "--ca-file", &file("cert.pem")]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("the server refuses"), "it has answered over TLS: {ended:?}");
}
