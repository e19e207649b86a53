//! `watch` of a prefix in S3.

use super::fake_s3::{S3, is_discreet};
use super::{Ended, Fake, Running};
use ia_testkit::eventually;
use rustix::process::Signal;
use std::path::Path;
use tempfile::TempDir;

const ARGS: [&str; 4] = ["--interval", "0.03", "--take-over", "1"];

fn start(fake: &Fake, s3: &S3, log: &Path) -> Running {
    let url = s3.url();
    let args: Vec<_> = [&*url].into_iter().chain(ARGS).collect();
    fake.at().start_with("watch", &args, log, |command| s3.environment(command))
}

async fn once(fake: &Fake, s3: &S3) -> Ended {
    let url = s3.url();
    let args: Vec<_> = [&*url, "--once"].into_iter().chain(ARGS).collect();
    let ended = fake.at().run_with("watch", &args, |command| s3.environment(command)).await;
    assert!(!ended.err.contains("s3cret"), "{ended:?}");
    ended
}

/// The files in a folder that are no reports.
async fn moved(s3: &S3, folder: &str) -> Vec<String> {
    s3.names(folder).await.into_iter().filter(|name| !name.ends_with(".report.json")).collect()
}

async fn wait_for(s3: &S3, files: usize) {
    eventually(&format!("{files} files in done"), async || {
        (moved(s3, "done").await.len() == files).then_some(())
    })
    .await;
}

#[tokio::test]
async fn objects_are_moved_with_their_job_and_a_report() {
    let (fake, s3) = (Fake::start().await, S3::start().await);
    s3.put("a%20b%23.txt", "1:12\n").await;
    s3.put("b.txt", "BAD").await;
    s3.put(".hidden", "3:12\n").await;
    s3.put("deeper/c.txt", "4:12\n").await;
    let ended = once(&fake, &s3).await;
    assert_eq!(ended.code, Some(4), "one has failed: {ended:?}");
    let id = |content: &str| fake.jobs().into_iter().find(|job| job.content == content).unwrap().id;
    let (a, b) = (id("1:12\n"), id("BAD"));
    assert_eq!(s3.names("done").await, [format!("a b#.{a}.txt"), format!("a b#.{a}.txt.report.json")]);
    assert_eq!(s3.names("failed").await, [format!("b.{b}.txt"), format!("b.{b}.txt.report.json")]);
    assert_eq!(s3.names("submitted").await, [".hidden", "deeper/c.txt"]);
    assert_eq!(s3.get(&format!("done/a%20b%23.{a}.txt")).await, "1:12\n");
    assert!(s3.get(&format!("failed/b.{b}.txt.report.json")).await.contains("validating-error"));
    let length = fake.jobs()[0].content_length.clone();
    assert_eq!(length.as_deref(), Some("5"), "it is sent with its length");
    assert_eq!(once(&fake, &s3).await.code, Some(0));
    assert_eq!(fake.jobs().len(), 2);
}

#[tokio::test]
async fn two_watchers_share_a_prefix() {
    let (fake, s3, dir) = (Fake::start().await, S3::start().await, TempDir::new().unwrap());
    let mut contents: Vec<_> = (10..22).map(|user| format!("{user}:12\n")).collect();
    let watchers = [start(&fake, &s3, &dir.path().join("1")), start(&fake, &s3, &dir.path().join("2"))];
    for watcher in &watchers {
        eventually("a watcher", async || watcher.log().contains(": watching ").then_some(())).await;
    }
    for (number, content) in contents.iter().enumerate() {
        s3.put(&format!("{number}.txt"), content).await;
    }
    wait_for(&s3, 12).await;
    for watcher in watchers {
        watcher.signal(Signal::TERM);
        is_discreet(&watcher);
        assert_eq!(watcher.wait().await.code, Some(0));
    }
    contents.sort();
    assert_eq!((fake.jobs().len(), fake.completed()), (12, contents));
    assert_eq!(s3.names("submitted").await, [""; 0]);
}

#[tokio::test]
async fn the_file_of_a_killed_watcher_is_taken_over_with_its_job() {
    let (fake, s3, dir) = (Fake::start().await, S3::start().await, TempDir::new().unwrap());
    s3.put("a.txt", "1:12\n").await;
    fake.state().holds_jobs = true;
    let first = start(&fake, &s3, &dir.path().join("log"));
    eventually("processing", async || first.log().contains("processing").then_some(())).await;
    first.kill();
    assert_eq!(s3.names("submitted").await, [".a.txt.job", "a.txt"]);
    fake.state().holds_jobs = false;
    let ended = once(&fake, &s3).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((fake.jobs().len(), fake.state().uploads), (1, 1), "nothing was sent twice");
    assert_eq!((moved(&s3, "done").await.len(), s3.names("submitted").await.len()), (1, 0));
}

#[tokio::test]
async fn a_watcher_that_was_frozen_sees_that_its_file_was_taken_over() {
    let (fake, s3, dir) = (Fake::start().await, S3::start().await, TempDir::new().unwrap());
    s3.put("a.txt", "1:12\n").await;
    fake.state().holds_jobs = true;
    let frozen = start(&fake, &s3, &dir.path().join("frozen"));
    eventually("processing", async || frozen.log().contains("processing").then_some(())).await;
    frozen.signal(Signal::STOP);
    let second = start(&fake, &s3, &dir.path().join("second"));
    eventually("taken over", async || second.log().contains("which was begun before").then_some(())).await;
    frozen.signal(Signal::CONT);
    eventually("seen", async || frozen.log().contains("another watcher has taken it over").then_some(()))
        .await;
    fake.state().holds_jobs = false;
    wait_for(&s3, 1).await;
    s3.put("b.txt", "2:12\n").await;
    wait_for(&s3, 2).await;
    for watcher in [frozen, second] {
        watcher.signal(Signal::TERM);
        assert_eq!(watcher.wait().await.code, Some(0));
    }
    assert_eq!((fake.jobs().len(), fake.completed()), (2, vec!["1:12\n".to_owned(), "2:12\n".to_owned()]));
    assert_eq!(s3.names("submitted").await, [""; 0]);
}

#[tokio::test]
async fn a_watcher_that_stops_leaves_its_file_to_the_next_at_once() {
    let (fake, s3, dir) = (Fake::start().await, S3::start().await, TempDir::new().unwrap());
    s3.put("a.txt", "1:12\n").await;
    fake.state().holds_jobs = true;
    let url = s3.url();
    let args = [&*url, "--interval", "0.03", "--take-over", "86400"];
    for round in 0..2 {
        let log = dir.path().join(round.to_string());
        let running = fake.at().start_with("watch", &args, &log, |command| s3.environment(command));
        if round == 0 {
            eventually("processing", async || running.log().contains("processing").then_some(())).await;
        } else {
            fake.state().holds_jobs = false;
            wait_for(&s3, 1).await;
        }
        running.signal(Signal::TERM);
        assert_eq!(running.wait().await.code, Some(0));
    }
    assert_eq!(fake.jobs().len(), 1);
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_named() {
    let (fake, dir) = (Fake::start().await, TempDir::new().unwrap());
    for (from, code, why) in [
        ("s3://", 2, "names no bucket"),
        ("s3://bucket/a//b", 2, "has no good prefix"),
        (dir.path().join("no").to_str().unwrap(), 1, "cannot watch"),
    ] {
        let ended = fake.at().run("watch", &[from, "--once"]).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
    }
}
