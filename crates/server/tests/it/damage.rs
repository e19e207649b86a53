//! The real binary on damaged data directories: its messages, and the repairs that they name.

use ia_catalog::{SqliteCatalog, SuppressionStore};
use ia_model::ManualClock;
use ia_testkit::{Client, ServerProcess};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");
const USERS: u64 = 50;

/// Small log files, because a start reads all of one.
const SETTINGS: [(&str, &str); 2] =
    [("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "1MiB"), ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0")];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A data directory, with a catalog file beside it.
struct Place {
    dir: TempDir,
}

impl Place {
    /// A directory after an orderly stop: a log from position 1 on, a checkpoint, statistics.
    async fn stopped() -> Place {
        let place = Place { dir: TempDir::new().unwrap() };
        let catalog = json!({
            "members": [{"id": 958, "name": "Provider"}],
            "users": [{"username": "provider", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "member"}],
            "segments": [{"id": 12, "member_id": 958, "code": "cars"}],
        });
        fs::write(place.dir.path().join("catalog.json"), catalog.to_string()).unwrap();
        assert!(place.run(&["apply", "catalog.json"]).status.success());
        let server = place.serve().await;
        let client = server.login("provider").await;
        for user in 1..=USERS {
            client.add(&user.to_string(), None, json!([{"seg_id": 12, "value": user}])).await;
        }
        stop(server).await;
        place
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.dir.path()).envs(SETTINGS).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    async fn serve(&self) -> ServerProcess {
        ServerProcess::serve(Path::new(BINARY), &self.data(), &SETTINGS).await
    }

