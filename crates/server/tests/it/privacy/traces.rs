//! After a checkpoint, no file contains deleted data.

use super::{ID, People, done, held};
use ia_log::{DiskLog, Log, LogOptions, RealDisk};
use ia_model::{Domain, Link, MemberId, Minute, Record, UserKey};
use ia_testkit::{Kit, eventually};
use instant_audience::config::Config;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The occurrences of `needles` in the files of a folder, with their places.
pub(super) fn occurrences(dir: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(occurrences(&path, needles));
        } else if path.metadata().is_ok_and(|metadata| metadata.blocks() > 0) {
            // A file may be removed after it was listed.
            let content = fs::read(&path).unwrap_or_default();
            for needle in needles {
                let hits = memchr::memmem::find_iter(&content, needle).count();
                found.extend((hits > 0).then(|| format!("{hits} times {needle:x?} in {}", path.display())));
            }
        }
    }
    found
}

/// All forms of an id in files.
pub(super) fn spellings(id: &str) -> Vec<Vec<u8>> {
    let mut texts =
        vec![id.to_owned(), id.to_uppercase(), id.replace('-', ""), id.replace('-', "").to_uppercase()];
    texts.dedup();
    let mut needles: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    if let Ok(number) = id.parse::<u64>() {
        // A table leaves out the part of a key that is equal to the key before it.
        needles.push(number.to_be_bytes()[2..].to_vec());
        needles.push(number.to_le_bytes()[..6].to_vec());
    } else {
        let digits = id.replace('-', "");
        let bytes =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        needles.push(bytes.skip(4).collect());
    }
    needles
}

/// Many users in tables, pages, log files and lines. Some of them are deleted, in every possible way.
#[tokio::test]
async fn nothing_of_a_deleted_id_is_in_any_file_after_a_checkpoint() {
    let configure = |config: &mut Config| {
        config.profiles.checkpoint_interval_seconds = 1;
        config.profiles.memory_budget = serde_json::from_value(json!("64KiB")).unwrap();
        config.log.segment_bytes = serde_json::from_value(json!("64KiB")).unwrap();
        config.limits.posts_per_second = 0;
    };
    let mut people = People::with(configure).await;
    let uuid = |n: u32| format!("6d92078a-8246-4ba4-ae5b-{:012x}", 0x7610_4861_0000_u64 + u64::from(n));
    let number = |n: u64| (7_301_234_567_890_000_000 + n * 7_919).to_string();
    let checkpoints =
        async |people: &People| people.kit.metric("instant_audience_checkpoint_seconds_count").await;
    for round in 0..3u64 {
        for batch in 0..20u64 {
            let blocks = json!([{"seg_id": 12}, {"seg_id": 10001, "value": round}]);
            let users: Vec<Value> = (0..50)
                .flat_map(|n| {
                    let n = batch * 50 + n;
                    [
                        json!({"user_id": number(n), "seg_block": blocks}),
                        json!({"user_id": uuid(n as u32).to_uppercase(), "domain": "idfa", "seg_block": blocks}),
                    ]
                })
                .collect();
            people.provider.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
        }
        // In lines of both members, also as invalid ids.
        for n in [500, 501] {
            people.provider.add(&number(n), None, json!([{"seg_id": 12}])).await;
            people.provider.add(&uuid(n as u32), None, json!([{"seg_id": 12}])).await;
            people.stranger.add(&uuid(n as u32).to_uppercase(), Some("rida"), json!([{"seg_id": 777}])).await;
            people.stranger.add(&number(n), None, json!([{"seg_id": 777}])).await;
        }
        let before = checkpoints(&people).await;
        eventually("a checkpoint", async || (checkpoints(&people).await > before).then_some(())).await;
    }
    let gone = [spellings(&number(500)), spellings(&uuid(500))].concat();
    let stays = [spellings(&number(501)), spellings(&uuid(501))].concat();
    let dir = people.kit.data_dir().to_owned();
    let (control, places) = (occurrences(&dir, &stays), occurrences(&dir, &gone));
    let is_in = |places: &[String], part: &str| places.iter().any(|place| place.contains(part));
    for part in ["/log/", "/profiles/", "usage.sqlite"] {
        assert!(is_in(&control, part) && is_in(&places, part), "the search finds it in {part}: {places:#?}");
    }

    done(&people.admin, "uuid2", &number(500), "delete").await;
    done(&people.admin, "maid", &uuid(500), "opt_out").await;
    // The users are dropped, and their ids are not written.
    people.provider.add(&uuid(500), Some("aaid"), json!([{"seg_id": 12}])).await;
    eventually("it to be gone from the disk", async || occurrences(&dir, &gone).is_empty().then_some(()))
        .await;
    assert!(!occurrences(&dir, &stays).is_empty());
    for part in ["/profiles/", "usage.sqlite"] {
        assert!(is_in(&occurrences(&dir, &stays), part), "others are not touched");
    }
    assert_eq!(held(&people.admin, "uuid2", &number(501)).await, [12, 777, 10001]);

    // A stop writes a checkpoint, and a start brings nothing back.
    done(&people.admin, "uuid2", &number(501), "delete").await;
    done(&people.admin, "maid", &uuid(501), "delete").await;
    people.kit.stop().await.unwrap();
    assert_eq!(occurrences(&dir, &[gone.clone(), stays.clone()].concat()), [""; 0]);
    people.kit.start_again().await;
    let admin = people.kit.login("admin").await;
    assert_eq!(held(&admin, "uuid2", &number(502)).await, [12, 10001]);
    assert_eq!(occurrences(&dir, &[gone, stays].concat()), [""; 0]);
}

