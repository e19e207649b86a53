//! The published examples of requests and answers.

use ia_testkit::Kit;
use serde_json::Value;
use std::path::Path;

#[tokio::test]
async fn every_published_example_is_answered_as_printed() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rt-segment");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 7);
    for file in files {
        let pair: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        // `curl -d` sends the content type of a form, which must not matter.
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = provider.post_bytes("/rt-segment", &headers, pair["request"].to_string()).await;
        answer.ok();
        assert_eq!(answer.json(), pair["response"], "{}", file.display());
    }
    assert_eq!(provider.segments_of("12345678900987654321").await, [10001, 10002, 30001]);
    let all = kit.login("bidder").await;
    assert_eq!(all.segments_of("12345678900987654321").await, [10001, 10002, 30001, 30002]);
    let idfa = all.get("/user-segment?user_id=1BA98A6CD1A549EFAD1C2D9230EBCD13&domain=idfa").await.ok();
    assert_eq!(idfa["user_segment"]["segments"][1]["expires_on"], Value::Null);
}
