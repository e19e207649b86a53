//! The usage statistics.

use crate::rig::{HOUR_MS, NOON_MS, place};
use ia_catalog::usage::{Counters, ErasedId, HourDelta, HourRow, LINES_PER_HOUR, UsageStore};
use ia_catalog::{CatalogError, SqliteUsage};
use ia_model::MemberId;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

const EVER: Range<u64> = 0..u64::MAX;
const MEMBER: MemberId = MemberId(958);

struct Rig {
    store: Arc<dyn UsageStore>,
    _directory: TempDir,
}

async fn sqlite() -> Rig {
    let (directory, path) = place();
    Rig { store: Arc::new(SqliteUsage::open(&path).await.unwrap()), _directory: directory }
}

/// Runs each of these functions over every store.
macro_rules! over_each {
    ($($name:ident),* $(,)?) => {
        mod over_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::sqlite().await).await; })*
        }
    };
}

over_each!(
    nothing_is_counted_at_first,
    every_counter_is_added_up,
    a_position_is_counted_once,
    a_report_is_one_member_and_one_range_in_order,
    the_newest_lines_are_kept,
    lines_are_kept_as_they_are,
    old_hours_go_with_their_lines,
    erased_ids_leave_the_lines,
);

fn delta(hour: u64, valid_users: u64) -> HourDelta {
    HourDelta {
        member: MEMBER,
        hour_start_ms: NOON_MS + hour * HOUR_MS,
        counters: Counters { valid_users, ..Counters::default() },
        error_lines: Vec::new(),
        segment_lines: Vec::new(),
    }
}

