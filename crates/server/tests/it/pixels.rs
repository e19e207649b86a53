//! Pixels as a browser calls them: with the cookies that it received and nothing else.

mod consent;

use bytes::Bytes;
use hyper::Method;
use ia_log::faults::{Call, Errno};
use ia_testkit::{Answer, Client, Kit, KitBuilder, eventually};
use serde_json::{Value, json};

const PATHS: [&str; 8] =
    ["/getuid", "/getuidnb", "/getuidu", "/getuidj", "/getuidp", "/mapuid", "/seg", "/optout"];

fn pixels() -> KitBuilder {
    Kit::builder().config(|config| {
        config.pixels.enabled = true;
        config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
        config.pixels.cors_origins = serde_json::from_value(json!("https://www.example.com")).unwrap();
    })
}

/// A browser with its cookies.
struct Browser {
    client: Client,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(kit: &Kit) -> Browser {
        Browser { client: kit.anonymous(), cookies: Vec::new() }
    }

    fn with_id(kit: &Kit, id: &str) -> Browser {
        Browser { cookies: vec![("uuid2".to_owned(), id.to_owned())], ..Browser::new(kit) }
    }

    /// The id in its cookie.
    fn id(&self) -> &str {
        &self.cookies.iter().find(|(name, _)| name == "uuid2").expect("an id").1
    }

    async fn send(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = self.client.send(method, target, &headers, Bytes::from(body.to_owned())).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        answer
    }

    async fn get(&mut self, target: &str) -> Answer {
        self.send(Method::GET, target, &[], "").await
    }
}

/// Checks the GIF and its headers.
fn assert_gif(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("image/gif")));
    assert_eq!((answer.body.len(), &answer.body[..6]), (43, &b"GIF89a"[..]));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

fn assert_refused(answer: &Answer, status: u16, names: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    let error = answer.response()["error"].as_str().unwrap().to_owned();
    assert!(error.contains(names), "{error} does not name {names}");
    for header in ["location", "set-cookie", "access-control-allow-origin"] {
        assert_eq!(answer.header(header), None, "{header} in a refusal");
    }
}

#[tokio::test]
async fn what_is_off_is_not_there() {
    let kit = Kit::start().await;
    let document = kit.anonymous().get("/openapi.json").await.json();
    for path in PATHS {
        assert_refused(&kit.anonymous().get(path).await, 404, "No such service");
        assert_refused(&kit.anonymous().post(path, &json!({})).await, 404, "No such service");
        assert!(document["paths"].get(path).is_none(), "{path} is described");
    }
}

