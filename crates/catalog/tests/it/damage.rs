//! What becomes of a database whose bytes were changed: what was written, or an error that names the file.

use crate::rig::{MINUTE_MS, NOON_MS, SMALL, apply, open};
use ia_catalog::listing::ListQuery;
use ia_catalog::usage::{Counters, HourDelta, UsageStore as _};
use ia_catalog::{
    AccountChange, Accounts as _, BatchEdit, Catalog as _, CatalogError, Change, KnownUserStore as _,
    NewPublicKey, NewToken, PublicKeyStore as _, RsaKey, SqliteCatalog, SqliteUsage, SuppressedLink,
    SuppressedUser, SuppressionStore as _, TokenHash, TokenStore as _,
};
use ia_model::{ManualClock, MemberId, SegmentId};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tempfile::TempDir;

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Zeros(usize, usize),
    Missing,
}

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Damage::Flip(at, bit) => bytes[at] ^= 1 << bit,
            Damage::Cut(length) => bytes.truncate(length),
            Damage::Zeros(from, to) => bytes[from..to].fill(0),
            Damage::Missing => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }

    fn all(bytes: &[u8], step: usize) -> Vec<Damage> {
        let length = bytes.len();
        let mut all = vec![Damage::Missing];
        // Bytes that are in use, and the beginning of each page, where its order stands.
        let places = (0..length).filter(|&at| {
            at % step == 0
                || (bytes[at] != 0 && at * 7 % step < 7)
                || (at % 4096 < 16 && at * 13 % step < 100)
                || (at < 100 && length < 200_000)
        });
        all.extend(places.map(|at| Damage::Flip(at, (at % 8) as u8)));
        for at in (0..length).step_by(if step < 100 { 1024 } else { 16_411 }) {
            all.extend([
                Damage::Cut(at + 1),
                Damage::Cut(at + 400),
                Damage::Zeros(at, (at + 512).min(length)),
            ]);
        }
        all
    }
}

/// A folder in memory where there is one: an opened database is flushed, thousands of times here.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// A database with what belongs to it, the bytes of each file, and what may be found in it.
struct Sound {
    name: &'static str,
    files: Vec<(String, Vec<u8>)>,
    content: String,
    /// What was there before: a WAL that is cut short brings it back.
    earlier: Vec<String>,
}

/// A file with the WAL and its index, as a killed process leaves them.
fn files_of(path: &Path) -> Vec<(String, Vec<u8>)> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let names = [name.to_owned(), format!("{name}-wal"), format!("{name}-shm")];
    let read = |name: String| Some((name.clone(), fs::read(path.with_file_name(name)).ok()?));
    names.into_iter().filter_map(read).collect()
}

type Content<'a> = Pin<Box<dyn Future<Output = Result<String, CatalogError>> + 'a>>;

#[derive(Default)]
struct Counts {
    files: usize,
    cases: usize,
    detected: usize,
    harmless: usize,
    earlier: usize,
}

/// Damages each file in every way, opens, and compares.
async fn try_all(sound: &Sound, step: usize, content: fn(PathBuf) -> Content<'static>, counts: &mut Counts) {
    for (file, bytes) in &sound.files {
        counts.files += 1;
        for damage in Damage::all(bytes, if bytes.len() > 200_000 { step * 4 } else { step }) {
            if matches!(damage, Damage::Missing) && file == sound.name {
                // A new one is made; the server asks whether there should be one.
                continue;
            }
            let case = format!("{file} {damage:?}");
            let place = in_memory();
            for (file, bytes) in &sound.files {
                fs::write(place.path().join(file), bytes).unwrap();
            }
            damage.apply(&place.path().join(file));
            counts.cases += 1;
            let task = tokio::task::spawn_local(content(place.path().join(sound.name)));
            match task.await.unwrap_or_else(|_| panic!("{case}: a panic")) {
                Ok(found) if found == sound.content => counts.harmless += 1,
                Ok(found) if file.ends_with("-wal") && sound.earlier.contains(&found) => counts.earlier += 1,
                Ok(found) => panic!("{case}: wrong content\n{found}\nfor\n{}", sound.content),
                Err(error) => {
                    assert!(error.to_string().contains(sound.name), "{case}: {error}");
                    counts.detected += 1;
                }
            }
        }
    }
}

