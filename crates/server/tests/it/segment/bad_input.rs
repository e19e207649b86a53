//! Invalid bodies: a clear error that names the field, and nothing is changed.

use super::{delete, send};
use hyper::Method;
use ia_testkit::Kit;
use serde_json::{Value, json};

#[tokio::test]
async fn a_bad_body_is_refused_by_name_and_changes_nothing() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let before = provider.get("/segment").await.ok()["segments"].clone();
    let long = |n: usize| "x".repeat(n);
    let pixel = |url: &str, kind: &str| json!([{"url": url, "pixel_type": kind}]);
    let cases: Vec<(&str, Value)> = vec![
        ("code", json!("")),
        ("code", json!(long(51))),
        ("code", json!("with space")),
        ("code", json!("ü")),
        ("code", json!("a\u{0}")),
        ("code", json!(5)),
        ("state", json!("deleted")),
        ("state", json!(true)),
        ("short_name", json!(long(256))),
        ("short_name", json!("line\nbreak")),
        ("short_name", json!(["a"])),
        ("description", json!(long(501))),
        ("description", json!("it's")),
        ("description", json!("back\\slash")),
        ("expire_minutes", json!(-1)),
        ("expire_minutes", json!(2_147_483_648_u64)),
        ("expire_minutes", json!(1.5)),
        ("expire_minutes", json!("ten")),
        ("advertiser_id", json!(0)),
        ("parent_segment_id", json!(4711)),
        ("parent_segment_id", json!(777)),
        ("parent_segment_id", json!({})),
        ("enable_rm_piggyback", json!("yes")),
        ("enable_rm_piggyback", json!(2)),
        ("max_usersync_pixels", json!(-1)),
        ("piggyback_pixels", json!("none")),
        ("piggyback_pixels", pixel("javascript:alert(1)", "js")),
        ("piggyback_pixels", pixel("https://x.example/\r\nX: y", "img")),
        ("piggyback_pixels", pixel("https://x.example/", "gif")),
        ("piggyback_pixels", json!(vec![json!({"url": "https://x.example/"}); 101])),
        ("querystring_mapping", json!([])),
        ("querystring_mapping", json!({"values": long(17_000)})),
        ("querystring_mapping_key_value", json!("a=b")),
        ("price", json!(-0.5)),
        ("price", json!("free")),
    ];
    for (field, value) in cases {
        let mut object = json!({"code": "fresh", "short_name": "Fresh"});
        object[field] = value;
        for (method, target, body, path) in [
            (Method::POST, "/segment", json!({"segment": object}), format!("'{field}'")),
            (Method::POST, "/segment", json!({"segments": [{}, object]}), format!("'segments[1].{field}'")),
            (Method::PUT, "/segment?id=12", json!({"segment": object}), format!("'{field}'")),
        ] {
            let answer = send(&provider, method, target, &body).await;
            assert_eq!(answer.outcome(), (400, Some("SYNTAX".to_owned())), "{field} {:?}", answer.body);
            let error = answer.response()["error"].as_str().unwrap().to_owned();
            assert!(error.contains(&path), "{field}: {error}");
            assert_eq!(provider.get("/segment").await.ok()["segments"], before, "{field}");
        }
    }
}

#[tokio::test]
async fn a_change_that_names_nothing_or_too_much_is_refused() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let before = provider.get("/segment").await.ok()["segments"].clone();
    let many = (1..=1001).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let one = json!({"segment": {"short_name": "x"}});
    for (method, target, body, status) in [
        (Method::POST, "/segment", json!([]), 400),
        (Method::POST, "/segment", json!({"short_name": "x"}), 400),
        (Method::POST, "/segment", json!({"segment": 5}), 400),
        (Method::POST, "/segment", json!({"segments": []}), 400),
        (Method::POST, "/segment", json!({"segments": [5]}), 400),
        (Method::POST, "/segment", json!({"segments": vec![json!({}); 1001]}), 400),
        (Method::POST, "/segment?member_id=958", json!({"segment": {"member_id": 77}}), 400),
        (Method::POST, "/segment", json!({"segment": {"member_id": 77}}), 403),
        (Method::POST, "/segment", json!({"segments": [{"member_id": 958}, {"member_id": 77}]}), 400),
        (Method::PUT, "/segment", one.clone(), 400),
        (Method::PUT, "/segment?id=", one.clone(), 400),
        (Method::PUT, "/segment?id=0", one.clone(), 400),
        (Method::PUT, "/segment?id=12&code=cars", one.clone(), 400),
        (Method::PUT, "/segment?id=12", json!({"segment": {"id": 10001, "short_name": "x"}}), 400),
        (Method::PUT, "/segment", json!({"segments": [{"id": 12}, {"id": 12}]}), 400),
        (Method::PUT, "/segment", json!({"segments": [{"id": 12}, {}]}), 400),
        (Method::PUT, "/segment?id=12", json!({"segments": [{"id": 12}, {"id": 10001}]}), 400),
        (Method::PUT, "/segment?id=12&append=maybe", one.clone(), 400),
        (Method::PUT, "/segment?code=nothing", one.clone(), 404),
        (Method::PUT, "/segment?id=30001", one.clone(), 404),
        (Method::PUT, "/segment?id=12", json!({"segment": {"code": "CARS"}}), 409),
        (Method::PUT, &format!("/segment?id={many}"), one, 400),
    ] {
        let answer = send(&provider, method, target, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{target} {body} {:?}", answer.body);
        assert_eq!(provider.get("/segment").await.ok()["segments"], before, "{target} {body}");
    }
    for (target, status) in [
        ("/segment", 400),
        ("/segment?id=", 400),
        ("/segment?id=12,x", 400),
        (&format!("/segment?id={many}"), 400),
        ("/segment?id=4711", 404),
        ("/segment?id=30001", 404),
        ("/segment/77?id=777", 403),
        ("/segment/x?id=12", 400),
    ] {
        assert_eq!(delete(&provider, target).await.status.as_u16(), status, "{target}");
        assert_eq!(provider.get("/segment").await.ok()["segments"], before, "{target}");
    }
    let reader = kit.login("reader").await;
    assert_eq!(delete(&reader, "/segment?id=12").await.status, 403);
    assert_eq!(reader.get("/segment").await.ok()["segments"], before);
}
