//! The deletions of people that files which wait must heed. A file that was uploaded before a deletion must not bring
//! back what was deleted, whenever it is read.

use crate::file_jobs::Jobs;
use crate::opt_outs::OptOuts;
use ia_catalog::CatalogError;
use ia_catalog::file_jobs::FileDeletion;
use ia_model::{MemberId, UserKey};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The deletions, in memory and in the store. It is empty while no file waits.
pub(crate) struct Deletions {
    jobs: Arc<Jobs>,
    opt_outs: Arc<OptOuts>,
    /// By the hash of the user.
    noted: RwLock<HashMap<[u8; 16], Vec<Noted>>>,
}

/// In whose segments, and when.
type Noted = (Option<MemberId>, u64);

/// What a file must heed about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Nothing.
    No,
    /// It must leave out the user.
    All,
    /// It must leave out segments of these members.
    Of(Vec<MemberId>),
}

impl Deletions {
    /// Those of the store.
    pub(crate) async fn load(jobs: Arc<Jobs>, opt_outs: Arc<OptOuts>) -> Result<Deletions, CatalogError> {
        let mut noted = HashMap::<_, Vec<_>>::new();
        for FileDeletion { hash, member, deleted_ms } in jobs.store().deletions().await? {
            noted.entry(hash).or_default().push((member, deleted_ms));
        }
        Ok(Deletions { jobs, opt_outs, noted: RwLock::new(noted) })
    }

    /// When the newest upload began whose file is not read yet; `None` where no file waits.
    pub(crate) fn newest_upload_ms(&self) -> Option<u64> {
        self.jobs.all().iter().filter_map(|job| job.started_ms).max()
    }

    /// When the last deletion was that is noted; 0 where none is. A file whose upload begins later heeds none of them.
    pub(crate) fn newest_ms(&self) -> u64 {
        let noted = self.noted.read().unwrap_or_else(PoisonError::into_inner);
        noted.values().flatten().map(|&(_, deleted_ms)| deleted_ms).max().unwrap_or_default()
    }

    /// Notes a deletion of users at `now_ms`, durably. Every part of a file that is resolved from now on heeds it.
    pub(crate) async fn note(
        &self,
        users: &[UserKey],
        member: Option<MemberId>,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        let deletion = |user| FileDeletion { hash: self.opt_outs.hash(user), member, deleted_ms: now_ms };
        let deletions: Vec<FileDeletion> = users.iter().map(deletion).collect();
        self.jobs.store().note_deletions(&deletions).await?;
        let mut noted = self.noted.write().unwrap_or_else(PoisonError::into_inner);
        for FileDeletion { hash, member, deleted_ms } in deletions {
            noted.entry(hash).or_default().push((member, deleted_ms));
        }
        Ok(())
    }

    /// What a file whose upload began at `started_ms` must heed about a user.
    pub(crate) fn of(&self, user: &UserKey, started_ms: u64) -> Deleted {
        let noted = self.noted.read().unwrap_or_else(PoisonError::into_inner);
        if noted.is_empty() {
            return Deleted::No;
        }
        let mut members = Vec::new();
        for &(member, deleted_ms) in noted.get(&self.opt_outs.hash(user)).into_iter().flatten() {
            match member {
                _ if deleted_ms < started_ms => {}
                None => return Deleted::All,
                Some(member) => members.push(member),
            }
        }
        if members.is_empty() { Deleted::No } else { Deleted::Of(members) }
    }

    /// Forgets what no file needs: the oldest one began at `oldest_ms`.
    pub(crate) async fn forget_before(&self, oldest_ms: u64) -> Result<(), CatalogError> {
        if self.noted.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        self.jobs.store().purge_deletions(oldest_ms).await?;
        let mut noted = self.noted.write().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|_, deletions| {
            deletions.retain(|&(_, deleted_ms)| deleted_ms >= oldest_ms);
            !deletions.is_empty()
        });
        Ok(())
    }
}
