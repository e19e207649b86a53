//! The service of segments.

use super::*;

pub(super) const NEW: &str = r#"{"segment": {"short_name": "New", "piggyback_pixels": [{"url": "https://x.example/", "pixel_type": "js"}], "querystring_mapping": {"param": "x"}, "unknown": 1}}"#;

/// The segment service, by both of its paths.
pub(super) async fn examine(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let anonymous = kit.anonymous();
    let (provider, reader) = (kit.login("provider").await, kit.login("reader").await);
    let admin = kit.login("admin").await;
    let long = "x".repeat(2 << 20);
    examiner.get(&provider, "/segment/meta", 200).await;
    examiner.get(&anonymous, "/segment/meta", 401).await;
    for (base, foreign, absent) in [
        ("/segment?", "/segment?member_id=77&", "/segment?member_id=4712&"),
        ("/segment/958?", "/segment/77?", "/segment/4712?"),
    ] {
        for query in
            ["", "include_shared=0", "fields=code", "id=10001,30001&sort=short_name.desc", "start_element=99"]
        {
            examiner.get(&provider, &format!("{base}{query}"), 200).await;
        }
        examiner.get(&provider, &format!("{base}id=10001"), 200).await;
        examiner.get(&provider, &format!("{base}id=777"), 404).await;
        examiner.send(&provider, "GET", base, &long, 413).await;
        examiner.get(&provider, &format!("{base}sort=nothing"), 400).await;
        examiner.get(&provider, foreign, 403).await;
        examiner.get(&anonymous, base, 401).await;
        for body in [NEW, r#"{"segments": [{}, {"state": "inactive"}]}"#] {
            examiner.send(&provider, "POST", base, body, 200).await;
        }
        for method in ["POST", "PUT"] {
            examiner.send(&provider, method, base, "{", 400).await;
            examiner.send(&anonymous, method, base, NEW, 401).await;
            examiner.send(&reader, method, base, NEW, 403).await;
            examiner.send(&provider, method, base, &long, 413).await;
        }
        examiner.send(&admin, "POST", absent, NEW, 404).await;
        examiner.send(&provider, "POST", base, r#"{"segment": {"code": "CARS"}}"#, 409).await;
        examiner.send(&provider, "PUT", &format!("{base}id=10001"), NEW, 200).await;
        examiner.send(&provider, "PUT", &format!("{base}id=10001,10002"), NEW, 200).await;
        examiner.send(&provider, "PUT", &format!("{base}id=777"), NEW, 404).await;
        examiner
            .send(&provider, "PUT", &format!("{base}id=10001"), r#"{"segment": {"code": "TRAVEL"}}"#, 409)
            .await;
        let doomed = kit.login("provider").await.post("/segment", &json!({"segment": {}})).await.ok();
        examiner.send(&provider, "DELETE", &format!("{base}id={}", doomed["id"]), "", 200).await;
        for (client, target, status) in [
            (&provider, base.to_owned(), 400),
            (&anonymous, base.to_owned(), 401),
            (&reader, base.to_owned(), 403),
            (&provider, format!("{base}id=777"), 404),
        ] {
            examiner.send(client, "DELETE", &target, "", status).await;
        }
    }
    examine_one(examiner, &long).await;
}

/// One segment, by its path.
async fn examine_one(examiner: &mut Examiner<'_>, long: &str) {
    let kit = examiner.kit;
    let (anonymous, provider) = (kit.anonymous(), kit.login("provider").await);
    let reader = kit.login("reader").await;
    let doomed = provider.post("/segment", &json!({"segment": {}})).await.ok()["id"].clone();
    let doomed = format!("/segment/958/{doomed}");
    let change = r#"{"segment": {"short_name": "New"}}"#;
    for (client, method, target, body, status) in [
        (&provider, "GET", "/segment/958/10001?fields=code", "", 200),
        (&provider, "GET", "/segment/958/10001?id=10002", "", 400),
        (&provider, "GET", "/segment/958/4711", "", 404),
        (&provider, "GET", "/segment/77/777", "", 403),
        (&anonymous, "GET", "/segment/958/10001", "", 401),
        (&provider, "GET", "/segment/958/10001", long, 413),
        (&provider, "PUT", "/segment/958/10001", change, 200),
        (&provider, "PUT", "/segment/958/x", change, 400),
        (&provider, "PUT", "/segment/958/4711", change, 404),
        (&provider, "PUT", "/segment/958/10001", r#"{"segment": {"code": "TRAVEL"}}"#, 409),
        (&reader, "PUT", "/segment/958/10001", change, 403),
        (&anonymous, "PUT", "/segment/958/10001", change, 401),
        (&provider, "PUT", "/segment/958/10001", long, 413),
        (&provider, "DELETE", "/segment/958/10001?member_id=77", "", 400),
        (&provider, "DELETE", "/segment/958/4711", "", 404),
        (&reader, "DELETE", "/segment/958/10001", "", 403),
        (&anonymous, "DELETE", "/segment/958/10001", "", 401),
        (&provider, "DELETE", &doomed, "", 200),
    ] {
        examiner.send(client, method, target, body, status).await;
    }
}