#[tokio::test]
async fn a_browser_gets_an_id_and_keeps_it() {
    let kit = pixels().start().await;
    let mut browser = Browser::new(&kit);
    let first = browser.get("/getuidj").await;
    let id: u64 = browser.id().parse().unwrap();
    assert!(id > 0 && id <= i64::MAX as u64);
    let cookie = format!("uuid2={id}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    assert_eq!(first.header("set-cookie"), Some(&*cookie));
    assert_eq!(first.body, format!("{{\"uid\":{id}}}"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!((first.header("cache-control"), first.header("vary")), (Some("no-store"), Some("Origin")));
    assert_eq!(first.header("access-control-allow-origin"), None);
    // Every call gets the same id and renews the cookie.
    let called = browser.get("/getuidp?callback=a.b$_1").await;
    assert_eq!(called.body, format!("/**/a.b$_1({{\"uid\":{id}}});"));
    assert_eq!(called.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(called.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(called.header("set-cookie"), Some(&*cookie));
    for (path, location) in [
        (
            "/getuid?https%3A%2F%2Fok.example.com%2F%3Fid%3D%24UID%26x%3D1",
            "https://ok.example.com/?id={}&x=1",
        ),
        ("/getuid?https://ok.example.com/?id=", "https://ok.example.com/?id={}"),
        ("/getuidnb?https://ok.example.com/?id=$UID", "https://ok.example.com/?id={}"),
        ("/getuidu?https://ok.example.com/?u=a%26b&id=$UID", "https://ok.example.com/?u=a%26b&id={}"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (302, 0));
        assert_eq!(answer.header("location"), Some(&*location.replace("{}", &id.to_string())), "{path}");
    }
    // Other browsers get other ids, and an invalid id is replaced.
    for cookie in ["", "x", "-1", "18446744073709551616", "<script>"] {
        let mut other = Browser::with_id(&kit, cookie);
        other.get("/getuidj").await;
        let new: u64 = other.id().parse().unwrap();
        assert!(new != 0 && new != id, "{cookie:?}");
    }
    // A browser that has opted out stays so.
    let mut out = Browser::with_id(&kit, "0");
    assert_eq!(out.get("/getuidj").await.body, "{\"uid\":0}");
    assert_eq!(out.get("/getuidp?callback=f").await.body, "/**/f({\"uid\":0});");
    let told = out.get("/getuid?https://ok.example.com/").await;
    assert_eq!(told.header("location"), Some("https://ok.example.com/0"));
    assert_gif(&out.get("/getuidnb?https://ok.example.com/").await);
    assert_eq!(out.id(), "0");
}

#[tokio::test]
async fn pages_that_are_not_named_read_no_id() {
    let kit = pixels().start().await;
    let mut browser = Browser::new(&kit);
    for (origin, allowed) in [
        ("https://www.example.com", true),
        ("http://www.example.com", false),
        ("https://www.example.com.evil.example", false),
        ("https://example.com", false),
        ("null", false),
    ] {
        let answer = browser.send(Method::GET, "/getuidj", &[("origin", origin)], "").await;
        let expected = if allowed { (Some(origin), Some("true")) } else { (None, None) };
        let told =
            (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials"));
        assert_eq!(told, expected, "{origin}");
    }
    for callback in ["", "f()", "%3Cscript%3E", "f%0d%0a", "1f", "alert(1)//", &"x".repeat(65)] {
        assert_refused(&browser.get(&format!("/getuidp?callback={callback}")).await, 400, "'callback'");
    }
}

#[tokio::test]
async fn nobody_is_sent_where_the_operator_has_not_said() {
    let kit = pixels().start().await;
    let provider = kit.login("provider").await;
    // `pixels/redirect.rs` has more of them, and other spellings.
    for target in [
        "//evil.example/",
        "https://evil.example/",
        "https://ok.example.com@evil.example/",
        "https://ok.example.com%40evil.example/",
        "https://ok.example.com.evil.example/",
        "https%3A%2F%2Fevil.example%2F",
        "https:%5C%5Cevil.example/",
        "https://ok.example.com/%0d%0aSet-Cookie:%20a=b",
        "https://ok.example.com:8443/",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
        &format!("https://ok.example.com/{}", "x".repeat(2048)),
    ] {
        let mut browser = Browser::with_id(&kit, "4711");
        let decoded_once = target.contains('%');
        for path in ["getuid", "getuidnb", "getuidu"] {
            // With `getuidu` the encoded part stays a path on an allowed host.
            if path == "getuidu" && decoded_once && target.starts_with("https://ok.example.com/") {
                continue;
            }
            let answer = browser.get(&format!("/{path}?{target}")).await;
            assert_refused(&answer, 400, "The browser is not sent on");
        }
        if !target.is_empty() {
            let answer = browser.get(&format!("/seg?add=12&member=958&redir={target}")).await;
            assert_refused(&answer, 400, "'redir'");
        }
    }
    assert_eq!(provider.segments_of("4711").await, [0; 0], "a pixel that is refused writes nothing");
}

const HOUR_MS: u64 = 3_600_000;

async fn report(client: &Client) -> Value {
    client.get("/rt-segment-processed").await.ok()["report"].clone()
}

#[tokio::test]
async fn a_pixel_writes_as_a_post_does() {
    const USER: &str = "8100000000000000001";
    let blocks = json!([
        {"seg_id": 12, "value": 5}, {"seg_id": 23784, "value": 7}, {"seg_id": 30001, "value": 7}, {"seg_id": 777, "value": 7},
        {"seg_id": 4711, "value": 7}, {"seg_id": 10009, "value": 7}, {"seg_code": "CARS", "member_id": 958, "value": 7},
        {"seg_code": "nothing", "member_id": 958, "value": 2}, {"seg_id": 10002, "expiration": -1}]);
    let pixel =
        "/seg?add=12:5,23784,30001,777,4711,10009&add_code=CARS,nothing:2&remove=10002&value=7&member=958";
    let by_post = Kit::start().await;
    by_post.login("provider").await.add(USER, None, blocks).await;
    let mut by_pixel = pixels().start().await;
    let mut browser = Browser::with_id(&by_pixel, USER);
    assert_gif(&browser.get(pixel).await);

    let mut kits = Vec::new();
    for kit in [&by_post, &by_pixel] {
        let provider = kit.login("provider").await;
        let seen = provider.get(&format!("/user-segment?user_id={USER}")).await.ok()["user_segment"].clone();
        kits.push((report(&provider).await, seen));
    }
    assert_eq!(kits[0], kits[1]);
    assert_eq!(kits[1].0[0]["num_valid_adds"], 4);
    let provider = by_pixel.login("provider").await;
    assert_eq!(provider.segments_of(USER).await, [12, 10001, 23784, 30001]);
    by_pixel.restart().await;
    let provider = by_pixel.login("provider").await;
    assert_eq!(provider.segments_of(USER).await, [12, 10001, 23784, 30001], "it is in the log");

    // The other kinds of answer. Without a member, the segment's owner writes.
    let mut browser = Browser::with_id(&by_pixel, USER);
    by_pixel.clock.advance(HOUR_MS);
    let script = browser.get("/seg?remove=12&t=1").await;
    assert_eq!(
        (script.header("content-type"), &script.body[..]),
        (Some("text/javascript; charset=utf-8"), &b"/* */"[..])
    );
    let redirect = browser.get("/seg?add=4711,777,10001&redir=https%3A%2F%2Fok.example.com%2F%3Fa%3D1").await;
    assert_eq!(
        (redirect.status.as_u16(), redirect.header("location")),
        (302, Some("https://ok.example.com/?a=1"))
    );
    assert_eq!(
        by_pixel.login("bidder").await.segments_of(USER).await,
        [777, 10001, 30001],
        "77 may write its own alone"
    );
    assert_eq!(report(&by_pixel.login("stranger").await).await[0]["num_unauth_segments"], 1);
}

#[tokio::test]
async fn a_mapping_joins_what_was_sent_before_it_and_after() {
    let kit = pixels().start().await;
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}],
        "segments": [{"id": 778, "member_id": 77, "code": "late"}, {"id": 779, "member_id": 77, "code": "own"}]}))
        .await;
    let (stranger, bidder) = (kit.login("stranger").await, kit.login("bidder").await);
    eventually("the catalog to be current", async || {
        let added = stranger.add("Cart-7", None, json!([{"seg_id": 777}, {"seg_id": 778}])).await;
        (added["message"]["segments_accepted"] == 2).then_some(())
    })
    .await;
    let mut browser = Browser::new(&kit);
    assert_gif(&browser.get("/mapuid?member=77&user=Cart-7;Cart-8&seg_code=own:3").await);
    let id = browser.id().to_owned();
    assert_eq!(bidder.segments_of(&id).await, [777, 778, 779]);
    stranger
        .add("Cart-8", None, json!([{"seg_id": 777, "expiration": -1}, {"seg_id": 778, "value": 9}]))
        .await;
    assert_eq!(bidder.segments_of(&id).await, [777, 778, 779]);
    // 18 days after its last call, a link has ended.
    kit.clock.advance(18 * 24 * HOUR_MS + 60_000);
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of(&id).await, [779]);
    browser.get("/mapuid?member=77&user=Cart-7").await;
    assert_eq!(bidder.segments_of(&id).await, [777, 778, 779]);

    let many = vec!["a"; 1000].join(";");
    for (target, names) in [
        (format!("/mapuid?member=77&user={many}"), "more than 20 ids"),
        ("/mapuid?user=a".to_owned(), "'member'"),
        ("/mapuid?member=77".to_owned(), "'user'"),
        ("/mapuid?member=77&user=a%0d%0ab".to_owned(), "'user': id 1"),
        (format!("/mapuid?member=77&user={}", "x".repeat(256)), "'user': id 1"),
        ("/seg".to_owned(), "'add'"),
        ("/seg?add=x".to_owned(), "'add'"),
    ] {
        assert_refused(&browser.get(&target).await, 400, names);
    }
}

