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

/// A membership as two times of membership, of which one may be missing.
#[derive(Debug, Clone, Copy)]
struct Entry {
    value: u32,
    last_seen: Minute,
    /// It is live from the first minute until the end.
    now: Option<(Minute, Expiry)>,
    /// It will be live from the first minute, which is after the end of `now`, until the end.
    later: Option<(Minute, Expiry)>,
}

impl Entry {
    /// The entry at a minute; `None` if nothing is left of it.
    fn at(self, minute: Minute) -> Option<Entry> {
        let has_begun = self.later.is_some_and(|(begins, _)| begins <= minute);
        let (now, later) = if has_begun { (self.later, None) } else { (self.now, self.later) };
        let now = now.filter(|(_, ends)| ends.is_live(minute));
        (now.is_some() || later.is_some()).then_some(Entry { now, later, ..self })
    }
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
        let entry = |entry: &Membership| {
            let Membership { segment, value, added_at, last_seen, expires, pause } = *entry;
            let (now, later) = match pause {
                None => (Some((added_at, expires)), None),
                Some(pause) => {
                    let now = pause.from().map(|from| (added_at, Expiry::At(from)));
                    (now, Some((pause.until(), expires)))
                }
            };
            (segment, Entry { value, last_seen, now, later })
        };
        self.state().users.insert(user.clone(), memberships.iter().map(entry).collect());
    }

    /// The times that `part` picks of the memberships of a user at `now`.
    fn memberships(
        &self,
        user: &UserKey,
        now: Minute,
        part: impl Fn(&Entry) -> Option<(Minute, Expiry)>,
    ) -> Vec<Membership> {
        let state = self.state();
        let entries = state.users.get(user).into_iter().flatten();
        let membership = |(&segment, entry): (&SegmentId, &Entry)| {
            let entry = entry.at(now)?;
            let (added_at, expires) = part(&entry)?;
            let Entry { value, last_seen, .. } = entry;
            Some(Membership { segment, value, added_at, last_seen, expires, pause: None })
        };
        entries.filter_map(membership).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the profiles")
    }
}

impl State {
    /// Changes one membership; `before` is the membership before, at `seen`.
    fn change(before: Option<Entry>, change: Change, seen: Minute) -> Option<Entry> {
        let live = before.and_then(|entry| entry.now);
        let added_at = live.map_or(seen, |(added_at, _)| added_at);
        match change {
            Change::AddLater { begins, expires, value } if begins > seen => {
                let goes_on = live.is_some_and(|(_, ends)| ends >= Expiry::At(begins));
                match expires.is_live(begins) {
                    // It would end before it begins.
                    false => before.filter(|_| live.is_some()).map(|entry| Entry { later: None, ..entry }),
                    true if goes_on => State::change(before, Change::Add { expires, value }, seen),
                    true => Some(Entry { value, last_seen: seen, now: live, later: Some((begins, expires)) }),
                }
            }
            Change::Add { expires, value } | Change::AddLater { expires, value, .. } => {
                let now = Some((added_at, expires));
                expires.is_live(seen).then_some(Entry { value, last_seen: seen, now, later: None })
            }
            Change::Remove => None,
        }
    }

    /// Changes a user's memberships, and forgets what has expired.
    fn edit(&mut self, user: &UserKey, changes: &[(SegmentId, Change)], seen: Minute) -> Applied {
        let mut applied = Applied::default();
        let entries = self.users.remove(user).into_iter().flatten();
        let at_seen = entries.filter_map(|(segment, entry)| Some((segment, entry.at(seen)?)));
        let mut entries: BTreeMap<SegmentId, Entry> = at_seen.collect();
        for &(segment, change) in changes {
            let before = entries.remove(&segment);
            let after = State::change(before, change, seen);
            match (before, after) {
                (None, None) => {}
                (None, Some(_)) => applied.added += 1,
                (Some(_), None) => applied.removed += 1,
                (Some(_), Some(_)) => applied.refreshed += 1,
            }
            entries.extend(after.map(|after| (segment, after)));
        }
        if !entries.is_empty() {
            self.users.insert(user.clone(), entries);
        }
        applied
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
                    let changes: Vec<_> = operations.iter().map(|one| (one.segment, one.change)).collect();
                    applied += state.edit(user, &changes, seen);
                }
            }
            Record::Erase(erase) => {
                let seen = Minute::containing(erase.accepted_at_ms);
                let segments: Vec<SegmentId> = match &erase.segments {
                    ErasedSegments::All => {
                        state.links.remove(&erase.user);
                        state.users.get(&erase.user).into_iter().flatten().map(|(id, _)| *id).collect()
                    }
                    ErasedSegments::Only(segments) => segments.clone(),
                };
                let changes: Vec<_> = segments.into_iter().map(|id| (id, Change::Remove)).collect();
                applied += state.edit(&erase.user, &changes, seen);
            }
            Record::Link(link) => state.link(link),
        }
        state.applied_position = state.applied_position.max(position);
        Ok(applied)
    }

    fn get(&self, key: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        Some(self.memberships(key, now, |entry| entry.now))
    }

    fn load(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        Ok(self.get(key, now).unwrap_or_default())
    }

    fn load_many(&self, users: &[&UserKey], now: Minute) -> Vec<Result<Vec<Membership>, ProfilesError>> {
        users.iter().map(|user| self.load(user, now)).collect()
    }

    fn load_later(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        Ok(self.memberships(key, now, |entry| entry.later))
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
            segments.get(&segment).is_some_and(|entry| entry.at(now).is_some())
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
