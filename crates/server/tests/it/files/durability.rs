//! The real binary, killed while files come in and while they are read: what was answered OK is applied once, and
//! nothing is applied of what was not.

use super::*;
use ia_testkit::{Dice, PASSWORD, ServerProcess, prepare_data_dir_of};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SETTINGS: [(&str, &str); 5] = [
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__API_READS_PER_MINUTE", "0"),
    ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    // Often, so that kills overlap with checkpoints.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_INTERVAL_SECONDS", "1"),
];

/// Eight parts of a file, and a little more.
const LINES: u64 = 8 * 2048 + 100;

/// A data directory with its server, which is killed and started again.
pub(super) struct Site {
    _dir: tempfile::TempDir,
    data_dir: PathBuf,
    running: Option<(ServerProcess, Client)>,
    kills: u64,
}

impl Site {
    pub(super) async fn new() -> Site {
        let login = |name: &str, kind: &str| json!({"username": name, "password": PASSWORD, "member_id": 958, "user_type": kind});
        let catalog = json!({
            "members": [{"id": 958, "name": "Provider"}],
            "users": [login("provider", "member"), login("admin", "admin")],
            "segments": [{"id": 12, "member_id": 958}, {"id": 13, "member_id": 958}],
        });
        let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
        let (dir, data_dir) = prepare_data_dir_of(binary, &catalog);
        let mut site = Site { _dir: dir, data_dir, running: None, kills: 0 };
        site.start().await;
        site
    }

    async fn start(&mut self) {
        let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
        let server = ServerProcess::serve(binary, &self.data_dir, &SETTINGS).await;
        let client = server.login("provider").await;
        self.running = Some((server, client));
    }

    pub(super) fn client(&self) -> Client {
        self.running.as_ref().expect("it runs").1.clone()
    }

    /// Kills the server, looks at what it has left, and starts it again.
    pub(super) async fn kill(&mut self) {
        self.running.take().expect("it runs").0.kill().await;
        self.kills += 1;
        let folder = self.data_dir.join("files");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        self.start().await;
    }

    /// Kills the server once a job is that far, or has ended.
    async fn kill_at(&mut self, id: &str, percent: u64) {
        let client = self.client();
        loop {
            let job = job(&client, id).await;
            if job["percent_complete"].as_u64().unwrap() >= percent || job["phase"] == "error" {
                break;
            }
        }
        // A list stores the jobs as they are, ahead of the statistics: a start finds the same parts in the log too.
        client.get("/batch-segment?num_elements=1").await.ok();
        self.kill().await;
    }

    /// How many of these users are in both segments.
    async fn present(&self, users: impl Iterator<Item = u64>) -> u64 {
        let client = self.client();
        let users: Vec<u64> = users.collect();
        let mut present = 0;
        for some in users.chunks(1000) {
            let asked: Vec<Value> = some.iter().map(|user| json!({"user_id": user})).collect();
            let answer = client.post("/user-segment", &json!({"users": asked})).await.ok();
            for shown in answer["user_segments"].as_array().unwrap() {
                match shown["segments"].as_array().unwrap().len() {
                    0 => {}
                    2 => present += 1,
                    other => panic!("{other} of two memberships of a line in {shown}"),
                }
            }
        }
        present
    }

    pub(super) async fn no_file_is_left(&self) {
        let folder = self.data_dir.join("files");
        eventually("the files of jobs that have ended to be gone", async || {
            (std::fs::read_dir(&folder).unwrap().count() == 0).then_some(())
        })
        .await;
    }
}

/// Whether the long form of the tests is wanted.
fn is_long() -> bool {
    std::env::var("IA_TORTURE").is_ok_and(|form| form == "long")
}

fn users_of(round: u64) -> std::ops::Range<u64> {
    let first = 1_000_000 * (round + 1);
    first..first + LINES
}

fn file_of(round: u64) -> String {
    users_of(round).map(|user| format!("{user}:12,0,{round};13,0,{round}\n")).collect()
}

/// What the statistics say of all files.
async fn applied(client: &Client) -> (u64, u64) {
    let report = client.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    (report["num_valid_users"].as_u64().unwrap(), report["num_valid_adds"].as_u64().unwrap())
}