/// The answer is the same, and nothing is written, if the member or segment does not exist or may not be used.
#[tokio::test]
async fn a_pixel_does_not_tell_what_there_is() {
    let kit = pixels()
        .config(|config| config.pixels.members = serde_json::from_value(json!(["958", "1262"])).unwrap())
        .start()
        .await;
    kit.apply(&json!({"members": [{"id": 1262, "name": "Retailer", "state": "inactive"}],
        "segments": [{"id": 60_000, "member_id": 958}]}))
        .await;
    let provider = kit.login("provider").await;
    eventually("the catalog to be current", async || {
        let added = provider.add("999", None, json!([{"seg_id": 60_000}])).await;
        (added["message"]["segments_accepted"] == 1).then_some(())
    })
    .await;
    let before = kit.metric("instant_audience_log_records_total").await;
    let mut answers = Vec::new();
    for (id, target) in [
        ("5", "/seg?add=777&member=77"),
        ("5", "/seg?add=777"),
        ("5", "/seg?add=4711"),
        ("5", "/seg?add=30002&member=1262"),
        ("5", "/seg?add=12&member=4712"),
        ("5", "/mapuid?member=77&user=a&seg=777"),
        ("5", "/mapuid?member=958&user=a&seg=12"),
        ("5", "/mapuid?member=4712&user=a"),
        ("0", "/seg?add=12&member=958"),
        ("0", "/mapuid?member=958&user=a"),
    ] {
        let answer = Browser::with_id(&kit, id).get(target).await;
        assert_gif(&answer);
        let mut headers = answer.headers.clone();
        for name in ["x-request-id", "set-cookie", "date"] {
            headers.remove(name);
        }
        answers.push((headers, answer.body));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(kit.metric("instant_audience_log_records_total").await, before, "nothing is in the log");
    assert_gif(&Browser::with_id(&kit, "5").get("/seg?add=12&member=958").await);
    assert_eq!(provider.segments_of("5").await, [12]);
}

#[tokio::test]
async fn who_calls_too_often_waits() {
    for (limited, expected) in [(0, "calls from this address"), (1, "calls"), (2, "write for this member")] {
        let kit = pixels().config(|config| {
            let rates = [
                &mut config.pixels.requests_per_second_per_address,
                &mut config.pixels.requests_per_second,
                &mut config.pixels.writes_per_second_per_member,
            ];
            *rates.into_iter().nth(limited).unwrap() = 2;
        });
        let kit = kit.start().await;
        let provider = kit.login("provider").await;
        for user in ["1", "2"] {
            assert_gif(&Browser::with_id(&kit, user).get("/seg?add=12&member=958").await);
        }
        let refused = Browser::with_id(&kit, "3").get("/seg?add=12&member=958").await;
        assert_refused(&refused, 429, expected);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(provider.segments_of("3").await, [0; 0]);
        kit.clock.advance(1000);
        assert_gif(&Browser::with_id(&kit, "3").get("/seg?add=12&member=958").await);
    }
}

#[tokio::test]
async fn a_pixel_that_is_answered_is_durable() {
    let kit = pixels().start().await;
    kit.disk.fail_always(Call::Write, Errno::NOSPC);
    let mut browser = Browser::with_id(&kit, "6");
    assert_refused(&browser.get("/seg?add=12&member=958").await, 503, "no room");
    kit.disk.heal();
    eventually("the room to be noticed", async || (kit.ops("/readyz").await.status == 200).then_some(()))
        .await;
    let provider = kit.login("provider").await;
    assert_eq!(provider.segments_of("6").await, [0; 0]);
    assert_gif(&browser.get("/seg?add=12&member=958").await);
    assert_eq!(provider.segments_of("6").await, [12]);
}

#[tokio::test]
async fn an_opt_out_of_a_member_holds_for_pixels_of_all() {
    let kit = pixels().start().await;
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "segment_access": [958]}]})).await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let opt_out = json!({"identifier": "4711", "identifier_type": "uuid2", "request_type": "opt_out"});
    provider.post("/privacy/consumer-request", &opt_out).await.ok();
    let mut browser = Browser::with_id(&kit, "4711");
    eventually("the access to be known", async || {
        let mut other = Browser::with_id(&kit, "4712");
        other.get("/seg?add=12&member=77").await;
        (provider.segments_of("4712").await == [12]).then_some(())
    })
    .await;
    assert_gif(&browser.get("/seg?add=12&member=958").await);
    assert_gif(&browser.get("/seg?add=12,777&member=77").await);
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of("4711").await, [777], "the stranger may still, in its own");
    let of = async |client: &Client| report(client).await[0].clone();
    assert_eq!(of(&provider).await["num_invalid_users"], 1);
    let counted = of(&stranger).await;
    assert_eq!((&counted["num_invalid_users"], &counted["num_other_errors"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_person_opts_out_and_in_again() {
    let kit = pixels().start().await;
    let mut browser = Browser::new(&kit);
    let page = browser.get("/optout").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(String::from_utf8_lossy(&page.body).contains("has not opted out"));
    assert!(browser.cookies.iter().all(|(name, _)| name != "uuid2"), "to look is not to be counted");
    browser.get("/seg?add=12&member=958").await;
    let id = browser.id().to_owned();
    let token = browser.cookies.iter().find(|(name, _)| name == "ia_optout").unwrap().1.clone();
    let form = |choice: &str| format!("token={token}&choice={choice}");

    // A page of another site can send the browser's cookies at best, but cannot read them.
    let mut forged = Browser { cookies: browser.cookies.clone(), ..Browser::new(&kit) };
    for (headers, body, status) in [
        (&[][..], "choice=out".to_owned(), 403),
        (&[], format!("token={}&choice=out", "0".repeat(32)), 403),
        (&[("sec-fetch-site", "cross-site")], form("out"), 403),
        (&[], form("perhaps"), 400),
    ] {
        let answer = forged.send(Method::POST, "/optout", headers, &body).await;
        assert_refused(&answer, status, if status == 403 { "did not come from" } else { "'choice'" });
    }
    forged.cookies.retain(|(name, _)| name == "uuid2");
    assert_refused(&forged.send(Method::POST, "/optout", &[], &form("out")).await, 403, "did not come from");

    let out = browser.send(Method::POST, "/optout", &[("sec-fetch-site", "same-origin")], &form("out")).await;
    assert_eq!(out.status, 200);
    assert!(String::from_utf8_lossy(&out.body).contains("has opted out"));
    assert_eq!(browser.id(), "0");
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of(&id).await, [0; 0], "what was stored is gone");
    assert_gif(&browser.get("/seg?add=12&member=958").await);
    assert_eq!(browser.get("/getuidj").await.body, "{\"uid\":0}");
    // A cookie from before the opt-out does not bring the user back.
    let mut kept = Browser::with_id(&kit, &id);
    assert_gif(&kept.get("/seg?add=12&member=958").await);
    assert_eq!(kept.get("/getuidj").await.body, "{\"uid\":0}");
    assert_eq!(bidder.segments_of(&id).await, [0; 0]);
    // The dropped user counts as in a POST, but its id is not written. A browser without an id does not count.
    let counted = report(&kit.login("provider").await).await;
    assert_eq!((&counted[0]["num_valid_users"], &counted[0]["num_invalid_users"]), (&json!(1), &json!(1)));
    assert!(!counted[0]["error_log_lines"].as_str().unwrap().contains(&id));
    assert!(String::from_utf8_lossy(&browser.get("/optout").await.body).contains("has opted out"));

    browser.send(Method::POST, "/optout", &[], &form("in")).await;
    let new = browser.id().to_owned();
    assert!(new != "0" && new != id, "a new id");
    browser.get("/seg?add=12&member=958").await;
    assert_eq!(kit.login("provider").await.segments_of(&new).await, [12]);
}
