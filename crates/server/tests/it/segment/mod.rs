//! `/segment`: lists, changes, and that a change takes effect when it is answered.

mod bad_input;
mod lists;

use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, ServerProcess, prepare_data_dir};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

async fn send(client: &Client, method: Method, target: &str, body: &Value) -> Answer {
    client.send(method, target, &[], Bytes::from(body.to_string())).await
}

async fn put(client: &Client, target: &str, body: &Value) -> Answer {
    send(client, Method::PUT, target, body).await
}

async fn delete(client: &Client, target: &str) -> Answer {
    client.send(Method::DELETE, target, &[], Bytes::new()).await
}

/// The ids of a list, in order.
async fn listed(client: &Client, query: &str) -> Vec<u64> {
    let answer = client.get(&format!("/segment?{query}")).await.ok();
    answer["segments"].as_array().unwrap().iter().map(|segment| segment["id"].as_u64().unwrap()).collect()
}

/// An answer without the parts that differ from call to call.
fn whole(answer: &Answer) -> Value {
    let mut response = answer.ok();
    let info = response["dbg_info"].as_object_mut().unwrap();
    for varying in ["time", "request_id", "version", "instance"] {
        assert!(info.remove(varying).is_some(), "{varying}");
    }
    response
}

#[tokio::test]
async fn what_is_created_is_answered_whole() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let sent = json!({"segment": {
        "code": "New_1-a", "short_name": "Neu ü", "description": "Line one\nline two", "expire_minutes": "60",
        "advertiser_id": 5, "parent_segment_id": 12, "enable_rm_piggyback": 0, "max_usersync_pixels": 2,
        "piggyback_pixels": [{"url": "https://pixel.example/x", "pixel_type": "js", "more": 1}],
        "querystring_mapping": {"param": "age", "value_type": "none"}, "querystring_mapping_key_value": null,
        "price": 1.5, "category": "read only", "last_modified": "1999-01-01 00:00:00", "provider": null,
    }});
    let answer = provider.post("/segment", &sent).await;
    let segment = json!({
        "id": 30003, "code": "New_1-a", "state": "active", "short_name": "Neu ü",
        "description": "Line one\nline two", "member_id": 958, "expire_minutes": 60, "advertiser_id": 5,
        "parent_segment_id": 12, "enable_rm_piggyback": false, "max_usersync_pixels": 2, "provider_id": null,
        "piggyback_pixels": [{"url": "https://pixel.example/x", "pixel_type": "js"}],
        "querystring_mapping": {"param": "age", "value_type": "none"}, "querystring_mapping_key_value": null,
        "price": 1.5, "category": null, "object_type": "default", "last_modified": "2026-01-31 13:00:00",
    });
    let warnings = ["'provider' is no field of segment and was ignored"];
    assert_eq!(
        whole(&answer),
        json!({"status": "OK", "id": 30003, "segment": segment,
               "dbg_info": {"output_term": "segment", "warnings": warnings}})
    );
    assert_eq!(answer.header("x-ratelimit-read"), Some("1000000"));
    assert_eq!(answer.header("x-ratelimit-write"), Some("1000000"));
    assert_eq!(
        whole(&provider.get("/segment?id=30003").await),
        json!({"status": "OK", "count": 1, "start_element": 0, "num_elements": 100, "id": 30003, "segment": segment,
               "dbg_info": {"output_term": "segment", "warnings": []}})
    );

    kit.clock.advance(90_000);
    let changed =
        put(&provider, "/segment?id=30003", &json!({"segment": {"description": null, "code": null}}))
            .await
            .ok();
    assert_eq!(changed["segment"]["description"], Value::Null);
    assert_eq!(changed["segment"]["short_name"], "Neu ü", "what is not given stays");
    assert_eq!(changed["segment"]["last_modified"], "2026-01-31 13:01:30");
    let pixel = |n: u32| json!({"url": format!("https://pixel.example/{n}"), "pixel_type": "img"});
    let more = json!({"segment": {"piggyback_pixels": [pixel(2)]}});
    let appended = put(&provider, "/segment?id=30003&append=True", &more).await.ok();
    assert_eq!(appended["segment"]["piggyback_pixels"].as_array().unwrap().len(), 2);
    let replaced = put(&provider, "/segment?id=30003", &more).await.ok();
    assert_eq!(replaced["segment"]["piggyback_pixels"], json!([pixel(2)]));
    assert_eq!(
        whole(&delete(&provider, "/segment?id=30003,12").await),
        json!({"status": "OK", "count": 2, "segments": [{"id": 12}, {"id": 30003}],
               "dbg_info": {"output_term": "segments", "warnings": []}})
    );
    let meta = provider.get("/segment/meta").await.ok();
    assert_eq!(meta["dbg_info"]["output_term"], "fields");
    assert_eq!(
        meta["fields"][2],
        json!({"name": "state", "type": "enum", "sort_by": true, "filter_by": true, "read_only": false,
               "required_on": null, "enum": ["active", "inactive"]})
    );
}

