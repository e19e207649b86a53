//! Logging in, and the use of tokens.

use ia_testkit::{Answer, Client, Kit, PASSWORD};
use serde_json::json;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

async fn try_login(kit: &Kit, username: &str, password: &str) -> Answer {
    let credentials = json!({"auth": {"username": username, "password": password}});
    kit.anonymous().post("/auth", &credentials).await
}

fn outcome(status: u16, id: &str) -> (u16, Option<String>) {
    (status, Some(id.to_owned()))
}

async fn is_authenticated(client: &Client) -> bool {
    client.get("/user-segment?user_id=1").await.status == 200
}

#[tokio::test]
async fn a_token_has_its_form_and_comes_as_a_cookie_too() {
    let kit = Kit::start().await;
    let answer = try_login(&kit, "provider", PASSWORD).await;
    let response = answer.ok();
    let token = response["token"].as_str().unwrap();
    let parts: Vec<&str> = token.split(':').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "hbapi", "ia1"));
    assert!(parts[2].len() >= 43, "256 random bits");
    assert_eq!(response["dbg_info"]["output_term"], "token");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.contains(token) && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "no TLS here");
    assert_ne!(
        token,
        try_login(&kit, "PROVIDER", PASSWORD).await.ok()["token"],
        "each login has a token of its own"
    );
}

#[tokio::test]
async fn a_token_is_taken_from_header_query_and_cookie() {
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    let anonymous = kit.anonymous();
    let path = "/user-segment?user_id=1";
    for (path, header) in [
        (path.to_owned(), Some(("authorization", token.clone()))),
        (path.to_owned(), Some(("authorization", format!("Bearer {token}")))),
        (format!("{path}&access_token={token}"), None),
        (path.to_owned(), Some(("cookie", format!("x=y; ia_token={token}")))),
    ] {
        let headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = anonymous.send(hyper::Method::GET, &path, &headers, bytes::Bytes::new()).await;
        assert_eq!(answer.status, 200, "{path} {header:?}");
    }
    for wrong in ["hbapi:1:wrong:ia1", "Basic abc", "x"] {
        let caller = Client { token: Some(wrong.to_owned()), ..anonymous.clone() };
        assert_eq!(caller.get(path).await.outcome(), outcome(401, "NOAUTH"), "{wrong}");
    }
    assert_eq!(anonymous.get(path).await.outcome(), outcome(401, "NOAUTH"));
}

#[tokio::test]
async fn a_token_dies_2_hours_after_its_last_use() {
    let mut kit = Kit::start().await;
    let (used, unused) = (kit.login("provider").await, kit.login("provider").await);
    kit.clock.advance(2 * HOUR_MS - 1);
    assert!(is_authenticated(&used).await);
    kit.clock.advance(2);
    assert!(is_authenticated(&used).await, "its use made it live on");
    assert_eq!(unused.get("/user-segment?user_id=1").await.outcome(), outcome(401, "NOAUTH"));
    // The last use survives a restart.
    kit.clock.advance(HOUR_MS);
    assert!(is_authenticated(&used).await);
    kit.restart().await;
    let used = Client { address: kit.api(), ..used };
    kit.clock.advance(2 * HOUR_MS - 1);
    assert!(is_authenticated(&used).await);
}

#[tokio::test]
async fn a_token_dies_24_hours_after_it_was_issued_whatever_its_use() {
    let kit = Kit::start().await;
    let client = kit.login("provider").await;
    for _ in 0..23 {
        kit.clock.advance(HOUR_MS);
        assert!(is_authenticated(&client).await);
    }
    kit.clock.advance(HOUR_MS);
    assert!(!is_authenticated(&client).await);
}

