use super::*;
use ia_model::record::{FileChunk, Ingest, Usage};
use ia_model::{Domain, Expiry, MemberId, Record};
use ia_profiles::{MemoryProfiles, PackedProfiles, ProfileOptions};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const S: SegmentId = SegmentId(2_000_000_000);
const NOW: Minute = Minute(100);
static GOES_ON: AtomicBool = AtomicBool::new(false);

fn user(id: u64) -> UserKey {
    UserKey::platform(id).unwrap()
}

fn record(batch: Batch, file: Option<FileChunk>) -> Record {
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms: NOW.unix_ms(),
        member: MemberId(1),
        request_id: "r".to_owned(),
        batch,
        usage: Usage::default(),
        file: file.map(Box::new),
    }))
}

fn add(profiles: &dyn Profiles, users: impl IntoIterator<Item = UserKey>) {
    let mut batch = Batch::default();
    let change = Change::Add { expires: Expiry::Never, value: 1 };
    users.into_iter().for_each(|user| batch.push(user, [Operation { segment: S, change }]));
    profiles.apply(profiles.applied_position() + 1, &record(batch, None)).unwrap();
}

fn members(profiles: &dyn Profiles) -> BTreeSet<UserKey> {
    let mut members = BTreeSet::new();
    visit(profiles, S, NOW, &GOES_ON, &mut |user| {
        members.insert(user);
        Continue(())
    })
    .unwrap();
    members
}

fn begin(file: &Path, profiles: &dyn Profiles) -> Result<Replacing, ReplaceFault> {
    Replacing::begin(file, profiles, S, NOW, max_users_bytes(), &GOES_ON)
}

fn users_of(batch: &Batch) -> BTreeSet<UserKey> {
    let users: BTreeSet<UserKey> = batch.iter().map(|(user, _)| user.clone()).collect();
    assert_eq!(users.len(), batch.users(), "each once");
    assert!(batch.operations().iter().all(|of| *of == Operation { segment: S, change: Change::Remove }));
    users
}

/// The profiles of a test, in memory and mostly on disk.
fn over_all(test: impl Fn(&dyn Profiles, &Path)) {
    let dir = TempDir::new().unwrap();
    test(&MemoryProfiles::new(3), &dir.path().join("members"));
    for memory_budget_bytes in [1 << 20, 0] {
        let dir = TempDir::new().unwrap();
        let options = ProfileOptions { memory_budget_bytes, shards: 4, ..ProfileOptions::default() };
        let profiles = PackedProfiles::open(&dir.path().join("profiles"), options).unwrap();
        test(&profiles, &dir.path().join("members"));
    }
}

#[test]
fn who_was_in_before_and_is_not_in_the_file_goes_out() {
    over_all(|profiles, file| {
        add(profiles, (1..=100).map(user));
        profiles.checkpoint().unwrap();
        let mut replacing = begin(file, profiles).unwrap();
        assert_eq!(replacing.left(), 100);
        // The file has users 1 to 10 and a new one, one of them twice; another comes by a POST.
        (1..=10).chain([5, 101]).for_each(|id| replacing.note(&user(id)));
        add(profiles, [user(101), user(102)]);
        let rest = replacing.rest(profiles, NOW, &GOES_ON).unwrap();
        assert_eq!(users_of(&rest), (11..=100).map(user).collect());
        assert_eq!(replacing.rest(profiles, NOW, &GOES_ON).unwrap(), rest, "it can be made again");
        let chunk = FileChunk { job: 1, is_last: true, replaced: Some(S), ..FileChunk::default() };
        profiles.apply(profiles.applied_position() + 1, &record(rest, Some(chunk))).unwrap();
        assert_eq!(members(profiles), (1..=10).chain([101, 102]).map(user).collect());
        assert_eq!(replacing.rest(profiles, NOW, &GOES_ON).unwrap().users(), 0);
    });
}

