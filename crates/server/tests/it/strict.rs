//! Strict mode: an unknown user is invalid; and the ways in which ids become known.

use flate2::Compression;
use flate2::write::GzEncoder;
use ia_testkit::{Kit, ServerProcess, eventually};
use instant_audience::config::UnknownUsers;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
        let unknown = |warning: &&serde_json::Value| warning["message"] == "The user is not known.";
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

#[tokio::test]
async fn an_import_needs_no_server_and_outlives_a_kill() {
    let dir = tempfile::TempDir::new().unwrap();
    let data = dir.path().join("data");
    let catalog = json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [{"username": "provider", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "member"}],
        "segments": [{"id": 12, "member_id": 958}],
    });
    let file = dir.path().join("catalog.json");
    std::fs::write(&file, catalog.to_string()).unwrap();
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
