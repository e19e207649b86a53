//! What failures of files look like: two pairs of keys for two kinds of clients, and never HTTP 200.

use super::*;
use ia_testkit::Kit;
use serde_json::json;

/// What every failure of this service has.
fn check_failure(answer: &Answer, status: u16, error_id: &str, error_code: &str) {
    let response = answer.response();
    assert_eq!(answer.status.as_u16(), status, "{response}");
    assert_eq!(response["status"], "ERROR");
    assert_eq!((&response["error_id"], &response["error_code"]), (&json!(error_id), &json!(error_code)));
    let text = response["error"].as_str().expect("a text");
    assert!(!text.is_empty());
    assert_eq!(response["errors"], json!([text]));
    assert_eq!(answer.header("retry-after").is_some(), status == 429, "{response}");
}

#[tokio::test]
async fn failures_of_files_have_both_pairs_of_keys() {
    let kit = Kit::builder().config(|config| config.files.max_upload.0 = 1000).start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let none = kit.anonymous();
    check_failure(&none.get("/batch-segment").await, 401, "NOAUTH", "NOAUTH");
    check_failure(&none.post_bytes("/batch-segment", &[], "").await, 401, "NOAUTH", "NOAUTH");
    check_failure(&none.get("/batch-segment/meta").await, 401, "NOAUTH", "NOAUTH");
    check_failure(&provider.get("/batch-segment?job_id=x").await, 404, "SYNTAX", "SYNTAX");
    check_failure(&provider.get("/batch-segment?member_id=77").await, 403, "UNAUTH", "UNAUTH");
    check_failure(&provider.get("/batch-segment?sort=x").await, 400, "SYNTAX", "SYNTAX");
    let replace = |segment: &str| format!("/batch-segment?replace={segment}");
    for (segment, status, id) in
        [("4711", 404, "SYNTAX"), ("777", 403, "UNAUTH"), ("10009", 400, "SYNTAX"), ("x", 400, "SYNTAX")]
    {
        check_failure(&provider.post_bytes(&replace(segment), &[], "").await, status, id, id);
    }
    for method in [Method::DELETE, Method::PUT, Method::PATCH] {
        let answer = provider.send(method, "/batch-segment?job_id=x", &[], Bytes::new()).await;
        check_failure(&answer, 404, "SYNTAX", "SYNTAX");
    }
    let unknown = format!("/segment-upload/{}", "x".repeat(40));
    check_failure(&none.post_bytes(&unknown, &[], "1:12,0,0").await, 404, "SYNTAX", "SYNTAX");
    let new = NewJob::make(&provider).await;
    check_failure(&stranger.post_bytes(&new.path, &[], "1:12,0,0").await, 403, "UNAUTH", "UNAUTH");
    new.upload(kit.api(), "1:12,0,0").await.ok();
    check_failure(&new.upload(kit.api(), "2:12,0,0").await, 409, "INTEGRITY", "INTEGRITY");
    let new = NewJob::make(&provider).await;
    check_failure(&new.upload(kit.api(), "x".repeat(1001)).await, 413, "LIMIT", "FILESIZE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_file_that_is_too_large_ends_its_job() {
    let kit = Kit::builder().config(|config| config.files.max_upload.0 = 1000).start().await;
    let provider = kit.login("provider").await;
    let lines = |bytes: usize| "1:12,0,0\n".repeat(112)[..bytes].to_owned();
    load_well(&provider, lines(1000)).await;
    let new = NewJob::make(&provider).await;
    let refused = new.upload(kit.api(), lines(1001)).await;
    check_failure(&refused, 413, "LIMIT", "FILESIZE_LIMIT_EXCEEDED");
    assert!(refused.response()["error"].as_str().unwrap().contains("1000 bytes"));
    // Without a length it shows while it comes.
    let chunked = NewJob::make(&provider).await;
    let mut raw = Raw::open(kit.api()).await;
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", lines(1001));
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunked.path);
    raw.send(head + &chunk).await;
    let (status, response) = raw.answer().await.expect("an answer");
    assert_eq!((status, &response["error_code"]), (413, &json!("FILESIZE_LIMIT_EXCEEDED")));
    for (new, again) in [(new, 413), (chunked, 409)] {
        let job = end_of(&provider, &new.id).await;
        assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("FILESIZE_LIMIT_EXCEEDED")));
        assert_eq!(counted(&job), []);
        // It cannot be used for another one.
        assert_eq!(new.upload(kit.api(), lines(9)).await.status, again);
    }
    // A small file that unpacks to much.
    let kit = Kit::builder().config(|config| config.files.max_unpacked.0 = 1_000_000).start().await;
    let provider = kit.login("provider").await;
    let job = load(&provider, gzip("1:12,0,0\n".repeat(200_000))).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("FILESIZE_LIMIT_EXCEEDED")));
    assert_eq!((counted(&job), provider.segments_of("1").await), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_no_file_of_lines_ends_its_job_and_is_named() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let whole = gzip((1..=1000).map(|user| format!("{user}:12,0,0\n")).collect::<String>());
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x10;
    for (file, code) in [
        (whole[..whole.len() - 4].to_vec(), "gzip-error"),
        (damaged, "gzip-error"),
        (gzip(&whole), "unsupported-compression"),
        (b"PK\x03\x04abcdefgh".to_vec(), "unsupported-compression"),
        (b"1\0:\x001\x002\0\n\0".to_vec(), "unsupported-encoding"),
    ] {
        let job = load(&provider, file).await;
        assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!(code)), "{job}");
        assert_eq!(counted(&job), []);
        assert!(job.get("validated_time").is_none() && job.get("uploaded_time").is_some(), "{job}");
    }
    assert_eq!(provider.segments_of("1").await, [] as [u64; 0], "nothing of a cut-off file");
}

#[tokio::test]
async fn no_other_service_says_errors_in_a_failure() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let document = provider.get("/openapi.json").await.json();
    let mut failures = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if path == "/batch-segment" || path == "/batch-segment/meta" || path.starts_with("/segment-upload") {
            continue;
        }
        let path = path.replace("{member_id}", "958").replace("{id}", "4711");
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for query in ["", "?id=4711&member_id=77", "?id=x&sort=x&member_id=x&start=x", "?id=12"] {
                for body in [
                    "",
                    "{",
                    "[]",
                    "{\"segment\": 5}",
                    "{\"auth\": {}}",
                    "{\"rt_segment\": {}}",
                    "{\"users\": 5}",
                ] {
                    let target = format!("{path}{query}");
                    for client in [&provider, &kit.anonymous()] {
                        let answer = client.send(method.clone(), &target, &[], body.into()).await;
                        if answer.status == 200 {
                            continue;
                        }
                        failures += 1;
                        let text = answer.text();
                        assert!(!text.contains("errors"), "{method} {target} {body}: {text}");
                    }
                }
            }
        }
    }
    assert!(failures > 500, "{failures}");
}
