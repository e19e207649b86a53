//! `watch` of a folder.

use super::{Fake, Fault, Running, Where};
use ia_testkit::eventually;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(super) const QUICK: [&str; 2] = ["--interval", "0.03"];

/// A watched folder.
pub(super) struct Watched {
    _dir: TempDir,
    pub(super) path: PathBuf,
    pub(super) log: PathBuf,
}

impl Watched {
    pub(super) fn new() -> Watched {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("watched");
        fs::create_dir(&path).unwrap();
        Watched { path, log: dir.path().join("log"), _dir: dir }
    }

    /// Renamed into place, as the manual says.
    pub(super) fn put(&self, name: &str, content: &str) {
        let written = self.path.join(format!("{name}.tmp"));
        fs::write(&written, content).unwrap();
        fs::rename(&written, self.path.join(name)).unwrap();
    }

    pub(super) fn start(&self, at: &Where) -> Running {
        let mut args = vec![self.path.to_str().unwrap()];
        args.extend(QUICK);
        at.start("watch", &args, &self.log)
    }

    pub(super) async fn once(&self, at: &Where) -> super::Ended {
        let mut args = vec![self.path.to_str().unwrap(), "--once"];
        args.extend(QUICK);
        at.run("watch", &args).await
    }

    /// The names in a folder, sorted.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path.join(folder))
    }

    pub(super) async fn wait_for(&self, folder: &str, files: usize) {
        let what = format!("{files} files in {folder}");
        eventually(&what, async || (self.moved(folder).len() == files).then_some(())).await;
    }

    /// Until so many have begun, and so would heed a signal.
    pub(super) async fn wait_for_watchers(&self, count: usize) {
        let begun = || fs::read_to_string(&self.log).unwrap_or_default().matches(": watching ").count();
        eventually("watchers", async || (begun() == count).then_some(())).await;
    }

    /// The files in a folder that are no reports.
    pub(super) fn moved(&self, folder: &str) -> Vec<String> {
        self.names(folder)
            .into_iter()
            .filter(|name| !name.ends_with(".json") && !name.ends_with(".tmp"))
            .collect()
    }

    /// What is left beside the folders.
    pub(super) fn left(&self) -> Vec<String> {
        self.names("")
            .into_iter()
            .filter(|name| !["done", "failed", "submitted"].contains(&&**name))
            .collect()
    }
}

/// None where there is no such folder yet.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_are_moved_with_their_job_and_a_report() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    watched.put("a.txt", "1:12\n");
    watched.put("b.bad.txt", "BAD");
    watched.put("c", "2:12\nno\n");
    for not in [".hidden", "d.tmp", "d.PART", "a.txt.report.json"] {
        fs::write(watched.path.join(not), "3:12\n").unwrap();
    }
    fs::create_dir(watched.path.join("sub")).unwrap();
    let ended = watched.once(&fake.at()).await;
    assert_eq!(ended.code, Some(4), "one has failed: {ended:?}");
    let id = |content: &str| fake.jobs().into_iter().find(|job| job.content == content).unwrap().id;
    let (a, b, c) = (id("1:12\n"), id("BAD"), id("2:12\nno\n"));
    let mut done = vec![format!("a.{a}.txt"), format!("a.{a}.txt.report.json")];
    done.extend([format!("c.{c}"), format!("c.{c}.report.json")]);
    assert_eq!(watched.names("done"), done);
    assert_eq!(watched.names("failed"), [format!("b.bad.{b}.txt"), format!("b.bad.{b}.txt.report.json")]);
    assert_eq!(watched.left(), [".hidden", "a.txt.report.json", "d.PART", "d.tmp", "sub"]);
    let read = |path: String| -> Value {
        serde_json::from_slice(&fs::read(watched.path.join(path)).unwrap()).unwrap()
    };
    assert_eq!(read(format!("done/c.{c}.report.json"))["num_invalid_format"], 1);
    assert_eq!(read(format!("failed/b.bad.{b}.txt.report.json"))["error_code"], "validating-error");
    assert_eq!(fs::read_to_string(watched.path.join(format!("done/c.{c}"))).unwrap(), "2:12\nno\n");
    assert!(!ended.err.contains("no failed with"), "lines of files stay out of logs: {ended:?}");
    assert_eq!(watched.once(&fake.at()).await.code, Some(0), "nothing is left to do");
    assert_eq!(fake.jobs().len(), 3);
}

