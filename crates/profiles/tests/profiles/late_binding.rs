//! Links and segments may come in any order.

use crate::records::*;
use ia_model::{Minute, Operation, Record, UserKey};
use ia_profiles::{MemoryProfiles, PackedProfiles, ProfileOptions, Profiles, get_joined, load_joined};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PLATFORM: std::ops::RangeInclusive<u64> = 1..=3;

/// Minutes since the change before, the user, and its segment with value and minutes; without them, a remove.
type AnyChange = (u32, UserKey, (u32, Option<(u32, u32)>));

/// Adds and removals of one user each, in the order of their minutes. The changes of one user always keep
/// their order: the last one counts.
fn any_changes() -> impl Strategy<Value = Vec<(u32, Record)>> {
    let user = prop_oneof![
        1 => PLATFORM.prop_map(user),
        3 => prop::sample::select(IDS.to_vec()).prop_map(external),
    ];
    let operation = prop_oneof![
        4 => (1u32..5, 0u32..3, 1u32..60).prop_map(|(segment, value, minutes)| (segment, Some((value, minutes)))),
        1 => (1u32..5).prop_map(|segment| (segment, None)),
    ];
    vec((0u32..3, user, operation), 1..25).prop_map(|changes| {
        let mut minute = 100;
        let record = |(later, user, (segment, what)): AnyChange| {
            minute += later;
            let operation: Operation = match what {
                Some((value, minutes)) => add(segment, value, until(minute + minutes)),
                None => remove(segment),
            };
            (minute, ingest(minute, [(user, vec![operation])]))
        };
        changes.into_iter().map(record).collect()
    })
}

fn any_links() -> impl Strategy<Value = Vec<(u32, Record)>> {
    let links = vec((prop::sample::select(IDS.to_vec()), 1u32..80), 1..4);
    vec((100u32..150, PLATFORM, links), 1..12).prop_map(|links| {
        let record = |(minute, id, links): (u32, u64, Vec<(&str, u32)>)| {
            let links = links.into_iter().map(|(id, minutes)| (external(id), minute + minutes));
            (minute, link(minute, user(id), links.collect::<Vec<_>>()))
        };
        links.into_iter().map(record).collect()
    })
}

/// A step between two records.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Checkpoint,
    WarmUp,
    Crash,
}

fn any_between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => Just(Between::Nothing),
        2 => Just(Between::Checkpoint),
        1 => Just(Between::WarmUp),
        2 => Just(Between::Crash),
    ]
}

fn reads(profiles: &dyn Profiles, now: u32) -> Vec<Vec<ia_profiles::Membership>> {
    let read = |id| {
        let joined = load_joined(profiles, &user(id), Minute(now)).unwrap();
        if let Some(in_memory) = get_joined(profiles, &user(id), Minute(now)) {
            assert_eq!(in_memory, joined);
        }
        joined
    };
    PLATFORM.map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_interleaving_of_links_and_changes_ends_in_the_same_reads(
        changes in any_changes(),
        links in any_links().prop_flat_map(|links| (Just(links.clone()), Just(links).prop_shuffle())),
        places in vec(any::<prop::sample::Index>(), 12),
        betweens in vec(any_between(), 40),
        options in prop::sample::select(vec![SMALL, NO_ROOM, ProfileOptions { memory_budget_bytes: 12_000, ..SMALL }]),
    ) {
        // Of too many links the latest stay. So with a limit the order of links does matter.
        let options = ProfileOptions { links_per_user: IDS.len(), ..options };
        let (links, shuffled) = links;
        let last = changes.iter().chain(&links).map(|(minute, _)| *minute).max().unwrap();
        // First all changes, then all links, in memory alone.
        let reference = MemoryProfiles::new(options.links_per_user);
        for ((_, record), position) in changes.iter().chain(&links).zip(1..) {
            reference.apply(position, record).unwrap();
        }
        // Links in another order, anywhere among the changes, with crashes in between.
        let mut log: Vec<Record> = changes.into_iter().map(|(_, record)| record).collect();
        for ((_, record), place) in shuffled.into_iter().zip(&places) {
            log.insert(place.index(log.len() + 1), record);
        }
        let dir = tempfile::tempdir().unwrap();
        let mut profiles: PackedProfiles = open(dir.path(), options);
        for (index, record) in log.iter().enumerate() {
            profiles.apply(index as u64 + 1, record).unwrap();
            match betweens[index % betweens.len()] {
                Between::Nothing => {}
                Between::Checkpoint => drop(profiles.checkpoint().unwrap()),
                Between::WarmUp => profiles.warm_up(&AtomicBool::new(false)).unwrap(),
                Between::Crash => {
                    drop(profiles);
                    profiles = open(dir.path(), options);
                    replay(&profiles, &log[..=index]);
                }
            }
        }
        for now in [last, last + 10, last + 40] {
            prop_assert_eq!(reads(&profiles, now), reads(&reference, now), "at {}", now);
        }
    }
}
