//! A failing or full disk: 503, nothing applied, and reads go on.

use ia_log::faults::{Call, Errno};
use ia_testkit::{Answer, Client, Kit, eventually};
use serde_json::json;

async fn try_add(client: &Client, user: u64) -> Answer {
    let request = json!({"rt_segment": [{"user_id": user, "seg_block": [{"seg_id": 12}]}]});
    client.post("/rt-segment", &request).await
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.outcome(), (503, Some("SYSTEM".to_owned())));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1);
}

#[tokio::test]
async fn after_a_failed_flush_writes_stop_and_reads_go_on() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    try_add(&provider, 1).await.ok();
    kit.disk.fail_next(Call::Flush, Errno::IO);
    assert_unavailable(&try_add(&provider, 2).await);
    // A flush would succeed now, but that does not prove that the failed one lost nothing.
    assert_unavailable(&try_add(&provider, 3).await);
    assert_eq!(provider.segments_of("1").await, [12]);
    assert_eq!(provider.segments_of("2").await, [0; 0]);
    let ready = kit.ops("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("log"), "it says why");
    assert_eq!(kit.ops("/healthz").await.status, 200);
    assert_eq!(kit.metric("instant_audience_log_writable").await, 0.0);
    kit.stop().await.unwrap();
    kit.start_again().await;
    let provider = kit.login("provider").await;
    try_add(&provider, 4).await.ok();
    assert_eq!(provider.segments_of("1").await, [12]);
    assert_eq!(provider.segments_of("3").await, [0; 0]);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    try_add(&provider, 1).await.ok();
    kit.disk.fail_always(Call::Write, Errno::NOSPC);
    assert_unavailable(&try_add(&provider, 2).await);
    assert_eq!(kit.ops("/readyz").await.status, 503);
    assert_eq!(provider.segments_of("1").await, [12]);
    kit.disk.heal();
    eventually("the room to be noticed", async || (kit.ops("/readyz").await.status == 200).then_some(()))
        .await;
    try_add(&provider, 3).await.ok();
    assert_eq!(provider.segments_of("2").await, [0; 0]);
    kit.restart().await;
    let provider = kit.login("provider").await;
    for (user, segments) in [("1", [12].as_slice()), ("2", &[]), ("3", &[12])] {
        assert_eq!(provider.segments_of(user).await, segments);
    }
}

#[tokio::test]
async fn nothing_is_seen_or_answered_before_its_flush() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    try_add(&provider, 1).await.ok();
    kit.disk.hold(Call::Flush);
    let writer = provider.clone();
    let post = tokio::spawn(async move { try_add(&writer, 2).await });
    let disk = kit.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_until_held()).await.unwrap();
    assert_eq!(provider.segments_of("2").await, [0; 0], "written, and not yet flushed");
    assert!(!post.is_finished());
    kit.disk.release();
    post.await.unwrap().ok();
    assert_eq!(provider.segments_of("2").await, [12]);
}

#[tokio::test]
async fn more_than_the_backlog_holds_is_refused_at_once() {
    let kit = Kit::builder()
        .config(|config| config.log.max_backlog_bytes = serde_json::from_value(json!(4096)).unwrap())
        .start()
        .await;
    let provider = kit.login("provider").await;
    kit.disk.hold(Call::Flush);
    let first = {
        let provider = provider.clone();
        tokio::spawn(async move { try_add(&provider, 1).await })
    };
    let disk = kit.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_until_held()).await.unwrap();
    let large: Vec<_> =
        (2..=900).map(|user| json!({"user_id": user, "seg_block": [{"seg_id": 12}]})).collect();
    let refused = provider.post("/rt-segment", &json!({"rt_segment": large})).await;
    assert_unavailable(&refused);
    // A body over the limit is not told to try again.
    let too_large = provider.post("/rt-segment", &json!({"rt_segment": "x".repeat(8 << 20)})).await;
    assert_eq!(too_large.status, 413, "{too_large:?}");
    kit.disk.release();
    first.await.unwrap().ok();
    provider.post("/rt-segment", &json!({"rt_segment": large})).await.ok();
    assert_eq!(provider.segments_of("900").await, [12]);
}

#[tokio::test]
async fn a_stop_answers_what_was_taken() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    kit.disk.hold(Call::Flush);
    let writer = provider.clone();
    let post = tokio::spawn(async move { try_add(&writer, 1).await });
    let disk = kit.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_until_held()).await.unwrap();
    let disk = kit.disk.clone();
    let (stopped, ()) = tokio::join!(kit.stop(), async {
        // The stop has begun when no connection is accepted.
        eventually("the listener to close", async || {
            tokio::net::TcpStream::connect(provider.address).await.is_err().then_some(())
        })
        .await;
        disk.release();
    });
    stopped.unwrap();
    post.await.unwrap().ok();
    kit.start_again().await;
    assert_eq!(kit.login("provider").await.segments_of("1").await, [12]);
}
