//! Every kind of id that can name a person, with each type of request.

use super::{ID, People, ROUTE, UUID, ask, done, held};
use ia_testkit::{Answer, Client};
use serde_json::{Value, json};

const HEX: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

/// The domains, each with an id of it.
const DOMAINS: [(&str, &str); 10] = [
    ("idfa", UUID),
    ("aaid", UUID),
    ("sha1udid", HEX),
    ("md5udid", "9e107d9d372bb6826bd81d3542a419d6"),
    ("openudid", HEX),
    ("windowsadid", UUID),
    ("rida", UUID),
    ("tifa", UUID),
    ("vida", UUID),
    ("lgudid", UUID),
];

#[tokio::test]
async fn each_domain_is_a_person_of_its_own() {
    let people = People::with(|_| {}).await;
    let People { provider, stranger, admin, .. } = &people;
    for (domain, id) in DOMAINS {
        people.add_everywhere(id, Some(domain)).await;
    }
    for (index, (domain, id)) in DOMAINS.into_iter().enumerate() {
        // In any case, with white space around it.
        let (sent_type, sent_id) =
            (format!(" {}\t", domain.to_uppercase()), format!(" {}\n", id.to_uppercase()));
        let shown = done(provider, &sent_type, &sent_id, "access").await;
        let user = json!([id, domain]);
        assert_eq!(json!([shown["users"][0]["user_id"], shown["users"][0]["domain"]]), user);
        assert_eq!((&shown["identifier"], &shown["identifier_type"]), (&json!(id), &json!(domain)));
        assert_eq!(held(provider, domain, id).await, [12, 10001]);
        assert_eq!(held(admin, domain, id).await, [12, 777, 10001, 30001]);
        done(stranger, domain, id, "delete").await;
        assert_eq!(held(admin, domain, id).await, [12, 10001, 30001]);
        done(admin, domain, id, "opt_out").await;
        people.add_everywhere(id, Some(domain)).await;
        assert_eq!(held(admin, domain, id).await, [0; 0], "{domain}");
        for (other, id) in &DOMAINS[index + 1..] {
            assert_eq!(held(admin, other, id).await, [12, 777, 10001, 30001], "{domain} is not {other}");
        }
    }
    done(admin, "sh1udid", HEX, "opt_in").await;
    assert_eq!(done(admin, "sha1udid", HEX, "access").await["opted_out"], false, "two names of one domain");
    assert_eq!(done(admin, "openudid", HEX, "access").await["opted_out"], true);
    people.add_everywhere(HEX, Some("sh1udid")).await;
    assert_eq!(held(admin, "sha1udid", HEX).await.len(), 4);
    done(admin, "maid", UUID, "opt_in").await;
    let all = ["idfa", "aaid", "windowsadid", "rida", "tifa", "vida", "lgudid"];
    for domain in all {
        assert_eq!(done(admin, domain, UUID, "access").await["opted_out"], false, "maid means {domain} too");
    }
    for (identifier_type, id, message) in [
        ("idfa", HEX, "'identifier' must be a UUID"),
        ("sha1udid", UUID, "'identifier' must have 40 hex digits"),
        ("md5udid", HEX, "'identifier' must have 32 hex digits"),
        ("sha1mac", HEX, "'identifier_type' must be uuid2, maid, external or a domain: idfa, aaid, sha1udid"),
        ("eid", HEX, "'identifier_type' must be"),
    ] {
        let answer = ask(provider, identifier_type, id, "delete").await;
        assert_eq!(answer.status, 422, "{identifier_type}");
        assert!(answer.response()["error"].as_str().unwrap().starts_with(message), "{:?}", answer.body);
    }
}

/// A request about an id of a member's own.
async fn own(client: &Client, id: &str, member: Value, request_type: &str) -> Answer {
    let body = json!({"identifier": id, "identifier_type": "External", "member_id": member,
        "request_type": request_type});
    client.post(ROUTE, &body).await
}