fn lines(range: Range<usize>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

async fn report(rig: &Rig) -> Vec<HourRow> {
    rig.store.report(MEMBER, EVER).await.unwrap()
}

async fn nothing_is_counted_at_first(rig: Rig) {
    assert_eq!(rig.store.position().await.unwrap(), 0);
    assert!(report(&rig).await.is_empty());
    assert_eq!(rig.store.totals(MEMBER, EVER).await.unwrap(), Counters::default());
    assert_eq!(rig.store.purge_before(u64::MAX).await.unwrap(), 0);
}

async fn every_counter_is_added_up(rig: Rig) {
    let counters = Counters {
        valid_users: 1,
        invalid_users: 2,
        valid_adds: 3,
        valid_removes: 4,
        unauth_segments: 5,
        inactive_segments: 6,
        invalid_segments: 7,
        other_errors: 8,
    };
    let one = HourDelta { counters, ..delta(0, 0) };
    rig.store.commit(1, std::slice::from_ref(&one)).await.unwrap();
    // The same hour twice in one commit, too.
    rig.store.commit(2, &[one.clone(), one]).await.unwrap();
    let tripled = Counters {
        valid_users: 3,
        invalid_users: 6,
        valid_adds: 9,
        valid_removes: 12,
        unauth_segments: 15,
        inactive_segments: 18,
        invalid_segments: 21,
        other_errors: 24,
    };
    let rows = report(&rig).await;
    assert_eq!((rows.len(), rows[0].counters), (1, tripled));
    assert_eq!(rig.store.totals(MEMBER, EVER).await.unwrap(), tripled);
}

async fn a_position_is_counted_once(rig: Rig) {
    rig.store.commit(10, &[delta(0, 5)]).await.unwrap();
    for position in [10, 9, 0] {
        let error = rig.store.commit(position, &[delta(0, 5), delta(1, 5)]).await.unwrap_err();
        assert!(matches!(error, CatalogError::Conflict { .. }) && !error.is_retryable(), "{error:?}");
    }
    assert_eq!(rig.store.position().await.unwrap(), 10);
    let rows = report(&rig).await;
    assert_eq!((rows.len(), rows[0].counters.valid_users), (1, 5));
    rig.store.commit(11, &[]).await.unwrap();
    assert_eq!(rig.store.position().await.unwrap(), 11, "records may have nothing to count");
}

async fn a_report_is_one_member_and_one_range_in_order(rig: Rig) {
    let other = HourDelta { member: MemberId(1), ..delta(0, 100) };
    rig.store.commit(1, &[delta(2, 30), delta(0, 10), other, delta(1, 20), delta(3, 40)]).await.unwrap();
    let counted = async |hours: Range<u64>| -> Vec<u64> {
        let rows = rig.store.report(MEMBER, hours.clone()).await.unwrap();
        let counted: Vec<u64> = rows.iter().map(|row| row.counters.valid_users).collect();
        let totals = rig.store.totals(MEMBER, hours).await.unwrap();
        assert_eq!(totals.valid_users, counted.iter().sum::<u64>());
        counted
    };
    assert_eq!(counted(EVER).await, [10, 20, 30, 40]);
    assert_eq!(counted(NOON_MS + HOUR_MS..NOON_MS + 3 * HOUR_MS).await, [20, 30]);
    assert_eq!(counted(NOON_MS + 1..NOON_MS + HOUR_MS + 1).await, [20]);
    assert!(counted(NOON_MS..NOON_MS).await.is_empty());
    assert!(rig.store.report(MemberId(2), EVER).await.unwrap().is_empty());
}

async fn the_newest_lines_are_kept(rig: Rig) {
    let with_lines = |errors, segments| HourDelta {
        error_lines: lines(errors),
        segment_lines: lines(segments),
        ..delta(0, 1)
    };
    rig.store.commit(1, &[with_lines(0..150, 0..1)]).await.unwrap();
    rig.store.commit(2, &[with_lines(150..190, 1..1)]).await.unwrap();
    let rows = report(&rig).await;
    assert_eq!((&rows[0].error_lines, &rows[0].segment_lines), (&lines(0..190), &lines(0..1)));
    rig.store.commit(3, &[with_lines(190..230, 1..1000), delta(1, 1)]).await.unwrap();
    let rows = report(&rig).await;
    assert_eq!(rows[0].error_lines, lines(30..230));
    assert_eq!(rows[0].segment_lines, lines(800..1000));
    assert_eq!(rows[0].error_lines.len(), LINES_PER_HOUR);
    assert!(rows[1].error_lines.is_empty() && rows[1].segment_lines.is_empty());
}

async fn lines_are_kept_as_they_are(rig: Rig) {
    let odd: Vec<String> =
        ["", "a\nb", "\"quoted\" \\", "Ünïcödé \u{1F600}", "\0"].into_iter().map(String::from).collect();
    rig.store.commit(1, &[HourDelta { error_lines: odd.clone(), ..delta(0, 1) }]).await.unwrap();
    assert_eq!(report(&rig).await[0].error_lines, odd);
}

async fn old_hours_go_with_their_lines(rig: Rig) {
    let with_lines = |hour| HourDelta { error_lines: lines(0..3), ..delta(hour, 1) };
    rig.store.commit(1, &[with_lines(0), with_lines(1), with_lines(2)]).await.unwrap();
    assert_eq!(rig.store.purge_before(NOON_MS + 2 * HOUR_MS).await.unwrap(), 2);
    assert_eq!(report(&rig).await.len(), 1);
    rig.store.commit(2, &[delta(0, 7)]).await.unwrap();
    let rows = report(&rig).await;
    assert_eq!((rows.len(), rows[0].counters.valid_users), (2, 7));
    assert!(rows[0].error_lines.is_empty(), "no line came back");
    assert_eq!(rig.store.position().await.unwrap(), 2);
}

#[tokio::test]
async fn what_was_committed_outlives_the_process() {
    let (_directory, path) = place();
    let store = SqliteUsage::open(&path).await.unwrap();
    store.commit(7, &[HourDelta { segment_lines: lines(0..2), ..delta(0, 3) }]).await.unwrap();
    // As a killed process leaves its files.
    let copy = path.with_file_name("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(path.with_file_name("catalog.db-wal"), copy.with_file_name("copy.db-wal")).unwrap();
    for path in [&copy, &path] {
        let again = SqliteUsage::open(path).await.unwrap();
        assert_eq!(again.position().await.unwrap(), 7);
        assert_eq!(again.report(MEMBER, EVER).await.unwrap(), store.report(MEMBER, EVER).await.unwrap());
    }
}

/// A commit that fails in its middle must leave neither counters nor position: else the records would be
/// counted twice, or never.
#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let (_directory, path) = place();
    let store = SqliteUsage::open(&path).await.unwrap();
    store.commit(1, &[delta(0, 1)]).await.unwrap();
    let beyond = HourDelta { hour_start_ms: u64::MAX, ..delta(0, 1) };
    store.commit(2, &[delta(0, 1), beyond]).await.unwrap_err();
    assert_eq!(store.position().await.unwrap(), 1);
    assert_eq!(store.report(MEMBER, EVER).await.unwrap()[0].counters.valid_users, 1);
    store.commit(2, &[delta(0, 1)]).await.unwrap();
    assert_eq!(store.report(MEMBER, EVER).await.unwrap()[0].counters.valid_users, 2);
}

#[tokio::test]
async fn two_followers_cannot_count_a_record_twice() {
    let (_directory, path) = place();
    let (one, other) = (SqliteUsage::open(&path).await.unwrap(), SqliteUsage::open(&path).await.unwrap());
    for position in 1..=50 {
        let deltas = [delta(0, 1)];
        let (first, second) = tokio::join!(one.commit(position, &deltas), other.commit(position, &deltas));
        assert_ne!(first.is_ok(), second.is_ok(), "exactly one gets in");
    }
    assert_eq!(one.report(MEMBER, EVER).await.unwrap()[0].counters.valid_users, 50);
}

fn erased(member: Option<MemberId>, id: &str) -> ErasedId {
    ErasedId { member, id: id.to_owned() }
}

async fn erased_ids_leave_the_lines(rig: Rig) {
    const OTHER: MemberId = MemberId(7);
    let store = &rig.store;
    assert_eq!(store.scrub().await.unwrap(), 0, "nothing is noted");
    let lines =
        |from: u64| (from..from + 3).map(|id| format!("Valid users: {id}, 9{id}")).collect::<Vec<_>>();
    let of = |member, from| HourDelta { member, segment_lines: lines(from), ..delta(0, 1) };
    store.commit(1, &[of(MEMBER, 100), of(OTHER, 100)]).await.unwrap();
    let notes = [erased(None, "100"), erased(Some(MEMBER), "101"), erased(Some(MEMBER), "101")];
    store.commit_erasing(2, &[of(MEMBER, 101), delta(1, 1)], &notes).await.unwrap();
    store.commit_erasing(3, &[], &[erased(Some(OTHER), "102")]).await.unwrap();
    assert_eq!(store.scrub().await.unwrap(), 5);
    let shown = async |member| store.report(member, EVER).await.unwrap()[0].segment_lines.clone();
    let line = |first: &str, second: &str| format!("Valid users: {first}, {second}");
    let gone = "(erased)";
    assert_eq!(
        shown(MEMBER).await,
        [
            line(gone, "9100"),
            line(gone, "9101"),
            line("102", "9102"),
            line(gone, "9101"),
            line("102", "9102"),
            line("103", "9103"),
        ]
    );
    assert_eq!(shown(OTHER).await, [line(gone, "9100"), line("101", "9101"), line(gone, "9102")]);
    // What is sent later is new, and stays.
    store.commit(4, &[of(MEMBER, 100)]).await.unwrap();
    assert_eq!(store.scrub().await.unwrap(), 0);
    assert!(shown(MEMBER).await.contains(&line("100", "9100")));
    let totals = store.totals(MEMBER, EVER).await.unwrap();
    assert_eq!(totals.valid_users, 4, "the sums stay");
}

/// The file and its WAL, as another process sees them.
fn occurrences(path: &std::path::Path, text: &str) -> usize {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let bytes = [path.as_os_str(), &wal].map(|path| std::fs::read(path).unwrap_or_default());
    bytes.iter().map(|bytes| bytes.windows(text.len()).filter(|at| *at == text.as_bytes()).count()).sum()
}

#[tokio::test]
async fn no_byte_of_an_erased_id_stays_in_the_file() {
    let (_directory, path) = place();
    let store = SqliteUsage::open(&path).await.unwrap();
    let id = "7301234567890123456";
    let line = |n: usize| {
        format!("Valid users: {}", if n.is_multiple_of(7) { id.to_owned() } else { n.to_string() })
    };
    for position in 1..60 {
        let segment_lines = (0..40).map(|n| line(n + position as usize)).collect();
        store.commit(position, &[HourDelta { segment_lines, ..delta(position / 20, 1) }]).await.unwrap();
        if position == 40 {
            store.purge_before(NOON_MS + HOUR_MS).await.unwrap();
        }
    }
    assert!(occurrences(&path, id) > 20);
    store.commit_erasing(60, &[], &[erased(None, id)]).await.unwrap();
    // A crash between the note and its work.
    store.close().await;
    let store = SqliteUsage::open(&path).await.unwrap();
    assert!(store.scrub().await.unwrap() > 20);
    assert_eq!(occurrences(&path, id), 0);
    store.commit(61, &[delta(2, 1)]).await.unwrap();
    store.close().await;
    assert_eq!(occurrences(&path, id), 0);
    assert!(occurrences(&path, "Valid users: 36") > 0, "the search finds what is there");
    SqliteUsage::open(&path).await.unwrap().report(MEMBER, EVER).await.unwrap();
}