#[tokio::test]
async fn a_change_is_in_force_when_it_is_answered() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut last = 0;
    for round in 0..20 {
        let created = provider.post("/segment", &json!({"segment": {"code": "once"}})).await.ok();
        let id = created["id"].as_u64().unwrap();
        assert!(id > last, "{id} was used before");
        last = id;
        let user = (1000 + round).to_string();
        let block = json!([{"seg_code": "ONCE", "member_id": 958}]);
        let added = provider.add(&user, None, block.clone()).await;
        assert_eq!(added["message"]["segments_accepted"], 1, "{added}");
        assert_eq!(provider.segments_of(&user).await, [id]);

        for (state, seen) in [("inactive", vec![]), ("active", vec![id])] {
            put(&provider, &format!("/segment?id={id}"), &json!({"segment": {"state": state}})).await.ok();
            assert_eq!(provider.segments_of(&user).await, seen);
            let added = provider.add(&user, None, block.clone()).await;
            assert_eq!(added["message"]["segments_accepted"], seen.len());
        }
        put(&provider, &format!("/segment?id={id}"), &json!({"segment": {"code": "twice"}})).await.ok();
        assert_eq!(provider.add(&user, None, block.clone()).await["message"]["segments_accepted"], 0);
        delete(&provider, "/segment?code=TWICE").await.ok();
        assert_eq!(provider.segments_of(&user).await, Vec::<u64>::new());
        let added = provider.add(&user, None, json!([{"seg_id": id}])).await;
        assert_eq!(added["warnings"][0]["message"], "The segment does not exist.");
    }
}

#[tokio::test]
async fn of_many_that_want_one_code_one_gets_it() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for round in 0..5 {
        let create = |spelling: String| {
            let provider = provider.clone();
            async move { provider.post("/segment", &json!({"segment": {"code": spelling}})).await }
        };
        let codes =
            (0..8).map(|n| if n % 2 == 0 { format!("code-{round}") } else { format!("CODE-{round}") });
        let tasks: Vec<_> = codes.map(|code| tokio::spawn(create(code))).collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap().outcome());
        }
        let won = outcomes.iter().filter(|outcome| outcome.0 == 200).count();
        let lost = outcomes.iter().filter(|outcome| **outcome == (409, Some("INTEGRITY".to_owned()))).count();
        assert_eq!((won, lost), (1, 7), "{outcomes:?}");
    }
}

