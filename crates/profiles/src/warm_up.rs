//! Loading the profiles into memory after a start, in the background.

use crate::packed::PackedProfiles;
use crate::pending::Form;
use crate::shard::{Hashed, Shard};
use crate::{ProfilesError, stored};
use std::sync::atomic::{AtomicBool, Ordering};

/// The most profiles of one iterator over the store; a rewrite after an erase waits for it.
const PROFILES_PER_SCAN: usize = 4096;

impl PackedProfiles {
    /// Loads profiles from the store until all are in memory, the budget is full, or `stop` is set. It
    /// blocks for as long as that takes; run it once, on a thread of its own, after `open`.
    ///
    /// When all are in memory, an unknown user needs no look at the disk from then on, until profiles
    /// have to leave for others.
    ///
    /// # Errors
    ///
    /// When the store cannot be read. The profiles loaded so far stay in memory, and reads of others go to
    /// disk.
    pub fn warm_up(&self, stop: &AtomicBool) -> Result<(), ProfilesError> {
        // From here on tombstones stay in memory when a checkpoint has deleted their blobs. So a user
        // that is absent below was never removed since, unless its shard's departures have changed.
        self.warming.store(true, Ordering::SeqCst);
        let departures: Vec<u64> = self.shards.each().map(|shard| shard.departures()).collect();
        let mut left_out = vec![false; self.shards.count()];
        let result = self.load_all(&departures, &mut left_out, stop);
        self.warming.store(false, Ordering::SeqCst);
        let ended = matches!(result, Ok(true));
        for ((mut shard, before), left_out) in self.shards.each().zip(departures).zip(left_out) {
            let all_loaded = ended && !left_out && shard.departures() == before;
            shard.end_warm_up(all_loaded)?;
        }
        self.warm.store(true, Ordering::Relaxed);
        result.map(|_| ())
    }

    /// Returns whether it reached the end of the store. Sets `left_out` for shards without all their profiles.
    fn load_all(
        &self,
        departures: &[u64],
        left_out: &mut [bool],
        stop: &AtomicBool,
    ) -> Result<bool, ProfilesError> {
        let mut last_key = Vec::new();
        let mut entries = Vec::new();
        while !stop.load(Ordering::Relaxed) && left_out.contains(&false) {
            let blobs = self.store.scan(&last_key, PROFILES_PER_SCAN)?;
            let Some((key, _)) = blobs.last() else { return Ok(true) };
            last_key = key.to_vec();
            for (key, blob) in &blobs {
                stored::check(key, blob, &mut entries)?;
                let hashed = self.shards.hashed(key);
                let number = self.shards.number(hashed.hash);
                let mut shard = self.shards.lock(number);
                // A profile that left memory since may have been written since, so that this blob is outdated.
                if shard.is_full() || shard.departures() != departures[number] {
                    left_out[number] = true;
                } else {
                    self.put_warmed(&mut shard, hashed, &blob[1..])?;
                }
            }
        }
        Ok(false)
    }

    /// Takes a profile into memory that is not there yet, and lays its changes over it.
    fn put_warmed(&self, shard: &mut Shard, user: Hashed<'_>, packed: &[u8]) -> Result<(), ProfilesError> {
        let Some(found) = shard.find(user) else {
            shard.put_warmed(user, None, packed);
            return Ok(());
        };
        let Form::OverDisk { changes, .. } = Form::of(shard.content(found)) else { return Ok(()) };
        let (mut merged, taken) = (Vec::new(), shard.taken(found));
        let applied =
            stored::merge_packed(user.key, packed, changes, taken, self.links_per_user, &mut merged)?;
        self.settle_later(applied);
        shard.put_warmed(user, Some(found), &merged);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{add_all, user};
    use crate::{ProfileOptions, Profiles};
    use ia_model::UserKey;

    /// A blob may be outdated in a shard with departures since the warm-up began.
    #[test]
    fn a_shard_with_departures_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let open = || PackedProfiles::open(dir.path(), ProfileOptions::default()).unwrap();
        let users: Vec<UserKey> = (1..=100).map(user).collect();
        let profiles = open();
        profiles.apply(1, &add_all(users.clone(), 1)).unwrap();
        profiles.checkpoint().unwrap();
        drop(profiles);
        let profiles = open();
        let left = profiles.shards.number(profiles.shards.hashed(users[0].as_bytes()).hash);
        let mut departures = vec![0; profiles.shards.count()];
        departures[left] = 1;
        let mut left_out = vec![false; profiles.shards.count()];
        profiles.load_all(&departures, &mut left_out, &AtomicBool::new(false)).unwrap();
        for user in &users {
            let hashed = profiles.shards.hashed(user.as_bytes());
            let is_left_out = profiles.shards.number(hashed.hash) == left;
            assert_eq!(profiles.shards.of(hashed.hash).find(hashed).is_some(), !is_left_out);
        }
        assert_eq!(left_out.iter().position(|&is_left_out| is_left_out), Some(left));
        assert_eq!(left_out.iter().filter(|&&is_left_out| is_left_out).count(), 1);
        assert!(profiles.stats().resident_profiles < 100);
    }
}
