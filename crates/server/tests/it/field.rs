//! What clients send, from public reports and their sources: each case is a request and what must come of it.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, eventually};
use serde_json::{Value, json};
use std::io::Write;

const CASES: &str = include_str!("../fixtures/field/cases.json");

/// The answer to a case's request.
async fn send(client: &Client, case: &Value) -> Answer {
    let (method, target) = case["route"].as_str().unwrap().split_once(' ').unwrap();
    let body = match (&case["body"], &case["raw"], &case["gzip"]) {
        (_, Value::String(raw), _) => raw.clone().into_bytes(),
        (_, _, packed @ Value::Object(_)) => gzip(packed.to_string().as_bytes()),
        (Value::Null, ..) => Vec::new(),
        (body, ..) => body.to_string().into_bytes(),
    };
    let mut headers: Vec<(&str, &str)> = Vec::new();
    let given = case["header"].as_object().into_iter().flatten();
    headers.extend(given.map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
    headers.extend(case["cookie"].as_str().map(|cookie| ("cookie", cookie)));
    client.send(method.parse().unwrap(), target, &headers, body.into()).await
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Checks each thing that a case wants of the answer and of what can be read afterwards.
async fn check(kit: &Kit, client: &Client, case: &Value) {
    let name = case["name"].as_str().unwrap();
    let answer = send(client, case).await;
    for (what, wanted) in case["want"].as_object().unwrap() {
        let response = || answer.json()["response"].clone();
        let found = match what.as_str() {
            "status" => json!(answer.status.as_u16()),
            "users_accepted" | "segments_accepted" => response()["message"][what].clone(),
            "warnings" => json!(response()["warnings"].as_array().unwrap().len()),
            "warning names" => {
                let warnings = response()["warnings"].to_string();
                assert!(warnings.contains(&format!("'{}'", wanted.as_str().unwrap())), "{name}: {warnings}");
                continue;
            }
            "error says" => {
                let error = response()["error"].clone();
                assert!(error.as_str().unwrap().contains(wanted.as_str().unwrap()), "{name}: {error}");
                continue;
            }
            "start_element" => response()[what].clone(),
            "dbg_info.time" => {
                assert!(response()["dbg_info"]["time"].is_u64(), "{name}: {}", response());
                continue;
            }
            "read as" => {
                let user = &case["body"]["rt_segment"][0];
                let domain = user["domain"].as_str().map(|domain| format!("&domain={domain}"));
                let id = wanted.as_str().unwrap();
                let target = format!("/user-segment?user_id={id}{}", domain.unwrap_or_default());
                let read = client.get(&target).await.ok();
                assert_eq!(read["user_segment"]["segments"][0]["id"], 10001, "{name}");
                read["user_segment"]["user_id"].clone()
            }
            "in segments" => {
                let id = case["cookie"].as_str().unwrap().strip_prefix("uuid2=").unwrap();
                json!(client.segments_of(id).await)
            }
            "statistics" => {
                eventually(&format!("the statistics of '{name}'"), async || {
                    let report = client.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
                    wanted.as_object().unwrap().iter().all(|(key, value)| report[key] == *value).then_some(())
                })
                .await;
                continue;
            }
            other => panic!("nobody checks '{other}' of '{name}'"),
        };
        assert_eq!(found, *wanted, "{name}: {what}\n{}", answer.body.escape_ascii());
    }
    assert!(kit.ops("/readyz").await.status.is_success(), "after '{name}'");
}

#[tokio::test]
async fn each_case_from_the_field_has_its_right_answer() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert!(cases.len() >= 24, "{}", cases.len());
    // First what looks at statistics, which all other cases would change.
    let (counted, others): (Vec<Value>, Vec<Value>) =
        cases.into_iter().partition(|case| case["want"]["statistics"].is_object());
    assert_eq!(counted.len(), 1);
    let kit = Kit::builder().config(|config| config.pixels.enabled = true).start().await;
    let provider = kit.login("provider").await;
    for case in counted.iter().chain(&others) {
        check(&kit, &provider, case).await;
    }
}

#[tokio::test]
async fn an_id_of_nobody_is_in_no_segment_by_any_way() {
    let zeros = "00000000-0000-0000-0000-000000000000";
    let kit = Kit::builder()
        .config(|config| {
            config.pixels.enabled = true;
            config.identities.nobody = serde_json::from_value(json!(["NULL", "4711"])).unwrap();
        })
        .start()
        .await;
    kit.apply(&json!({"members": [{"id": 1661, "name": "Publisher", "use_external_uids": true}],
        "users": [{"username": "own", "password": ia_testkit::PASSWORD, "member_id": 1661, "user_type": "member"}]}))
        .await;
    let provider = kit.login("provider").await;
    let own = eventually("the new login to hold", async || {
        let answer = kit
            .anonymous()
            .post("/auth", &json!({"auth": {"username": "own", "password": ia_testkit::PASSWORD}}))
            .await;
        let token = answer.json()["response"]["token"].as_str()?.to_owned();
        let own = Client { token: Some(token), ..kit.anonymous() };
        // Requests see the catalog of some moments ago.
        (own.get("/user-segment?user_id=word").await.status == 200).then_some(own)
    })
    .await;
    let post = |user: Value| json!({"rt_segment": [user]});
    let sent = [
        (&provider, json!({"user_id": zeros, "domain": "idfa", "seg_block": [{"seg_id": 10001}]})),
        (
            &provider,
            json!({"user_id": "{00000000000000000000000000000000}", "domain": "AAID", "seg_block": [{"seg_id": 10001}]}),
        ),
        (
            &provider,
            json!({"user_id": "0".repeat(40), "domain": "openudid", "seg_block": [{"seg_id": 10001}]}),
        ),
        (
            &provider,
            json!({"user_id": "0".repeat(32), "domain": "md5udid", "seg_block": [{"seg_id": 10001}]}),
        ),
        (&provider, json!({"user_id": 4711, "seg_block": [{"seg_id": 10001}]})),
        (&own, json!({"user_id": " NULL", "seg_block": [{"seg_id": 30001}]})),
    ];
    for (client, user) in sent {
        let answer = client.post("/rt-segment?verbose=true", &post(user.clone())).await.ok();
        assert_eq!(answer["message"]["users_accepted"], 0, "{user}");
        let warning = &answer["warnings"][0]["message"];
        assert!(warning.as_str().unwrap().starts_with("The user_id is nobody's"), "{warning}");
    }
    let answer = own
        .post("/rt-segment?verbose=true", &post(json!({"user_id": "null", "seg_block": [{"seg_id": 30001}]})))
        .await
        .ok();
    assert_eq!(answer["message"]["users_accepted"], 1, "a member's own ids have a case");

    let read = provider.get(&format!("/user-segment?user_id={zeros}&domain=idfa")).await.ok();
    assert_eq!(read["user_segment"]["segments"], json!([]));
    let users = json!({"users": [{"user_id": zeros, "domain": " Idfa "}, {"user_id": 4711, "domain": ""}]});
    let read = provider.post("/user-segment", &users).await.ok();
    assert_eq!(read["user_segments"][0]["segments"], json!([]));
    assert_eq!(read["user_segments"][1]["segments"], json!([]));

    let browser = kit.anonymous();
    let mapped = |id: &'static str, cookie: &'static str| {
        let target = format!("/mapuid?member=1661&user={id}");
        let browser = &browser;
        async move { browser.send(Method::GET, &target, &[("cookie", cookie)], Bytes::new()).await }
    };
    let answer = mapped("good;NULL", "uuid2=5").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("id 2 is nobody's"), "{}", answer.text());
    assert_eq!(mapped("good", "uuid2=5").await.status, 200);
    let pixel = browser.send(Method::GET, "/seg?add=10001", &[("cookie", "uuid2=4711")], Bytes::new()).await;
    assert_eq!(pixel.status, 200);
    let ignored = r#"instant_audience_pixels_ignored_total{cause="nobody"}"#;
    assert_eq!(kit.metric(ignored).await, 1.0);
}

