//! Logging in by a token that the login has signed, and the keys for it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, eventually};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};

const ONE: (&str, &str) =
    (include_str!("../fixtures/keys/one.pem"), include_str!("../fixtures/keys/one.pub.pem"));
const TWO: (&str, &str) =
    (include_str!("../fixtures/keys/two.pem"), include_str!("../fixtures/keys/two.pub.pem"));

const JWT: &str = "/v2/auth/jwt";

fn sign_with(pem: &str, padding: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign(pem: &str, header: &str, claims: &str) -> String {
    sign_with(pem, &RSA_PKCS1_SHA256, header, claims)
}

/// Signed with the key whose public half is `one.pub.pem`.
pub(crate) fn sign_with_one(header: &str, claims: &str) -> String {
    sign(ONE.0, header, claims)
}

const HEADER: &str = r#"{"alg":"RS256","typ":"JWT","kid":"job"}"#;

fn now_seconds(kit: &Kit) -> i64 {
    use ia_model::Clock as _;
    i64::try_from(kit.clock.now_ms() / 1000).unwrap()
}

/// The claims that a client of this login sends now.
pub(crate) fn claims(kit: &Kit, username: &str) -> String {
    json!({"sub": username, "iat": now_seconds(kit)}).to_string()
}

fn good(kit: &Kit, username: &str) -> String {
    sign(ONE.0, HEADER, &claims(kit, username))
}

fn key(name: &str, pem: &str) -> Value {
    json!({"public-key": {"active": true, "name": name, "encoded_value": pem}})
}

async fn sign_in(kit: &Kit, jwt: &str) -> Answer {
    kit.anonymous().post_bytes(JWT, &[("content-type", "text/plain")], jwt.to_owned()).await
}

async fn kit_without_limits() -> Kit {
    let lift = |config: &mut instant_audience::config::Config| {
        config.limits.failed_logins_per_user_per_five_minutes = 0;
        config.limits.failed_logins_per_address_per_five_minutes = 0;
        config.limits.logins_per_five_minutes = 0;
    };
    Kit::builder().config(lift).start().await
}

async fn is_authenticated(client: &Client) -> bool {
    client.get("/user-segment?user_id=1").await.status == 200
}

/// A PUT with the body unchanged.
async fn put(client: &Client, target: &str, body: &str) -> Answer {
    client.send(Method::PUT, target, &[], Bytes::from(body.to_owned())).await
}

/// The body of a refusal without its request id and time.
fn masked_refusal(answer: &Answer) -> String {
    let mut response = answer.response();
    response["dbg_info"]["time"] = 0.into();
    response["dbg_info"]["request_id"] = "".into();
    response.to_string()
}

#[tokio::test]
async fn a_key_lets_its_login_in_until_it_is_switched_off_or_deleted() {
    let mut kit = kit_without_limits().await;
    let provider = kit.login("provider").await;
    let stored = provider.post("/public-key", &key("job", ONE.1)).await.ok();
    assert_eq!(stored["id"], 1);
    let shown = json!({"id": 1, "active": true, "name": "job", "user_id": 1, "encoded_value": ONE.1,
                       "created_on": "2026-01-31 13:00:00"});
    assert_eq!(stored["public-key"], shown);

    let answer = sign_in(&kit, &good(&kit, "Provider")).await;
    let token = answer.ok()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("hbapi:1:"));
    assert_eq!(
        answer.header("set-cookie").unwrap(),
        format!("ia_token={token}; Path=/; HttpOnly; SameSite=Strict")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let signed = Client { token: Some(token), ..kit.anonymous() };
    assert_eq!(signed.get("/public-key").await.ok()["public-keys"], json!([shown]));
    kit.restart().await;
    let signed = Client { address: kit.api(), ..signed };
    let provider = Client { address: kit.api(), ..provider };
    assert!(is_authenticated(&signed).await, "both outlive a restart");
    let again = sign_in(&kit, &format!("{}\n", good(&kit, "provider"))).await.ok();
    let again = Client { token: again["token"].as_str().map(str::to_owned), ..kit.anonymous() };

    let off = put(&provider, "/public-key?key_id=1&user_id=1", r#"{"public-key": {"active": false}}"#).await;
    assert_eq!(off.ok()["public-key"]["active"], false);
    assert!(
        !is_authenticated(&signed).await && !is_authenticated(&again).await,
        "at once, and every token of it"
    );
    assert!(is_authenticated(&provider).await, "but none that a password has given");
    let refused = sign_in(&kit, &good(&kit, "provider")).await;
    assert_eq!(refused.outcome(), (401, Some("NOAUTH".to_owned())));
    put(&provider, "/public-key?id=1", r#"{"public-key": {"active": true}}"#).await.ok();
    assert!(!is_authenticated(&signed).await, "what was taken back stays so");
    let third = sign_in(&kit, &good(&kit, "provider")).await.ok();
    let third = Client { token: third["token"].as_str().map(str::to_owned), ..kit.anonymous() };
    assert!(is_authenticated(&third).await);

    let gone = provider.send(Method::DELETE, "/public-key?id=1", &[], Bytes::new()).await.ok();
    assert_eq!((&gone["count"], &gone["public-keys"]), (&json!(1), &json!([{"id": 1}])));
    assert!(!is_authenticated(&third).await);
    assert_eq!(sign_in(&kit, &good(&kit, "provider")).await.status, 401);
    let next = provider.post("/public-key", &key("job", ONE.1)).await.ok();
    assert_eq!(next["id"], 2, "an id is never used again");
}

#[tokio::test]
async fn every_bad_token_is_refused_in_the_same_words() {
    let kit = kit_without_limits().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    provider.post("/public-key", &key("job", ONE.1)).await.ok();
    provider.post("/public-key", &key("other", TWO.1)).await.ok();
    stranger.post("/public-key", &key("theirs", TWO.1)).await.ok();
    let now = now_seconds(&kit);
    let mine = claims(&kit, "provider");
    let at = |iat: Value| json!({"sub": "provider", "iat": iat}).to_string();
    let good = good(&kit, "provider");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let unsigned =
        |header: &str| format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&mine));
    // A known attack on verifiers that trust the header's algorithm: HS256 with the public key as the secret.
    let confused = {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"job"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&mine));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, ONE.1.as_bytes());
        let tag = ring::hmac::sign(&secret, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let with = |header: &str| sign(ONE.0, header, &mine);
    let saying = |claims: &str| sign(ONE.0, HEADER, claims);
    let cases: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("garbage", "garbage".into()),
        ("dots", "..".into()),
        ("four parts", format!("{good}.x")),
        ("a password", "{\"auth\": {\"username\": \"provider\", \"password\": \"x\"}}".into()),
        ("quoted", format!("\"{good}\"")),
        ("no signature", format!("{signed}.")),
        ("a signature cut short", good[..good.len() - 4].into()),
        ("a signature of zeros", format!("{signed}.{}", "A".repeat(signature.len()))),
        ("a padded signature", format!("{good}==")),
        ("alg none", unsigned(r#"{"alg":"none","kid":"job"}"#)),
        ("alg None, signed", with(r#"{"alg":"None","kid":"job"}"#)),
        ("alg HS256 with the public key", confused),
        ("alg RS512", with(r#"{"alg":"RS512","kid":"job"}"#)),
        ("alg rs256", with(r#"{"alg":"rs256","kid":"job"}"#)),
        ("no alg", with(r#"{"kid":"job"}"#)),
        ("alg twice", with(r#"{"alg":"none","alg":"RS256","kid":"job"}"#)),
        ("kid twice", with(r#"{"alg":"RS256","kid":"other","kid":"job"}"#)),
        ("PSS", sign_with(ONE.0, &RSA_PSS_SHA256, HEADER, &mine)),
        ("no kid", with(r#"{"alg":"RS256"}"#)),
        ("kid of another type", with(r#"{"alg":"RS256","kid":1}"#)),
        ("an unknown kid", with(r#"{"alg":"RS256","kid":"nobody"}"#)),
        ("kid in another case", with(r#"{"alg":"RS256","kid":"JOB"}"#)),
        ("kid of one's other key", with(r#"{"alg":"RS256","kid":"other"}"#)),
        ("kid of another login", sign(TWO.0, r#"{"alg":"RS256","kid":"theirs"}"#, &mine)),
        ("key of another login", sign(TWO.0, HEADER, &mine)),
        ("a key in the header", with(&json!({"alg": "RS256", "kid": "job2", "x5c": [ONE.1]}).to_string())),
        ("must be understood", with(r#"{"alg":"RS256","kid":"job","crit":["exp"]}"#)),
        ("unencoded payload", with(r#"{"alg":"RS256","kid":"job","b64":false,"crit":["b64"]}"#)),
        ("SQL", with(r#"{"alg":"RS256","kid":"' OR 1=1 --"}"#)),
        ("another login", saying(&claims(&kit, "stranger"))),
        ("nobody", saying(&claims(&kit, "nobody"))),
        ("a long name", saying(&claims(&kit, &"x".repeat(300)))),
        ("no sub", saying(&json!({"iat": now}).to_string())),
        ("sub of another type", saying(&json!({"sub": 1, "iat": now}).to_string())),
        ("sub twice", saying(&format!(r#"{{"sub":"provider","sub":"provider","iat":{now}}}"#))),
        ("no iat", saying(r#"{"sub":"provider"}"#)),
        ("iat as text", saying(&at(json!(now.to_string())))),
        ("iat too old", saying(&at(json!(now - 301)))),
        ("iat to come", saying(&at(json!(now + 61)))),
        ("iat in milliseconds", saying(&at(json!(now * 1000)))),
        ("iat out of range", saying(r#"{"sub":"provider","iat":1e999}"#)),
        ("expired", saying(&json!({"sub": "provider", "iat": now, "exp": now}).to_string())),
        ("not yet", saying(&json!({"sub": "provider", "iat": now, "nbf": now + 61}).to_string())),
        ("claims that are no object", saying("[]")),
        ("claims changed", {
            let (header, _) = signed.split_once('.').unwrap();
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims(&kit, "admin")))
        }),
    ];
    let expected = masked_refusal(&sign_in(&kit, "x").await);
    assert!(
        expected.contains("\"error_id\":\"NOAUTH\"") && expected.contains("The signed token is not accepted")
    );
    for (case, jwt) in &cases {
        let answer = sign_in(&kit, jwt).await;
        assert_eq!(answer.status, 401, "{case}");
        assert_eq!(masked_refusal(&answer), expected, "{case}");
        assert!(answer.header("set-cookie").is_none());
    }
    let huge = sign_in(&kit, &"x".repeat(17 << 10)).await;
    assert_eq!(huge.outcome(), (413, Some("SYNTAX".to_owned())));
    // Accepted: times at the limits, and the other key under its own name.
    for jwt in [
        good.clone(),
        saying(&at(json!(now - 300))),
        saying(&at(json!(now + 60))),
        saying(&at(json!(now as f64 + 0.5))),
        saying(&json!({"sub": "PROVIDER", "iat": now, "exp": now + 1, "nbf": now, "aud": "x"}).to_string()),
        sign(TWO.0, r#"{"kid":"other","alg":"RS256","x":{}}"#, &mine),
    ] {
        sign_in(&kit, &jwt).await.ok();
    }
}

#[tokio::test]
async fn signed_logins_count_as_logins_do() {
    let ten = |config: &mut instant_audience::config::Config| config.limits.logins_per_five_minutes = 10;
    let kit = Kit::builder().config(ten).start().await;
    let provider = kit.login("provider").await;
    provider.post("/public-key", &key("job", ONE.1)).await.ok();
    for _ in 0..9 {
        sign_in(&kit, &good(&kit, "provider")).await.ok();
    }
    let over = sign_in(&kit, &good(&kit, "provider")).await;
    assert_eq!(over.outcome(), (429, Some("SYSTEM".to_owned())), "the eleventh, with the one by password");
    assert!(over.header("retry-after").is_some());
    let bad = sign(TWO.0, HEADER, &claims(&kit, "Reader"));
    for _ in 0..20 {
        assert_eq!(sign_in(&kit, &bad).await.status, 401);
    }
    assert_eq!(sign_in(&kit, &bad).await.status, 429, "failures are counted by name");
    let by_password = json!({"auth": {"username": "reader", "password": ia_testkit::PASSWORD}});
    assert_eq!(kit.anonymous().post("/auth", &by_password).await.status, 429, "together with those at /auth");
}

#[tokio::test]
async fn only_who_has_the_key_learns_that_a_login_is_off() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    provider.post("/public-key", &key("job", ONE.1)).await.ok();
    kit.apply(&json!({"users": [{"username": "provider", "member_id": 958, "state": "inactive"}]})).await;
    eventually("the login to be off", async || (!is_authenticated(&provider).await).then_some(())).await;
    let answer = sign_in(&kit, &good(&kit, "provider")).await;
    assert_eq!(answer.outcome(), (401, Some("NOAUTH_DISABLED".to_owned())));
    let stale = sign(ONE.0, HEADER, &json!({"sub": "provider", "iat": now_seconds(&kit) - 400}).to_string());
    for jwt in [sign(TWO.0, HEADER, &claims(&kit, "provider")), stale] {
        assert_eq!(sign_in(&kit, &jwt).await.outcome(), (401, Some("NOAUTH".to_owned())));
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused_by_name_and_changes_nothing() {
    let kit = kit_without_limits().await;
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    provider.post("/public-key", &key("job", ONE.1)).await.ok();
    let before = admin.get("/public-key").await.ok()["public-keys"].clone();
    let of = |change: Value| {
        let mut key = key("new", TWO.1);
        key["public-key"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        key
    };
    let small = include_str!("../../../catalog/tests/fixtures/rsa1024.pub.pem");
    let curve = include_str!("../../../catalog/tests/fixtures/ec.pub.pem");
    let syntax = |body: Value, message: &'static str| (body, 400, "SYNTAX", message);
    let cases = [
        syntax(json!({}), "'public-key' is required"),
        syntax(json!({"public-key": 5}), "'public-key' must be"),
        syntax(
            json!({"public-keys": [key("a", ONE.1)["public-key"], key("b", ONE.1)["public-key"]]}),
            "one object",
        ),
        syntax(of(json!({"name": null})), "'name' must be 1 to 64"),
        syntax(of(json!({"name": ""})), "'name' must be 1 to 64"),
        syntax(of(json!({"name": "a b"})), "'name' must be 1 to 64"),
        syntax(of(json!({"name": "x".repeat(65)})), "'name' must be"),
        syntax(of(json!({"name": 7})), "'name' must be"),
        syntax(of(json!({"active": "maybe"})), "'active' must be true or false"),
        syntax(of(json!({"user_id": "x"})), "'user_id' must be an integer"),
        syntax(of(json!({"encoded_value": null})), "'encoded_value' is required"),
        syntax(of(json!({"encoded_value": 5})), "'encoded_value' must be"),
        syntax(
            of(json!({"encoded_value": "MIIBIjANBgkqhkiG9w0B"})),
            "'encoded_value' must be a public key in PEM",
        ),
        syntax(of(json!({"encoded_value": "x".repeat(9000)})), "'encoded_value' must be text of at most"),
        syntax(
            of(json!({"encoded_value": small})),
            "'encoded_value' must be an RSA key of 2048 to 8192 bits",
        ),
        syntax(of(json!({"encoded_value": curve})), "'encoded_value' must be an RSA key"),
        syntax(of(json!({"encoded_value": TWO.0})), "'encoded_value' is or contains a private key"),
        syntax(
            of(json!({"encoded_value": format!("{}{}", TWO.1, TWO.0)})),
            "'encoded_value' is or contains a private key",
        ),
        (key("job", TWO.1), 409, "INTEGRITY", "another key of this login has this name"),
        (of(json!({"user_id": 5})), 403, "UNAUTH", "This login is not yours"),
    ];
    for (body, status, id, message) in cases {
        let answer = provider.post("/public-key", &body).await;
        assert_eq!(answer.outcome(), (status, Some(id.to_owned())), "{body}");
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{error} for {body}");
        assert!(!error.contains("MII") && !answer.response().to_string().contains("PRIVATE KEY"), "{error}");
    }
    let not_found = (404, Some("SYNTAX".to_owned()));
    assert_eq!(admin.post("/public-key?user_id=4711", &key("x", ONE.1)).await.outcome(), not_found);
    for (target, body) in [
        ("/public-key", r#"{"public-key": {"active": false}}"#),
        ("/public-key?id=x", r#"{"public-key": {"active": false}}"#),
        ("/public-key?id=1", r#"{"public-key": {"name": "other"}}"#),
        ("/public-key?id=1", "{"),
    ] {
        assert_eq!(put(&provider, target, body).await.status, 400, "{target} {body}");
    }
    let both = put(&provider, "/public-key?id=1,9", r#"{"public-key": {"active": false}}"#).await;
    assert_eq!(both.outcome(), not_found, "all or none");
    let gone = provider.send(Method::DELETE, "/public-key?id=1,9", &[], Bytes::new()).await;
    assert_eq!(gone.outcome(), not_found, "all or none");
    assert_eq!(admin.get("/public-key").await.ok()["public-keys"], before);

    let owned = admin.post("/public-key?user_id=5", &key("by-admin", TWO.1)).await.ok();
    assert_eq!(owned["public-key"]["user_id"], 5);
    sign_in(&kit, &sign(TWO.0, r#"{"alg":"RS256","kid":"by-admin"}"#, &claims(&kit, "stranger"))).await.ok();
    for n in 1..10 {
        provider.post("/public-key", &key(&format!("key{n}"), ONE.1)).await.ok();
    }
    let eleventh = provider.post("/public-key", &key("eleventh", ONE.1)).await;
    assert_eq!(eleventh.outcome(), (409, Some("LIMIT".to_owned())));
    let page = provider
        .get("/public-key?like_name=key&sort=name.desc&num_elements=2&start_element=1&fields=name")
        .await
        .ok();
    assert_eq!((&page["count"], &page["num_elements"]), (&json!(9), &json!(2)));
    assert_eq!(page["public-keys"], json!([{"id": 10, "name": "key8"}, {"id": 9, "name": "key7"}]));
}