#[tokio::test]
async fn submitted_is_taken_from_where_it_exists_and_the_watcher_stops_when_asked() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    fs::create_dir(watched.path.join("submitted")).unwrap();
    let running = watched.start(&fake.at());
    for (count, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let running = if count == 1 { None } else { Some(watched.start(&fake.at())) };
        watched.wait_for_watchers(count).await;
        fs::write(watched.path.join(format!("beside-{count}.txt")), "9:12\n").unwrap();
        fs::write(watched.path.join(format!("submitted/{count}.txt")), "1:12\n").unwrap();
        watched.wait_for("done", count).await;
        if let Some(running) = running {
            running.signal(signal);
            assert_eq!(running.wait().await.code, Some(0));
        }
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait().await.code, Some(0));
    assert_eq!(watched.left(), ["beside-1.txt", "beside-2.txt"]);
    assert_eq!(fake.jobs().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_still_written_is_not_taken() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    let args = [watched.path.to_str().unwrap(), "--interval", "0.3"];
    let running = fake.at().start("watch", &args, &watched.log);
    let mut content = String::new();
    let path = watched.path.join("slow.txt");
    let mut file = fs::File::create(&path).unwrap();
    for line in 1..=60 {
        let line = format!("{line}:12\n");
        file.write_all(line.as_bytes()).unwrap();
        content.push_str(&line);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watched.wait_for("done", 1).await;
    running.kill();
    assert_eq!(fake.completed(), [content]);
}

#[tokio::test]
async fn two_watchers_share_a_folder() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    let mut contents: Vec<_> = (10..50).map(|user| format!("{user}:12\n")).collect();
    let watchers = [watched.start(&fake.at()), watched.start(&fake.at())];
    watched.wait_for_watchers(2).await;
    for (number, content) in contents.iter().enumerate() {
        watched.put(&format!("{number}.txt"), content);
    }
    watched.wait_for("done", 40).await;
    for watcher in watchers {
        watcher.signal(Signal::TERM);
        assert_eq!(watcher.wait().await.code, Some(0));
    }
    contents.sort();
    assert_eq!((fake.jobs().len(), fake.completed()), (40, contents));
    assert_eq!(watched.left(), [""; 0], "no note is left");
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_a_refused_login_moves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let watched = Watched::new();
    watched.put("a.txt", "1:12\n");
    let at = Where { url: format!("http://{address}"), token: "hbapi:1:first-secret:ia1".to_owned() };
    let running = watched.start(&at);
    eventually("a line in the log", async || running.log().contains("waiting").then_some(())).await;
    let fake = Fake::on(TcpListener::bind(address).await.unwrap());
    watched.wait_for("done", 1).await;

    watched.put("b.txt", "2:12\n");
    let ended = watched.once(&Where { token: "bad-token".to_owned(), ..at }).await;
    // The other watcher may have been quicker.
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
    watched.wait_for("done", 2).await;
    running.kill();
    watched.put("c.txt", "3:12\n");
    let ended = watched.once(&Where { url: fake.at().url, token: "bad-token".to_owned() }).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("left for later: the server refuses"), "{ended:?}");
    assert_eq!((watched.left(), watched.moved("failed").len()), (vec!["c.txt".to_owned()], 0));
    fake.fail([Fault::Upload(413, "LIMIT", None)]);
    assert_eq!(watched.once(&fake.at()).await.code, Some(4));
    assert_eq!((watched.left().len(), watched.moved("failed").len()), (0, 1));
}
