//! The packed profiles against the reference, over random lives.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, Operation, Record, SegmentId};
use ia_profiles::{MemoryProfiles, PackedProfiles, ProfileOptions, Profiles};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

const USERS: u64 = 12;

#[derive(Debug, Clone)]
enum Step {
    Ingest { minutes_later: u32, users: Vec<(u64, Vec<Change>)> },
    Erase(u64, Option<Vec<u32>>),
    Load(u64),
    Checkpoint,
    WarmUp,
    Reopen,
    Crash,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Add { segment: u32, value: u32, minutes: Option<u32> },
    Remove(u32),
}

impl Change {
    fn operation(self, minute: u32) -> Operation {
        match self {
            Change::Add { segment, value, minutes } => {
                add(segment, value, minutes.map_or(Expiry::Never, |minutes| until(minute + minutes)))
            }
            Change::Remove(segment) => remove(segment),
        }
    }
}

fn any_segment() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..8, 1 => Just(u32::MAX), 1 => Just(100_000)]
}

fn any_change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![0u32..3, Just(u32::MAX >> 1)];
    let minutes = prop_oneof![Just(None), (0u32..12).prop_map(Some), Just(Some(1440))];
    prop_oneof![
        3 => (any_segment(), value, minutes)
            .prop_map(|(segment, value, minutes)| Change::Add { segment, value, minutes }),
        1 => any_segment().prop_map(Change::Remove),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let users = vec((1..=USERS, vec(any_change(), 0..6)), 1..6);
    let users = users.prop_map(|mut users| {
        users.sort_by_key(|(user, _)| *user);
        users.dedup_by_key(|(user, _)| *user);
        users
    });
    prop_oneof![
        8 => (0u32..5, users).prop_map(|(minutes_later, users)| Step::Ingest { minutes_later, users }),
        2 => (1..=USERS, proptest::option::of(vec(any_segment(), 0..4)))
            .prop_map(|(user, segments)| Step::Erase(user, segments)),
        1 => (1..=USERS).prop_map(Step::Load),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::WarmUp),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

fn any_options() -> impl Strategy<Value = ProfileOptions> {
    prop_oneof![Just(SMALL), Just(NO_ROOM), Just(ProfileOptions { memory_budget_bytes: 12_000, ..SMALL })]
}

/// One life: the profiles under test, the reference, and the log that both were fed from.
struct Life {
    dir: tempfile::TempDir,
    options: ProfileOptions,
    packed: Option<PackedProfiles>,
    reference: MemoryProfiles,
    log: Vec<Record>,
    minute: u32,
}

impl Life {
    fn new(options: ProfileOptions) -> Life {
        let dir = tempfile::tempdir().unwrap();
        let packed = Some(open(dir.path(), options));
        Life { dir, options, packed, reference: MemoryProfiles::new(), log: Vec::new(), minute: 1000 }
    }

    fn packed(&self) -> &PackedProfiles {
        self.packed.as_ref().unwrap()
    }

    fn apply(&mut self, record: Record) {
        let position = self.log.len() as u64 + 1;
        let expected = self.reference.apply(position, &record).unwrap();
        assert_eq!(self.packed().apply(position, &record).unwrap(), expected);
        self.log.push(record);
    }

    /// Stops without a checkpoint, opens again, and replays what the store does not cover.
    fn crash(&mut self) {
        self.packed = None;
        self.packed = Some(open(self.dir.path(), self.options));
        let covered = self.packed().checkpointed_position();
        assert_eq!(self.packed().applied_position(), covered);
        for (index, record) in self.log.iter().enumerate().skip(covered as usize) {
            self.packed().apply(index as u64 + 1, record).unwrap();
        }
        assert_eq!(self.packed().applied_position(), self.log.len() as u64);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ingest { minutes_later, users } => {
                self.minute += minutes_later;
                let minute = self.minute;
                let users = users.into_iter().map(|(id, changes)| {
                    (user(id), changes.into_iter().map(|change| change.operation(minute)).collect())
                });
                self.apply(ingest(minute, users));
            }
            Step::Erase(id, segments) => {
                let segments = segments.map_or(ErasedSegments::All, |segments| {
                    ErasedSegments::Only(segments.into_iter().map(SegmentId).collect())
                });
                self.apply(erase(self.minute, user(id), segments));
            }
            Step::Load(id) => drop(self.packed().load(&user(id), Minute(self.minute)).unwrap()),
            Step::Checkpoint => {
                assert_eq!(self.packed().checkpoint().unwrap().position, self.log.len() as u64);
                assert_eq!(self.packed().dirty_bytes(), 0);
            }
            Step::WarmUp => {
                self.packed().warm_up(&AtomicBool::new(false)).unwrap();
                if self.options == SMALL {
                    assert!(self.packed().stats().complete, "all fits");
                }
            }
            Step::Reopen => {
                self.packed().checkpoint().unwrap();
                self.crash();
            }
            Step::Crash => self.crash(),
        }
    }

    /// Now, and later, when some have expired. `get` first: it must not need `load` to be right.
    fn compare(&self) {
        for id in 1..=USERS + 1 {
            for now in [Minute(self.minute), Minute(self.minute + 6)] {
                let expected = self.reference.get(&user(id), now).unwrap();
                match self.packed().get(&user(id), now) {
                    Some(found) => assert_eq!(found, expected, "get of user {id} at {now:?}"),
                    None => assert!(!self.packed().stats().complete),
                }
                if now.0.is_multiple_of(2) {
                    let found = self.packed().load(&user(id), now).unwrap();
                    assert_eq!(found, expected, "load of user {id} at {now:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn packed_profiles_say_what_the_reference_says(
        options in any_options(), steps in vec(any_step(), 1..50)
    ) {
        let mut life = Life::new(options);
        for step in steps {
            life.take(step);
            life.compare();
        }
    }
}
