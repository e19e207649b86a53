//! Profiles: the segments of each user, in memory first, with a checkpoint on disk under it.
//!
//! The log is the truth; this crate is a view of it. One thread applies durable records in log order
//! ([`Profiles::apply`]), any number of threads read, and a background thread writes checkpoints
//! ([`Profiles::checkpoint`]), after which the log before the checkpointed position may go.
//!
//! | file | holds |
//! |---|---|
//! | `membership` | memberships, and the rules by which a record changes them |
//! | `links`, `joined` | the ids that are linked to a user, and reading it with their profiles |
//! | `codec` | the packed bytes of a profile, in memory and on disk (`docs/FORMAT.md`) |
//! | `merging` | the usual changes, made on the packed bytes |
//! | `pending` | changes of cold and of wide users, which are put off |
//! | `slab`, `page`, `large`, `shard` | the packed profiles of one shard: pages of some users each, in dense slots |
//! | `shards`, `apply` | all shards, and applying a record to them |
//! | `packed` | [`PackedProfiles`]: the shards over the store; reads and figures |
//! | `read_many` | reading many users in one pass |
//! | `replacing`, `waiting`, `hidden` | replacing the members of a segment at one moment |
//! | `members` | visiting the members of a segment |
//! | `checkpoint`, `keys`, `warm_up` | the background work over the shards |
//! | `stored` | the content under a key: a profile or links |
//! | `store`, `files` | the only places that know fjall: its interface, and its files |
//! | `reference` | [`MemoryProfiles`]: the same behaviour, as simple as possible |
//! | [`inspect`], `copy` | reading and copying a checkpoint beside a running server |

pub mod inspect;

mod apply;
mod checkpoint;
mod codec;
mod copy;
mod error;
mod files;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod hidden;
mod joined;
mod keys;
mod large;
mod links;
mod members;
mod membership;
mod merging;
mod packed;
mod page;
mod pending;
mod read_many;
#[cfg(test)]
mod records;
mod reference;
mod replacing;
mod shard;
mod shards;
mod slab;
mod store;
mod stored;
mod waiting;
mod warm_up;

#[doc(hidden)]
pub use checkpoint::Stage;
pub use codec::BLOB_FORMAT_VERSION;
pub use copy::{StoreCopy, copy};
pub use error::{ErrorKind, ProfilesError};
pub use hidden::Hashes;
pub use joined::{get_joined, join, load_joined, load_joined_later, load_many_joined, read_at_once};
pub use membership::{Applied, Membership, Pause};
pub use packed::{PackedProfiles, ProfileOptions};
pub use reference::MemoryProfiles;
pub use store::STORE_FORMAT_VERSION;

use ia_model::{Minute, Record, SegmentId, UserKey};
use std::ops::ControlFlow;
use std::time::Duration;

/// The profiles of all users.
///
/// `apply` has one caller at a time, which passes records in log order. Everything else may be called
/// from any thread at any time.
pub trait Profiles: Send + Sync {
    /// Applies one durable record. Expiry is judged at the minute of its acceptance, so a replay gives the
    /// same result.
    ///
    /// Applying records again that a checkpoint covers, wholly or partly, ends in the same state, provided
    /// that all records after [`checkpointed_position`](Profiles::checkpointed_position) are applied in order.
    /// Reads nothing from disk, but for a user with hundreds of changes since the last checkpoint. What it has changed of
    /// other users that are not in memory is known later, and in the result of a later call.
    ///
    /// A record that replaces the members of a segment ([`ia_model::record::FileChunk::replaced`]) takes all its users out at one moment:
    /// a read sees all of it or nothing ([`read_at_once`]). [`settle`](Profiles::settle) counts what it changed.
    ///
    /// # Errors
    ///
    /// When bytes in memory cannot be read. Then some of the record may be applied, but not its position; it can be applied
    /// again.
    fn apply(&self, position: u64, record: &Record) -> Result<Applied, ProfilesError>;

    /// The memberships of a user that are live at `now`, segment ids ascending, from memory alone: a
    /// short lock, no IO, fit for an async worker.
    ///
    /// `None`: the profile may be on disk; ask [`load`](Profiles::load). An unknown user gives an empty
    /// list when everything is in memory.
    fn get(&self, key: &UserKey, now: Minute) -> Option<Vec<Membership>>;

