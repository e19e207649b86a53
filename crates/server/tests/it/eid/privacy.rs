//! Requests of people about extended ids.

use super::mapping::{map, map_to};
use super::{ID, ID5, RAMP, encoded, pairs, seen};
use ia_testkit::{Answer, Client, Kit, eventually};
use instant_audience::config::{Config, UnknownUsers};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

async fn ask(client: &Client, identifier_type: &str, id: &str, request_type: &str) -> Answer {
    let body = json!({"identifier": id, "identifier_type": identifier_type, "request_type": request_type});
    client.post("/privacy/consumer-request", &body).await
}

async fn done(client: &Client, identifier_type: &str, id: &str, request_type: &str) -> Value {
    ask(client, identifier_type, id, request_type).await.ok()["consumer_request"].clone()
}

async fn accepted(client: &Client, domain: &str, id: &str, segment: u64) -> bool {
    client.add(id, Some(domain), json!([{"seg_id": segment}])).await["message"]["users_accepted"] == 1
}

#[tokio::test]
async fn people_see_delete_and_refuse_what_is_held_under_an_extended_id() {
    let mut kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let admin = kit.login("admin").await;
    for domain in [RAMP, ID5] {
        assert!(accepted(&provider, domain, ID, 12).await && accepted(&stranger, domain, ID, 777).await);
    }
    let shown = done(&provider, " EID: LiveRamp.com ", &format!(" {ID} "), "access").await;
    assert_eq!((&shown["identifier"], &shown["identifier_type"]), (&json!(ID), &json!(RAMP)));
    assert_eq!((&shown["users"][0]["user_id"], &shown["users"][0]["domain"]), (&json!(ID), &json!(RAMP)));
    assert_eq!(pairs(&shown["users"][0]), [(12, 0)], "its own segments");
    assert_eq!(pairs(&done(&admin, RAMP, ID, "access").await["users"][0]), [(12, 0), (777, 0)]);

    done(&stranger, RAMP, ID, "delete").await;
    assert_eq!(seen(&admin, RAMP, ID).await, [(12, 0)]);
    assert_eq!(seen(&admin, ID5, ID).await, [(12, 0), (777, 0)], "another user");

    done(&stranger, RAMP, ID, "opt_out").await;
    assert!(!accepted(&stranger, RAMP, ID, 777).await && accepted(&provider, RAMP, ID, 12).await);
    done(&admin, RAMP, ID, "opt_out").await;
    for _ in 0..2 {
        let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
        let refused = provider.add(ID, Some("EID:liveramp.COM"), json!([{"seg_id": 12}])).await;
        assert_eq!(refused["warnings"][0]["message"], "The user has opted out.");
        assert_eq!(seen(&admin, RAMP, ID).await, []);
        assert_eq!(done(&admin, RAMP, ID, "access").await["opted_out"], true);
        assert_eq!(done(&admin, RAMP, &ID.to_lowercase(), "access").await["opted_out"], false);
        assert!(accepted(&provider, ID5, ID, 12).await, "another user");
        kit.restart().await;
    }
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    done(&admin, RAMP, ID, "opt_in").await;
    assert!(accepted(&provider, RAMP, ID, 12).await);
    assert_eq!(seen(&admin, RAMP, ID).await, [(12, 0)]);
    for (identifier_type, id, message) in [
        ("eid:", ID, "'identifier_type': The source of an extended id must be a domain name"),
        ("eid:a b", ID, "'identifier_type': The source of an extended id must be a domain name"),
        (RAMP, "a\nb", "'identifier' must have 1 to 255 bytes"),
        (RAMP, "hbapi:1:x:y", "'identifier' must have 1 to 255 bytes"),
        ("eid", ID, "'identifier_type' must be uuid2, maid, external or a domain"),
    ] {
        let answer = ask(&admin, identifier_type, id, "delete").await;
        assert_eq!(answer.status, 422, "{identifier_type}");
        assert!(answer.response()["error"].as_str().unwrap().starts_with(message), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn what_is_linked_to_a_platform_user_goes_with_it() {
    let kit = super::mapping::kit(|_| {}).await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let admin = kit.login("admin").await;
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12}])).await;
    stranger.add(ID, Some(RAMP), json!([{"seg_id": 777}])).await;
    map(&kit, &format!("member=958&eid=liveramp.com:{ID}")).await;
    assert_eq!(pairs(&done(&admin, "uuid2", "7", "access").await["users"][0]), [(12, 0), (777, 0)]);
    // Out of one member: under no id of the person, neither those that are linked nor those that will be.
    done(&stranger, "uuid2", "7", "opt_out").await;
    assert!(!accepted(&stranger, RAMP, ID, 777).await);
    assert!(accepted(&stranger, ID5, ID, 777).await);
    map(&kit, &format!("member=958&eid=id5-sync.com:{ID}")).await;
    assert!(!accepted(&stranger, ID5, ID, 777).await);
    assert_eq!(seen(&admin, ID5, ID).await, []);
    // Out of all: everything under the linked ids is gone, and nothing is linked any more.
    done(&admin, "uuid2", "7", "opt_out").await;
    assert_eq!(seen(&admin, RAMP, ID).await, []);
    map(&kit, &format!("member=958&eid=liveramp.com:{ID}")).await;
    assert!(accepted(&provider, RAMP, ID, 12).await, "the id itself has not opted out");
    assert_eq!(pairs(&admin.get("/user-segment?user_id=7").await.ok()["user_segment"]), []);
    // An id that has opted out of a member is not linked by it.
    done(&stranger, "eid:third.example", ID, "opt_out").await;
    provider.add(ID, Some("eid:third.example"), json!([{"seg_id": 12}])).await;
    assert_eq!(map_to(&kit, 8, &format!("member=77&eid=third.example:{ID}")).await.status, 200);
    assert_eq!(pairs(&admin.get("/user-segment?user_id=8").await.ok()["user_segment"]), []);
    assert_eq!(map_to(&kit, 8, &format!("member=958&eid=third.example:{ID}")).await.status, 200);
    assert_eq!(pairs(&admin.get("/user-segment?user_id=8").await.ok()["user_segment"]), [(12, 0)]);
}

