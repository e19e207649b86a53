use crate::{Applied, CheckpointReport, Membership, ProfileStats, Profiles, ProfilesError};
use ia_model::{Change, ErasedSegments, Expiry, Link, Minute, Record, SegmentId, UserKey};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard};

/// The reference implementation: everything in memory, nothing on disk, as simple as possible.
///
/// The others are tested against it, so it shares no code with them. Its checkpoint only notes the position.
#[derive(Debug)]
pub struct MemoryProfiles(Mutex<State>);

#[derive(Debug)]
struct State {
    users: BTreeMap<UserKey, BTreeMap<SegmentId, Entry>>,
    /// The end of each link, and its number in the order in which they were made.
    links: BTreeMap<UserKey, BTreeMap<UserKey, (Minute, u64)>>,
    links_made: u64,
    links_per_user: usize,
    has_links: bool,
    replacements: u64,
    applied_position: u64,
    checkpointed_position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    value: u32,
    added_at: Minute,
    last_seen: Minute,
    expires: Expiry,
}

impl MemoryProfiles {
    /// Without users. At most `links_per_user` ids are linked to each.
    pub fn new(links_per_user: usize) -> MemoryProfiles {
        MemoryProfiles(Mutex::new(State {
            users: BTreeMap::new(),
            links: BTreeMap::new(),
            links_made: 0,
            links_per_user,
            has_links: false,
            replacements: 0,
            applied_position: 0,
            checkpointed_position: 0,
        }))
    }

    /// Sets a user's profile.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn put(&self, user: &UserKey, memberships: &[Membership]) {
        let entry = |&Membership { segment, value, added_at, last_seen, expires }: &Membership| {
            (segment, Entry { value, added_at, last_seen, expires })
        };
        self.state().users.insert(user.clone(), memberships.iter().map(entry).collect());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the profiles")
    }
}

impl State {
    fn add(&mut self, user: &UserKey, segment: SegmentId, new: Entry, applied: &mut Applied) {
        let segments = self.users.entry(user.clone()).or_default();
        match segments.get_mut(&segment) {
            Some(entry) if entry.expires.is_live(new.last_seen) => {
                *entry = Entry { added_at: entry.added_at, ..new };
                applied.refreshed += 1;
            }
            _ => {
                segments.insert(segment, new);
                applied.added += 1;
            }
        }
    }

    fn remove(&mut self, user: &UserKey, segment: SegmentId, seen: Minute, applied: &mut Applied) {
        let Some(segments) = self.users.get_mut(user) else { return };
        if segments.remove(&segment).is_some_and(|entry| entry.expires.is_live(seen)) {
            applied.removed += 1;
        }
    }

    fn link(&mut self, link: &Link) {
        self.has_links = true;
        let seen = Minute::containing(link.accepted_at_ms);
        let known = self.links.entry(link.user.clone()).or_default();
        let mut new = link.links.clone();
        new.sort();
        for (id, end) in new {
            self.links_made += 1;
            let known = known.entry(id).or_default();
            if end >= known.0 {
                *known = (end, self.links_made);
            }
        }
        known.retain(|_, (end, _)| *end > seen);
        while known.len() > self.links_per_user {
            // Removes the link that ends first; of several the one that was made first.
            let first = known.iter().min_by_key(|(_, made)| **made);
            let first = first.expect("there are some").0.clone();
            known.remove(&first);
        }
    }

    fn forget_empty(&mut self, user: &UserKey, seen: Minute) {
        if let Some(segments) = self.users.get_mut(user) {
            segments.retain(|_, entry| entry.expires.is_live(seen));
            if segments.is_empty() {
                self.users.remove(user);
            }
        }
    }
}