#[tokio::test]
async fn a_dry_run_answers_as_verbose_does_and_writes_nothing() {
    let kit = Kit::builder().config(|config| config.limits.dry_runs_per_second = 3).start().await;
    let (provider, reader) = (kit.login("provider").await, kit.login("reader").await);
    let body = json!({"rt_segment": [
        {"user_id": "7", "seg_block": [{"seg_id": 10001}, {"seg_id": 777}, {"seg_id": 0.5}]},
        {"user_id": "nobody's", "seg_block": [{"seg_id": 10001}]},
    ]});
    let records = kit.metric("instant_audience_log_records_total").await;
    let dry = provider.post("/rt-segment?dry_run=true", &body).await.ok();
    assert_eq!(dry["message"]["segments_accepted"], 1);
    assert_eq!(dry["warnings"].as_array().unwrap().len(), 3);
    let read_only = reader.post("/rt-segment?dry_run=1&verbose=false", &body).await.ok();
    assert_eq!(read_only, dry, "it changes nothing, so a login that may only read may try");
    assert_eq!(provider.segments_of("7").await, [0; 0]);
    assert_eq!(kit.metric("instant_audience_log_records_total").await, records);
    assert!(!kit.ops("/metrics").await.text().contains("refusals_total{"), "nothing was counted");

    let verbose = provider.post("/rt-segment?verbose=true", &body).await.ok();
    assert_eq!(verbose, dry);
    assert_eq!(provider.segments_of("7").await, [10001]);

    provider.post("/rt-segment?dry_run=true", &body).await.ok();
    let over = provider.post("/rt-segment?dry_run=true", &body).await;
    assert_eq!(over.outcome(), (429, Some("SYSTEM".to_owned())), "{}", over.text());
    assert!(over.text().contains("3 dry runs per 1 seconds"), "{}", over.text());
    provider.post("/rt-segment", &body).await.ok();
    let bad = provider.post("/rt-segment?dry_run=perhaps", &body).await;
    assert_eq!(bad.outcome(), (400, Some("SYNTAX".to_owned())));
}

