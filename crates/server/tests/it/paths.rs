//! Paths with slashes that mean nothing, on every route: the same method rules, rates and metrics.

use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, send};
use serde_json::{Value, json};

async fn ask(client: &Client, method: &str, target: &str) -> Answer {
    client.send(method.parse().unwrap(), target, &[("cookie", "uuid2=4711")], Bytes::new()).await
}

/// An answer without what differs from call to call.
fn alike(answer: &Answer) -> (u16, String) {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    for varying in ["time", "request_id"] {
        if let Some(info) = body["response"]["dbg_info"].as_object_mut() {
            info.remove(varying);
        }
    }
    let text =
        if body.is_null() { String::from_utf8_lossy(&answer.body).into_owned() } else { body.to_string() };
    (answer.status.as_u16(), format!("{:?} {text}", answer.header("location")))
}

async fn with_pixels() -> Kit {
    let pixels = |config: &mut instant_audience::config::Config| {
        config.pixels.enabled = true;
        config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
    };
    Kit::builder().config(pixels).start().await
}

#[tokio::test]
async fn slashes_make_no_other_path() {
    let kit = with_pixels().await;
    let admin = kit.login("admin").await;
    let document = admin.get("/openapi.json").await.json();
    let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    paths.push("/nothing".to_owned());
    for path in &paths {
        let path = path.replace("{member_id}", "958").replace("{id}", "12");
        for method in ["GET", "POST", "PUT", "DELETE", "BREW"] {
            // Its page has a random token; a job has a random id.
            if path == "/optout" || (path == "/batch-segment" && method == "POST") {
                continue;
            }
            // So that nothing is changed by the first that the others would see.
            let query = if method == "DELETE" && path.starts_with("/segment") { "?id=4711" } else { "" };
            let plain = alike(&ask(&admin, method, &format!("{path}{query}")).await);
            let doubled = path.replace('/', "//");
            for other in [format!("{path}/"), format!("/{path}"), doubled.clone(), format!("{doubled}//")] {
                let answer = alike(&ask(&admin, method, &format!("{other}{query}")).await);
                assert_eq!(answer, plain, "{method} {other}");
            }
        }
    }
    let metrics = String::from_utf8(kit.ops("/metrics").await.body.to_vec()).unwrap();
    for line in metrics.lines().filter(|line| line.contains("route=\"")) {
        assert!(!line.contains("//") && !line.contains("/\""), "{line}");
    }
    let with_member = "requests_total{route=\"/segment/{member_id}/{id}\",method=\"GET\",status=\"200\"} 5";
    assert!(metrics.contains(with_member), "{metrics}");
    // A HEAD would fire a pixel.
    assert_eq!(ask(&admin, "HEAD", "/seg/?add=12&member=958").await.status, 404);
    assert_eq!(admin.segments_of("4711").await, [0; 0]);
}

#[tokio::test]
async fn every_listener_takes_them_and_leaves_the_query() {
    let kit = with_pixels().await;
    let provider = kit.login("provider").await;
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]});
    for target in ["/rt-segment/", "//rt-segment"] {
        provider.post(target, &body).await.ok();
    }
    assert_eq!(provider.get("//user-segment/?user_id=7").await.ok()["user_segment"]["segments"][0]["id"], 12);
    let sent = "https://ok.example.com//a//?b=//c/&$UID/";
    for path in ["/getuidu", "/getuidu/", "//getuidu//"] {
        let answer = ask(&provider, "GET", &format!("{path}?{sent}")).await;
        assert_eq!(answer.header("location"), Some("https://ok.example.com//a//?b=//c/&4711/"), "{path}");
    }
    for path in ["/metrics/", "//readyz", "/healthz//"] {
        assert_eq!(kit.ops(path).await.status, 200, "{path}");
    }
    assert_eq!(kit.ops("/metrics/x").await.status, 404);
}

#[tokio::test]
async fn a_rate_is_one_for_all_spellings() {
    let kit = Kit::builder().config(|config| config.limits.posts_per_second = 2).start().await;
    let provider = kit.login("provider").await;
    let body = json!({"rt_segment": []});
    let mut statuses = Vec::new();
    for target in ["/rt-segment", "/rt-segment/", "//rt-segment"] {
        statuses.push(provider.post(target, &body).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_method_that_a_path_lacks_says_what_does_its_job() {
    let kit = Kit::start().await;
    for (target, said) in [
        ("/member?id=958", "\"state\": \"inactive\""),
        ("/member/", "\"state\": \"inactive\""),
        ("/batch-segment-config?member_id=958", "\"member_segment_access\""),
        ("/rt-segment", "No such service, or no such method on it"),
    ] {
        let answer = send(kit.api(), Method::DELETE, target, &[], Bytes::new()).await;
        assert_eq!(answer.outcome(), (404, Some("SYNTAX".to_owned())), "{target}");
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{target}: {error}");
    }
}