    /// The message of a refused start.
    fn refusal(&self) -> String {
        let mut server = self
            .command(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if !said.is_empty() {
            server.kill().unwrap();
            panic!("it started: {said}");
        }
        let output = server.wait_with_output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(!error.contains("panicked"), "{error}");
        error
    }

    fn table(&self) -> PathBuf {
        let tables = self.data().join("profiles/keyspaces/1/tables");
        fs::read_dir(tables).unwrap().next().unwrap().unwrap().path()
    }
}

async fn stop(server: ServerProcess) {
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().await.code(), Some(0));
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

async fn check_all(client: &Client) {
    for user in 1..=USERS {
        let answer = client.get(&format!("/user-segment?user_id={user}")).await.ok();
        let segments: Vec<&Value> = answer["user_segment"]["segments"].as_array().unwrap().iter().collect();
        assert_eq!(segments.len(), 1, "user {user}");
        assert_eq!(segments[0]["value"], user);
    }
}

async fn counted_users(client: &Client) -> u64 {
    let report = client.get("/rt-segment-processed?agg=true").await.ok();
    report["report"]["num_valid_users"].as_u64().unwrap()
}

#[tokio::test]
async fn a_damaged_profile_store_is_named_and_built_again_from_the_log() {
    let place = Place::stopped().await;
    let store = place.data().join("profiles");
    // The current version; the one of the previous checkpoint may also be left.
    let current = fs::read(store.join("keyspaces/1/current")).unwrap();
    let number = u64::from_le_bytes(*current.first_chunk().unwrap());
    let version = store.join(format!("keyspaces/1/v{number}"));
    for file in [store.join("version"), store.join("keyspaces/1/current"), version, place.table()] {
        let sound = fs::read(&file).unwrap();
        flip(&file, sound.len() - 1);
        let error = place.refusal();
        let name = file.strip_prefix(&store).unwrap().to_str().unwrap();
        assert!(error.contains(name) && error.contains("move the store's folder away"), "{error}");
        let inspected = place.run(&["inspect", "checkpoint"]);
        assert_eq!(inspected.status.code(), Some(1));
        assert!(text(&inspected.stderr).contains(name), "{}", text(&inspected.stderr));
        let inspected = place.run(&["inspect", "profile", "7"]);
        assert_eq!(inspected.status.code(), Some(1));
        assert!(place.run(&["inspect", "log", "--quiet"]).status.success(), "the log is sound");
        fs::remove_file(&file).unwrap();
        assert!(place.refusal().contains(name));
        fs::write(&file, sound).unwrap();
    }
    // The repair if the log begins at position 1.
    flip(&place.table(), 0);
    fs::rename(&store, place.dir.path().join("profiles.damaged")).unwrap();
    let server = place.serve().await;
    let client = server.login("provider").await;
    check_all(&client).await;
    assert_eq!(counted_users(&client).await, USERS);
    stop(server).await;
    check_all(&place.serve().await.login("provider").await).await;
}

#[tokio::test]
async fn a_block_that_is_damaged_is_never_served() {
    let place = Place::stopped().await;
    let server = place.serve().await;
    let users: Vec<Value> = (1..=1000)
        .map(|user| json!({"user_id": user, "seg_block": [{"seg_id": 12, "value": user}]}))
        .collect();
    server.login("provider").await.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    stop(server).await;
    // A block in the middle of the newest table; no start reads it.
    let tables = fs::read_dir(place.table().parent().unwrap()).unwrap().map(|table| table.unwrap().path());
    let newest = tables.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
    flip(&newest, fs::metadata(&newest).unwrap().len() as usize / 2);
    let server = place.serve().await;
    let client = server.login("provider").await;
    let mut refused = 0;
    for user in 1..=1000 {
        let answer = client.get(&format!("/user-segment?user_id={user}")).await;
        if answer.status == 500 {
            refused += 1;
        } else {
            assert_eq!(answer.ok()["user_segment"]["segments"][0]["value"], user);
        }
    }
    assert!((1..500).contains(&refused), "{refused} users are refused");
    stop(server).await;
    let inspected = place.run(&["inspect", "checkpoint"]);
    let error = text(&inspected.stderr);
    assert!(inspected.status.code() == Some(1) && error.contains("profiles/keyspaces/1/tables/"), "{error}");
}

/// Flips a bit in the middle of the newest table of a store with 1000 users, and returns the users whom nobody can
/// read any more.
async fn damage_a_block(place: &Place) -> Vec<u64> {
    let tables = fs::read_dir(place.table().parent().unwrap()).unwrap().map(|table| table.unwrap().path());
    let newest = tables.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
    flip(&newest, fs::metadata(&newest).unwrap().len() as usize / 2);
    let server = place.serve().await;
    let client = server.login("provider").await;
    let mut broken = Vec::new();
    for user in 1..=1000 {
        if client.get(&format!("/user-segment?user_id={user}")).await.status == 500 {
            broken.push(user);
        }
    }
    server.kill().await;
    assert!((1..500).contains(&broken.len()), "{} users are refused", broken.len());
    broken
}

/// A write reads nothing from disk, so it does not meet what is damaged there.
#[tokio::test]
async fn writes_go_on_beside_a_damaged_block() {
    let place = Place::stopped().await;
    let write = async |client: &Client, offset: u64| {
        let users: Vec<Value> = (1..=1000)
            .map(|user| json!({"user_id": user, "seg_block": [{"seg_id": 12, "value": user + offset}]}))
            .collect();
        client.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    };
    let server = place.serve().await;
    write(&server.login("provider").await, 0).await;
    stop(server).await;
    let broken = damage_a_block(&place).await;
    for round in 1..=2 {
        let server = place.serve().await;
        let client = server.login("provider").await;
        // Among them those that cannot be read.
        write(&client, round * 10_000).await;
        for user in 1..=1000 {
            let answer = client.get(&format!("/user-segment?user_id={user}")).await;
            if broken.contains(&user) {
                assert_eq!(answer.status, 500, "user {user}: what it has is not known");
            } else {
                assert_eq!(answer.ok()["user_segment"]["segments"][0]["value"], user + round * 10_000);
            }
        }
        // And after a start, which writes all of that once more.
        server.kill().await;
    }
}

#[tokio::test]
async fn a_profile_store_that_is_gone_is_built_again_only_from_a_whole_log() {
    let place = Place::stopped().await;
    fs::remove_dir_all(place.data().join("profiles")).unwrap();
    let server = place.serve().await;
    check_all(&server.login("provider").await).await;
    stop(server).await;
    // A log without its first file, as if it was removed.
    let log = place.data().join("log");
    let first = log.join(format!("{:020}.log", 1));
    assert!(first.exists());
    fs::remove_dir_all(place.data().join("profiles")).unwrap();
    fs::remove_file(&first).unwrap();
    let error = place.refusal();
    assert!(error.contains("cover position") && error.contains("restore"), "{error}");
}

#[tokio::test]
async fn a_damaged_catalog_is_named_and_can_be_applied_again() {
    let place = Place::stopped().await;
    let catalog = place.data().join("catalog.sqlite");
    let sound = fs::read(&catalog).unwrap();
    // `code` is in a value, on which no structure depends.
    let code = sound.windows(4).position(|bytes| bytes == b"cars").unwrap();
    for at in [0, 20, code] {
        flip(&catalog, at);
        let error = place.refusal();
        assert!(
            error.contains("catalog.sqlite") && error.contains("apply your catalog file again"),
            "byte {at}: {error}"
        );
        assert_eq!(place.run(&["apply", "catalog.json"]).status.code(), Some(1), "nothing is built on it");
        fs::write(&catalog, &sound).unwrap();
    }
    for bytes in [None, Some(&[] as &[u8])] {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(place.data().join(format!("catalog.sqlite{suffix}")));
        }
        if let Some(bytes) = bytes {
            fs::write(&catalog, bytes).unwrap();
        }
        let error = place.refusal();
        assert!(
            error.contains("gone or empty") && error.contains("apply your catalog file again"),
            "{error}"
        );
        assert!(place.run(&["apply", "catalog.json"]).status.success());
        let server = place.serve().await;
        let client = server.login("provider").await;
        check_all(&client).await;
        assert_eq!(counted_users(&client).await, USERS);
        stop(server).await;
    }
}