/// Links a platform user to an id of member 77, by a record in the log of the stopped server.
fn link(kit: &Kit, user: &str, id: &str) {
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
    let (log, _) =
        DiskLog::open(kit.data_dir().join("log"), options, Arc::new(RealDisk), Arc::new(())).unwrap();
    let link = Link {
        accepted_at_ms: ia_testkit::START_MS,
        member: MemberId(77),
        user: UserKey::parse(Domain::Platform, user).unwrap(),
        links: vec![(UserKey::external(MemberId(77), id).unwrap(), Minute(u32::MAX))],
    };
    let (sender, receiver) = std::sync::mpsc::channel();
    log.append(Record::Link(link).encode(), Box::new(move |done| drop(sender.send(done)))).unwrap();
    receiver.recv().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_stored_under_linked_ids_goes_along() {
    const OWN_ID: &str = "cart-canary 7/é";
    let configure = |config: &mut Config| {
        config.profiles.checkpoint_interval_seconds = 1;
        config.log.segment_bytes = serde_json::from_value(json!("64KiB")).unwrap();
    };
    let mut people = People::with(configure).await;
    let own_ids = json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]});
    people.kit.apply(&own_ids).await;
    people.provider.add(ID, None, json!([{"seg_id": 12}])).await;
    people.kit.restart().await;
    for (request_type, deletes_all) in
        [("delete", false), ("opt_out", false), ("delete", true), ("opt_out", true)]
    {
        let stranger = people.kit.login("stranger").await;
        stranger.add(OWN_ID, None, json!([{"seg_id": 777}])).await;
        people.kit.stop().await.unwrap();
        link(&people.kit, ID, OWN_ID);
        people.kit.start_again().await;
        let (stranger, admin) = (people.kit.login("stranger").await, people.kit.login("admin").await);
        let own = || async {
            let target =
                format!("/user-segment?user_id={}", OWN_ID.replace(' ', "%20").replace('é', "%C3%A9"));
            stranger.get(&target).await.ok()["user_segment"]["segments"].as_array().unwrap().len()
        };
        assert_eq!((held(&admin, "uuid2", ID).await, own().await), (vec![12, 777], 1), "{request_type}");
        let by = if deletes_all { &admin } else { &stranger };
        done(by, "uuid2", ID, request_type).await;
        assert_eq!(own().await, 0, "{request_type} of all: {deletes_all}");
        let left = held(&admin, "uuid2", ID).await;
        assert_eq!(left, if deletes_all { vec![] } else { vec![12] });
        if deletes_all {
            let dir = people.kit.data_dir();
            let needles = [spellings(ID), vec![OWN_ID.into()]].concat();
            eventually("both ids to be gone", async || occurrences(dir, &needles).is_empty().then_some(()))
                .await;
        }
        if request_type == "opt_out" {
            // A member's opt-out includes the linked id. The platform's removes the link, so the id leads to no user.
            stranger.add(OWN_ID, None, json!([{"seg_id": 777}])).await;
            let accepted = usize::from(deletes_all);
            assert_eq!((held(&admin, "uuid2", ID).await, own().await), (left, accepted));
            done(by, "uuid2", ID, "opt_in").await;
        }
        people.kit.login("provider").await.add(ID, None, json!([{"seg_id": 12}])).await;
    }
}
