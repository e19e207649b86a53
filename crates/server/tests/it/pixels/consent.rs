//! Calls without consent are answered as always, and leave nothing behind. The table of all signals is beside the code.

use super::*;
use hyper::header::{HeaderMap, SET_COOKIE};
use ia_testkit::{Metrics, ServerProcess, prepare_data_dir};
use instant_audience::config::UnknownUsers;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

/// A TC string with consent to purpose 1 for vendor 6. For vendor 8 too, but the publisher does not allow it.
const TC: &str = "COwWHt-OwWHt-DNACOENAXCAANDAAEkAAAAAFpQBQABAAGgAQABIBXgFpAK_ABAK-ACCAAwAIAAk";
/// A GPP string for the whole US, in which nobody opted out; and one with all opt-outs.
const GPP: &str = "DBABLA~BVQqAAAAAgA.QA";
const OPTED_OUT: &str = "DBABLA~BVVVVVVVVWA";

/// What a call says, its header and its parameters, and whether that is a refusal.
const SAID: &[(&str, &str, bool)] = &[
    ("1", "", true),
    ("0", "", false),
    ("", "us_privacy=1YYN", true),
    ("", "us_privacy=1YNN", false),
    ("", "us_privacy=${US_PRIVACY}", true),
    ("", "gdpr=1", true),
    ("", "gdpr=1&gdpr_consent=CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", true),
    ("", "gdpr=1&gdpr_consent={TC}", false),
    ("", "gdpr_consent={TC}&gdpr=1", false),
    ("", "gdpr=0&gdpr_consent=x", false),
    ("", "gpp={OPTED_OUT}&gpp_sid=7", true),
    ("", "gpp={OPTED_OUT}&gpp_sid=-1", false),
    ("", "gpp={GPP}&gpp_sid=7", false),
    ("", "us_privacy=1YNN&gdpr=1&gdpr_consent={TC}&gpp={GPP}&gpp_sid=7", false),
    ("", "us_privacy=1YNN&gdpr=1&gdpr_consent={TC}&gpp={OPTED_OUT}&gpp_sid=7", true),
    ("1", "us_privacy=1YNN&gdpr=1&gdpr_consent={TC}&gpp={GPP}&gpp_sid=7", true),
];

/// Each route. The parameters are in place of `{}`.
const CALLS: [&str; 9] = [
    "/seg?add=12&member=958&{}",
    "/seg?{}&add=12&member=958&t=1",
    "/seg?add=12&member=958&{}&redir=https://ok.example.com/",
    "/mapuid?member=77&user=Cart-1&seg=777&{}",
    "/getuidj?{}",
    "/getuidp?callback=f&{}",
    "/getuid?https://ok.example.com/?{}&id=$UID",
    "/getuidnb?https%3A%2F%2Fok.example.com%2F%3Fid%3D%24UID&{}",
    "/getuidu?https://ok.example.com/?id=$UID&{}",
];

fn filled(said: &str) -> String {
    said.replace("{TC}", TC).replace("{GPP}", GPP).replace("{OPTED_OUT}", OPTED_OUT)
}

/// A server for vendor 6 in strict mode, in which a pixel that leaves anything behind makes its user known.
async fn kit() -> Kit {
    let kit = pixels().config(|config| {
        config.pixels.consent.tcf_vendor_id = 6;
        config.memberships.unknown_users = UnknownUsers::Reject;
    });
    let mut kit = kit.start().await;
    kit.stop().await.unwrap();
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]})).await;
    kit.start_again().await;
    kit
}

async fn send(browser: &mut Browser, target: &str, gpc: &str) -> Answer {
    let headers: &[(&str, &str)] = if gpc.is_empty() { &[] } else { &[("sec-gpc", gpc)] };
    browser.send(Method::GET, target, headers, "").await
}

/// An answer without what differs from call to call.
fn plain(answer: &Answer) -> (u16, HeaderMap, Bytes) {
    let mut headers = answer.headers.clone();
    for name in ["x-request-id", "set-cookie", "date"] {
        headers.remove(name);
    }
    (answer.status.as_u16(), headers, answer.body.clone())
}

async fn ignored(kit: &Kit, cause: &str) -> f64 {
    let text = String::from_utf8(kit.ops("/metrics").await.body.to_vec()).unwrap();
    let name = format!("instant_audience_pixels_ignored_total{{cause=\"{cause}\"}}");
    Metrics(text).find(&name).unwrap_or(0.0)
}

