//! Ids that are linked to a person after an opt-out: they are kept out as the person is.

use super::{ID, People, done, held, map};
use ia_testkit::{Client, PASSWORD, ServerProcess};
use serde_json::json;
use std::path::Path;

/// How many ids each browser of a race links.
const ROUNDS: u64 = 6;

/// How many pairs of a request were accepted.
async fn accepted(client: &Client, id: &str, segment: u32) -> u64 {
    let answer = client.add(id, None, json!([{"seg_id": segment}])).await;
    answer["message"]["segments_accepted"].as_u64().unwrap()
}

/// Member 77 has opted out a person; 1262 shares its name space, and may write to its segments.
#[tokio::test]
async fn an_id_that_another_member_links_later_is_kept_out_too() {
    let mut people = People::with(|config| config.pixels.enabled = true).await;
    super::own_ids(&mut people).await;
    let partner = people.kit.login("partner").await;
    // From before the link, in the segments of both.
    assert_eq!(accepted(&partner, "Late", 777).await, 1);
    assert_eq!(accepted(&partner, "Late", 30002).await, 1);
    done(&people.stranger, "uuid2", ID, "opt_out").await;
    map(&people, 77, ID, "Refused").await;
    map(&people, 1262, ID, "Late").await;
    for _ in 0..2 {
        let (partner, stranger) = (people.kit.login("partner").await, people.kit.login("stranger").await);
        let admin = people.kit.login("admin").await;
        assert_eq!(held(&admin, "uuid2", ID).await, [30002], "what the person has not refused");
        assert_eq!(accepted(&stranger, "Late", 777).await, 0, "writes by the member");
        assert_eq!(accepted(&stranger, "Late", 30002).await, 0, "wherever they go");
        assert_eq!(accepted(&partner, "Late", 777).await, 0, "writes to its segments");
        assert_eq!(accepted(&partner, "Late", 30002).await, 1, "all others count");
        assert_eq!(accepted(&stranger, "Refused", 777).await, 1, "an id of nobody");
        assert_eq!(held(&admin, "uuid2", ID).await, [30002]);
        people.kit.restart().await;
    }
    let (stranger, admin) = (people.kit.login("stranger").await, people.kit.login("admin").await);
    done(&stranger, "uuid2", ID, "opt_in").await;
    assert_eq!(held(&admin, "uuid2", ID).await, [30002], "nothing comes back, not even from before the link");
    assert_eq!(accepted(&stranger, "Late", 777).await, 1);
    assert_eq!(held(&admin, "uuid2", ID).await, [777, 30002]);
}

#[tokio::test]
async fn a_link_that_ran_out_and_comes_again_is_kept_out() {
    let mut people = People::with(|config| {
        config.pixels.enabled = true;
        config.identities.mapping_ttl_minutes = 30;
    })
    .await;
    super::own_ids(&mut people).await;
    map(&people, 77, ID, "Before").await;
    map(&people, 1262, ID, "Late").await;
    people.kit.clock.advance(31 * 60_000);
    let (stranger, admin) = (people.kit.login("stranger").await, people.kit.login("admin").await);
    let partner = people.kit.login("partner").await;
    done(&stranger, "uuid2", ID, "opt_out").await;
    // These ids are nobody's at present.
    assert_eq!((accepted(&stranger, "Before", 777).await, accepted(&stranger, "Late", 777).await), (1, 1));
    map(&people, 1262, ID, "Late").await;
    assert_eq!((accepted(&stranger, "Before", 777).await, accepted(&stranger, "Late", 777).await), (1, 0));
    assert_eq!(accepted(&partner, "Late", 30002).await, 1);
    assert_eq!(held(&admin, "uuid2", ID).await, [30002]);
    // While the opt-out lasts, the id is kept out, even when its link has ended again.
    people.kit.clock.advance(31 * 60_000);
    let stranger = people.kit.login("stranger").await;
    assert_eq!(accepted(&stranger, "Late", 777).await, 0);
    done(&stranger, "uuid2", ID, "opt_in").await;
    assert_eq!(accepted(&stranger, "Late", 777).await, 1);
}