#[tokio::test]
async fn bad_logins_are_told_alike() {
    let kit = Kit::start().await;
    let (wrong, unknown) =
        (try_login(&kit, "provider", "wrong").await, try_login(&kit, "nobody", PASSWORD).await);
    for answer in [wrong, unknown] {
        assert_eq!(answer.outcome(), outcome(401, "NOAUTH"));
        assert_eq!(answer.response()["error"], "No match found for user/pass");
    }
    for body in
        ["", "{}", "[]", "{\"auth\": 5}", "{\"auth\": {\"username\": 5, \"password\": \"SecretSecret1!\"}}"]
    {
        let answer = kit.anonymous().post_bytes("/auth", &[], body).await;
        assert_eq!(answer.outcome(), outcome(400, "SYNTAX"), "{body}");
        assert!(!answer.body.windows(6).any(|window| window == b"Secret"), "a password is not repeated");
    }
}

#[tokio::test]
async fn a_login_that_is_switched_off_says_so_to_who_knows_its_password() {
    let kit = Kit::start().await;
    let client = kit.login("provider").await;
    kit.apply(&json!({"users": [{"username": "provider", "member_id": 958, "state": "inactive"}]})).await;
    let refused = ia_testkit::eventually("the token to die", async || {
        Some(client.get("/user-segment?user_id=1").await.outcome()).filter(|outcome| outcome.0 == 401)
    });
    assert_eq!(refused.await, outcome(401, "NOAUTH_DISABLED"));
    assert_eq!(try_login(&kit, "provider", PASSWORD).await.outcome(), outcome(401, "NOAUTH_DISABLED"));
    assert_eq!(try_login(&kit, "provider", "wrong").await.outcome(), outcome(401, "NOAUTH"));
}

#[tokio::test]
async fn the_eleventh_login_in_five_minutes_is_refused() {
    let kit = Kit::builder().config(|config| config.limits.logins_per_five_minutes = 10).start().await;
    for _ in 0..10 {
        try_login(&kit, "provider", PASSWORD).await.ok();
        kit.clock.advance(1000);
    }
    let refused = try_login(&kit, "provider", PASSWORD).await;
    assert_eq!(refused.outcome(), outcome(429, "SYSTEM"));
    assert_eq!(refused.response()["error_code"], "RATE_EXCEEDED");
    assert_eq!(refused.header("retry-after"), Some("290"));
    try_login(&kit, "bidder", PASSWORD).await.ok();
    kit.clock.advance(5 * MINUTE_MS - 10_000);
    try_login(&kit, "provider", PASSWORD).await.ok();
}

#[tokio::test]
async fn guessing_is_limited_by_name_and_by_address() {
    let limits = |config: &mut instant_audience::config::Config| {
        config.limits.failed_logins_per_user_per_five_minutes = 2;
        config.limits.failed_logins_per_address_per_five_minutes = 4;
    };
    let kit = Kit::builder().config(limits).start().await;
    for _ in 0..2 {
        assert_eq!(try_login(&kit, "nobody", "wrong").await.status, 401);
    }
    assert_eq!(
        try_login(&kit, "NOBODY", "wrong").await.status,
        429,
        "an unknown name is limited like a known one"
    );
    for _ in 0..2 {
        try_login(&kit, "provider", PASSWORD).await.ok();
        assert_eq!(try_login(&kit, "provider", "wrong").await.status, 401);
    }
    assert_eq!(try_login(&kit, "bidder", PASSWORD).await.status, 429, "the address has had its guesses");
    kit.clock.advance(5 * MINUTE_MS);
    try_login(&kit, "bidder", PASSWORD).await.ok();
}

/// Guesses for half an hour, one every ten seconds, at the name that `name` gives to each. Returns how many passwords
/// were checked in each five minutes; the others were refused unchecked.
async fn guess_for_half_an_hour(kit: &Kit, name: impl Fn(usize) -> String) -> Vec<usize> {
    let mut checked = Vec::new();
    for window in 0..6 {
        let mut count = 0;
        for guess in 0..30 {
            let answer = try_login(kit, &name(window * 30 + guess), "wrong").await;
            match answer.status.as_u16() {
                401 => count += 1,
                429 => {
                    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=300).contains(&seconds), "{seconds}");
                }
                status => panic!("{status}"),
            }
            kit.clock.advance(10_000);
        }
        checked.push(count);
    }
    checked
}

