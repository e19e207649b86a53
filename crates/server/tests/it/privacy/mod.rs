//! Requests of people: their immediate effects, their lasting effects, and that deleted data is nowhere afterwards.

mod files;
mod identifiers;
mod kills;
mod late_links;
mod traces;

use hyper::Method;
use ia_testkit::{Answer, Client, Kit, PASSWORD, eventually};
use instant_audience::config::Config;
use serde_json::{Value, json};

const ROUTE: &str = "/privacy/consumer-request";
const UUID: &str = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
const ID: &str = "7301234567890123457";

fn request(identifier_type: &str, identifier: &str, request_type: &str) -> Value {
    json!({"identifier": identifier, "identifier_type": identifier_type, "request_type": request_type})
}

async fn ask(client: &Client, identifier_type: &str, identifier: &str, request_type: &str) -> Answer {
    client.post(ROUTE, &request(identifier_type, identifier, request_type)).await
}

/// The value of `consumer_request` in a successful answer.
async fn done(client: &Client, identifier_type: &str, identifier: &str, request_type: &str) -> Value {
    ask(client, identifier_type, identifier, request_type).await.ok()["consumer_request"].clone()
}

/// The segments in an answer to `access`, over all domains.
async fn held(client: &Client, identifier_type: &str, identifier: &str) -> Vec<u64> {
    let shown = done(client, identifier_type, identifier, "access").await;
    let users =
        shown["users"].as_array().unwrap().iter().flat_map(|user| user["segments"].as_array().unwrap());
    users.map(|segment| segment["id"].as_u64().unwrap()).collect()
}

struct People {
    kit: Kit,
    provider: Client,
    stranger: Client,
    admin: Client,
}

impl People {
    async fn with(configure: impl FnOnce(&mut Config)) -> People {
        let kit = Kit::builder().config(configure).start().await;
        let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
        let admin = kit.login("admin").await;
        People { kit, provider, stranger, admin }
    }

    /// Adds to segments of both members, and of a third member to which the provider may write.
    async fn add_everywhere(&self, id: &str, domain: Option<&str>) {
        self.provider.add(id, domain, json!([{"seg_id": 12}, {"seg_id": 10001}, {"seg_id": 30001}])).await;
        self.stranger.add(id, domain, json!([{"seg_id": 777}])).await;
    }

    async fn invalid_users(&self, client: &Client) -> u64 {
        let report = client.get("/rt-segment-processed?agg=true").await.ok();
        report["report"]["num_invalid_users"].as_u64().unwrap()
    }
}

/// Gives member 77 (`stranger`) ids of its own. Member 1262 (a new login `partner`) sends the same ids, and may write to
/// the segments of 77, as 77 to its.
async fn own_ids(people: &mut People) {
    let login =
        json!({"username": "partner", "password": PASSWORD, "member_id": 1262, "user_type": "member"});
    let catalog = json!({
        "members": [
            {"id": 77, "name": "Stranger", "use_external_uids": true, "segment_access": [1262]},
            {"id": 1262, "name": "Retailer", "use_external_uids": true, "external_member_uid": 77,
             "segment_access": [77]},
        ],
        "users": [login],
    });
    people.kit.apply(&catalog).await;
    people.kit.restart().await;
    people.provider = people.kit.login("provider").await;
    people.stranger = people.kit.login("stranger").await;
    people.admin = people.kit.login("admin").await;
}

/// A browser with this platform id calls the pixel that links an id of the member's own to it.
async fn map(people: &People, member: u32, platform_id: &str, own_id: &str) {
    let cookie = format!("uuid2={platform_id}");
    let target = format!("/mapuid?member={member}&user={own_id}");
    let headers = [("cookie", cookie.as_str())];
    let mapped = people.kit.anonymous().send(Method::GET, &target, &headers, Default::default()).await;
    assert_eq!(mapped.status, 200);
}

