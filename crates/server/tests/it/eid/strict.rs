//! Extended ids while unknown users are refused: an import or a mapping makes them known, a deletion unknown.

use super::mapping::{kit, map};
use super::{ID, ID5, RAMP};
use ia_testkit::{Client, eventually};
use instant_audience::config::UnknownUsers;
use serde_json::json;
use std::path::Path;
use std::process::Command;

async fn is_known(client: &Client, domain: &str) -> bool {
    let answer = client.add(ID, Some(domain), json!([{"seg_id": 12}])).await;
    let is_known = answer["message"]["users_accepted"] == 1;
    assert!(is_known || answer["warnings"][0]["message"] == "The user is not known.", "{answer}");
    is_known
}

fn import(data_dir: &Path, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ids.txt");
    std::fs::write(&file, text).unwrap();
    let binary = env!("CARGO_BIN_EXE_instant-audience");
    let done = Command::new(binary).arg("import-users").arg(&file).arg("--data-dir").arg(data_dir).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn an_extended_id_has_to_be_known() {
    let mut kit = kit(|config| config.memberships.unknown_users = UnknownUsers::Reject).await;
    let provider = kit.login("provider").await;
    assert!(!is_known(&provider, RAMP).await && !is_known(&provider, ID5).await);
    let told = import(kit.data_dir(), &format!("{RAMP},{ID}\nEID : LiveRamp.com, {ID}\n"));
    assert_eq!(told, "ids: 2 read, 1 new, 0 known before, 1 repeated in the file\n");
    eventually("the id to be known", async || is_known(&provider, RAMP).await.then_some(())).await;
    assert!(!is_known(&provider, ID5).await, "the same text of another source");
    assert_eq!(map(&kit, &format!("member=958&eid=id5-sync.com:{ID}")).await.status, 200);
    kit.restart().await;
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    assert!(is_known(&provider, RAMP).await && is_known(&provider, ID5).await);
    // With the platform user, what is linked to it goes, and is unknown again.
    let delete = |identifier_type: &str, id: &str| json!({"identifier": id, "identifier_type": identifier_type, "request_type": "delete"});
    admin.post("/privacy/consumer-request", &delete("uuid2", "7")).await.ok();
    assert!(is_known(&provider, RAMP).await && !is_known(&provider, ID5).await);
    admin.post("/privacy/consumer-request", &delete(RAMP, ID)).await.ok();
    kit.restart().await;
    let provider = kit.login("provider").await;
    assert!(!is_known(&provider, RAMP).await && !is_known(&provider, ID5).await);
}

/// A mapping that an opt-out forbids makes nothing known.
#[tokio::test]
async fn an_id_that_has_opted_out_is_not_made_known() {
    let kit = kit(|config| config.memberships.unknown_users = UnknownUsers::Reject).await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let out = json!({"identifier": ID, "identifier_type": RAMP, "request_type": "opt_out"});
    stranger.post("/privacy/consumer-request", &out).await.ok();
    assert_eq!(map(&kit, &format!("member=77&eid=liveramp.com:{ID}")).await.status, 200);
    assert!(!is_known(&provider, RAMP).await);
    assert_eq!(map(&kit, &format!("member=958&eid=liveramp.com:{ID}")).await.status, 200);
    assert!(is_known(&provider, RAMP).await);
}