/// Everything in a catalog, as text.
fn catalog_content(path: PathBuf) -> Content<'static> {
    Box::pin(async move {
        let store = SqliteCatalog::open(&path, Arc::new(ManualClock::at(NOON_MS))).await?;
        let content = everything(&store).await;
        store.close().await;
        content
    })
}

async fn everything(store: &SqliteCatalog) -> Result<String, CatalogError> {
    let snapshot = store.snapshot().await?;
    let mut text = format!("{} {:?}\n", snapshot.generation(), snapshot.segments());
    for id in 1..30 {
        let member = MemberId(id);
        let owners: Vec<u32> = (1..30).filter(|&id| snapshot.may_write(member, MemberId(id))).collect();
        text += &format!("{id} {:?} writes {owners:?}", snapshot.member(member));
        if let Some(segment) = snapshot.segment(SegmentId(id)) {
            let viewers: Vec<u32> = (1..30).filter(|&id| snapshot.may_see(MemberId(id), segment)).collect();
            text += &format!(" seen by {viewers:?}");
        }
        text += "\n";
    }
    text += &format!("{:?}\n", store.login_by_name("ann").await?);
    let mut tokens: Vec<String> =
        store.load_tokens().await?.iter().map(|token| format!("{token:?}")).collect();
    tokens.sort();
    text += &tokens.join("\n");
    text += &format!("\n{}", store.highest_segment_id().await?);
    if let Some((login, key)) = store.public_key_of("ann", "key").await? {
        text += &format!("\n{login:?} {key:?} {}", key.key.to_pem());
    }
    text += &format!("\n{:?} {:?}", store.known_user_key().await?, store.known_users_after(0).await?);
    // The key is a secret, and its `Debug` says so.
    text += &format!("\n{:?} {:?}", store.suppression_key().await?.0, store.suppressed_users().await?);
    text += &format!("\n{:?}", store.suppressed_links().await?);
    if let Some(root) = store.login_by_name("root").await? {
        text += &format!("\n{:?}", store.list_batch(&root.login, &ListQuery::default()).await?);
    }
    Ok(text)
}

/// Opt-outs of all kinds, with linked ids, and the set-ups of two members.
async fn add_opt_outs_and_set_ups(store: &SqliteCatalog) {
    store.suppression_key().await.unwrap();
    let hash = |n: u8| std::array::from_fn(|at| n.wrapping_mul(37).wrapping_add(at as u8 * 11));
    let user =
        |n: u8| SuppressedUser { hash: hash(n), member: (!n.is_multiple_of(3)).then(|| MemberId(n.into())) };
    let users: Vec<SuppressedUser> = (1..60).map(user).collect();
    let of_members = users.iter().filter(|user| user.member.is_some());
    let links = of_members.zip(100..).map(|(&of, n)| SuppressedLink { of, hash: hash(n) });
    store.suppress(&users, &links.collect::<Vec<_>>()).await.unwrap();
    let root = store.login_by_name("root").await.unwrap().unwrap().login;
    let edit = |separator: &str, limit: u64| BatchEdit {
        separators: [None, None, None, None, Some(separator.to_owned())],
        segment_fields: Some(vec!["SEG_CODE".to_owned(), "VALUE".to_owned()]),
        daily_byte_limit: Change::Set(limit),
        ..BatchEdit::default()
    };
    let set_ups = vec![(1, edit("^", 1 << 40)), (2, edit("~", 12_345_678))];
    store.change_accounts(&AccountChange::CreateBatch(set_ups), &root, NOON_MS).await.unwrap();
}

