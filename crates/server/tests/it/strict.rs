//! Strict mode: an unknown user is invalid; and the ways in which ids become known.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, NoAnswer, PASSWORD, ServerProcess, eventually};
use instant_audience::config::UnknownUsers;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");
const IDFA: &str = "aebe52e7-03ee-455a-b3c4-e57283966239";

/// Runs `import-users` on this text, as standard input or as a file.
fn import(data_dir: &Path, text: &[u8], as_file: bool) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (name, input) = if as_file {
        (file.path().to_str().unwrap(), Stdio::null())
    } else {
        ("-", std::fs::File::open(file.path()).unwrap().into())
    };
    let mut command = Command::new(BINARY);
    command.args(["import-users", name, "--data-dir"]).arg(data_dir).stdin(input).output().unwrap()
}

fn imported(data_dir: &Path, text: &[u8], as_file: bool) -> String {
    let output = import(data_dir, text, as_file);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn catalog() -> Value {
    let login = |username: &str, user_type: &str| json!({"username": username, "password": PASSWORD, "member_id": 958, "user_type": user_type});
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [login("provider", "member"), login("admin", "admin")],
        "segments": [{"id": 12, "member_id": 958}],
    })
}

async fn strict_kit() -> Kit {
    Kit::builder().config(|config| config.memberships.unknown_users = UnknownUsers::Reject).start().await
}

#[tokio::test]
async fn who_is_not_known_is_counted_as_invalid_until_an_import_makes_it_known() {
    let mut kit = strict_kit().await;
    let provider = kit.login("provider").await;
    let users = json!({"rt_segment": [
        {"user_id": "7", "seg_block": [{"seg_id": 12}]},
        {"user_id": IDFA.to_uppercase(), "seg_block": [{"seg_id": 12}, {"seg_id": 10001}], "domain": "idfa"},
        {"user_id": IDFA, "seg_block": [{"seg_id": 12}], "domain": "aaid"},
        {"user_id": "8", "seg_block": [{"seg_id": 12}]},
    ]});
    let accepted = async |kit: &Kit| {
        let client = ia_testkit::Client { address: kit.api(), ..provider.clone() };
        let answer = client.post("/rt-segment?verbose=true", &users).await.ok();
        let unknown = |warning: &&Value| warning["message"] == "The user is not known.";
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!(warnings.iter().filter(unknown).count(), warnings.len());
        assert_eq!(
            answer["message"]["users_in_request"], 4,
            "what stands in the request is not what is known"
        );
        (answer["message"]["users_accepted"].as_u64().unwrap(), warnings.len())
    };
    assert_eq!(accepted(&kit).await, (0, 5));
    assert!(provider.segments_of("7").await.is_empty());
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_users"], &report["num_invalid_users"]), (&json!(0), &json!(4)));
    assert_eq!((&report["num_valid_adds"], &report["num_invalid_segments"]), (&json!(0), &json!(0)));

    let bad = import(kit.data_dir(), format!("7\nidfa,{IDFA}\nidfa,7\n").as_bytes(), true);
    let message = String::from_utf8(bad.stderr).unwrap();
    assert!(
        !bad.status.success() && message.contains("nothing of") && message.contains("line 3"),
        "{message}"
    );
    assert!(!message.contains(IDFA));
    assert_eq!(accepted(&kit).await, (0, 5), "nothing of a bad file is imported");

    let text = format!("7\r\nidfa,{IDFA}\n\n007");
    let told = imported(kit.data_dir(), text.as_bytes(), true);
    assert_eq!(told, "ids: 3 read, 2 new, 0 known before, 1 repeated in the file\n");
    eventually("the ids to be known", async || (accepted(&kit).await == (2, 2)).then_some(())).await;
    assert_eq!(provider.segments_of("7").await, [12]);
    let told = imported(kit.data_dir(), &gzip(format!("8\naaid,{IDFA}\n7").as_bytes()), false);
    assert_eq!(told, "ids: 3 read, 2 new, 1 known before, 0 repeated in the file\n");
    eventually("the other ids to be known", async || (accepted(&kit).await == (4, 0)).then_some(())).await;

    kit.restart().await;
    assert_eq!(accepted(&kit).await, (4, 0), "they are known from the first request on");
}

