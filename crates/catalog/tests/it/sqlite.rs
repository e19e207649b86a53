//! What only the store in SQLite has: its file.

use crate::rig::{NOON_MS, SMALL, apply, file, open, place, refused};
use ia_catalog::listing::ListQuery;
use ia_catalog::segments::{SegmentChange, SegmentStore as _, SegmentViewer};
use ia_catalog::usage::UsageStore as _;
use ia_catalog::{
    AccountChange, Accounts as _, BatchEdit, Catalog as _, CatalogError, Change, SqliteCatalog, SqliteUsage,
};
use ia_model::{ManualClock, MemberId, SegmentId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// Of the catalog's schema.
const STEPS: i64 = 10;

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn number(path: &Path, sql: &'static str) -> i64 {
    let mut connection = raw(path).await;
    let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    number
}

async fn run(path: &Path, sql: &'static str) {
    let mut connection = raw(path).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn reopen(path: &Path) -> Result<SqliteCatalog, CatalogError> {
    SqliteCatalog::open(path, Arc::new(ManualClock::at(NOON_MS))).await
}

#[tokio::test]
async fn only_the_owner_reads_the_files() {
    let (directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    let usage = SqliteUsage::open(&directory.path().join("usage.db")).await.unwrap();
    usage.commit(1, &[]).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    for name in ["catalog.db", "catalog.db-wal", "usage.db", "usage.db-wal"] {
        assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
}

#[tokio::test]
async fn the_tables_are_made_once() {
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    store.close().await;
    let again = open(&path).await;
    assert!(again.snapshot().await.unwrap().member(MemberId(1)).is_some());
    assert_eq!(number(&path, "SELECT count(*) FROM _sqlx_migrations").await, STEPS);
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut raw(&path).await).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    for _ in 0..5 {
        let (_directory, path) = place();
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { reopen(&path).await })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap().unwrap();
        }
        assert_eq!(number(&path, "SELECT count(*) FROM _sqlx_migrations").await, STEPS);
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_refused_and_left_alone() {
    for sql in [
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
        "UPDATE _sqlx_migrations SET checksum = x'00'",
    ] {
        let (_directory, path) = place();
        open(&path).await.close().await;
        run(&path, sql).await;
        let error = reopen(&path).await.unwrap_err();
        assert!(matches!(error, CatalogError::UnknownSchema { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("{} was written by another version of this program", path.display())
        );
        assert!(error.source().is_some() && !error.is_retryable());
    }
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    store.close().await;
    let sound = std::fs::read(&path).unwrap();
    let pages = sound.len() / 4096;
    let overwritten = |range: std::ops::Range<usize>| {
        let mut bytes = sound.clone();
        bytes[range].fill(0xa5);
        bytes
    };
    let cases = [
        ("no database at all", b"This is not a database, whatever its name says.".repeat(100)),
        ("its start is gone", overwritten(0..16)),
        ("its schema is gone", overwritten(100..4096)),
        ("its end is gone", sound[..sound.len() - 4096].to_vec()),
        ("a page in the middle is gone", overwritten(pages / 2 * 4096..(pages / 2 + 1) * 4096)),
    ];
    for (case, bytes) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = reopen(&path).await.expect_err(case);
        assert!(matches!(error, CatalogError::Damaged { .. }), "{case}: {error:?}");
        assert_eq!(
            error.to_string(),
            format!("{} is damaged or no database of this program", path.display())
        );
        assert!(error.source().is_some() && !error.is_retryable());
    }
    std::fs::write(&path, &sound).unwrap();
    reopen(&path).await.unwrap();
}

#[tokio::test]
async fn a_damaged_statistics_file_is_named() {
    let (_directory, path) = place();
    SqliteUsage::open(&path).await.unwrap().close().await;
    let sound = std::fs::read(&path).unwrap();
    let cases = [b"garbage ".repeat(1000), [vec![0xa5; 16], sound[16..].to_vec()].concat()];
    for bytes in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = SqliteUsage::open(&path).await.unwrap_err();
        assert!(matches!(error, CatalogError::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let (directory, _) = place();
    let path = directory.path().join("no/such/directory/catalog.db");
    let error = reopen(&path).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", path.display()));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_said() {
    let (_directory, path) = place();
    std::fs::create_dir(&path).unwrap();
    let error = reopen(&path).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_writer_that_does_not_end_is_a_reason_to_retry() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let mut blocker = raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut blocker).await.unwrap();
    let started = std::time::Instant::now();
    let error = refused(&store, SMALL).await;
    assert!(error.is_retryable(), "{error:?}");
    assert!(started.elapsed() >= std::time::Duration::from_secs(1), "it waited for the other");
    assert_eq!(store.generation().await.unwrap(), 0, "reading goes on");
    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
    apply(&store, SMALL).await;
}

#[tokio::test]
async fn the_highest_segment_id_stays_when_rows_go() {
    let (_directory, path) = place();
    let store = open(&path).await;
    assert_eq!(store.highest_segment_id().await.unwrap(), 0);
    apply(&store, SMALL).await;
    apply(&store, r#"{"segments": [{"id": 5, "member_id": 1}]}"#).await;
    assert_eq!(store.highest_segment_id().await.unwrap(), 13);
    store.delete_segment(SegmentId(13)).await.unwrap();
    assert_eq!(number(&path, "SELECT count(*) FROM segments WHERE id = 13").await, 1, "deleted, still a row");
    run(&path, "DELETE FROM segments WHERE id = 13").await;
    assert_eq!(store.highest_segment_id().await.unwrap(), 13);
}

#[tokio::test]
async fn a_login_id_is_not_used_again() {
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    run(&path, "DELETE FROM users").await;
    apply(&store, SMALL).await;
    assert_eq!(store.login_by_name("ann").await.unwrap().unwrap().login.user_id, 2);
}

#[tokio::test]
async fn changes_of_a_segment_are_dated() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::at(NOON_MS));
    let store = SqliteCatalog::open(&path, clock.clone()).await.unwrap();
    apply(&store, SMALL).await;
    clock.advance(1000);
    let change =
        r#"{"segments": [{"id": 11, "member_id": 1, "state": "inactive"}, {"id": 12, "member_id": 1}]}"#;
    apply(&store, change).await;
    let noon = i64::try_from(NOON_MS).unwrap();
    assert_eq!(number(&path, "SELECT last_modified FROM segments WHERE id = 11").await, noon + 1000);
    assert_eq!(number(&path, "SELECT last_modified FROM segments WHERE id = 12").await, noon);
}

#[tokio::test]
async fn rows_that_contradict_each_other_cannot_be_stored() {
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    for sql in [
        "INSERT INTO segments (id, member_id, state, last_modified) VALUES (50, 99, 'active', 0)",
        "INSERT INTO segments (id, member_id, state, last_modified) VALUES (50, 1, 'on', 0)",
        "INSERT INTO segments (id, member_id, code, code_lower, state, last_modified)
             VALUES (50, 1, 'SPORTS', 'sports', 'active', 0)",
        "INSERT INTO generation (id, value) VALUES (2, 0)",
    ] {
        let mut connection = raw(&path).await;
        assert!(sqlx::raw_sql(sql).execute(&mut connection).await.is_err(), "{sql}");
    }
}

/// What is quadratic shows as a test that does not end; how long it takes is printed.
#[expect(clippy::print_stderr, reason = "the figures are for who runs it with --nocapture")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_segments_are_no_burden() {
    let count = 100_000u32;
    let mut text =
        String::from(r#"{"members": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}], "segments": ["#);
    for id in 1..=count {
        let comma = if id == 1 { "" } else { "," };
        let member = 1 + id % 2;
        text += &format!(
            r#"{comma}{{"id": {id}, "member_id": {member}, "code": "Code-{id}", "expire_minutes": 60}}"#
        );
    }
    text += "]}";
    let (_directory, path) = place();
    let store = open(&path).await;

    let started = std::time::Instant::now();
    let report = store.apply(&file(&text)).await.unwrap();
    let applied = started.elapsed();
    assert_eq!(report.segments.created, count as usize);

    let started = std::time::Instant::now();
    let snapshot = store.snapshot().await.unwrap();
    let read = started.elapsed();
    for id in 1..=count {
        let member = MemberId(1 + id % 2);
        assert_eq!(snapshot.segment_by_code(member, &format!("code-{id}")).unwrap().id, SegmentId(id));
        assert_eq!(snapshot.segment(SegmentId(id)).unwrap().member, member);
    }
    assert!(snapshot.segment_by_code(MemberId(1), "code-1").is_none());
    let started = std::time::Instant::now();
    assert!(!store.apply(&file(&text)).await.unwrap().is_change());
    let again = started.elapsed();
    let viewer = SegmentViewer { member: MemberId(1), with_shared: true };
    let search = ListQuery { search: Some("E-9999".into()), num_elements: 100, ..ListQuery::default() };
    let started = std::time::Instant::now();
    assert_eq!(store.list_segments(viewer, &search).await.unwrap().count, 5);
    let searched = started.elapsed();
    eprintln!(
        "100,000 segments: apply {applied:?}, apply again {again:?}, snapshot {read:?}, search {searched:?}"
    );
}

/// Earlier versions took other separators. They stay, and may be sent back, until somebody sets new ones.
#[tokio::test]
async fn separators_of_earlier_versions_stay() {
    const OLD: [&str; 5] = ["|", "*", " :: ", "\u{2192}", "$$"];
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    store.close().await;
    run(
        &path,
        "INSERT INTO batch_files (member_id, separator_1, separator_2, separator_3, separator_4, separator_5, \
             segment_fields, last_modified) VALUES (1, '|', '*', ' :: ', '\u{2192}', '$$', 'SEG_ID,COLOUR', 0)",
    )
    .await;
    let store = reopen(&path).await.unwrap();
    store.snapshot().await.unwrap();
    let root = r#"{"users": [{"username": "root", "password": "Correct-horse-1", "member_id": 1, "user_type": "admin"}]}"#;
    apply(&store, root).await;
    let root = store.login_by_name("root").await.unwrap().unwrap().login;
    let edit = async |edit: BatchEdit| {
        let change = AccountChange::EditBatch(vec![(1, edit)]);
        store.change_accounts(&change, &root, NOON_MS).await.map(drop)
    };
    let shown = async || {
        let query = ListQuery { num_elements: 10, ..ListQuery::default() };
        let page = store.list_batch(&root, &query).await.unwrap();
        let row = page.items.into_iter().find(|row| row.member.id.0 == 1).unwrap();
        row.batch.unwrap()
    };
    assert_eq!((shown().await.separators, shown().await.segment_fields.len()), (OLD.map(str::to_owned), 2));
    // Another field, and all of it sent back.
    let separators = OLD.map(|separator| Some(separator.to_owned()));
    let hourly_byte_limit = Change::Set(5);
    edit(BatchEdit { hourly_byte_limit: hourly_byte_limit.clone(), ..BatchEdit::default() }).await.unwrap();
    edit(BatchEdit { hourly_byte_limit, separators: separators.clone(), ..BatchEdit::default() })
        .await
        .unwrap();
    assert_eq!(shown().await.separators, OLD.map(str::to_owned));
    // New ones are new, also where an old one is given up.
    let set = |index: usize, text: &str| {
        let mut edit = BatchEdit::default();
        edit.separators[index] = Some(text.to_owned());
        edit
    };
    for (index, text) in [(0, "||"), (1, "|"), (4, "*"), (2, "::")] {
        let refused = edit(set(index, text)).await;
        assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{index} {text}: {refused:?}");
    }
    edit(set(1, ";")).await.unwrap();
    assert_eq!(shown().await.separators, ["|", ";", " :: ", "\u{2192}", "$$"].map(str::to_owned));
}

/// Earlier versions let parents form circles.
#[tokio::test]
async fn a_circle_of_parents_that_is_there_stops_nothing() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let segments: Vec<String> = (1..=6).map(|id| format!(r#"{{"id": {id}, "member_id": 1}}"#)).collect();
    let file = format!(r#"{{"members": [{{"id": 1, "name": "A"}}], "segments": [{}]}}"#, segments.join(","));
    apply(&store, &file).await;
    store.close().await;
    run(&path, "UPDATE segments SET parent_segment_id = id % 3 + 1 WHERE id <= 3; UPDATE segments SET parent_segment_id = 4 WHERE id = 4").await;
    let store = reopen(&path).await.unwrap();
    let viewer = SegmentViewer { member: MemberId(1), with_shared: true };
    let query = ListQuery { num_elements: 100, ..ListQuery::default() };
    assert_eq!(store.list_segments(viewer, &query).await.unwrap().count, 6);
    let change = async |changes: &[(u32, u32)]| {
        let change = |&(id, parent): &(u32, u32)| {
            let parent_segment_id = Some((parent > 0).then_some(SegmentId(parent)));
            (SegmentId(id), SegmentChange { parent_segment_id, ..SegmentChange::default() })
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        store.change_segments(MemberId(1), &changes, NOON_MS).await.map(drop)
    };
    // What was read may be sent back, others may come below the circle, and none may join it.
    change(&[(1, 2), (2, 3), (3, 1), (4, 4)]).await.unwrap();
    change(&[(5, 2)]).await.unwrap();
    assert!(matches!(change(&[(5, 6), (2, 5), (6, 3)]).await, Err(CatalogError::Conflict { .. })));
    assert!(
        matches!(change(&[(1, 3)]).await, Err(CatalogError::Conflict { .. })),
        "a smaller circle is one too"
    );
    change(&[(1, 0), (4, 0)]).await.unwrap();
    change(&[(1, 4)]).await.unwrap();
}
