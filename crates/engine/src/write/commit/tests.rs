use super::*;
use crate::metrics::AppliedMetrics;
use crate::opt_outs::{OptOuts, Person};
use crate::usage::in_memory::CountersInMemory;
use futures_util::FutureExt;
use ia_catalog::SqliteCatalog;
use ia_log::faults::simulated::SimulatedDisk;
use ia_log::faults::{Call, FaultyDisk};
use ia_log::{DiskLog, LogOptions};
use ia_model::record::{FileChunk, Ingest, Usage};
use ia_model::{
    Batch, Change, Erase, ErasedSegments, Expiry, MemberId, Minute, Operation, SegmentId, UserKey,
};
use ia_profiles::{MemoryProfiles, PackedProfiles, ProfileOptions};

fn add(user: &UserKey) -> Encoded {
    let change = Change::Add { expires: Expiry::Never, value: 1 };
    let mut batch = Batch::default();
    batch.push(user.clone(), [Operation { segment: SegmentId(12), change }]);
    let (member, request_id, usage) = (MemberId(1), "r".to_owned(), Usage::default());
    Encoded::new(Record::Ingest(Box::new(Ingest {
        accepted_at_ms: 60_000,
        member,
        request_id,
        batch,
        usage,
        file: None,
    })))
}

/// If a client disconnects while its record is in the queue, the record stays there. It was resolved without the
/// opt-out, so the erase must come after it.
#[tokio::test]
async fn an_opt_out_waits_for_a_record_whose_client_has_disconnected() {
    let disk = FaultyDisk::new(SimulatedDisk::default());
    let (log, _) = DiskLog::open("/data/log", LogOptions::default(), disk.as_disk(), Arc::new(())).unwrap();
    let log = Arc::new(log);
    let profiles: Arc<dyn Profiles> = Arc::new(MemoryProfiles::new(100));
    let usage = Arc::new(UsageFollower::open(Arc::new(CountersInMemory::default())).await.unwrap());
    let metrics = AppliedMetrics::default();
    let followers = Followers { profiles: Arc::clone(&profiles), usage, metrics };
    let (committer, applier) =
        Committer::start(Arc::clone(&log) as _, followers, 1 << 20, Alarm::default()).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let clock = Arc::new(ia_model::ManualClock::at(0));
    let catalog = SqliteCatalog::open(&directory.path().join("catalog"), clock).await.unwrap();
    let opt_outs = Arc::new(OptOuts::load(Arc::new(catalog)).await.unwrap());
    let user = UserKey::platform(7).unwrap();

    disk.hold(Call::Flush);
    let record = add(&user).resolved_with(opt_outs.in_force());
    let mut caller = Box::pin(committer.commit(record, committer.reserve(0).unwrap()));
    assert!(caller.as_mut().now_or_never().is_none(), "it waits for the flush");
    drop(caller);
    disk.wait_until_held();
    let adding = tokio::spawn({
        let person = Person { user: user.clone(), linked: Vec::new() };
        let opt_outs = Arc::clone(&opt_outs);
        async move { opt_outs.add(&[person], None).await }
    });
    while !opt_outs.is_suppressed(&user) {
        tokio::task::yield_now().await;
    }
    assert!(!adding.is_finished(), "the record is not in the profiles yet");
    disk.release();
    adding.await.unwrap().unwrap();
    let now = Minute(1);
    assert_eq!(profiles.get(&user, now).unwrap().len(), 1, "it was waited for");
    let erase =
        Erase { accepted_at_ms: 60_000, user: user.clone(), segments: ErasedSegments::All, member: None };
    committer.commit(Encoded::new(Record::Erase(erase)), committer.reserve(0).unwrap()).await.unwrap();
    assert!(profiles.get(&user, now).unwrap().is_empty());

    log.close();
    committer.stop();
    applier.join().unwrap();
}

/// All users of one record.
fn of_all(users: u64, change: Change, replaced: Option<SegmentId>) -> Encoded {
    let mut batch = Batch::default();
    for id in 1..=users {
        batch.push(UserKey::platform(id).unwrap(), [Operation { segment: SegmentId(12), change }]);
    }
    let file =
        replaced.map(|segment| Box::new(FileChunk { replaced: Some(segment), ..FileChunk::default() }));
    Encoded::new(Record::Ingest(Box::new(Ingest {
        accepted_at_ms: 60_000,
        member: MemberId(1),
        request_id: "r".to_owned(),
        batch,
        usage: Usage::default(),
        file,
    })))
}

/// The answer to a replacement comes when it is in force; the applier then settles it, although nobody sends anything.
#[tokio::test]
async fn a_replacement_is_settled_and_counted_while_nothing_else_comes() {
    const USERS: u64 = 3000;
    let disk = SimulatedDisk::default();
    let (log, _) = DiskLog::open("/data/log", LogOptions::default(), Arc::new(disk), Arc::new(())).unwrap();
    let log = Arc::new(log);
    let directory = tempfile::TempDir::new().unwrap();
    let profiles =
        PackedProfiles::open(&directory.path().join("profiles"), ProfileOptions::default()).unwrap();
    let profiles: Arc<dyn Profiles> = Arc::new(profiles);
    let usage = Arc::new(UsageFollower::open(Arc::new(CountersInMemory::default())).await.unwrap());
    let metrics = AppliedMetrics::default();
    let followers = Followers { profiles: Arc::clone(&profiles), usage, metrics: metrics.clone() };
    let (committer, applier) =
        Committer::start(Arc::clone(&log) as _, followers, 1 << 20, Alarm::default()).unwrap();
    let add = Change::Add { expires: Expiry::Never, value: 1 };
    committer.commit(of_all(USERS, add, None), committer.reserve(0).unwrap()).await.unwrap();
    let replacement = of_all(USERS - 1, Change::Remove, Some(SegmentId(12)));
    let position = committer.commit(replacement, committer.reserve(0).unwrap()).await.unwrap();
    for id in 1..=USERS {
        let found = profiles.get(&UserKey::platform(id).unwrap(), Minute(1)).unwrap();
        assert_eq!(found.len(), usize::from(id == USERS), "user {id}");
    }
    // Only what is settled is covered.
    let started = std::time::Instant::now();
    while profiles.checkpoint().unwrap().position < position {
        assert!(started.elapsed() < Duration::from_secs(60), "it is never settled");
        tokio::task::yield_now().await;
    }
    log.close();
    committer.stop();
    applier.join().unwrap();
    assert_eq!(metrics.removed(), USERS - 1);
}