/// The calls of many browsers and members at once: none is answered between an opt-out and what it keeps out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_writes_and_opt_outs_at_once_leave_nothing_in() {
    let mut people = People::with(|config| config.pixels.enabled = true).await;
    super::own_ids(&mut people).await;
    let partner = people.kit.login("partner").await;
    for person in 1..=8u64 {
        let id = (8_000_000 + person).to_string();
        let own = move |n: u64, round: u64| format!("p{person}n{n}r{round}");
        let writes = (0..3).map(|n| {
            let (stranger, partner) = (people.stranger.clone(), partner.clone());
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    stranger.add(&own(n, round), None, json!([{"seg_id": 777}])).await;
                    partner.add(&own(n, round), None, json!([{"seg_id": 777}])).await;
                }
            })
        });
        // Some come before the opt-out, some after it, and some meanwhile.
        let links = (0..3).map(|n| {
            let (client, id) = (people.kit.anonymous(), id.clone());
            tokio::spawn(async move {
                let cookie = format!("uuid2={id}");
                for round in 0..ROUNDS {
                    let target = format!("/mapuid?member=1262&user={}", own(n, round));
                    let headers = [("cookie", cookie.as_str())];
                    let answer = client.send(hyper::Method::GET, &target, &headers, Default::default()).await;
                    assert_eq!(answer.status, 200);
                }
            })
        });
        let running: Vec<_> = writes.chain(links).collect();
        done(&people.stranger, "uuid2", &id, "opt_out").await;
        for task in running {
            task.await.unwrap();
        }
        assert_eq!(held(&people.admin, "uuid2", &id).await, [0; 0]);
        for (n, round) in (0..3).flat_map(|n| (0..ROUNDS).map(move |round| (n, round))) {
            assert_eq!(accepted(&people.stranger, &own(n, round), 777).await, 0, "{}", own(n, round));
        }
        // Nothing was only hidden.
        done(&people.stranger, "uuid2", &id, "opt_in").await;
        assert_eq!(held(&people.admin, "uuid2", &id).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_late_link_and_what_it_keeps_out_survive_sigkill() {
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let login = |name: &str, member: u32, kind: &str| json!({"username": name, "password": PASSWORD, "member_id": member, "user_type": kind});
    let catalog = json!({
        "members": [
            {"id": 77, "name": "A", "use_external_uids": true},
            {"id": 1262, "name": "B", "use_external_uids": true, "external_member_uid": 77, "segment_access": [77]},
        ],
        "users": [login("a", 77, "member"), login("b", 1262, "member"), login("admin", 77, "admin")],
        "segments": [{"id": 777, "member_id": 77}, {"id": 30002, "member_id": 1262}],
    });
    let (_dir, data_dir) = ia_testkit::prepare_data_dir_of(binary, &catalog);
    let settings = [("INSTANT_AUDIENCE__PIXELS__ENABLED", "true")];
    let mut lives: u64 = 0;
    let mut kept_out: Vec<String> = Vec::new();
    while lives < 6 {
        let server = ServerProcess::serve(binary, &data_dir, &settings).await;
        let (a, b, admin) = (server.login("a").await, server.login("b").await, server.login("admin").await);
        for own in &kept_out {
            assert_eq!(accepted(&a, own, 777).await, 0, "life {lives}");
            assert_eq!((accepted(&b, own, 777).await, accepted(&b, own, 30002).await), (0, 1));
        }
        if lives > 0 {
            assert_eq!(held(&admin, "uuid2", ID).await, [30002], "life {lives}");
        }
        done(&a, "uuid2", ID, "opt_out").await;
        let own = format!("late{lives}");
        assert_eq!((accepted(&b, &own, 777).await, accepted(&b, &own, 30002).await), (1, 1));
        let anonymous = Client { token: None, ..a.clone() };
        let cookie = format!("uuid2={ID}");
        let target = format!("/mapuid?member=1262&user={own}");
        let mapped =
            anonymous.send(hyper::Method::GET, &target, &[("cookie", &cookie)], Default::default()).await;
        assert_eq!((mapped.status.as_u16(), mapped.header("content-type")), (200, Some("image/gif")));
        server.kill().await;
        kept_out.push(own);
        lives += 1;
    }
}
