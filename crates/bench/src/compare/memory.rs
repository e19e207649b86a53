//! What a membership takes in memory, on both sides.

use super::targets::MEMORY_PER_REDIS_AT_MOST;
use super::testbed::{Side, Testbed};
use crate::client::Target;
use crate::error::Error;
use crate::fill;
use crate::progress::Progress;
use crate::workload::KNOWN_SEGMENTS;
use ia_testkit::procfs;
use serde::Serialize;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Settings of the server whose memory is measured: a checkpoint sooner than as shipped, since it is waited
/// for.
pub(super) const SETTINGS: [(&str, &str); 1] = [("PROFILES__CHECKPOINT_INTERVAL_SECONDS", "10")];

/// A checkpoint that is not done by then is stuck.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(180);

/// How often it is looked whether it is done.
const SETTLE_POLL: Duration = Duration::from_millis(100);

/// Bytes a membership, beyond what the empty process takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PerMembership {
    /// Of the process, as the kernel counts it.
    pub resident: f64,
    /// Of the data, as the server counts it: the metric of the profiles, or Redis' `used_memory`.
    pub own_count: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub memberships: u64,
    /// Right after the load, with profiles that wait for a checkpoint.
    pub ours_loaded: PerMembership,
    /// After the checkpoint.
    pub ours_settled: PerMembership,
    pub redis: PerMembership,
    /// Resident bytes, over those of Redis.
    pub loaded_per_redis: f64,
    pub settled_per_redis: f64,
    pub per_redis_at_most: f64,
    /// Bytes that the process caused to be sent to storage for a membership: log and checkpoint.
    pub ours_written_bytes: f64,
    /// The same: the append-only file.
    pub redis_written_bytes: f64,
}

impl Memory {
    /// Loads the users that are read later, into both, and measures. Both must be empty.
    pub(super) async fn measure(testbed: &Testbed, users: u64, progress: &Progress) -> Result<Memory, Error> {
        let memberships = users * u64::from(KNOWN_SEGMENTS);
        let per = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / memberships as f64;
        let resident =
            |side: Side| procfs::usage(testbed.process(side).id()).map(|usage| usage.resident_bytes);
        let written = |side: Side| procfs::written_bytes(testbed.process(side).id());

        let (redis_before, redis_used_before) =
            (resident(Side::Redis)?, testbed.redis.used_memory_bytes().await?);
        let redis_written_before = written(Side::Redis)?;
        let (bodies, done) = (fill::known(users), Cell::new(0));
        let loading = testbed.redis.load(bodies, |count| done.set(count));
        let text = || format!("loading Redis: {} of {} bodies", done.get(), bodies.count());
        progress.during(loading, text).await?;
        let redis = PerMembership {
            resident: per(resident(Side::Redis)?, redis_before),
            own_count: per(testbed.redis.used_memory_bytes().await?, redis_used_before),
        };

        let ours = async || {
            let profiles = testbed.target.metrics().await?.get("profiles_resident_bytes")?;
            let resident = per(resident(Side::Ours)?, testbed.empty_server.resident_bytes);
            Ok::<_, Error>(PerMembership { resident, own_count: per(profiles, 0) })
        };
        let ours_written_before = written(Side::Ours)?;
        fill::fill(&testbed.target, users, progress).await?;
        let ours_loaded = ours().await?;
        progress.during(settle(&testbed.target), || "waiting for the checkpoint".to_owned()).await?;
        let ours_settled = ours().await?;
        let ours_written_bytes = per(written(Side::Ours)?, ours_written_before);
        fill::check(&testbed.target, users).await?;
        Ok(Memory {
            memberships,
            ours_loaded,
            ours_settled,
            redis,
            loaded_per_redis: ours_loaded.resident / redis.resident,
            settled_per_redis: ours_settled.resident / redis.resident,
            per_redis_at_most: MEMORY_PER_REDIS_AT_MOST,
            ours_written_bytes,
            redis_written_bytes: per(written(Side::Redis)?, redis_written_before),
        })
    }
}

/// Waits until a checkpoint covers all that was applied.
async fn settle(target: &Target) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let metrics = target.metrics().await?;
        if metrics.get("checkpointed_position")? == metrics.get("applied_position")? {
            return Ok(());
        }
        if started.elapsed() > SETTLE_TIMEOUT {
            return Err(Error::broken(format!("no checkpoint covered the load within {SETTLE_TIMEOUT:?}")));
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}