#[tokio::test]
async fn a_file_that_was_answered_is_applied_once_whatever_is_killed() {
    let (rounds, seed) = if is_long() { (60, 120) } else { (4, 20) };
    let mut site = Site::new().await;
    let mut dice = Dice::new(seed);
    let mut lines = 0;
    for round in 0..rounds {
        let client = site.client();
        let file = if round % 2 == 0 { file_of(round).into_bytes() } else { gzip(file_of(round)) };
        let new = NewJob::make(&client).await;
        new.upload(client.address, file.clone()).await.ok();
        // At once, while it is validated, and while it is processed; a second time further on.
        let first = dice.below(100);
        site.kill_at(&new.id, first).await;
        if dice.in_percent(60) {
            site.kill_at(&new.id, first + dice.below(100 - first)).await;
        }
        let client = site.client();
        // Who lost the answer sends the file again.
        new.upload(client.address, file).await.ok();
        let job = end_of(&client, &new.id).await;
        let expected = [("num_valid", 2 * LINES), ("num_valid_user", LINES)];
        assert_eq!(counted(&job), expected, "round {round}, killed at {first}: {job}");
        assert_eq!((&job["phase"], &job["percent_complete"]), (&json!("completed"), &json!(100)));
        assert_eq!(job["segment_log_lines"], json!(format!("12:{LINES}\n13:{LINES}")));
        lines += LINES;
        assert_eq!(applied(&client).await, (lines, 2 * lines), "round {round}, killed at {first}");
        assert_eq!(site.present(users_of(round)).await, LINES, "round {round}, killed at {first}");
        site.no_file_is_left().await;
    }
    assert!(site.kills > rounds, "{}", site.kills);
    site.kill().await;
    let client = site.client();
    assert_eq!(applied(&client).await, (lines, 2 * lines));
    assert_eq!(client.get("/batch-segment?phase=completed").await.ok()["count"], rounds);
}

#[tokio::test]
async fn an_upload_that_was_not_answered_leaves_nothing() {
    let mut site = Site::new().await;
    let (rounds, seed) = if is_long() { (60, 121) } else { (5, 21) };
    let mut dice = Dice::new(seed);
    let mut lines = 0;
    for round in 0..rounds {
        let client = site.client();
        let file = file_of(round);
        let (new, idle) = (NewJob::make(&client).await, NewJob::make(&client).await);
        // The last round has it all, and is killed before its answer is read.
        let sent = if round == rounds - 1 { file.len() } else { dice.below(file.len() as u64) as usize };
        let mut raw = begin(client.address, &new, file.len(), b"").await;
        assert!(raw.send(&file.as_bytes()[..sent]).await);
        // What has come in shows from 256 KiB on.
        let reached = match sent {
            _ if sent == file.len() => 100,
            262_144.. => 15,
            _ => 1,
        };
        site.kill_at(&new.id, dice.below(reached + 1)).await;
        drop(raw);
        let client = site.client();
        let job = job(&client, &new.id).await;
        if job["phase"] == "starting" {
            // That it had begun was not written down yet: it may begin anew.
            assert_eq!((&job["percent_complete"], counted(&job)), (&json!(0), vec![]));
            new.upload(client.address, file).await.ok();
            assert_eq!(end_of(&client, &new.id).await["num_valid_user"], LINES);
            lines += LINES;
        } else if sent == file.len() && job["phase"] != "error" {
            assert_eq!(end_of(&client, &new.id).await["num_valid_user"], LINES);
            lines += LINES;
        } else {
            assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("uploading-error")));
            assert_eq!(counted(&job), []);
            assert_eq!(new.upload(client.address, file).await.status, 409, "round {round}");
            assert_eq!(site.present(users_of(round)).await, 0);
        }
        // A job that waits for its file still does.
        idle.upload(client.address, format!("{}:12,0,0;13,0,0\n", 900 + round)).await.ok();
        assert_eq!(end_of(&client, &idle.id).await["num_valid"], 2);
        lines += 1;
        assert_eq!(applied(&client).await, (lines, 2 * lines), "round {round}");
        site.no_file_is_left().await;
    }
}

#[tokio::test]
async fn a_file_that_is_given_up_applies_nothing_more_whatever_is_killed() {
    let mut site = Site::new().await;
    let mut dice = Dice::new(22);
    let admin = site.running.as_ref().unwrap().0.login("admin").await;
    let set_up = json!({"batch_segment_config": {"num_invalid_before_error": 5}}).to_string();
    admin.send(Method::PUT, "/batch-segment-config?member_id=958", &[], set_up.into()).await.ok();
    let mut lines = 0;
    for round in 0..if is_long() { 20 } else { 2 } {
        let client = site.client();
        let good = 6 * 2048 + 77;
        let before: String = file_of(round).split_inclusive('\n').take(good).collect();
        let after: String = file_of(round).split_inclusive('\n').skip(good).collect();
        let file = before + "bad:12,0,0\nworse:12,0,0\n1:12\n2:12\n3:12\n" + &after;
        let new = NewJob::make(&client).await;
        new.upload(client.address, file).await.ok();
        let percent = dice.below(100);
        site.kill_at(&new.id, percent).await;
        let client = site.client();
        let job = end_of(&client, &new.id).await;
        assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("too-many-invalid-lines")));
        let good = good as u64;
        let expected = [
            ("num_valid", 2 * good),
            ("num_valid_user", good),
            ("num_invalid_user", 2),
            ("num_invalid_format", 3),
        ];
        assert_eq!(counted(&job), expected, "round {round}, killed at {percent}");
        site.no_file_is_left().await;
        // It has ended for good.
        site.kill().await;
        lines += good;
        assert_eq!(applied(&site.client()).await, (lines, 2 * lines));
        assert_eq!(super::job(&site.client(), &new.id).await, job);
        assert_eq!(site.present(users_of(round)).await, good);
    }
}