impl Profiles for MemoryProfiles {
    fn apply(&self, position: u64, record: &Record) -> Result<Applied, ProfilesError> {
        let mut state = self.state();
        let mut applied = Applied::default();
        match record {
            Record::Ingest(ingest) => {
                state.replacements +=
                    u64::from(ingest.file.as_ref().is_some_and(|file| file.replaced.is_some()));
                let seen = Minute::containing(ingest.accepted_at_ms);
                // A user without operations keeps even expired memberships: a clock may be set back.
                let changed = ingest.batch.iter().filter(|(_, operations)| !operations.is_empty());
                for (user, operations) in changed {
                    for operation in operations {
                        match operation.change {
                            Change::Add { expires, value } | Change::AddLater { expires, value, .. }
                                if expires.is_live(seen) =>
                            {
                                let new = Entry { value, added_at: seen, last_seen: seen, expires };
                                state.add(user, operation.segment, new, &mut applied);
                            }
                            Change::Add { .. } | Change::AddLater { .. } | Change::Remove => {
                                state.remove(user, operation.segment, seen, &mut applied);
                            }
                        }
                    }
                    state.forget_empty(user, seen);
                }
            }
            Record::Erase(erase) => {
                let seen = Minute::containing(erase.accepted_at_ms);
                let segments = match &erase.segments {
                    ErasedSegments::All => {
                        state.links.remove(&erase.user);
                        state.users.get(&erase.user).into_iter().flatten().map(|(id, _)| *id).collect()
                    }
                    ErasedSegments::Only(segments) => segments.clone(),
                };
                for segment in segments {
                    state.remove(&erase.user, segment, seen, &mut applied);
                }
                state.forget_empty(&erase.user, seen);
            }
            Record::Link(link) => state.link(link),
        }
        state.applied_position = state.applied_position.max(position);
        Ok(applied)
    }

    fn get(&self, key: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        let state = self.state();
        let entries = state.users.get(key).into_iter().flatten();
        let live = entries.filter(|(_, entry)| entry.expires.is_live(now));
        Some(
            live.map(|(&segment, &Entry { value, added_at, last_seen, expires })| Membership {
                segment,
                value,
                added_at,
                last_seen,
                expires,
            })
            .collect(),
        )
    }

    fn load(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        Ok(self.get(key, now).unwrap_or_default())
    }

    fn has_links(&self) -> bool {
        self.state().has_links
    }

    fn links(&self, user: &UserKey, now: Minute) -> Option<Vec<UserKey>> {
        let state = self.state();
        let mut links: Vec<_> = state.links.get(user).into_iter().flatten().collect();
        links.sort_by_key(|(_, made)| **made);
        Some(links.into_iter().filter(|(_, (end, _))| *end > now).map(|(id, _)| id.clone()).collect())
    }

    fn load_links(&self, user: &UserKey, now: Minute) -> Result<Vec<UserKey>, ProfilesError> {
        Ok(self.links(user, now).unwrap_or_default())
    }

    fn visit_members(
        &self,
        segment: SegmentId,
        now: Minute,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError> {
        let is_in = |segments: &BTreeMap<SegmentId, Entry>| {
            segments.get(&segment).is_some_and(|entry| entry.expires.is_live(now))
        };
        let state = self.state();
        let members: Vec<UserKey> = state
            .users
            .iter()
            .filter(|(_, segments)| is_in(segments))
            .map(|(user, _)| user.clone())
            .collect();
        drop(state);
        let _ = members.into_iter().try_for_each(visit);
        Ok(())
    }

    fn replacements(&self) -> u64 {
        self.state().replacements
    }

    /// There is never anything to do: `apply` has changed and counted all.
    fn settle(&self) -> Result<Option<Applied>, ProfilesError> {
        Ok(None)
    }

    fn applied_position(&self) -> u64 {
        self.state().applied_position
    }

    fn checkpointed_position(&self) -> u64 {
        self.state().checkpointed_position
    }

    fn checkpoint(&self) -> Result<CheckpointReport, ProfilesError> {
        let mut state = self.state();
        state.checkpointed_position = state.applied_position;
        Ok(CheckpointReport { position: state.applied_position, ..CheckpointReport::default() })
    }

    fn dirty_bytes(&self) -> u64 {
        0
    }

    fn stats(&self) -> ProfileStats {
        ProfileStats {
            resident_profiles: self.state().users.len() as u64,
            warm: true,
            complete: true,
            ..ProfileStats::default()
        }
    }
}
