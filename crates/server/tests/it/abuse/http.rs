//! The table, each case in many shapes.

use super::cases::{self, Case, Expected, Parts};
use super::wire::{Pacer, Seen, exchange};
use ia_testkit::{Client, Kit};

/// How many places a request is cut at in the short form.
const SHORT_CUTS: usize = 6;

/// Larger requests are not cut.
const MAX_CUT_BYTES: usize = 4 << 10;

/// What was found over the whole table.
#[derive(Default)]
struct Tally {
    attempts: usize,
    answered: usize,
    closed: usize,
    smuggled: usize,
    double: usize,
    faults: Vec<String>,
}

/// A request that must be answered.
fn good(token: &str, id: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET /user-segment?user_id=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nX-Request-Id: {id}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// The same request, in pieces, with good ones around it: each shape is what is sent, piece by piece.
fn shapes(case: &Case, token: &str) -> Vec<(String, Vec<Vec<u8>>, usize)> {
    let first = good(token, "good", "");
    let last = good(token, "last", "Connection: close\r\n");
    let request = &case.request;
    let mut shapes = vec![
        ("alone".to_owned(), vec![request.clone(), last.clone()], 0),
        ("before a good one".to_owned(), vec![[request.as_slice(), &last].concat()], 0),
        ("behind a good one".to_owned(), vec![[first.as_slice(), request, &last].concat()], 1),
        ("after a good one".to_owned(), vec![first.clone(), request.clone(), last.clone()], 1),
    ];
    if request.len() <= MAX_CUT_BYTES {
        let step = if super::is_long() { 1 } else { request.len().div_ceil(SHORT_CUTS) };
        for cut in (1..request.len()).step_by(step) {
            let (front, back) = request.split_at(cut);
            let back = [back, &last].concat();
            shapes.push((format!("cut at {cut}"), vec![front.to_vec(), back.clone()], 0));
            shapes.push((
                format!("after a good one, cut at {cut}"),
                vec![first.clone(), front.to_vec(), back],
                1,
            ));
        }
    }
    shapes
}

impl Tally {
    /// Judges what came back of one shape. Returns how many POSTs were answered with OK.
    fn judge(&mut self, case: &Case, shape: &str, good_before: usize, seen: Option<&Seen>) -> usize {
        self.attempts += 1;
        let Some(seen) = seen else {
            self.faults.push(format!("{}, {shape}: the connection is not closed", case.name));
            return 0;
        };
        let id = |index: usize| seen.answers.get(index).and_then(|answer| answer.id.as_deref());
        let goods = (0..good_before).all(|index| id(index) == Some("good"));
        let of_case = &seen.answers[good_before.min(seen.answers.len())..];
        let handled = of_case.iter().filter(|answer| answer.id.as_deref() == Some("case")).count();
        let refused = of_case.iter().filter(|answer| answer.id.is_none()).count();
        let canaries = seen.answers.iter().filter(|answer| answer.id.as_deref() == Some("canary")).count();
        let lasts = of_case.iter().filter(|answer| answer.id.as_deref() == Some("last")).count();
        let status = of_case.first().map(|answer| answer.status);
        self.smuggled += usize::from(canaries > 0);
        // A refusal of the HTTP layer may follow an answer only where it is for the next request: never here.
        self.double += usize::from(handled + refused > 1 || lasts > 1);
        if handled + refused > 0 {
            self.answered += 1;
        } else {
            self.closed += 1;
        }
        let is_client_error = status.is_some_and(|status| (400..500).contains(&status));
        let as_expected = match case.expected {
            Expected::GoesOn(expected) => handled == 1 && status == Some(expected) && lasts == 1,
            Expected::Last(expected) => handled == 1 && status == Some(expected) && lasts == 0,
            Expected::Either(expected) => handled == 1 && status == Some(expected),
            Expected::Refused => handled == 0 && lasts == 0 && (refused == 0 || is_client_error),
            Expected::BadBody => {
                handled + refused <= 1 && lasts == 0 && (status.is_none() || is_client_error)
            }
        };
        if !(goods && as_expected && canaries == 0 && handled + refused <= 1 && seen.rest.is_empty()) {
            let answers: Vec<_> =
                seen.answers.iter().map(|answer| (answer.status, answer.id.clone())).collect();
            self.faults.push(format!(
                "{}, {shape}: expected {:?}, got {answers:?}, rest {:?}",
                case.name,
                case.expected,
                String::from_utf8_lossy(&seen.rest)
            ));
        }
        let is_post = case.request.starts_with(b"POST ");
        usize::from(is_post && handled == 1 && status == Some(200))
    }
}

/// Requests that the log has taken.
async fn records(kit: &Kit) -> usize {
    kit.metric("instant_audience_log_records_total").await as usize
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the test")]
async fn no_request_is_seen_in_another() {
    let kit = Kit::start().await;
    let client = kit.login("provider").await;
    let token = client.token.clone().unwrap();
    let parts = Parts { token: token.clone(), own_user: 1_000_000_001, canary_user: 2_000_000_002 };
    let cases = cases::all(&parts);
    let mut pacer = Pacer::connect(kit.api()).await;
    let mut tally = Tally::default();
    for case in &cases {
        let before = records(&kit).await;
        let mut accepted = 0;
        for (shape, pieces, good_before) in shapes(case, &token) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let seen = exchange(kit.api(), &mut pacer, &pieces).await;
            accepted += tally.judge(case, &shape, good_before, seen.as_ref());
            pacer.turn().await;
            if seen.is_none() {
                // Each further shape would take as long.
                break;
            }
        }
        let applied = records(&kit).await - before;
        if applied != accepted {
            tally.smuggled += applied.abs_diff(accepted);
            tally.faults.push(format!("{}: {accepted} were answered with OK, {applied} applied", case.name));
        }
        check_canary(&client, &parts, case, &mut tally).await;
    }
    println!(
        "figure: http: cases={} attempts={} answered={} closed={} smuggled={} double={} faults={}",
        cases.len(),
        tally.attempts,
        tally.answered,
        tally.closed,
        tally.smuggled,
        tally.double,
        tally.faults.len()
    );
    // A fault in one shape is mostly one in all.
    let mut shown = tally.faults.clone();
    shown.dedup_by_key(|fault| fault.split(',').next().unwrap_or_default().to_owned());
    assert!(tally.faults.is_empty(), "{} faults, among them\n{}", tally.faults.len(), shown.join("\n"));
    assert_eq!((tally.smuggled, tally.double), (0, 0));
}

async fn check_canary(client: &Client, parts: &Parts, case: &Case, tally: &mut Tally) {
    let canary = client.segments_of(&parts.canary_user.to_string()).await;
    if !canary.is_empty() && tally.smuggled == 0 {
        tally.smuggled += 1;
        tally.faults.push(format!("{}: a request inside it was applied", case.name));
    }
}
