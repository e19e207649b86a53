//! Parameters that stand there twice, and pages in the body of a GET.

use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, PASSWORD};
use serde_json::{Value, json};

async fn with_pixels() -> Kit {
    Kit::builder()
        .config(|config| {
            config.pixels.enabled = true;
            config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
        })
        .start()
        .await
}

/// A call of a pixel by the browser with this id.
async fn pixel(kit: &Kit, target: &str, id: u64) -> Answer {
    let cookie = format!("uuid2={id}");
    kit.anonymous().send(Method::GET, target, &[("cookie", &cookie)], Bytes::new()).await
}

fn ids(answer: &Value, key: &str) -> Vec<u64> {
    answer[key].as_array().unwrap().iter().map(|object| object["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_list_may_come_in_several_parameters() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for (query, expected) in [
        ("id=12&id=10001", &[12, 10001][..]),
        ("id=12,10001&id=&id=10002&id=12", &[12, 10001, 10002]),
        ("id[]=12&id[]=10001", &[12, 10001]),
        ("id%5B0%5D=12&id%5B1%5D=10001", &[12, 10001]),
        ("code=travel&code=ABCD", &[10002, 30001]),
        ("not_id=12&not_id=10001&include_shared=0", &[10002, 10009, 23784]),
        ("state=active&state=inactive&include_shared=0", &[12, 10001, 10002, 10009, 23784]),
        ("include_shared=0&sort=state.desc&sort=id.desc", &[10009, 23784, 10002, 10001, 12]),
    ] {
        let answer = provider.get(&format!("/segment?{query}")).await.ok();
        assert_eq!(ids(&answer, "segments"), expected, "{query}");
    }
    let shown = provider.get("/segment?id=10001&fields=code&fields=state&sort=id").await.ok();
    assert_eq!(shown["segment"], json!({"id": 10001, "code": "cars", "state": "active"}));
    let body = Bytes::from(r#"{"segment": {"short_name": "Both"}}"#);
    let changed = provider.send(Method::PUT, "/segment?id=12&id=10001", &[], body).await.ok();
    assert_eq!(ids(&changed, "segments"), [12, 10001]);
    let gone = provider.send(Method::DELETE, "/segment?id=12&id=10001", &[], Bytes::new()).await.ok();
    assert_eq!(gone["count"], 2);
    let admin = kit.login("admin").await;
    let listed = admin.get("/batch-segment-config?member_id=958&member_id=77").await.ok();
    assert_eq!(ids(&listed, "batch_segment_configs"), [77, 958]);
}

#[tokio::test]
async fn one_value_that_stands_twice_is_refused_by_its_name() {
    let kit = with_pixels().await;
    let admin = kit.login("admin").await;
    let provider = kit.login("provider").await;
    let token = provider.token.clone().unwrap();
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]});
    for (method, target, named) in [
        ("POST", "/rt-segment?verbose=true&verbose=false", "verbose"),
        ("GET", "/rt-segment-processed?start=2026-01-01&start=2026-02-01", "start"),
        ("GET", "/rt-segment-processed?end=2026-01-01&end=2026-02-01", "end"),
        ("GET", "/rt-segment-processed?agg=true&agg=false", "agg"),
        ("GET", "/rt-segment-processed?member_id=958&member_id=77", "member_id"),
        ("GET", "/user-segment?user_id=7&user_id=8", "user_id"),
        ("GET", "/user-segment?user_id=7&domain=idfa&domain=aaid", "domain"),
        ("GET", "/user-segment?user_id=7&format=codes&format=openrtb", "format"),
        ("GET", "/user-segment?user_id=7&member_id=958&member_id=77", "member_id"),
        ("POST", "/user-segment?format=openrtb&format=codes", "format"),
        ("GET", "/segment?member_id=958&member_id=77", "member_id"),
        ("GET", "/segment/958?member_id=77", "member_id"),
        ("GET", "/segment/958/12?id=13", "id"),
        ("PUT", "/segment/958/12?id=12,13", "id"),
        ("DELETE", "/segment/958/12?id=13", "id"),
        ("DELETE", "/segment/958/12?member_id=77", "member_id"),
        ("GET", "/segment?search=a&search=b", "search"),
        ("GET", "/segment?num_elements=1&num_elements=2", "num_elements"),
        ("GET", "/segment?start_element=1&start_element=2", "start_element"),
        ("GET", "/segment?include_shared=0&include_shared=1", "include_shared"),
        ("GET", "/segment?min_id=1&min_id=2", "min_id"),
        ("GET", "/segment?like_code=a&like_code=b", "like_code"),
        ("GET", "/segment?short_name=a&short_name=b", "short_name"),
        ("PUT", "/segment?code=sports&code=cars", "code"),
        ("DELETE", "/segment?code=sports&code=cars", "code"),
        ("PUT", "/segment?id=12&append=true&append=false", "append"),
        ("GET", "/public-key?user_id=1&user_id=2", "user_id"),
        ("DELETE", "/public-key?id=1&key_id=2", "key_id"),
        ("PUT", "/user?current&id=2", "current"),
        ("PUT", "/batch-segment-config?member_id=958&member_id=77", "member_id"),
        ("GET", "/getuidp?callback=a&callback=b", "callback"),
        ("GET", "/seg?add=12&member=958&member=77", "member"),
        ("GET", "/seg?add=12&value=1&value=2", "value"),
        ("GET", "/seg?add=12&t=1&t=2", "t"),
        ("GET", "/seg?add=12&redir=https://ok.example.com/a&redir=https://ok.example.com/b", "redir"),
        ("GET", "/mapuid?member=958&member=77&user=a", "member"),
    ] {
        let answer = admin.send(method.parse().unwrap(), target, &[], Bytes::from(body.to_string())).await;
        assert_eq!(answer.outcome(), (400, Some("SYNTAX".to_owned())), "{target}");
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(&format!("'{named}'")), "{target}: {error}");
    }
    let other = format!("/user-segment?user_id=7&access_token={token}&access_token=hbapi:1:other:ia1");
    let answer = kit.anonymous().get(&other).await;
    assert_eq!(answer.outcome(), (400, Some("SYNTAX".to_owned())));
    let error = answer.response()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("'access_token'") && !error.contains("hbapi"), "{error}");
    assert_eq!(provider.segments_of("7").await, [0; 0], "nothing of all that was applied");
}