#[tokio::test]
async fn a_member_sees_and_deletes_its_own_and_an_admin_all() {
    let people = People::with(|_| {}).await;
    let People { provider, stranger, admin, .. } = &people;
    people.add_everywhere(ID, None).await;
    assert_eq!(held(provider, "uuid2", ID).await, [12, 10001], "what it owns, not what it sees");
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777, 10001, 30001]);
    // Memberships of inactive segments are kept, and would show again.
    let off =
        provider.send(Method::PUT, "/segment?id=12", &[], r#"{"segment": {"state": "inactive"}}"#.into());
    off.await.ok();
    assert_eq!(provider.segments_of(ID).await, [10001, 30001]);
    assert_eq!(held(provider, "uuid2", ID).await, [12, 10001]);
    let on = provider.send(Method::PUT, "/segment?id=12", &[], r#"{"segment": {"state": "active"}}"#.into());
    on.await.ok();
    let answer = done(provider, "uuid2", &format!("0{ID}"), "delete").await;
    assert_eq!(answer, json!({"identifier": ID, "identifier_type": "uuid2", "request_type": "delete"}));
    assert_eq!(held(admin, "uuid2", ID).await, [777, 30001]);
    // Delete does not prevent new memberships; an opt-out does.
    provider.add(ID, None, json!([{"seg_id": 12}])).await;
    assert_eq!(held(provider, "uuid2", ID).await, [12]);
    done(admin, "uuid2", ID, "delete").await;
    assert_eq!(held(admin, "uuid2", ID).await, [0; 0]);

    // A device is one person in all domains.
    for domain in ["idfa", "aaid", "windowsadid", "rida", "tifa", "vida", "lgudid"] {
        people.add_everywhere(UUID, Some(domain)).await;
    }
    assert_eq!(held(stranger, "maid", &UUID.to_uppercase()).await, [777; 7]);
    done(stranger, "maid", &UUID.replace('-', ""), "delete").await;
    assert_eq!(held(stranger, "maid", UUID).await, [0; 0]);
    assert_eq!(held(provider, "maid", UUID).await.len(), 14);
    done(admin, "maid", UUID, "delete").await;
    assert_eq!(held(admin, "maid", UUID).await, [0; 0]);
    let metric = r#"instant_audience_consumer_requests_total{type="delete"}"#;
    assert_eq!(people.kit.metric(metric).await, 4.0);
}

#[tokio::test]
async fn an_opt_out_of_a_member_holds_for_its_own_ids_of_the_person() {
    let mut people = People::with(|config| config.pixels.enabled = true).await;
    people.kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]})).await;
    people.kit.restart().await;
    let stranger = people.kit.login("stranger").await;
    let cookie = format!("uuid2={ID}");
    let map = [("cookie", cookie.as_str())];
    let mapping = stranger.send(Method::GET, "/mapuid?member=77&user=Cart7", &map, Default::default());
    assert_eq!(mapping.await.status, 200);
    stranger.add("Cart7", None, json!([{"seg_id": 777}])).await;
    assert_eq!(held(&stranger, "uuid2", ID).await, [777]);
    done(&stranger, "uuid2", ID, "opt_out").await;
    for _ in 0..2 {
        let stranger = people.kit.login("stranger").await;
        let before = people.invalid_users(&stranger).await;
        let added = stranger.add("Cart7", None, json!([{"seg_id": 777}])).await;
        assert_eq!(added["message"]["segments_accepted"], 0);
        assert_eq!(added["warnings"][0]["message"], "The user has opted out.");
        assert_eq!(people.invalid_users(&stranger).await, before + 1);
        let others = stranger.add("Cart8", None, json!([{"seg_id": 777}])).await;
        assert_eq!(others["message"]["segments_accepted"], 1, "an id of somebody else");
        assert_eq!(held(&people.kit.login("admin").await, "uuid2", ID).await, [0; 0]);
        people.kit.restart().await;
    }
    let stranger = people.kit.login("stranger").await;
    done(&stranger, "uuid2", ID, "opt_in").await;
    assert_eq!(held(&stranger, "uuid2", ID).await, [0; 0], "nothing of it comes back");
    let added = stranger.add("Cart7", None, json!([{"seg_id": 777}])).await;
    assert_eq!(added["message"]["segments_accepted"], 1);
    assert_eq!(held(&stranger, "uuid2", ID).await, [777]);
}