/// Asks for the deletion of an id, or its opt-out.
async fn ask(client: &Client, identifier_type: &str, identifier: &str, request_type: &str) {
    let body =
        json!({"identifier": identifier, "identifier_type": identifier_type, "request_type": request_type});
    client.post("/privacy/consumer-request", &body).await.ok();
}

/// Whether an id is accepted.
async fn is_known(client: &Client, id: &str, domain: Option<&str>) -> bool {
    let answer = client.add(id, domain, json!([{"seg_id": 12}])).await;
    answer["message"]["users_accepted"] == 1
}

#[tokio::test]
async fn an_erased_id_is_unknown_again_until_the_service_sees_it() {
    let mut kit = Kit::builder()
        .config(|config| {
            config.memberships.unknown_users = UnknownUsers::Reject;
            config.pixels.enabled = true;
        })
        .start()
        .await;
    imported(kit.data_dir(), format!("7\n8\n9\nidfa,{IDFA}\nrida,{IDFA}\n").as_bytes(), true);
    let client = kit.login("provider").await;
    eventually("the ids to be known", async || is_known(&client, "7", None).await.then_some(())).await;
    ask(&client, "uuid2", "7", "delete").await;
    assert!(is_known(&client, "7", None).await, "others may have data of it");
    let admin = kit.login("admin").await;
    ask(&admin, "uuid2", "7", "delete").await;
    ask(&admin, "maid", IDFA, "delete").await;
    ask(&admin, "uuid2", "8", "opt_out").await;
    ask(&admin, "uuid2", "8", "opt_in").await;
    for _ in 0..2 {
        let client = kit.login("provider").await;
        for (id, domain) in [("7", None), (IDFA, Some("idfa")), (IDFA, Some("rida")), ("8", None)] {
            assert!(!is_known(&client, id, domain).await, "{id} {domain:?}");
        }
        assert!(is_known(&client, "9", None).await);
        kit.restart().await;
    }
    // By a pixel, and by an import.
    let seen = kit.anonymous();
    let pixel = "/seg?add=12&member=958";
    let answer = seen.send(Method::GET, pixel, &[("cookie", "uuid2=7")], Bytes::new()).await;
    assert_eq!(answer.status, 200);
    imported(kit.data_dir(), b"8\n", false);
    kit.restart().await;
    let client = kit.login("provider").await;
    assert!(is_known(&client, "7", None).await && is_known(&client, "8", None).await);
    assert!(!is_known(&client, IDFA, Some("idfa")).await);
}

#[tokio::test]
async fn an_erased_id_leaves_the_list_also_while_everybody_is_accepted() {
    let (_dir, data_dir) = ia_testkit::prepare_data_dir_of(Path::new(BINARY), &catalog());
    imported(&data_dir, b"7\n8\n", true);
    let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &[]).await;
    ask(&server.login("admin").await, "uuid2", "7", "delete").await;
    server.kill().await;
    let strict = [("INSTANT_AUDIENCE__MEMBERSHIPS__UNKNOWN_USERS", "reject")];
    let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &strict).await;
    let client = server.login("provider").await;
    assert!(!is_known(&client, "7", None).await && is_known(&client, "8", None).await);
    server.kill().await;
}

#[derive(Default)]
struct Journal {
    /// Whether the id is known, as far as answers say.
    known: HashMap<u64, bool>,
    /// The ids of which an answer is missing, and whether it is that to a deletion.
    in_doubt: HashMap<u64, bool>,
    answered: u64,
}

async fn erase(admin: &Client, id: u64) -> Result<Answer, NoAnswer> {
    let body = json!({"identifier": id, "identifier_type": "uuid2", "request_type": "delete"});
    admin.try_post("/privacy/consumer-request", &body).await
}