#[tokio::test]
async fn what_is_no_json_is_named_on_every_route_that_takes_json() {
    let kit = Kit::start().await;
    let client = kit.login("admin").await;
    let utf16: Vec<u8> = json!({"users": []}).to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let packed_twice = gzip(&gzip(b"{}"));
    let cases: [(&[u8], &str); 7] = [
        (&utf16, "UTF-16"),
        (&packed_twice, "compressed twice"),
        (b"{\"a\": 1}\n{\"a\": 2}\n", "one JSON object"),
        (b"rt_segment=%5B%5D", "form-encoded"),
        (b"<rt_segment/>", "XML"),
        (b"{'rt_segment': []}", "single quotes"),
        (br#""{\"rt_segment\": []}""#, "JSON string"),
    ];
    for route in ["/rt-segment", "/user-segment", "/segment", "/auth", "/privacy/consumer-request"] {
        for (body, named) in cases {
            let answer = client.send(Method::POST, route, &[], Bytes::copy_from_slice(body)).await;
            let error = answer.json()["response"]["error"].to_string();
            assert!(error.contains(named), "{route}: {error}");
        }
    }
}

#[tokio::test]
async fn a_gap_in_a_data_frame_spoils_its_block_alone() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let body = r#"{"rt_segment": [{"user_id": "7", "domain": NaN, "seg_block": [{"seg_id": 12}]},
        {"user_id": "8", "seg_block": [{"seg_id": 10001, "expiration": NaN}, {"seg_id": 12.0, "value": -Infinity},
        {"seg_id": 10002.0, "expiration": 1e999}, {"seg_id": 23784.0, "expiration": "60.0"}]}]}"#;
    let answer = provider.send(Method::POST, "/rt-segment", &[], body.into()).await.ok();
    assert_eq!(answer["message"], json!({"users_in_request": 1, "segments_in_request": 1}));
    let messages: Vec<_> =
        answer["warnings"].as_array().unwrap().iter().map(|w| w["message"].to_string()).collect();
    for (message, field) in messages.iter().zip(["domain", "expiration", "value", "expiration"]) {
        assert!(message.contains(&format!("'{field}' must be")), "{message}");
    }
    assert_eq!(messages.len(), 4);
    assert_eq!(provider.segments_of("8").await, [23784]);
}