/// After a restart in the middle those who came in meanwhile are not taken for earlier ones.
#[test]
fn a_restart_finds_who_was_in_before_the_job() {
    over_all(|profiles, file| {
        add(profiles, (1..=10).map(user));
        let mut replacing = begin(file, profiles).unwrap();
        replacing.note(&user(1));
        add(profiles, [user(11)]);
        drop(replacing);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let mut replacing = begin(file, profiles).unwrap();
        replacing.note(&user(2));
        // What was read before is read again.
        replacing.note(&user(1));
        let rest = replacing.rest(profiles, NOW, &GOES_ON).unwrap();
        assert_eq!(users_of(&rest), (3..=10).map(user).collect());
        fs::remove_file(file).unwrap();
        assert_eq!(begin(file, profiles).unwrap().left(), 11);
    });
}

#[test]
fn no_id_of_a_user_is_in_the_file() {
    over_all(|profiles, file| {
        let device = UserKey::parse(Domain::Idfa, "aebe52e7-03ee-455a-b3c4-e57283966239").unwrap();
        add(profiles, [device.clone()]);
        begin(file, profiles).unwrap();
        let bytes = fs::read(file).unwrap();
        assert_eq!(bytes.len(), HEAD_BYTES + 8 + CHECKSUM_BYTES);
        assert!(!bytes.windows(8).any(|window| device.as_bytes().windows(8).any(|of_id| of_id == window)));
    });
}

#[test]
fn a_damaged_or_foreign_file_is_refused() {
    let (dir, profiles) = (TempDir::new().unwrap(), MemoryProfiles::new(3));
    let file = dir.path().join("members");
    add(&profiles, (1..=3).map(user));
    begin(&file, &profiles).unwrap();
    let whole = fs::read(&file).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(matches!(begin(&file, &profiles), Err(ReplaceFault::Damaged(_))), "byte {place}");
        fs::write(&file, &whole[..place]).unwrap();
        assert!(matches!(begin(&file, &profiles), Err(ReplaceFault::Damaged(_))), "{place} bytes");
    }
    fs::write(&file, &whole).unwrap();
    let other = Replacing::begin(&file, &profiles, SegmentId(4), NOW, max_users_bytes(), &GOES_ON);
    assert!(matches!(other, Err(ReplaceFault::Damaged("segment"))));
    assert_eq!(begin(&file, &profiles).unwrap().left(), 3);
}

/// The bound is that of the log: a record of so many users can be logged.
#[test]
fn too_many_members_are_refused_before_anything_is_written() {
    over_all(|profiles, file| {
        add(profiles, (1..=1000).map(user));
        profiles.checkpoint().unwrap();
        let max_bytes = 1000 * (9 + REMOVAL_BYTES);
        let begin = |max_bytes| Replacing::begin(file, profiles, S, NOW, max_bytes, &GOES_ON);
        let refused = begin(max_bytes - 1).unwrap_err();
        assert!(matches!(refused, ReplaceFault::TooManyMembers { .. }), "{refused}");
        assert!(refused.to_string().contains("segment 2000000000 has too many members"), "{refused}");
        assert!(!file.exists());
        let rest = begin(max_bytes).unwrap().rest(profiles, NOW, &GOES_ON).unwrap();
        assert_eq!(rest.users(), 1000);
        let chunk = FileChunk { replaced: Some(S), ..FileChunk::default() };
        assert!(record(rest, Some(chunk)).encode().len() < max_bytes + 100);
    });
}

#[test]
fn a_stop_ends_the_work() {
    over_all(|profiles, file| {
        add(profiles, (1..=10).map(user));
        let begun = Replacing::begin(file, profiles, S, NOW, max_users_bytes(), &AtomicBool::new(true));
        assert!(matches!(begun, Err(ReplaceFault::Stopped)));
        assert!(!file.exists());
        let replacing = begin(file, profiles).unwrap();
        let rest = replacing.rest(profiles, NOW, &AtomicBool::new(true));
        assert!(matches!(rest, Err(ReplaceFault::Stopped)));
    });
}
