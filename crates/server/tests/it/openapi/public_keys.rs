//! Public keys of logins, and logging in with them.

use super::*;

const KEY: &str = include_str!("../../fixtures/keys/one.pub.pem");

pub(super) fn key(name: &str) -> String {
    json!({"public-key": {"name": name, "encoded_value": KEY}}).to_string()
}

/// A token that a login has signed with its key `one`.
pub(super) fn signed(kit: &Kit, username: &str) -> String {
    let header = r#"{"alg":"RS256","kid":"one"}"#;
    crate::signed_login::sign_with_one(header, &crate::signed_login::claims(kit, username))
}

pub(super) const SWITCH: &str = r#"{"public-key": {"active": false}}"#;

pub(super) async fn examine(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let (anonymous, admin) = (kit.anonymous(), kit.login("admin").await);
    let (provider, reader) = (kit.login("provider").await, kit.login("reader").await);
    let (long, path) = ("x".repeat(2 << 20), "/public-key");
    for (client, target, body, status) in [
        (&provider, path, key("one"), 200),
        (&provider, path, key("two"), 200),
        (&provider, path, key("one"), 409),
        (&admin, "/public-key?user_id=4711", key("one"), 404),
        (&reader, path, key("one"), 403),
        (&anonymous, path, key("one"), 401),
        (&provider, path, "{".to_owned(), 400),
        (&provider, path, long.clone(), 413),
        (&anonymous, "/v2/auth/jwt", "x".to_owned(), 401),
        (&anonymous, "/v2/auth/jwt", long.clone(), 413),
        (&anonymous, "/v2/auth/jwt", signed(kit, "provider"), 200),
    ] {
        examiner.post(client, target, &body, status).await;
    }
    let packed = [("content-encoding", "gzip")];
    let answer = anonymous.send(Method::POST, "/v2/auth/jwt", &packed, Bytes::from("not packed")).await;
    assert_eq!(answer.status, 400);
    examiner.description.assert_describes("POST", "/v2/auth/jwt", &answer);
    let operation = Operation { method: "POST".to_owned(), path: "/v2/auth/jwt".to_owned() };
    examiner.seen.insert((operation, 400));
    for (client, target, body, status) in [
        (&provider, "/public-key?id=1", SWITCH, 200),
        (&provider, "/public-key?id=1,2", SWITCH, 200),
        (&provider, "/public-key?id=3", SWITCH, 404),
        (&provider, path, SWITCH, 400),
        (&reader, "/public-key?id=1", SWITCH, 403),
        (&anonymous, "/public-key?id=1", SWITCH, 401),
        (&provider, "/public-key?id=1", long.as_str(), 413),
    ] {
        examiner.examine(client, Method::PUT, target, body, status).await;
    }
    for (client, target, status) in [
        (&provider, path, 200),
        (&provider, "/public-key?fields=name", 200),
        (&provider, "/public-key/meta", 200),
        (&provider, "/public-key?key_id=1", 200),
        (&provider, "/public-key?id=4711", 404),
        (&provider, "/public-key?sort=x", 400),
        (&provider, "/public-key?user_id=5", 403),
        (&anonymous, path, 401),
        (&anonymous, "/public-key/meta", 401),
    ] {
        examiner.get(client, target, status).await;
    }
    examiner.send(&provider, "GET", path, &long, 413).await;
    for (client, target, status) in [
        (&anonymous, "/public-key?id=1", 401),
        (&reader, "/public-key?id=1", 403),
        (&provider, "/public-key?id=3", 404),
        (&provider, path, 400),
        (&provider, "/public-key?id=1", 200),
    ] {
        examiner.examine(client, Method::DELETE, target, "", status).await;
    }
}