/// Erases some ids and lets a pixel see them, one after the other, until the server ends.
async fn erase_and_see(admin: Client, first: u64, mut dice: u64, journal: Arc<Mutex<Journal>>) {
    loop {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = first + (dice >> 33) % 5;
        let is_erase = (dice >> 50).is_multiple_of(2);
        journal.lock().unwrap().in_doubt.insert(id, is_erase);
        let answered = if is_erase {
            erase(&admin, id).await
        } else {
            let browser = Client { token: None, ..admin.clone() };
            browser.try_get("/seg?add=12&member=958", &[("cookie", &format!("uuid2={id}"))]).await
        };
        let Ok(answer) = answered else { return };
        assert_eq!(answer.status, 200);
        let mut journal = journal.lock().unwrap();
        journal.known.insert(id, !is_erase);
        journal.in_doubt.remove(&id);
        journal.answered += 1;
    }
}

#[tokio::test]
async fn what_is_known_and_what_is_erased_survives_sigkill() {
    let (_dir, data_dir) = ia_testkit::prepare_data_dir_of(Path::new(BINARY), &catalog());
    let settings = [
        ("INSTANT_AUDIENCE__MEMBERSHIPS__UNKNOWN_USERS", "reject"),
        ("INSTANT_AUDIENCE__PIXELS__ENABLED", "true"),
        ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
        ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_LOG_BYTES", "1KiB"),
    ];
    let journal: Arc<Mutex<Journal>> = Arc::default();
    for cycle in 1..=5u64 {
        let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &settings).await;
        let admin = server.login("admin").await;
        let start = |writer: u64| {
            let journal = Arc::clone(&journal);
            tokio::spawn(erase_and_see(admin.clone(), 1_000 * writer, cycle * 100 + writer, journal))
        };
        let writers: Vec<_> = (1..=4).map(start).collect();
        let target = journal.lock().unwrap().answered + 60 + 20 * cycle;
        eventually("some load", async || (journal.lock().unwrap().answered >= target).then_some(())).await;
        server.kill().await;
        for writer in writers {
            writer.await.unwrap();
        }

        let server = ServerProcess::serve(Path::new(BINARY), &data_dir, &settings).await;
        let (client, admin) = (server.login("provider").await, server.login("admin").await);
        let in_doubt = std::mem::take(&mut journal.lock().unwrap().in_doubt);
        for (id, is_erase) in in_doubt {
            let holds = !client.segments_of(&id.to_string()).await.is_empty();
            let is_known = is_known(&client, &id.to_string(), None).await;
            let was_known = journal.lock().unwrap().known.get(&id).copied().unwrap_or(false);
            assert!(!is_known || was_known || !is_erase, "user {id} came back in cycle {cycle}");
            assert!(!is_known || holds || !is_erase, "user {id} is erased and known in cycle {cycle}");
            erase(&admin, id).await.unwrap().ok();
            journal.lock().unwrap().known.insert(id, false);
        }
        let known = journal.lock().unwrap().known.clone();
        for (id, expected) in known {
            let holds = !client.segments_of(&id.to_string()).await.is_empty();
            let is_known = is_known(&client, &id.to_string(), None).await;
            assert_eq!((is_known, holds), (expected, expected), "user {id} in cycle {cycle}");
        }
        server.kill().await;
    }
}

#[tokio::test]
async fn an_import_needs_no_server_and_outlives_a_kill() {
    let dir = tempfile::TempDir::new().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("catalog.json");
    std::fs::write(&file, catalog().to_string()).unwrap();
    let applied = Command::new(BINARY).arg("apply").arg(&file).arg("--data-dir").arg(&data).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let ids: String = (1..=30_000).map(|id| format!("{id}\n")).collect();
    let told = imported(&data, ids.as_bytes(), false);
    assert_eq!(told, "ids: 30000 read, 30000 new, 0 known before, 0 repeated in the file\n");

    let strict = [("INSTANT_AUDIENCE__MEMBERSHIPS__UNKNOWN_USERS", "reject")];
    for _ in 0..2 {
        let server = ServerProcess::serve(Path::new(BINARY), &data, &strict).await;
        let client = server.login("provider").await;
        for (id, accepted) in [("1", 1), ("30000", 1), ("30001", 0)] {
            let answer = client.add(id, None, json!([{"seg_id": 12}])).await;
            assert_eq!(answer["message"]["users_accepted"], accepted, "{id}");
        }
        server.kill().await;
    }
    let told = imported(&data, b"30001\n5\n", false);
    assert_eq!(told, "ids: 2 read, 1 new, 1 known before, 0 repeated in the file\n");
}
