//! The usage statistics, over both stores.

use crate::rig::{HOUR_MS, NOON_MS, place};
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, HourDelta, HourRow, LINES_PER_HOUR, MemoryUsage, SqliteUsage, UsageStore};
use ia_model::MemberId;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

const EVER: Range<u64> = 0..u64::MAX;
const MEMBER: MemberId = MemberId(958);

struct Rig {
    store: Arc<dyn UsageStore>,
    _directory: Option<TempDir>,
}

async fn memory() -> Rig {
    Rig { store: Arc::new(MemoryUsage::new()), _directory: None }
}

async fn sqlite() -> Rig {
    let (directory, path) = place();
    Rig { store: Arc::new(SqliteUsage::open(&path).await.unwrap()), _directory: Some(directory) }
}

macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::memory().await).await; })*
        }
        mod over_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::sqlite().await).await; })*
        }
    };
}

over_both!(
    nothing_is_counted_at_first,
    every_counter_is_added_up,
    a_position_is_counted_once,
    a_report_is_one_member_and_one_range_in_order,
    the_newest_lines_are_kept,
    lines_are_kept_as_they_are,
    old_hours_go_with_their_lines,
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
