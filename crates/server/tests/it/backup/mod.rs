//! `instant-audience backup` beside a running server, and a start on the backup.

mod load;

use ia_testkit::{ServerProcess, eventually};
use load::{
    GROUPS, Load, Op, Sums, Values, WRITERS, after, catalog, check_statistics, found_of, post, sums_of_posts,
    values,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");

const SETTINGS: [(&str, &str); 5] = [
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    // Small, so that backups overlap with checkpoints, new log files and removals.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_INTERVAL_SECONDS", "1"),
    ("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "1MiB"),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).stdin(Stdio::null()).output().unwrap()
}

fn backup(data_dir: &Path, to: &Path) -> Output {
    run(&["backup", "--data-dir", data_dir.to_str().unwrap(), to.to_str().unwrap()])
}

async fn serve(data_dir: &Path) -> ServerProcess {
    ServerProcess::serve(Path::new(BINARY), data_dir, &SETTINGS).await
}

async fn stop(server: ServerProcess) {
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().await.code(), Some(0));
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files
}

/// The number in `… up to position N: …`
fn position_in(stdout: &str) -> u64 {
    let after = stdout.split_once("up to position ").unwrap_or_else(|| panic!("{stdout}")).1;
    after.split(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
async fn a_backup_of_a_server_under_load_has_all_that_was_acknowledged() {
    let long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let rounds = if long { 40 } else { 4 };
    let (dir, data_dir) = ia_testkit::prepare_data_dir_of(Path::new(BINARY), &catalog());
    let server = serve(&data_dir).await;
    let (client, admin) = (server.login("provider").await, server.login("admin").await);
    let load = Arc::new(Load::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(Arc::clone(&load).write(client.clone(), admin.clone(), writer)))
        .collect();
    let mut checked = 0;
    for round in 0..rounds {
        let (before, patience) = (load.total(), 150);
        eventually("some load", async || (load.total() >= before + patience).then_some(())).await;
        let to = dir.path().join(format!("backup-{round}"));
        let answered = Load::counts(&load.answered);
        let (from, place) = (data_dir.clone(), to.clone());
        let made = tokio::task::spawn_blocking(move || backup(&from, &place)).await.unwrap();
        let begun = Load::counts(&load.begun);
        assert!(made.status.success(), "round {round}: {}", text(&made.stderr));
        assert!(made.stderr.is_empty(), "{}", text(&made.stderr));
        for file in all_files(&to) {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if file.is_dir() { 0o700 } else { 0o600 }, "{}", file.display());
        }
        let copy = serve(&to).await;
        let reader = copy.login("provider").await;
        let found = values(&reader).await;
        let (mut operations, mut sums) = (0, Sums::default());
        for writer in 0..WRITERS {
            let index = writer as usize;
            let (count, counted) = found_of(writer, &found, answered[index], begun[index]);
            operations += count;
            sums.users += counted.users;
            sums.adds += counted.adds;
            sums.removes += counted.removes;
        }
        // Each operation is one record.
        assert_eq!(operations, position_in(&text(&made.stdout)), "round {round}");
        check_statistics(&reader, sums).await;
        checked += answered.iter().sum::<u64>();
        // The copy takes writes, and starts again with them.
        post(&reader, 0, 1_000_000).await;
        sums.count(0, Op::Set(1_000_000));
        copy.kill().await;
        let copy = serve(&to).await;
        let reader = copy.login("provider").await;
        assert_eq!(values(&reader).await[&0], 1_000_000);
        check_statistics(&reader, sums).await;
        stop(copy).await;
        fs::remove_dir_all(&to).unwrap();
    }
    load.ends.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let operations = load.total();
    let mut expected = (Values::new(), Sums::default());
    for writer in 0..WRITERS {
        let (values, sums) = after(writer, Load::counts(&load.answered)[writer as usize]);
        expected.0.extend(values);
        let Sums { users, adds, removes } = expected.1;
        expected.1 =
            Sums { users: users + sums.users, adds: adds + sums.adds, removes: removes + sums.removes };
    }
    assert_eq!(values(&client).await, expected.0, "the server that was copied has lost nothing");
    check_statistics(&client, expected.1).await;
    stop(server).await;
    println!(
        "figure: backup: rounds={rounds} operations={operations} acknowledged={checked} missing=0 torn=0 statistics=exact"
    );
    assert!(
        !data_dir.join("log/00000000000000000001.log").exists(),
        "the log was given up meanwhile, or this proves too little"
    );
}

#[tokio::test]
async fn log_files_stay_while_somebody_holds_them() {
    let (_dir, data_dir) = ia_testkit::prepare_data_dir(Path::new(BINARY));
    // Log files smaller still, so that a few POSTs fill several.
    let settings = [&SETTINGS[..], &[("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "64KiB")]].concat();
    let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &settings).await;
    let client = server.login("provider").await;
    let lock = fs::File::open(&data_dir).unwrap();
    lock.try_lock().unwrap();
    let first = data_dir.join("log/00000000000000000001.log");
    let checkpoints = async || {
        let path = "/metrics";
        let answer = ia_testkit::send(server.ops, hyper::Method::GET, path, &[], bytes::Bytes::new()).await;
        let text = text(&answer.body);
        let position = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        (
            position("instant_audience_checkpointed_position")
                .min(position("instant_audience_usage_position")),
            position("instant_audience_log_durable_position"),
            position("instant_audience_log_files"),
        )
    };
    let fill = async || {
        for value in 1..=20 {
            let users: Vec<Value> = (1..=1000)
                .map(|user| json!({"user_id": user, "seg_block": [{"seg_id": 12, "value": value}]}))
                .collect();
            client.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
        }
        eventually("a checkpoint of all", async || {
            let (covered, durable, files) = checkpoints().await;
            (covered >= durable).then_some(files)
        })
        .await
    };
    let files = fill().await;
    assert!(files > 2.0 && first.exists(), "{files} files");
    drop(lock);
    eventually("the log to be given up", async || {
        post(&client, 0, 1).await;
        (!first.exists()).then_some(())
    })
    .await;
    server.kill().await;
}

#[tokio::test]
async fn a_backup_of_a_stopped_or_killed_server_works_as_well() {
    let (dir, data_dir) = ia_testkit::prepare_data_dir(Path::new(BINARY));
    let early = backup(&data_dir, &dir.path().join("early"));
    assert!(text(&early.stderr).contains("no server has run on it yet"), "{}", text(&early.stderr));
    assert!(!dir.path().join("early").exists());
    let server = serve(&data_dir).await;
    post(&server.login("provider").await, 1, 7).await;
    server.kill().await;
    let killed = dir.path().join("killed");
    assert!(backup(&data_dir, &killed).status.success());
    stop(serve(&data_dir).await).await;
    let stopped = dir.path().join("stopped");
    // An existing empty folder is accepted.
    fs::create_dir(&stopped).unwrap();
    let made = backup(&data_dir, &stopped);
    assert!(made.status.success(), "{}", text(&made.stderr));
    for copy in [killed, stopped] {
        let server = serve(&copy).await;
        let client = server.login("provider").await;
        assert_eq!(values(&client).await, BTreeMap::from([(1, 7)]));
        check_statistics(&client, sums_of_posts(1)).await;
        stop(server).await;
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_nothing_and_says_why() {
    let (dir, data_dir) = ia_testkit::prepare_data_dir(Path::new(BINARY));
    let server = serve(&data_dir).await;
    let client = server.login("provider").await;
    for group in 0..GROUPS {
        post(&client, group, 1).await;
    }
    stop(server).await;
    let to = dir.path().join("to");
    let refused = |to: &Path, reason: &str| {
        let made = backup(&data_dir, to);
        let error = text(&made.stderr);
        assert_eq!(made.status.code(), Some(1), "{error}");
        assert!(made.stdout.is_empty() && error.contains(reason), "{error}");
    };
    refused(&data_dir.join("inside"), "is inside the data directory");
    refused(dir.path(), "is not empty");
    // Each part is damaged in turn.
    let table =
        fs::read_dir(data_dir.join("profiles/keyspaces/1/tables")).unwrap().next().unwrap().unwrap().path();
    let log = all_files(&data_dir.join("log")).into_iter().find(|path| path.is_file()).unwrap();
    for (file, at) in [
        (table, 100),
        (log, 60),
        (data_dir.join("catalog.sqlite"), 100),
        (data_dir.join("usage.sqlite"), 100),
    ] {
        let sound = fs::read(&file).unwrap();
        let mut damaged = sound.clone();
        damaged[at] ^= 0x55;
        fs::write(&file, damaged).unwrap();
        refused(&to, &file.file_name().unwrap().to_string_lossy());
        assert!(!to.exists(), "{}", file.display());
        fs::write(&file, sound).unwrap();
    }
    fs::create_dir(&to).unwrap();
    assert!(backup(&data_dir, &to).status.success());
    // As during a backup, or after a killed one.
    fs::write(to.join("INCOMPLETE"), "").unwrap();
    let start = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--data-dir",
        to.to_str().unwrap(),
    ]);
    assert_eq!(start.status.code(), Some(1));
    assert!(text(&start.stderr).contains("was not finished"), "{}", text(&start.stderr));
    let again = backup(&to, &dir.path().join("again"));
    assert!(text(&again.stderr).contains("was not finished"), "{}", text(&again.stderr));
}

/// Starts a backup beside others.
fn start_backup(data_dir: &Path, to: &Path) -> std::process::Child {
    let mut command = Command::new(BINARY);
    command.args(["backup", "--data-dir"]).arg(data_dir).arg(to);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_what_nobody_takes_for_one_and_holds_nothing() {
    let (dir, data_dir) = ia_testkit::prepare_data_dir(Path::new(BINARY));
    let server = serve(&data_dir).await;
    let client = server.login("provider").await;
    post(&client, 1, 7).await;
    let to = dir.path().join("killed");
    let mut backup_process = start_backup(&data_dir, &to);
    eventually("a backup that is under way", async || to.join("INCOMPLETE").exists().then_some(())).await;
    backup_process.kill().unwrap();
    let was_killed = !backup_process.wait().unwrap().success();
    assert!(was_killed, "it was done before it could be killed, which proves nothing");
    let restored = backup(&to, &dir.path().join("again"));
    assert!(text(&restored.stderr).contains("was not finished"), "{}", text(&restored.stderr));
    // The killed backup has released the log; otherwise the next one would wait for ever.
    let next = backup(&data_dir, &dir.path().join("next"));
    assert!(next.status.success(), "{}", text(&next.stderr));
    server.kill().await;
}

#[tokio::test]
async fn two_backups_at_once_are_both_whole() {
    let (dir, data_dir) = ia_testkit::prepare_data_dir(Path::new(BINARY));
    let server = serve(&data_dir).await;
    post(&server.login("provider").await, 1, 7).await;
    let places = ["one", "two"].map(|name| dir.path().join(name));
    let running = places.each_ref().map(|to| start_backup(&data_dir, to));
    for process in running {
        let made = process.wait_with_output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    server.kill().await;
    for to in places {
        let copy = serve(&to).await;
        assert_eq!(values(&copy.login("provider").await).await, BTreeMap::from([(1, 7)]));
        stop(copy).await;
    }
}