/// A start that overlooked such damage would let people in again that have opted out, or read files in another way.
#[tokio::test]
async fn damaged_opt_outs_and_set_ups_are_named() {
    let place = Place::stopped().await;
    let catalog_file = json!({"members": [{"id": 958, "name": "Provider", "use_external_uids": true}],
        "users": [{"username": "admin", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "admin"}]});
    fs::write(place.dir.path().join("more.json"), catalog_file.to_string()).unwrap();
    assert!(place.run(&["apply", "more.json"]).status.success());
    let settings = [SETTINGS[0], SETTINGS[1], ("INSTANT_AUDIENCE__PIXELS__ENABLED", "true")];
    let server = ServerProcess::serve(Path::new(BINARY), &place.data(), &settings).await;
    let (client, admin) = (server.login("provider").await, server.login("admin").await);
    let ask = async |client: &Client, identifier: &str, request_type: &str| {
        let body =
            json!({"identifier": identifier, "identifier_type": "uuid2", "request_type": request_type});
        client.post("/privacy/consumer-request", &body).await.ok()
    };
    let mapped = Client { token: None, ..client.clone() }
        .send(
            hyper::Method::GET,
            "/mapuid?member=958&user=Cart7",
            &[("cookie", "uuid2=7")],
            bytes::Bytes::new(),
        )
        .await;
    assert_eq!(mapped.status, 200);
    ask(&client, "7", "opt_out").await;
    ask(&admin, "8", "opt_out").await;
    let set_up = json!({"batch_segment_config": {"segment_fields": ["SEG_CODE", "EXPIRATION"]}});
    admin.post("/batch-segment-config?member_id=958", &set_up).await.ok();
    stop(server).await;

    let catalog = place.data().join("catalog.sqlite");
    let sound = fs::read(&catalog).unwrap();
    let database = Rows::of(&catalog).await;
    let mut cases = 0;
    for (what, bytes) in database.0 {
        // Every value is there twice, in a row and in an index.
        let places: Vec<usize> = memchr::memmem::find_iter(&sound, &bytes).collect();
        assert!(places.len() >= 2, "{what} is {} times in the file", places.len());
        for at in places {
            flip(&catalog, at + bytes.len() / 2);
            let error = place.refusal();
            assert!(
                error.contains("catalog.sqlite")
                    && error.contains("restore the data directory from a backup"),
                "{what}: {error}"
            );
            let copied = place.run(&["backup", "copy"]);
            assert_eq!(copied.status.code(), Some(1), "a backup would have an index made from the wrong row");
            fs::write(&catalog, &sound).unwrap();
            cases += 1;
        }
    }
    assert!(cases >= 12, "{cases} cases");
    fs::write(&catalog, &sound[..sound.len() - 4096]).unwrap();
    assert!(place.refusal().contains("catalog.sqlite"), "a table that is cut off");
    fs::write(&catalog, &sound).unwrap();
    let server = place.serve().await;
    let (client, admin) = (server.login("provider").await, server.login("admin").await);
    for (client, id) in [(&client, "7"), (&admin, "8")] {
        assert_eq!(ask(client, id, "access").await["consumer_request"]["opted_out"], true);
    }
    let refused = client.add("Cart7", None, json!([{"seg_id": 12}])).await;
    assert_eq!(refused["warnings"][0]["message"], "The user has opted out.");
    stop(server).await;
}

/// The values of opt-outs and set-ups as they stand in the file, with their names.
struct Rows(Vec<(&'static str, Vec<u8>)>);

impl Rows {
    async fn of(catalog: &Path) -> Rows {
        let clock = Arc::new(ManualClock::at(ia_testkit::START_MS));
        let store = SqliteCatalog::open(catalog, clock).await.unwrap();
        let mut rows = vec![("the key of opt-outs", store.suppression_key().await.unwrap().0.to_vec())];
        let users = store.suppressed_users().await.unwrap();
        assert_eq!(users.len(), 2);
        rows.extend(users.into_iter().map(|user| ("an opt-out", user.hash.to_vec())));
        let links = store.suppressed_links().await.unwrap();
        assert_eq!(links.len(), 1);
        rows.extend(links.into_iter().map(|link| ("a linked id", link.hash.to_vec())));
        rows.push(("a set-up", b"SEG_CODE,EXPIRATION".to_vec()));
        store.close().await;
        Rows(rows)
    }
}

#[tokio::test]
async fn damaged_statistics_are_named_and_counted_again_from_the_log() {
    let place = Place::stopped().await;
    let usage = place.data().join("usage.sqlite");
    let sound = fs::read(&usage).unwrap();
    for at in [0, 20, 4096] {
        flip(&usage, at);
        let error = place.refusal();
        assert!(
            error.contains("usage.sqlite") && error.contains("counted from the log's first position"),
            "byte {at}: {error}"
        );
        fs::write(&usage, &sound).unwrap();
    }
    fs::rename(&usage, place.dir.path().join("usage.damaged")).unwrap();
    let server = place.serve().await;
    let client = server.login("provider").await;
    check_all(&client).await;
    assert_eq!(counted_users(&client).await, USERS, "the log begins at position 1");
    stop(server).await;
}