#[tokio::test]
async fn opt_outs_hold_for_one_member_or_for_all_and_outlive_a_restart() {
    let mut people = People::with(|_| {}).await;
    people.add_everywhere(ID, None).await;
    done(&people.provider, "uuid2", ID, "opt_out").await;
    for _ in 0..2 {
        // Neither the member nor another member with the right to write to its segments can add the user.
        let open = json!({"members": [{"id": 77, "name": "Stranger", "segment_access": [958]}]});
        people.kit.apply(&open).await;
        let (provider, stranger, admin) = (&people.provider, &people.stranger, &people.admin);
        let before = people.invalid_users(provider).await;
        people.add_everywhere(ID, None).await;
        assert_eq!(people.invalid_users(provider).await, before + 1);
        assert_eq!(people.invalid_users(stranger).await, 0);
        eventually("the access to be known", async || {
            let warned = stranger.add(ID, None, json!([{"seg_id": 12}])).await["warnings"].clone();
            let message = warned[0]["message"].as_str()?.to_owned();
            (message == "The user has opted out of this segment's owner.").then_some(())
        })
        .await;
        assert_eq!(held(admin, "uuid2", ID).await, [777, 30001]);
        let shown = done(provider, "uuid2", ID, "access").await;
        assert_eq!((&shown["users"], &shown["opted_out"]), (&json!([]), &json!(true)));
        people.kit.restart().await;
        people = People {
            provider: Client { address: people.kit.api(), ..people.provider },
            stranger: Client { address: people.kit.api(), ..people.stranger },
            admin: Client { address: people.kit.api(), ..people.admin },
            ..people
        };
    }
    let (provider, admin) = (&people.provider, &people.admin);
    done(admin, "uuid2", ID, "opt_out").await;
    done(provider, "uuid2", ID, "opt_in").await;
    people.add_everywhere(ID, None).await;
    assert_eq!(held(admin, "uuid2", ID).await, [0; 0], "the platform's opt-out is not a member's to lift");
    assert_eq!(people.invalid_users(&people.stranger).await, 1);
    let report = people.provider.get("/rt-segment-processed?agg=false").await.ok();
    assert!(!report.to_string().contains(&format!("Invalid users: {ID}")), "it is counted, not written down");
    done(admin, "uuid2", ID, "opt_in").await;
    people.add_everywhere(ID, None).await;
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777, 10001, 30001]);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let people = People::with(|_| {}).await;
    let People { kit, provider, admin, .. } = &people;
    people.add_everywhere(ID, None).await;
    let good = json!({"identifier": ID, "identifier_type": "uuid2", "request_type": "delete"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let mut cases = vec![(json!([]), "object"), (json!("delete"), "object"), (json!({}), "identifier_type")];
    for name in ["identifier", "identifier_type", "request_type"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        cases.push((without, name));
        for value in [json!(null), json!(""), json!("x"), json!([ID]), json!({}), json!(true), json!(-1)] {
            cases.push((with(name, value), name));
        }
    }
    for value in [json!("0"), json!(0), json!(1.5), json!("18446744073709551616"), json!("+1"), json!(UUID)] {
        cases.push((with("identifier", value), "identifier"));
    }
    cases.push((with("identifier_type", json!("maid")), "identifier"));
    cases.push((with("identifier_type", json!("uuid 2")), "identifier_type"));
    cases.push((with("member_id", json!("all")), "'member_id' must be"));
    cases.push((with("segment_id", json!(12)), "known fields"));
    for (body, named) in &cases {
        for client in [provider, admin] {
            let answer = client.post(ROUTE, body).await;
            assert_eq!(answer.outcome(), (422, Some("SYNTAX".to_owned())), "{body}");
            let error = answer.response()["error"].as_str().unwrap().to_owned();
            assert!(error.contains(named) && !error.contains(ID) && !error.contains(UUID), "{body}: {error}");
        }
    }
    for body in ["", "{", "identifier=1"] {
        assert_eq!(provider.post_bytes(ROUTE, &[], body).await.outcome(), (400, Some("SYNTAX".to_owned())));
    }
    for (login, request_type, status) in [
        ("reader", "delete", 403),
        ("reader", "opt_out", 403),
        ("reader", "opt_in", 403),
        ("reader", "access", 200),
        ("bidder", "delete", 403),
        ("bidder", "access", 403),
    ] {
        let answer = ask(&kit.login(login).await, "uuid2", ID, request_type).await;
        assert_eq!(answer.status, status, "{login} {request_type}");
    }
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777, 10001, 30001]);
}