async fn sound_catalog() -> [Sound; 2] {
    let place = in_memory();
    let path = place.path().join("catalog.sqlite");
    let store = open(&path).await;
    apply(&store, SMALL).await;
    apply(&store, r#"{"segments": [{"id": 29, "member_id": 2, "code": "late"}]}"#).await;
    apply(
        &store,
        r#"{"users": [{"username": "root", "password": "Correct-horse-1", "member_id": 3, "user_type": "admin"}]}"#,
    )
    .await;
    add_opt_outs_and_set_ups(&store).await;
    store.known_user_key().await.unwrap();
    store
        .add_known_users(
            &(1..=1200).map(|n: u64| n.wrapping_mul(0x0123_4567_89ab_cdef)).collect::<Vec<u64>>(),
        )
        .await
        .unwrap();
    let key = NewPublicKey {
        user_id: 1,
        name: "key".to_owned(),
        active: true,
        key: RsaKey::of_nobody(),
        now_ms: NOON_MS,
    };
    store.create_public_key(&key).await.unwrap();
    // Moves what was written so far out of the WAL.
    store.delete_segment(SegmentId(13)).await.unwrap();
    let mut earlier = vec![everything(&store).await.unwrap()];
    let login = store.login_by_name("ann").await.unwrap().unwrap();
    for n in 0..3 {
        let token = NewToken {
            hash: TokenHash::of(&format!("token {n}")),
            user_id: login.login.user_id,
            password_hash: login.password_hash.clone(),
            public_key: None,
            issued_at_ms: NOON_MS + n * MINUTE_MS,
        };
        store.insert_token(&token).await.unwrap();
        earlier.push(everything(&store).await.unwrap());
    }
    let name = "catalog.sqlite";
    let content = earlier.pop().unwrap();
    let killed = Sound { name, files: files_of(&path), content: content.clone(), earlier };
    assert_eq!(killed.files.len(), 3, "a WAL with its index");
    store.close().await;
    let closed = Sound { name, files: files_of(&path), content, earlier: Vec::new() };
    assert_eq!(closed.files.len(), 1);
    [killed, closed]
}

/// Everything in the statistics, as text.
fn usage_content(path: PathBuf) -> Content<'static> {
    Box::pin(async move {
        let usage = SqliteUsage::open(&path).await?;
        let content = counted(&usage).await;
        usage.close().await;
        content
    })
}

async fn counted(usage: &SqliteUsage) -> Result<String, CatalogError> {
    let mut text = format!("{}\n", usage.position().await?);
    for member in 1..4 {
        let member = MemberId(member);
        text += &format!("{:?}\n", usage.report(member, 0..u64::MAX).await?);
        text += &format!("{:?}\n", usage.totals(member, 0..u64::MAX).await?);
    }
    Ok(text)
}

async fn sound_usage() -> [Sound; 2] {
    let place = in_memory();
    let path = place.path().join("usage.sqlite");
    let usage = SqliteUsage::open(&path).await.unwrap();
    let mut earlier = vec![counted(&usage).await.unwrap()];
    for position in 1..=12u64 {
        let delta = |member| HourDelta {
            member: MemberId(member),
            hour_start_ms: NOON_MS + position / 5 * 60 * MINUTE_MS,
            counters: Counters {
                valid_users: 1000 + position,
                valid_adds: 7 * position,
                ..Counters::default()
            },
            error_lines: vec![format!("Invalid users: {position}")],
            segment_lines: (0..40).map(|line| format!("Valid users: {position} {line}")).collect(),
        };
        usage.commit(position, &[delta(1), delta(2)]).await.unwrap();
        earlier.push(counted(&usage).await.unwrap());
    }
    let name = "usage.sqlite";
    let content = earlier.pop().unwrap();
    let killed = Sound { name, files: files_of(&path), content: content.clone(), earlier };
    usage.close().await;
    let closed = Sound { name, files: files_of(&path), content, earlier: Vec::new() };
    [killed, closed]
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
async fn a_damaged_database_never_gives_wrong_content() {
    let long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let step = if long { 61 } else { 1999 };
    let mut counts = Counts::default();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for sound in sound_catalog().await {
                try_all(&sound, step, catalog_content, &mut counts).await;
            }
            for sound in sound_usage().await {
                try_all(&sound, step, usage_content, &mut counts).await;
            }
        })
        .await;
    let Counts { files, cases, detected, harmless, earlier } = counts;
    println!(
        "figure: damage-sqlite: files={files} cases={cases} detected={detected} harmless={harmless} wal_cut_back={earlier} silent=0"
    );
    assert!(detected > cases / 10, "it must hit something");
}
