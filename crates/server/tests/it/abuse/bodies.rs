//! Hostile bodies, sent to the real binary: the answer is clear, nothing is applied in part, memory is bounded.

mod table;
mod trickery;

use ia_testkit::{Client, ServerProcess};
use serde_json::json;
use std::path::Path;
use table::{Case, Expected};

/// The settings of the server whose memory is checked.
const MAX_BODY_MEMORY_BYTES: usize = 256 << 20;
const SETTINGS: [(&str, &str); 6] = [
    // On a busy machine a connection may wait long for its turn; that must not count as idle.
    ("INSTANT_AUDIENCE__HTTP__IDLE_TIMEOUT_SECONDS", "600"),
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__FAILED_LOGINS_PER_ADDRESS_PER_FIVE_MINUTES", "0"),
    ("INSTANT_AUDIENCE__HTTP__MAX_BODY_MEMORY", "256MiB"),
    ("INSTANT_AUDIENCE__HTTP__MAX_LARGE_REQUESTS", "2"),
];

/// The valid user in every hostile body beside the faulty part; the number of the case is added.
const FIRST_CANARY: usize = 5_000_000_000;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_instant-audience"))
}

/// The results of all cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    refused: usize,
    taken: usize,
    busy: usize,
    broken: usize,
    faults: Vec<String>,
}

impl Tally {
    fn count(&mut self, status: u16) {
        self.cases += 1;
        match status {
            200 => self.taken += 1,
            503 => self.busy += 1,
            400..500 => self.refused += 1,
            _ => self.broken += 1,
        }
    }
}

/// The resident memory of a process and its maximum, in bytes.
fn memory(process: u32) -> (usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the server runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known field");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the test")]
async fn every_trap_has_a_clear_answer_and_memory_stays_bounded() {
    let (_dir, data_dir) = ia_testkit::prepare_data_dir(binary());
    let server = ServerProcess::serve(binary(), &data_dir, &SETTINGS).await;
    let client = server.login("provider").await;
    client.add("1", None, json!([{"seg_id": 12}])).await;
    let (resident, _) = memory(server.id());
    let mut tally = Tally::default();
    for (index, case) in table::all().into_iter().enumerate() {
        let canary = (FIRST_CANARY + index).to_string();
        run(&client, &case, &canary, &mut tally).await;
    }
    trickery::run(&server, &client, &mut tally).await;
    storm(&client, &mut tally).await;
    let (_, peak) = memory(server.id());
    let growth = peak - resident;
    println!(
        "figure: bodies: cases={} taken={} 4xx={} 503={} 5xx={} peak_memory_growth_mib={} limit_mib={} faults={}",
        tally.cases,
        tally.taken,
        tally.refused,
        tally.busy,
        tally.broken,
        growth >> 20,
        MAX_BODY_MEMORY_BYTES >> 20,
        tally.faults.len()
    );
    assert!(tally.faults.is_empty(), "{} faults:\n{}", tally.faults.len(), tally.faults.join("\n"));
    assert_eq!(tally.broken, 0);
    assert!(growth <= 2 * MAX_BODY_MEMORY_BYTES, "{growth} bytes more than at the start");
    client.add("1", None, json!([{"seg_id": 13}])).await;
    assert_eq!(client.segments_of("1").await, [12, 13], "the server goes on");
}

/// Sends one hostile body, and checks whether its users are in segments.
async fn run(client: &Client, case: &Case, canary: &str, tally: &mut Tally) {
    let body = case.body_with(canary);
    let answer = client.post_bytes(case.path, &case.headers, body).await;
    let status = answer.status.as_u16();
    tally.count(status);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let response = &json["response"];
    let has_warnings = response["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
    let (is_expected, is_applied) = match case.expected {
        Expected::Status(expected) => (status == expected, false),
        Expected::Whole => (status == 200 && !has_warnings, true),
        Expected::Warned => (status == 200 && has_warnings, true),
        Expected::Spoiled => (status == 200, true),
        Expected::Nobody => (status == 200, false),
    };
    let is_clear = status == 200 || response["error"].as_str().is_some_and(|error| error.len() > 10);
    let applied = !client.segments_of(canary).await.is_empty();
    if !is_expected || applied != is_applied || !is_clear {
        let shown = String::from_utf8_lossy(&answer.body);
        tally.faults.push(format!(
            "{}: expected {:?}, got {status}, applied: {applied}, {}",
            case.name,
            case.expected,
            shown.chars().take(200).collect::<String>()
        ));
    }
    // The user beside the canary must be in no segment.
    if case.path == "/rt-segment" && !client.segments_of(table::SPOILED_USER).await.is_empty() {
        tally.faults.push(format!("{}: a part of it that is wrong was applied", case.name));
    }
}

/// Sends the bodies that take most memory or time, many at once.
async fn storm(client: &Client, tally: &mut Tally) {
    let at_once = if super::is_long() { 64 } else { 4 };
    for case in table::heaviest() {
        let senders: Vec<_> = (0..at_once)
            .map(|_| {
                let (client, body) = (client.clone(), case.body_with("6000000000"));
                let (path, headers) = (case.path, case.headers.clone());
                tokio::spawn(async move { client.post_bytes(path, &headers, body).await.status.as_u16() })
            })
            .collect();
        for sender in senders {
            let status = sender.await.expect("an answer");
            tally.count(status);
            let is_known = match case.expected {
                Expected::Status(expected) => status == expected,
                _ => status == 200,
            };
            if !is_known && status != 503 {
                tally.faults.push(format!("{} among many: {status}", case.name));
            }
        }
    }
}