#[tokio::test]
async fn the_same_value_twice_is_one() {
    let kit = with_pixels().await;
    let provider = kit.login("provider").await;
    let token = provider.token.clone().unwrap();
    for target in [
        "/rt-segment-processed?start=2026-01-01&start=2026-01-01&agg=true&agg=true".to_owned(),
        "/user-segment?user_id=7&user_id=7&member_id=&member_id=958".to_owned(),
        "/segment?num_elements=1&num_elements=1&id=&search=sports&search=sports".to_owned(),
        "/segment/958/12?id=12&id=12&member_id=958".to_owned(),
        "/user-segment?user_id=7&member_id=+958+".to_owned(),
        "/segment?member_id=%20958".to_owned(),
    ] {
        provider.get(&target).await.ok();
    }
    let target = format!("/user-segment?user_id=7&access_token={token}&access_token={token}");
    kit.anonymous().get(&target).await.ok();
    let target = "/seg?add=12&member=958&member=958&t=1&t=1";
    assert_eq!(
        pixel(&kit, target, 4711).await.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(provider.segments_of("4711").await, [12]);
}

#[tokio::test]
async fn lists_of_pixels_may_come_in_several_parameters() {
    let kit = with_pixels().await;
    let admin = kit.login("admin").await;
    let uids = Bytes::from(r#"{"member": {"use_external_uids": true}}"#);
    admin.send(Method::PUT, "/member?id=958", &[], uids).await.ok();
    assert_eq!(pixel(&kit, "/seg?add=10001&add=12", 4712).await.status, 200);
    assert_eq!(admin.segments_of("4712").await, [12, 10001]);
    let target = "/seg?add=12:+5+&add=10002&add_code=cars&add_code=travel&member=+958";
    assert_eq!(pixel(&kit, target, 4713).await.status, 200);
    assert_eq!(admin.segments_of("4713").await, [12, 10001, 10002]);
    let target = "/seg?remove=12&remove=10001&remove_code=travel&remove_code=none&member=958";
    assert_eq!(pixel(&kit, target, 4713).await.status, 200);
    assert_eq!(admin.segments_of("4713").await, [0; 0]);

    // Sent under two ids of the member; both are linked by one call.
    let provider = kit.login("provider").await;
    provider.add("one", None, json!([{"seg_id": 12}])).await;
    provider.add("two", None, json!([{"seg_id": 10001}])).await;
    let target = "/mapuid?member=958&user[]=one&user[]=two&seg=10002&seg=23784";
    assert_eq!(pixel(&kit, target, 4714).await.status, 200);
    assert_eq!(admin.segments_of("4714").await, [12, 10001, 10002, 23784]);
}

#[tokio::test]
async fn a_choice_that_is_two_is_none() {
    let kit = with_pixels().await;
    let page = kit.anonymous().get("/optout").await;
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let token = cookie.split('=').nth(1).unwrap();
    for (form, status) in [
        (format!("choice=out&choice=in&token={token}"), 400),
        (format!("choice=out&token={token}&token=x"), 403),
        (format!("choice=out&choice=out&token={token}"), 200),
    ] {
        let answer = kit.anonymous().post_bytes("/optout", &[("cookie", &cookie)], form.clone()).await;
        assert_eq!(answer.status, status, "{form}");
    }
}

/// A `GET` with a body.
async fn list(client: &Client, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    client.send(Method::GET, target, headers, Bytes::from(body.to_owned())).await
}

#[tokio::test]
async fn the_page_may_stand_in_the_body() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    admin.post("/public-key?user_id=1", &key("one")).await.ok();
    admin.post("/public-key?user_id=1", &key("two")).await.ok();
    for target in [
        "/segment?member_id=958",
        "/segment/958",
        "/member",
        "/user",
        "/member-data-sharing",
        "/member-data-sharings",
        "/batch-segment-config",
        "/public-key",
    ] {
        for (body, start, num) in [
            (r#"{"start_element": 1, "num_elements": 2}"#, 1, 2),
            (r#"{"start_element": "1", "num_elements": " 2 "}"#, 1, 2),
            (r#"{"start_element": 100, "batch_size": 1000, "state": "inactive", "id": 4711}"#, 100, 100),
            (r#"{"batch_size": 1}"#, 0, 1),
            ("start_element=5", 0, 100),
            ("[]", 0, 100),
            ("\u{1}", 0, 100),
        ] {
            let page = list(&admin, target, &[("content-type", "application/json")], body).await.ok();
            assert_eq!(
                (&page["start_element"], &page["num_elements"]),
                (&json!(start), &json!(num)),
                "{target} {body}"
            );
            let key = page["dbg_info"]["output_term"].as_str().unwrap();
            let count = page["count"].as_u64().unwrap();
            let shown = page[key].as_array().unwrap().len() as u64;
            assert_eq!(shown, count.saturating_sub(start).min(num), "{target} {body}");
        }
    }
    // What the query says counts, and only what it does not say is looked for in the body.
    let body = r#"{"start_element": 3, "num_elements": 1}"#;
    let page = list(&admin, "/segment/958?start_element=2", &[], body).await.ok();
    assert_eq!((&page["start_element"], &page["num_elements"]), (&json!(2), &json!(1)));
    let zipped = gzip(body);
    let page = admin.send(Method::GET, "/segment/958", &[("content-encoding", "gzip")], zipped).await.ok();
    assert_eq!((&page["start_element"], &page["num_elements"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn a_page_in_the_body_that_makes_no_sense_is_refused_by_name() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for (body, named) in [
        (r#"{"start_element": -1}"#, "start_element"),
        (r#"{"start_element": "first"}"#, "start_element"),
        (r#"{"num_elements": 0}"#, "num_elements"),
        (r#"{"batch_size": 4294967296}"#, "batch_size"),
        (r#"{"batch_size": 1, "num_elements": 2}"#, "batch_size"),
    ] {
        let answer = list(&provider, "/segment", &[], body).await;
        assert_eq!(answer.outcome(), (400, Some("SYNTAX".to_owned())), "{body}");
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(&format!("{named}'")), "{body}: {error}");
    }
    let long = format!("{{\"start_element\": 1, \"x\": \"{}\"}}", "x".repeat(64 << 10));
    assert_eq!(list(&provider, "/segment", &[], &long).await.outcome(), (413, Some("SYNTAX".to_owned())));
    // Where there is no list, a body is left alone.
    list(&provider, "/segment/meta", &[], &long).await.ok();
    assert_eq!(
        kit.anonymous()
            .post("/auth", &json!({"auth": {"username": "provider", "password": PASSWORD}}))
            .await
            .status,
        200
    );
}

fn key(name: &str) -> Value {
    json!({"public-key": {"name": name, "encoded_value": include_str!("../fixtures/keys/one.pub.pem")}})
}

fn gzip(text: &str) -> Bytes {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}