fn segments(answer: &Answer) -> Vec<u64> {
    let users = answer.ok()["consumer_request"]["users"].clone();
    let segments = users.as_array().unwrap().iter().flat_map(|user| user["segments"].as_array().unwrap());
    segments.map(|segment| segment["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_members_own_id_is_named_with_its_member() {
    let mut people = People::with(|config| config.pixels.enabled = true).await;
    super::own_ids(&mut people).await;
    let People { provider, stranger, admin, kit } = &people;
    let partner = kit.login("partner").await;
    let cart = "Cart 7;é";
    stranger.add(cart, None, json!([{"seg_id": 777}])).await;
    // In the name space of 77, too.
    partner.add(cart, None, json!([{"seg_id": 30002}])).await;
    // The same text as a platform id is somebody else.
    stranger.add(ID, None, json!([{"seg_id": 777}])).await;
    provider.add(ID, None, json!([{"seg_id": 12}])).await;
    assert_eq!(held(admin, "uuid2", ID).await, [12]);
    assert_eq!(segments(&own(stranger, ID, Value::Null, "access").await), [777]);

    assert_eq!(segments(&own(stranger, &format!(" {cart} "), Value::Null, "access").await), [777]);
    for member in [json!(77), json!("77"), json!(1262), json!(" 1262 "), json!(77.0), json!("77.0")] {
        assert_eq!(segments(&own(admin, cart, member, "access").await), [777, 30002]);
    }
    let in_query = json!({"identifier": cart, "identifier_type": "external", "request_type": "access"});
    let in_query = admin.post(&format!("{ROUTE}?member_id=77"), &in_query).await;
    assert_eq!(segments(&in_query), [777, 30002]);
    assert_eq!(in_query.ok()["consumer_request"]["member_id"], 77);
    let user = &in_query.ok()["consumer_request"]["users"][0];
    assert_eq!((&user["user_id"], &user["domain"]), (&json!(cart), &Value::Null));

    for (client, member, status, message) in [
        (admin, Value::Null, 422, "'member_id' is required for an external id"),
        (admin, json!(958), 422, "Member 958 has no user ids of its own"),
        (admin, json!(4711), 422, "Member 4711 has no user ids of its own"),
        (admin, json!(0), 422, "'member_id' must be a positive integer"),
        (admin, json!(77.5), 422, "'member_id' must be a positive integer"),
        (admin, json!("inf"), 422, "'member_id' must be a positive integer"),
        (admin, json!([77]), 422, "'member_id' must be a positive integer"),
        (provider, Value::Null, 422, "Member 958 has no user ids of its own"),
        (provider, json!(77), 403, "This member is not yours"),
    ] {
        let refused = own(client, cart, member.clone(), "delete").await;
        assert_eq!(refused.status, status, "{member}");
        let error = refused.response()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(message), "{error}");
    }
    let both =
        json!({"identifier": cart, "identifier_type": "external", "member_id": 77, "request_type": "delete"});
    assert_eq!(admin.post(&format!("{ROUTE}?member_id=1262"), &both).await.status, 422, "which of the two?");
    assert_eq!(admin.post(&format!("{ROUTE}?member_id=x"), &both).await.status, 422);
    let platform =
        json!({"identifier": ID, "identifier_type": "uuid2", "member_id": 958, "request_type": "delete"});
    let refused = admin.post(ROUTE, &platform).await;
    assert_eq!(refused.status, 422, "an admin might mean the one member alone");
    for bad in ["", " ", "a\nb", &"x".repeat(256)] {
        let refused = own(stranger, bad, Value::Null, "access").await;
        assert_eq!(refused.status, 422);
        assert!(refused.response()["error"].as_str().unwrap().contains("1 to 255 bytes"));
    }
    assert_eq!(segments(&own(admin, cart, json!(77), "access").await), [777, 30002], "nothing is changed");

    own(stranger, cart, json!(77), "delete").await.ok();
    assert_eq!(segments(&own(admin, cart, json!(77), "access").await), [30002], "its own segments alone");
    own(&partner, cart, Value::Null, "opt_out").await.ok();
    let dropped = partner.add(cart, None, json!([{"seg_id": 30002}])).await;
    assert_eq!(dropped["warnings"][0]["message"], "The user has opted out.");
    let kept = stranger.add(cart, None, json!([{"seg_id": 777}])).await;
    assert_eq!(kept["message"]["segments_accepted"], 1);
    own(admin, cart, json!(77), "opt_out").await.ok();
    let dropped = stranger.add(cart, None, json!([{"seg_id": 777}])).await;
    assert_eq!(dropped["message"]["segments_accepted"], 0);
    assert_eq!(own(stranger, cart, Value::Null, "access").await.ok()["consumer_request"]["opted_out"], true);
    own(admin, cart, json!(77), "opt_in").await.ok();
    own(&partner, cart, json!(1262), "opt_in").await.ok();
    stranger.add(cart, None, json!([{"seg_id": 777}])).await;
    assert_eq!(segments(&own(stranger, cart, Value::Null, "access").await), [777]);
    assert_eq!(segments(&own(stranger, ID, Value::Null, "access").await), [777], "others are not touched");
}

#[tokio::test]
async fn a_request_about_a_linked_id_is_about_what_is_stored_under_it() {
    let mut people = People::with(|config| config.pixels.enabled = true).await;
    super::own_ids(&mut people).await;
    let People { provider, stranger, admin, .. } = &people;
    for id in ["Cart7", "Cart8"] {
        stranger.add(id, None, json!([{"seg_id": 777}])).await;
        super::map(&people, 77, ID, id).await;
    }
    provider.add(ID, None, json!([{"seg_id": 12}])).await;
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777]);
    own(admin, "Cart7", json!(77), "delete").await.ok();
    assert_eq!(segments(&own(admin, "Cart7", json!(77), "access").await), [0; 0]);
    assert_eq!(segments(&own(admin, "Cart8", json!(77), "access").await), [777], "the other id stays");
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777], "and so does the browser");
    // An id that has opted out is not linked again, whoever the browser is.
    own(stranger, "Cart7", json!(77), "opt_out").await.ok();
    own(stranger, "Cart8", json!(77), "delete").await.ok();
    super::map(&people, 77, "4711", "Cart7").await;
    own(stranger, "Cart7", json!(77), "opt_in").await.ok();
    stranger.add("Cart7", None, json!([{"seg_id": 777}])).await;
    assert_eq!(held(admin, "uuid2", "4711").await, [0; 0]);
    assert_eq!(held(admin, "uuid2", ID).await, [12, 777], "its mapping to the first browser was not touched");
    // The other way round: a platform id stands for the person with all linked ids.
    done(admin, "uuid2", ID, "delete").await;
    assert_eq!(segments(&own(admin, "Cart7", json!(77), "access").await), [0; 0]);
}