/// How often a text is in files below a folder.
fn occurrences(dir: &Path, text: &str) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += occurrences(&path, text);
        } else {
            // A file may be removed after it was listed.
            count += memchr::memmem::find_iter(&fs::read(&path).unwrap_or_default(), text).count();
        }
    }
    count
}

/// Ids of the lengths that sources give, which a report repeats as valid and as invalid users.
#[tokio::test]
async fn a_deleted_extended_id_is_in_no_file_and_no_line() {
    let configure = |config: &mut Config| {
        config.profiles.checkpoint_interval_seconds = 1;
        config.memberships.unknown_users = UnknownUsers::Reject;
    };
    let kit = super::mapping::kit(configure).await;
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    let body = "Ab3/+_=".repeat(30);
    let [gone, stays] = ["gone", "stays"].map(|which| format!("{body}-{which}, (\"é\")"));
    for (id, user) in [(&gone, 7), (&stays, 8)] {
        // First it is not known, and a line has it as an invalid user; then it is in lines of valid ones.
        assert!(!accepted(&provider, RAMP, id, 12).await);
        let query = format!("member=958&eid={}", encoded(&format!("liveramp.com:{id}")));
        assert_eq!(map_to(&kit, user, &query).await.status, 200);
        assert!(accepted(&provider, RAMP, id, 12).await);
    }
    let lines = async || {
        let report = provider.get("/rt-segment-processed").await.ok()["report"][0].clone();
        let text = |name: &str| report[name].as_str().unwrap().to_owned();
        (text("error_log_lines"), text("segment_log_lines"))
    };
    let (errors, segments) = lines().await;
    assert!(errors.contains(&format!("Invalid users: {gone}")), "whole: {errors}");
    assert!(segments.contains(&format!("Valid users: {gone}")), "{segments}");
    let dir = kit.data_dir().to_owned();
    assert!(occurrences(&dir, "-gone") > 0, "the search finds it");
    done(&admin, RAMP, &gone, "delete").await;
    // The link keeps the id until it ends or the platform user is deleted.
    done(&admin, "uuid2", "7", "delete").await;
    eventually("the id to be gone", async || (occurrences(&dir, "-gone") == 0).then_some(())).await;
    assert!(occurrences(&dir, "-stays") > 0);
    let (errors, segments) = lines().await;
    assert!(!errors.contains("gone") && !segments.contains("gone"), "{errors} {segments}");
    for (lines, kind) in [(&errors, "Invalid"), (&segments, "Valid")] {
        assert!(lines.contains(&format!("{kind} users: (erased)")), "{lines}");
        assert!(lines.contains(&format!("{kind} users: {stays}")), "{lines}");
    }
    assert_eq!(seen(&admin, RAMP, &stays).await, [(12, 0)]);
}