#[tokio::test]
async fn without_consent_nothing_is_left_behind_and_the_answer_is_the_usual_one() {
    let kit = kit().await;
    let provider = kit.login("provider").await;
    let bidder = kit.login("bidder").await;
    let mut user = 8_200_000_000_000_000_000u64;
    for (gpc, said, refuses) in SAID {
        for call in CALLS {
            let target = call.replace("{}", &filled(said));
            user += 1;
            let id = user.to_string();
            let logged = kit.metric("instant_audience_log_records_total").await;
            let counted = ignored(&kit, "consent").await;
            // With an id, without one, and opted out.
            let answers = [
                send(&mut Browser::with_id(&kit, &id), &target, gpc).await,
                send(&mut Browser::new(&kit), &target, gpc).await,
                send(&mut Browser::with_id(&kit, "0"), &target, gpc).await,
            ];
            let ignored = ignored(&kit, "consent").await - counted;
            if !refuses {
                assert_eq!(ignored, 0.0, "{target} {gpc}");
                assert!(answers.iter().all(|answer| answer.headers.contains_key(SET_COOKIE)), "{target}");
                continue;
            }
            assert_eq!(ignored, 3.0, "{target} {gpc}");
            assert!(answers.iter().all(|answer| !answer.headers.contains_key(SET_COOKIE)), "{target} {gpc}");
            // They are those to a browser that has opted out and is not refused.
            let usual = call.replace("&{}", "").replace("{}&", "").replace("{}", "");
            let usual = plain(&Browser::with_id(&kit, "0").get(&usual).await);
            for answer in &answers {
                let mut answered = plain(answer);
                if let Some(location) = answered.1.get_mut("location") {
                    let url = location.to_str().unwrap().replace(&format!("{}&", filled(said)), "");
                    *location = url.replace(&format!("&{}", filled(said)), "").parse().unwrap();
                }
                // An empty set of parameters leaves its separator in the URL of others.
                if !said.is_empty() || answered.0 != 302 {
                    assert_eq!(answered, usual, "{target} {gpc}");
                }
                if answered.0 == 302 && call.starts_with("/getuid") {
                    assert!(answer.header("location").unwrap().contains("id=0"), "{target} {gpc}");
                }
            }
            assert_eq!(kit.metric("instant_audience_log_records_total").await, logged, "{target} {gpc}");
            assert_eq!(bidder.segments_of(&id).await, [0; 0], "{target} {gpc}");
            let unknown = provider.add(&id, None, json!([{"seg_id": 13}])).await;
            assert_eq!(unknown["message"]["users_accepted"], 0, "{target} {gpc} made the user known");
        }
    }
    // What is allowed does what it always does.
    for (gpc, said, _) in SAID.iter().filter(|(_, _, refuses)| !refuses) {
        user += 1;
        let mut browser = Browser::with_id(&kit, &user.to_string());
        send(&mut browser, &format!("/mapuid?member=77&user=C{user}&seg=777&{}", filled(said)), gpc).await;
        send(&mut browser, &format!("/seg?add=12&member=958&{}", filled(said)), gpc).await;
        assert_eq!(bidder.segments_of(&user.to_string()).await, [12, 777], "{said}");
        assert_eq!(provider.segments_of(&user.to_string()).await, [12], "{said}");
    }
}

/// A mapping that is refused neither makes a link nor makes one last longer.
#[tokio::test]
async fn a_refusal_renews_no_mapping() {
    let kit = kit().await;
    let stranger = kit.login("stranger").await;
    let mut browser = Browser::with_id(&kit, "4711");
    stranger.add("Cart-1", None, json!([{"seg_id": 777}])).await;
    browser.get("/mapuid?member=77&user=Cart-1").await;
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of("4711").await, [777]);
    kit.clock.advance(17 * 24 * HOUR_MS);
    assert_gif(&send(&mut browser, "/mapuid?member=77&user=Cart-1", "1").await);
    assert_gif(&browser.get("/mapuid?member=77&user=Cart-1&gdpr=1").await);
    kit.clock.advance(2 * 24 * HOUR_MS);
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of("4711").await, [0; 0]);
    browser.get("/mapuid?member=77&user=Cart-1&gdpr=0").await;
    assert_eq!(bidder.segments_of("4711").await, [777]);
}