#[tokio::test]
async fn patience_gains_a_guesser_nothing() {
    let limits = |config: &mut instant_audience::config::Config| {
        config.limits.failed_logins_per_user_per_five_minutes = 3;
        config.limits.failed_logins_per_address_per_five_minutes = 5;
    };
    let kit = Kit::builder().config(limits).start().await;
    // One name, however it is spelt.
    let spellings = ["provider", "PROVIDER", "Provider"];
    let checked = guess_for_half_an_hour(&kit, |guess| spellings[guess % 3].to_owned()).await;
    assert_eq!(checked, [3; 6], "the limit of the name in any five minutes, and no more");
    assert_eq!(
        try_login(&kit, "provider", PASSWORD).await.status,
        200,
        "its owner waits five minutes at most"
    );
    // Each guess at another name: then the address is limited.
    kit.clock.advance(5 * MINUTE_MS);
    let checked = guess_for_half_an_hour(&kit, |guess| format!("name-{guess}")).await;
    assert_eq!(checked, [5; 6], "the limit of the address in any five minutes, and no more");
    // Between the guesses somebody from the same address logs in rightly, which gives nothing back to the guesser.
    kit.clock.advance(5 * MINUTE_MS);
    let mut checked = 0;
    for guess in 0..12 {
        if checked < 3 {
            try_login(&kit, "bidder", PASSWORD).await.ok();
        }
        checked += usize::from(try_login(&kit, &format!("other-{}", guess % 4), "wrong").await.status == 401);
        kit.clock.advance(1000);
    }
    assert_eq!(checked, 5);
}

#[tokio::test]
async fn names_and_passwords_that_nobody_can_have_are_refused_and_not_counted() {
    let limits = |config: &mut instant_audience::config::Config| {
        config.limits.failed_logins_per_user_per_five_minutes = 1;
        config.limits.failed_logins_per_address_per_five_minutes = 1;
    };
    let kit = Kit::builder().config(limits).start().await;
    let (long_name, long_password) = ("n".repeat(256), "p".repeat(1025));
    for (username, password) in
        [(long_name.as_str(), PASSWORD), ("provider", &long_password), (&"n".repeat(60_000), &long_password)]
    {
        for _ in 0..3 {
            let answer = try_login(&kit, username, password).await;
            assert_eq!(answer.outcome(), outcome(401, "NOAUTH"));
            assert_eq!(answer.response()["error"], "No match found for user/pass");
        }
    }
    let longest = "\u{e4}".repeat(255);
    assert_eq!(try_login(&kit, &longest, &"p".repeat(1024)).await.status, 401);
    assert_eq!(try_login(&kit, &longest, PASSWORD).await.status, 429, "that one was counted");
}

#[tokio::test]
async fn many_logins_at_once_are_all_answered_and_few_of_them_wait() {
    const LOGINS: usize = 300;
    const WAITING_LOGINS: usize = 64;
    let limits = |config: &mut instant_audience::config::Config| {
        config.limits.failed_logins_per_user_per_five_minutes = 0;
        config.limits.failed_logins_per_address_per_five_minutes = 0;
    };
    let kit = Kit::builder().config(limits).start().await;
    let logins: Vec<_> = (0..LOGINS)
        .map(|n| {
            let client = kit.anonymous();
            let password = if n % 2 == 0 { PASSWORD } else { "wrong" };
            let credentials = json!({"auth": {"username": "provider", "password": password}});
            tokio::spawn(async move { client.post("/auth", &credentials).await })
        })
        .collect();
    let (mut checked, mut refused) = (0, 0);
    for (n, login) in logins.into_iter().enumerate() {
        let answer = login.await.unwrap();
        if answer.status == 429 {
            assert_eq!(answer.response()["error_code"], "RATE_EXCEEDED");
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused += 1;
        } else {
            assert_eq!(answer.status, if n % 2 == 0 { 200 } else { 401 });
            checked += 1;
        }
    }
    assert!(checked >= WAITING_LOGINS && refused > 0, "{checked} checked, {refused} refused");
    try_login(&kit, "provider", PASSWORD).await.ok();
}
