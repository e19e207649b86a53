//! The log's disk fails at every call of some POSTs. A POST that was answered OK is there, before and after a restart;
//! a POST that was refused because the disk is full is not.

use ia_log::faults::{Call, Errno};
use ia_testkit::{Client, Kit};
use serde_json::json;

const POSTS: u64 = 4;

/// The answer to a client.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Ok,
    Refused,
    /// The log is out of service: the record may be there after a restart.
    Unknown,
}

async fn post(kit: &Kit, client: &Client, user: u64) -> Told {
    let user = json!({"user_id": user.to_string(), "seg_block": [{"seg_id": 12}]});
    let answer = client.post("/rt-segment", &json!({"rt_segment": [user]})).await;
    if answer.status == 200 {
        answer.ok();
        return Told::Ok;
    }
    assert_eq!(answer.status, 503, "{answer:?}");
    let ready = kit.ops("/readyz").await;
    let reason = String::from_utf8_lossy(&ready.body).into_owned();
    if reason.contains("out of service") { Told::Unknown } else { Told::Refused }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
async fn no_failing_call_makes_a_false_ok_over_http() {
    let mut kit = Kit::builder().config(|config| config.log.segment_bytes.0 = 1 << 20).start().await;
    let (mut user, mut cases, mut counts) = (0, 0, [0; 3]);
    for (call, errno) in [
        (Call::Write, Errno::IO),
        (Call::Write, Errno::NOSPC),
        (Call::Flush, Errno::IO),
        (Call::Flush, Errno::NOSPC),
    ] {
        for n in 1.. {
            let client = kit.login("provider").await;
            let calls = kit.disk.calls(call);
            kit.disk.tear_failing_writes_after(30 * n);
            kit.disk.fail_nth(call, n, errno);
            let has_failed = |kit: &Kit| kit.disk.calls(call) >= calls + n;
            let mut told: Vec<(u64, Told)> = Vec::new();
            for _ in 0..POSTS {
                user += 1;
                let failed_before = has_failed(&kit);
                let answer = post(&kit, &client, user).await;
                let case = format!("{call:?} {errno:?} {n}: user {user}, {answer:?}");
                // As here, the bytes may be there all the same, but the server cannot know that.
                let flush_failed = call == Call::Flush && has_failed(&kit) && !failed_before;
                assert!(!flush_failed || answer != Told::Ok, "OK without a flush: {case}");
                let is_latched = told.iter().any(|(_, told)| *told == Told::Unknown);
                assert!(!is_latched || answer == Told::Unknown, "the latch holds: {case}");
                told.push((user, answer));
            }
            let has_failed = has_failed(&kit);
            for (user, told) in &told {
                let seen = !client.segments_of(&user.to_string()).await.is_empty();
                assert_eq!(seen, *told == Told::Ok, "{call:?} {errno:?} {n}: user {user}, {told:?}");
            }
            kit.disk.heal();
            kit.restart().await;
            let client = kit.login("provider").await;
            for (user, told) in &told {
                let seen = !client.segments_of(&user.to_string()).await.is_empty();
                let case = format!("{call:?} {errno:?} {n}: user {user}, {told:?}, after a restart");
                match told {
                    Told::Ok => assert!(seen, "false OK: {case}"),
                    Told::Refused => assert!(!seen, "{case}"),
                    Told::Unknown => {}
                }
                counts[match told {
                    Told::Ok => 0,
                    Told::Refused => 1,
                    Told::Unknown => 2,
                }] += 1;
            }
            if !has_failed {
                break;
            }
            cases += 1;
        }
    }
    let [ok, refused, unknown] = counts;
    println!(
        "figure: failing-seam-http: cases={cases} ok={ok} refused={refused} unknown={unknown} false_ok=0 ghosts=0"
    );
    assert!(cases > 10 && unknown > 0 && refused > 0);
}