#[tokio::test]
async fn a_person_can_opt_out_and_in_whatever_the_browser_says() {
    let kit = pixels().start().await;
    let mut browser = Browser::new(&kit);
    browser.get("/seg?add=12&member=958").await;
    let id = browser.id().to_owned();
    let said = "gdpr=1&us_privacy=1YYN&gpp=?&gpp_sid=7";
    let page = send(&mut browser, &format!("/optout?{said}"), "1").await;
    assert!(String::from_utf8_lossy(&page.body).contains("has not opted out"));
    let token = browser.cookies.iter().find(|(name, _)| name == "ia_optout").unwrap().1.clone();
    for (choice, is_out) in [("out", true), ("in", false)] {
        let form = format!("token={token}&choice={choice}");
        let target = format!("/optout?{said}");
        let answer = browser.send(Method::POST, &target, &[("sec-gpc", "1")], &form).await;
        assert_eq!(answer.status, 200, "{choice}");
        assert_eq!(browser.id() == "0", is_out);
    }
    assert_ne!(browser.id(), id);
    let bidder = kit.login("bidder").await;
    assert_eq!(bidder.segments_of(&id).await, [0; 0], "the opt-out has deleted what there was");
    assert_eq!(ignored(&kit, "consent").await, 0.0);
}

#[tokio::test]
async fn each_signal_can_be_switched_off() {
    const TARGETS: [(&str, &str); 4] =
        [("1", ""), ("", "us_privacy=1YYN"), ("", "gdpr=1"), ("", "gpp={OPTED_OUT}&gpp_sid=7")];
    for off in 0..TARGETS.len() {
        let kit = pixels().config(|config| {
            let consent = &mut config.pixels.consent;
            let switches = [&mut consent.gpc, &mut consent.us_privacy, &mut consent.gdpr, &mut consent.gpp];
            *switches.into_iter().nth(off).unwrap() = false;
        });
        let kit = kit.start().await;
        for (number, (gpc, said)) in TARGETS.iter().enumerate() {
            let mut browser = Browser::new(&kit);
            let answer = send(&mut browser, &format!("/getuidj?{}", filled(said)), gpc).await;
            assert_eq!(answer.body == "{\"uid\":0}", number != off, "{said} with {off} off");
            assert_eq!(browser.cookies.is_empty(), number != off, "{said} with {off} off");
        }
    }
    // Without a number in the vendor list nobody can have consented.
    let kit = pixels().start().await;
    for said in ["gdpr=1&gdpr_consent={TC}", "gpp=DBABMA~{TC}&gpp_sid=2"] {
        let answer = Browser::new(&kit).get(&format!("/getuidj?{}", filled(said))).await;
        assert_eq!(answer.body, "{\"uid\":0}", "{said}");
    }
}

#[tokio::test]
async fn the_log_says_once_that_nobody_can_have_consented() {
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let (dir, data_dir) = prepare_data_dir(binary);
    let enabled = ("INSTANT_AUDIENCE__PIXELS__ENABLED", "true");
    let off = ["GDPR", "GPP"].map(|signal| format!("INSTANT_AUDIENCE__PIXELS__CONSENT__{signal}"));
    let vendor = ("INSTANT_AUDIENCE__PIXELS__CONSENT__TCF_VENDOR_ID", "6");
    for (settings, times) in [
        (vec![enabled], 1),
        (vec![enabled, vendor], 0),
        (vec![enabled, (&off[0], "false"), (&off[1], "false")], 0),
    ] {
        let log = dir.path().join("log.txt");
        let written = Stdio::from(File::create(&log).unwrap());
        let server = ServerProcess::serve_with_log(binary, &data_dir, &settings, written).await;
        let browser = Client { address: server.api, token: None };
        for _ in 0..3 {
            assert_eq!(browser.get("/getuidj?gdpr=1").await.status, 200);
        }
        server.terminate();
        assert_eq!(server.wait().await.code(), Some(0));
        let log = std::fs::read_to_string(&log).unwrap();
        assert_eq!(
            log.matches("pixels.consent.tcf_vendor_id is not set").count(),
            times,
            "{settings:?}: {log}"
        );
    }
}

#[tokio::test]
async fn two_different_values_are_refused_by_name() {
    let kit = pixels().start().await;
    for call in CALLS {
        for name in ["gdpr", "gdpr_consent", "us_privacy", "gpp"] {
            let target = call.replace("{}", &format!("{name}=0&{name}=1"));
            let answer = Browser::new(&kit).get(&target).await;
            assert_refused(&answer, 400, &format!("'{name}'"));
        }
        for fine in ["gdpr=0&gdpr=0", "gpp_sid=2&gpp_sid=7"] {
            let target = call.replace("{}", fine);
            assert!(Browser::new(&kit).get(&target).await.status.as_u16() < 400, "{target}");
        }
    }
}