    /// The same, read through to disk when needed: it may block, so it is not for an async worker.
    ///
    /// # Errors
    ///
    /// When the profile on disk cannot be read.
    fn load(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError>;

    /// [`load`](Profiles::load) of each of these users, in their order, read in one pass over memory and one over the
    /// disk. A user that cannot be read has its own error; the others are read all the same. It offers the processor to
    /// other threads in between.
    fn load_many(&self, users: &[&UserKey], now: Minute) -> Vec<Result<Vec<Membership>, ProfilesError>>;

    /// The memberships of a user that are stored and begin after `now`, each as it will be then, read through to disk
    /// when needed. One of the same segment may be live until then.
    ///
    /// # Errors
    ///
    /// When the profile on disk cannot be read.
    fn load_later(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError>;

    /// Whether any user was linked, ever; until then there are no [`links`](Profiles::links).
    fn has_links(&self) -> bool;

    /// The ids that are linked to a platform user at `now`, from memory alone as [`get`](Profiles::get): by the end of
    /// their links, and of the same end the older link first. Users of other domains have none.
    ///
    /// `None`: they may be on disk; ask [`load_links`](Profiles::load_links).
    fn links(&self, user: &UserKey, now: Minute) -> Option<Vec<UserKey>>;

    /// The same, read through to disk when needed.
    ///
    /// # Errors
    ///
    /// When the links on disk cannot be read.
    fn load_links(&self, user: &UserKey, now: Minute) -> Result<Vec<UserKey>, ProfilesError>;

    /// Visits every user with a membership of the segment that is live at `now`, in memory and on disk, in no order.
    /// A user that is in before the call and stays in is visited at least once, perhaps twice; one that comes or goes
    /// meanwhile may be visited. `visit` holds no lock, and ends the call with `Break`.
    ///
    /// It may read the whole store, takes locks for some dozens of microseconds at a time, and offers the processor to
    /// others in between.
    ///
    /// # Errors
    ///
    /// When a profile on disk cannot be read.
    fn visit_members(
        &self,
        segment: SegmentId,
        now: Minute,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError>;

    /// How many replacements of a segment's members have come into force since the start; for [`read_at_once`].
    fn replacements(&self) -> u64;

    /// Takes some more users out of the profiles whom a replacement has put out of a segment. Reads are the same before
    /// and after. Only the caller of `apply` calls it, when it has time; until all are settled, a checkpoint covers
    /// only what was before. It takes less than a millisecond.
    ///
    /// Returns what it has changed, or `None` when nothing is left to do.
    ///
    /// # Errors
    ///
    /// As those of `apply`: nothing has changed, and it can be called again.
    fn settle(&self) -> Result<Option<Applied>, ProfilesError>;

    /// The highest position that was applied; 0 before the first.
    fn applied_position(&self) -> u64;

    /// The position that the store covers: a start replays the log after it, and the log up to it may be
    /// trimmed. 0 when there is no checkpoint yet, so positions begin at 1.
    fn checkpointed_position(&self) -> u64;

    /// Writes all changed profiles to disk, synced, together with the position that they cover. It blocks
    /// until they are written, and makes `apply` and `get` wait for a lock for some dozens of microseconds
    /// at a time at most.
    ///
    /// # Errors
    ///
    /// When the store cannot be written, or a profile in it that has changed cannot be read. The profiles stay marked as
    /// changed, and the next checkpoint tries again.
    fn checkpoint(&self) -> Result<CheckpointReport, ProfilesError>;

    /// Bytes of changed profiles that no checkpoint has taken yet. They cannot be evicted, so a checkpoint
    /// is due when they pass a share of the memory budget.
    fn dirty_bytes(&self) -> u64;

    /// The state for metrics. Takes each shard's lock for a moment.
    fn stats(&self) -> ProfileStats;
}

/// The report of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckpointReport {
    /// The position that the store covers now.
    pub position: u64,
    /// Profiles that were written.
    pub profiles_written: u64,
    /// Profiles that were deleted from the store because they were empty.
    pub profiles_deleted: u64,
    /// Keys and blobs that were written, in bytes.
    pub bytes_written: u64,
    /// Whether the store was rewritten so that no byte of an erased profile stays on disk.
    pub rewritten: bool,
    /// How long it took.
    pub duration: Duration,
}

/// The state of the profiles at one moment, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileStats {
    /// Profiles in memory. The links of a user count as one more, here and below.
    pub resident_profiles: u64,
    /// Their memory in bytes: slots, tables and lists, with the unused room in them.
    pub resident_bytes: u64,
    /// Profiles with changes that no checkpoint has taken.
    pub dirty_profiles: u64,
    /// Their bytes.
    pub dirty_bytes: u64,
    /// Entries in the store, outdated ones included: an upper bound of its profiles.
    pub stored_entries: u64,
    /// Size of the store on disk, in bytes.
    pub store_bytes: u64,
    /// Profiles that were evicted to keep within the budget.
    pub evictions: u64,
    /// Lookups that went to the store.
    pub read_throughs: u64,
    /// Operations that were put off and are not merged yet; see [`Applied`].
    pub put_off: u64,
    /// Whether the warm-up has ended, complete or not.
    pub warm: bool,
    /// Whether all profiles are in memory, so that an unknown user needs no read from disk.
    pub complete: bool,
}
