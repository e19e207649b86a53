//! The pixels.

use super::*;

/// Each pixel: its answer, a refusal, over its rate, and without room.
pub(super) async fn examine<'k>(examiner: &mut Examiner<'k>, tight: &'k Kit, slow: &'k Kit) {
    const TO: &str = "https://ok.example.com/";
    let kit = examiner.kit;
    let anonymous = kit.anonymous();
    let token = "0123456789abcdef".repeat(2);
    let form = format!("choice=in&token={token}");
    for path in ["/getuid", "/getuidnb", "/getuidu"] {
        examiner.get(&anonymous, &format!("{path}?{TO}"), 302).await;
        examiner.get(&anonymous, path, 400).await;
    }
    examiner.cookie = Some("uuid2=0".to_owned());
    examiner.get(&anonymous, &format!("/getuidnb?{TO}"), 200).await;
    examiner.cookie = None;
    examiner.get(&anonymous, "/getuidj", 200).await;
    examiner.get(&anonymous, "/getuidj?gdpr=0&gdpr=1", 400).await;
    examiner.get(&anonymous, "/getuidp?callback=f", 200).await;
    examiner.get(&anonymous, "/getuidp", 400).await;
    for target in ["/seg?add=12&t=1", "/seg?add=12&t=2", "/mapuid?member=958&user=a"] {
        examiner.get(&anonymous, target, 200).await;
    }
    examiner.get(&anonymous, &format!("/seg?add=12&redir={TO}"), 302).await;
    examiner.get(&anonymous, "/seg", 400).await;
    examiner.get(&anonymous, "/mapuid", 400).await;
    examiner.get(&anonymous, "/optout", 200).await;
    examiner.post(&anonymous, "/optout", &form, 403).await;
    examiner.post(&anonymous, "/optout", &"x".repeat(5000), 413).await;
    examiner.cookie = Some(format!("ia_optout={token}"));
    examiner.post(&anonymous, "/optout", &form, 200).await;
    examiner.post(&anonymous, "/optout", &format!("token={token}"), 400).await;
    examiner.cookie = None;

    kit.apply(&json!({"members": [{"id": 1661, "name": "Publisher", "use_external_uids": true}]})).await;
    kit.disk.fail_always(Call::Write, Errno::NOSPC);
    examiner.get(&anonymous, "/seg?add=12", 503).await;
    eventually("the catalog to be current", async || {
        (anonymous.get("/mapuid?member=1661&user=a").await.status == 503).then_some(())
    })
    .await;
    examiner.get(&anonymous, "/mapuid?member=1661&user=a", 503).await;
    kit.disk.heal();
    eventually("the room to be noticed", async || (kit.ops("/readyz").await.status == 200).then_some(()))
        .await;
    let held = hold_memory(tight, &tight.login("provider").await).await;
    examiner.kit = tight;
    examiner.post(&anonymous, "/optout", &form, 503).await;
    drop(held);
    examiner.kit = slow;
    examiner.get(&anonymous, "/getuidj", 200).await;
    for path in ["/getuid", "/getuidnb", "/getuidu", "/getuidj", "/getuidp", "/seg", "/mapuid", "/optout"] {
        examiner.get(&anonymous, path, 429).await;
    }
    examiner.post(&anonymous, "/optout", &form, 429).await;
    examiner.kit = kit;
}
