//! Reads over time: a segment is seen while it is shared, and nobody sees an inactive segment.

use super::{apply_and_wait, get, post, shown_segments};
use ia_testkit::{Client, Kit};
use serde_json::{Value, json};

const USER: &str = "5005005005";

/// Reads the user in every format, with GET and POST, and counts the reads. All must show the
/// same segments, by id, or by code if the format has only codes.
async fn shown(client: &Client, reads: &mut usize) -> Vec<String> {
    let users = json!({"users": [{"user_id": USER}, {"user_id": USER, "domain": null}]});
    let mut by_id: Option<Vec<String>> = None;
    let mut codes = Vec::new();
    for owner in ["", "&member_id=77"] {
        let format = |name: &str| format!("/user-segment?user_id={USER}{owner}{name}");
        let one = [get(format("")), get(format("&format=openrtb"))];
        let many =
            ["x=y", "format=openrtb"].map(|name| post(format!("/user-segment?{name}{owner}"), users.clone()));
        for (ask, times) in one.iter().map(|ask| (ask, 1)).chain(many.iter().map(|ask| (ask, 2))) {
            let answer = ask.by(client).await;
            assert_eq!(answer.status, 200, "{ask:?}");
            let mut found = shown_segments(&answer);
            let foreign = |id: &String| id.starts_with("77");
            if times == 2 {
                let all = found.len();
                found.dedup();
                assert_eq!(found.len() * 2, all, "the same user twice: {ask:?}");
            }
            assert!(owner.is_empty() || found.iter().all(foreign), "{ask:?} {found:?}");
            let found: Vec<String> = found.into_iter().filter(foreign).collect();
            assert_eq!(*by_id.get_or_insert_with(|| found.clone()), found, "{ask:?}");
            *reads += 1;
        }
        let answer = get(format("&format=codes")).by(client).await;
        let found: Vec<String> =
            shown_segments(&answer).into_iter().filter(|code| code.starts_with("secret")).collect();
        codes.push(found);
        *reads += 1;
    }
    let by_id = by_id.unwrap();
    for found in codes {
        assert_eq!(found.len(), by_id.len(), "codes and ids: {found:?} {by_id:?}");
    }
    by_id
}

fn exposure(what: &str, segments: Option<&[u64]>) -> Value {
    let mut sharing = json!({"data_member_id": 77, "buyer_member_id": 958, "segment_exposure": what});
    if let Some(segments) = segments {
        sharing["segments"] = json!(segments);
    }
    json!({"sharing": [sharing]})
}

fn segment(id: u64, code: &str, state: &str) -> Value {
    json!({"segments": [{"id": id, "member_id": 77, "code": code, "state": state}]})
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the test")]
async fn what_is_shared_is_seen_while_it_is_shared() {
    let kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let bidder = kit.login("bidder").await;
    apply_and_wait(&kit, segment(778, "secret-2", "active"), 60_000).await;
    stranger.add(USER, None, json!([{"seg_id": 777}, {"seg_id": 778}])).await;
    provider.add(USER, None, json!([{"seg_id": 12}, {"seg_id": 10_001}])).await;

    // A change of the catalog, and then the segments of member 77 that member 958, member 77 and a bidder see.
    let none: &[&str] = &[];
    let both: &[&str] = &["777", "778"];
    let steps: [(Value, [&[&str]; 3]); 9] = [
        (json!({}), [none, both, both]),
        (exposure("list", Some(&[777])), [&["777"], both, both]),
        (exposure("all", None), [both, both, both]),
        (segment(777, "secret", "inactive"), [&["778"], &["778"], &["778"]]),
        (exposure("list", Some(&[777])), [none, &["778"], &["778"]]),
        (segment(777, "secret", "active"), [&["777"], both, both]),
        (exposure("list", Some(&[])), [none, both, both]),
        // Sharing in the other direction has no effect.
        (
            json!({"sharing": [{"data_member_id": 958, "buyer_member_id": 77, "segment_exposure": "all"}]}),
            [none, both, both],
        ),
        // The right to write has no effect on reads.
        (
            json!({"members": [{"id": 958, "name": "Provider", "segment_access": [1661, 1262, 77]}]}),
            [none, both, both],
        ),
    ];
    let mut reads = 0;
    for (marker, (change, expected)) in (60_001..).zip(steps) {
        apply_and_wait(&kit, change.clone(), marker).await;
        for (client, expected) in [&provider, &stranger, &bidder].into_iter().zip(expected) {
            assert_eq!(shown(client, &mut reads).await, expected, "after {change}");
        }
    }
    println!("figure: sharing: steps=9 reads={reads} leaks=0");
}

#[tokio::test]
async fn a_right_to_write_that_is_taken_back_is_gone() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let access =
        |owners: Value| json!({"members": [{"id": 958, "name": "Provider", "segment_access": owners}]});
    let asks = [
        post(
            "/rt-segment?verbose=true",
            json!({"rt_segment": [{"user_id": USER, "seg_block": [{"seg_id": 777}]}]}),
        ),
        post(
            "/rt-segment?verbose=true",
            json!({"rt_segment": [{"user_id": USER, "seg_block": [{"seg_code": "Secret", "member_id": 77}]}]}),
        ),
    ];
    for (marker, (owners, accepted)) in (60_001..).zip([(json!([]), 0), (json!([77]), 1), (json!([1661]), 0)])
    {
        apply_and_wait(&kit, access(owners), marker).await;
        for ask in &asks {
            let answer = ask.by(&provider).await.ok();
            assert_eq!(answer["message"]["segments_accepted"], accepted, "{ask:?}");
        }
    }
}
