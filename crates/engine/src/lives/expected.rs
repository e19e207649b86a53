//! The simple map: memberships and counters, computed by the rules of the contract.

use super::steps::{Block, LINKS_PER_USER, OWN_IDS, Post, SentId, User, owner};
use ia_catalog::usage::Counters;
use ia_model::time::format_utc;
use ia_model::{Erase, ErasedSegments, SegmentId};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// A membership; times in minutes since 1970. Without an end it lasts for ever.
#[derive(Debug, Clone, Copy)]
struct Entry {
    value: u32,
    added: u64,
    seen: u64,
    ends: Option<u64>,
}

impl Entry {
    fn is_live(&self, minute: u64) -> bool {
        self.ends.is_none_or(|end| minute < end)
    }
}

/// The effect of a record.
#[derive(Debug, Clone)]
enum Effect {
    /// For each user and segment, the added entry, or `None` for a removal.
    Post {
        member: u32,
        at_ms: u64,
        users: BTreeMap<User, BTreeMap<u32, Option<Entry>>>,
        counters: Counters,
    },
    Erase {
        at_ms: u64,
        user: User,
        segments: Option<Vec<u32>>,
    },
    /// Linked ids, each with the minute at which the link ends.
    Link {
        at_ms: u64,
        user: User,
        ends: Vec<(User, u64)>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Expected {
    users: BTreeMap<User, BTreeMap<u32, Entry>>,
    /// Linked ids, each with the minute at which the link ends and the number of the record that made it.
    links: BTreeMap<User, BTreeMap<User, (u64, u64)>>,
    hours: BTreeMap<(u32, u64), Counters>,
    records: u64,
    /// Requests that were not answered OK, in log order.
    unknown: Vec<Effect>,
}

impl Expected {
    pub(super) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Applies a request that was answered OK.
    pub(super) fn accept(&mut self, post: &Post, at_ms: u64) {
        if let Some(effect) = effect(post, at_ms) {
            self.apply(effect);
        }
    }

    /// Keeps a request that was answered with an error and may be in the log.
    pub(super) fn fail(&mut self, post: &Post, at_ms: u64) {
        self.unknown.push(effect(post, at_ms).expect("a request without a record does not fail"));
    }

    /// Applies an erase that will be answered OK, and returns its record.
    pub(super) fn erase(&mut self, user: &User, segments: Option<&[u32]>, at_ms: u64) -> Erase {
        self.apply(Effect::Erase { at_ms, user: *user, segments: segments.map(<[u32]>::to_vec) });
        let erased = |segments: &[u32]| segments.iter().copied().map(SegmentId).collect();
        let segments =
            segments.map_or(ErasedSegments::All, |segments| ErasedSegments::Only(erased(segments)));
        Erase { accepted_at_ms: at_ms, user: user.key(), segments, member: None }
    }

    /// Applies links that will be answered OK.
    pub(super) fn link(&mut self, user: &User, ids: &[User], minutes: u32, at_ms: u64) {
        let end = at_ms.div_ceil(MINUTE_MS) + u64::from(minutes);
        let ends = ids.iter().map(|id| (*id, end)).collect();
        self.apply(Effect::Link { at_ms, user: *user, ends });
    }

    /// After a start with `records` records in the log: applies the uncertain requests that survived, the first ones.
    pub(super) fn settle(&mut self, records: u64) {
        assert!(records >= self.records, "{} records were answered OK, {records} are there", self.records);
        let survived = usize::try_from(records - self.records).unwrap();
        let unknown = std::mem::take(&mut self.unknown);
        assert!(
            survived <= unknown.len(),
            "{survived} records more than {} that may be there",
            unknown.len()
        );
        unknown.into_iter().take(survived).for_each(|effect| self.apply(effect));
    }

    fn apply(&mut self, effect: Effect) {
        self.records += 1;
        match effect {
            Effect::Post { member, at_ms, users, counters } => {
                self.hours.entry((member, at_ms - at_ms % HOUR_MS)).or_default().add(&counters);
                for (user, pairs) in users {
                    if !pairs.is_empty() {
                        self.change(user, at_ms / MINUTE_MS, pairs);
                    }
                }
            }
            Effect::Erase { at_ms, user, segments } => {
                let minute = at_ms / MINUTE_MS;
                if segments.is_none() {
                    self.links.remove(&user);
                }
                let held = self.users.entry(user).or_default();
                held.retain(|segment, entry| {
                    entry.is_live(minute) && segments.as_ref().is_some_and(|only| !only.contains(segment))
                });
            }
            Effect::Link { at_ms, user, ends } => {
                let held = self.links.entry(user).or_default();
                for (id, end) in ends {
                    let known = held.entry(id).or_default();
                    *known = (end, self.records).max(*known);
                }
                held.retain(|_, (end, _)| *end > at_ms / MINUTE_MS);
                let mut last: Vec<(User, (u64, u64))> = held.iter().map(|(id, made)| (*id, *made)).collect();
                // The links that end last stay; of those that end together, the ones made last, in the order of keys.
                last.sort_by_key(|(id, made)| Reverse((*made, id.key())));
                *held = last.into_iter().take(LINKS_PER_USER).collect();
            }
        }
    }

    /// The memberships of a user and of the ids linked to it, at a minute.
    fn joined(&self, user: &User, minute: u64) -> BTreeMap<u32, Entry> {
        let links = self.links.get(user).into_iter().flatten().filter(|(_, (end, _))| *end > minute);
        let ids = links.map(|(id, _)| id).chain([user]);
        let mut joined: BTreeMap<u32, Entry> = BTreeMap::new();
        for (&segment, entry) in ids.filter_map(|id| self.users.get(id)).flatten() {
            let rank = |entry: &Entry| {
                (entry.seen, entry.ends.unwrap_or(u64::MAX), entry.value, u64::MAX - entry.added)
            };
            let is_better = |other: &Entry| rank(entry) > rank(other);
            if entry.is_live(minute) && joined.get(&segment).is_none_or(is_better) {
                joined.insert(segment, *entry);
            }
        }
        joined
    }

    fn change(&mut self, user: User, minute: u64, pairs: BTreeMap<u32, Option<Entry>>) {
        let held = self.users.entry(user).or_default();
        // The first change after an expiry removes the entry, even if the clock is set back later.
        held.retain(|_, entry| entry.is_live(minute));
        for (segment, add) in pairs {
            match add {
                Some(add) => {
                    let added = held.get(&segment).map_or(minute, |before| before.added);
                    held.insert(segment, Entry { added, ..add });
                }
                None => drop(held.remove(&segment)),
            }
        }
    }

    /// The answer to a read.
    pub(super) fn read(&self, user: &User, now_ms: u64) -> Value {
        let now = now_ms / MINUTE_MS;
        let text = |minute: u64| format_utc(minute * MINUTE_MS);
        debug_assert!(user.is_platform() || !self.links.contains_key(user));
        // Segment 12 is inactive: no user gets into it.
        let segments = self.joined(user, now).into_iter().map(|(id, entry)| {
            json!({
                "id": id, "code": format!("c{id}"), "member_id": owner(id), "value": entry.value,
                "added_on": text(entry.added), "expires_on": entry.ends.map(text),
                "last_seen_min": now.saturating_sub(entry.seen),
            })
        });
        let segments: Vec<Value> = segments.collect();
        json!({"user_id": user.id(), "domain": user.domain(), "segments": segments})
    }

    pub(super) fn hours(&self, member: u32) -> Vec<(u64, Counters)> {
        let of_member = self.hours.iter().filter(|((of, _), _)| *of == member);
        of_member.map(|(&(_, hour), &counters)| (hour, counters)).collect()
    }
}

/// The effect of a request; `None` if there is nothing to apply or count.
fn effect(post: &Post, at_ms: u64) -> Option<Effect> {
    let mut counters = Counters::default();
    let mut users: BTreeMap<User, BTreeMap<u32, Option<Entry>>> = BTreeMap::new();
    let mut invalid = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for (sent, blocks) in &post.users {
        let user = match sent {
            SentId::Well(user, _) => *user,
            SentId::Long | SentId::Zero | SentId::UnknownDomain => {
                invalid.insert(format!("{sent:?}"));
                continue;
            }
        };
        let pairs = users.entry(user).or_default();
        for block in blocks {
            match verdict(post.member, block) {
                Verdict::Accepted => drop(pairs.insert(block.segment, add(block, at_ms))),
                // An inactive segment counts once, by id or by code.
                Verdict::Inactive if refused.insert((user, block.segment, false)) => {
                    counters.inactive_segments += 1;
                }
                Verdict::Unauthorized if refused.insert((user, block.segment, block.by_code)) => {
                    counters.unauth_segments += 1;
                }
                Verdict::Invalid if refused.insert((user, block.segment, block.by_code)) => {
                    counters.invalid_segments += 1;
                }
                Verdict::Inactive | Verdict::Unauthorized | Verdict::Invalid => {}
            }
        }
    }
    counters.valid_users = users.len() as u64;
    counters.invalid_users = invalid.len() as u64;
    for add in users.values().flat_map(BTreeMap::values) {
        match add {
            Some(_) => counters.valid_adds += 1,
            None => counters.valid_removes += 1,
        }
    }
    let is_left = !users.is_empty() || !invalid.is_empty();
    is_left.then_some(Effect::Post { member: post.member, at_ms, users, counters })
}

enum Verdict {
    Accepted,
    Unauthorized,
    Inactive,
    Invalid,
}

fn verdict(member: u32, block: &Block) -> Verdict {
    let may_write = |owner| owner == member || (member, owner) == (1, 2) || (member == OWN_IDS && owner < 3);
    let exists = matches!(block.segment, 10..=13 | 20 | 30 | 1000..=1399);
    // The caller may learn whether an id exists, but not whether another member's code exists.
    if !exists && !block.by_code {
        Verdict::Invalid
    } else if !may_write(owner(block.segment)) {
        Verdict::Unauthorized
    } else if !exists {
        Verdict::Invalid
    } else if block.segment == 12 {
        Verdict::Inactive
    } else {
        Verdict::Accepted
    }
}

/// The membership that a block adds; `None` if it removes one.
fn add(block: &Block, at_ms: u64) -> Option<Entry> {
    let minutes = match block.expiration {
        Some(-1) => return None,
        Some(minutes) => minutes.unsigned_abs(),
        None if block.segment == 13 => 5,
        None => 60,
    };
    // A membership is never shorter than requested.
    let ends = (minutes > 0).then(|| at_ms.div_ceil(MINUTE_MS) + minutes);
    let minute = at_ms / MINUTE_MS;
    Some(Entry { value: block.value, added: minute, seen: minute, ends })
}