#[tokio::test]
async fn several_are_changed_together_or_not_at_all() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let swap = json!({"segments": [{"id": 10001, "code": "Travel"}, {"id": 10002, "code": "cars"}]});
    let answer = put(&provider, "/segment", &swap).await.ok();
    assert_eq!((answer["count"].as_u64(), answer["segments"][1]["code"].as_str()), (Some(2), Some("cars")));
    let before = provider.get("/segment").await.ok()["segments"].clone();
    for (method, target, body, status) in [
        (
            Method::PUT,
            "/segment",
            json!({"segments": [{"id": 10001, "code": "x"}, {"id": 777, "code": "y"}]}),
            404,
        ),
        (
            Method::PUT,
            "/segment",
            json!({"segments": [{"id": 10001, "code": "x"}, {"id": 10002, "code": "X"}]}),
            409,
        ),
        (Method::PUT, "/segment?id=10001,777", json!({"segment": {"state": "inactive"}}), 404),
        (Method::PUT, "/segment?id=10001,10002", json!({"segment": {"code": "same"}}), 409),
        (Method::POST, "/segment", json!({"segments": [{"code": "fresh"}, {"code": "CARS"}]}), 409),
        (Method::POST, "/segment", json!({"segments": [{"code": "fresh"}, {"code": "fre sh"}]}), 400),
        (Method::POST, "/segment", json!({"segment": {"code": "one"}, "segments": [{"code": "two"}]}), 400),
        (Method::DELETE, "/segment?id=10001,4711", Value::Null, 404),
    ] {
        let answer = send(&provider, method, target, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{target} {body} {:?}", answer.body);
        assert_eq!(provider.get("/segment").await.ok()["segments"], before, "{target} {body}");
    }
    let beside = json!({"segment": {"id": 10001, "code": "x"}, "segments": null, "baz": 3});
    let warnings = put(&provider, "/segment", &beside).await.ok()["dbg_info"]["warnings"].clone();
    assert_eq!(warnings, json!(["'baz' stands beside 'segment' and was ignored"]));
}

#[tokio::test]
async fn limits_hold_and_are_told() {
    let kit = Kit::builder()
        .config(|config| {
            config.limits.segments_per_member = 6;
            config.limits.api_reads_per_minute = 2;
            config.limits.api_writes_per_minute = 4;
        })
        .start()
        .await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    // The member has five.
    let two = json!({"segments": [{}, {}]});
    assert_eq!(provider.post("/segment", &two).await.outcome(), (409, Some("LIMIT".to_owned())));
    let id = provider.post("/segment", &json!({"segment": {}})).await.ok()["id"].clone();
    assert_eq!(provider.post("/segment", &json!({"segment": {}})).await.status, 409);
    delete(&provider, &format!("/segment?id={id}")).await.ok();
    let over = provider.post("/segment", &json!({"segment": {}})).await;
    assert_eq!(over.status, 429);
    let response = over.response();
    assert_eq!((&response["error_id"], &response["error_code"]), (&json!("SYSTEM"), &json!("RATE_EXCEEDED")));
    assert_eq!(over.header("retry-after"), Some("60"));
    assert_eq!(over.header("x-ratelimit-write"), Some("4"));
    assert_eq!(
        response["error"],
        "Rate limit exceeded. You have exceeded your request limit of 4 writes per 60 seconds to the catalog \
         services, please wait and try again or contact your administrator for higher limits"
    );
    provider.get("/segment").await.ok();
    provider.get("/segment/meta").await.ok();
    assert_eq!(provider.get("/segment").await.status, 429);
    stranger.get("/segment").await.ok();
    kit.clock.advance(59_999);
    assert_eq!(provider.get("/segment").await.status, 429);
    kit.clock.advance(1);
    provider.get("/segment").await.ok();
    provider.post("/segment", &json!({"segment": {}})).await.ok();
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let (_dir, data_dir) = prepare_data_dir(binary);
    let mut known: BTreeSet<u64> = [12, 13].into();
    for round in 0..4 {
        let server = ServerProcess::serve(binary, &data_dir, &[]).await;
        let client = server.login("provider").await;
        assert_eq!(listed(&client, "").await.into_iter().collect::<BTreeSet<_>>(), known);
        let created = client.post("/segment", &json!({"segment": {"code": format!("c{round}")}})).await.ok();
        let id = created["id"].as_u64().unwrap();
        assert!(known.insert(id), "{id} was used before");
        if round == 2 {
            delete(&client, &format!("/segment?id={id}")).await.ok();
            known.remove(&id);
        }
        server.kill().await;
    }
    let server = ServerProcess::serve(binary, &data_dir, &[]).await;
    let client = server.login("provider").await;
    let last = client.post("/segment", &json!({"segment": {}})).await.ok()["id"].as_u64().unwrap();
    assert_eq!(last, 13 + 5, "an id of a deleted segment is not used again");
    let added = client.add("7", None, json!([{"seg_code": "c0", "member_id": 958}])).await;
    assert_eq!(added["message"]["segments_accepted"], 1);
}
