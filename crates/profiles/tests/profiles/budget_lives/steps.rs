//! What happens in a life.

use crate::lives::{Change, any_change, any_segment, many_changes};
use ia_profiles::Stage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::ops::RangeInclusive;

pub(super) const USERS: RangeInclusive<u64> = 1..=12;
/// Users of the platform, to whom the ids are linked.
pub(super) const PLATFORM: RangeInclusive<u64> = 1..=3;
const LINKED: RangeInclusive<u64> = 4..=7;
/// These have hundreds of memberships.
pub(super) const WIDE: RangeInclusive<u64> = 10..=12;
/// They come only so that others have to go.
pub(super) const PASSERS_BY: RangeInclusive<u64> = 1000..=1063;

pub(super) const STAGES: [Stage; 5] =
    [Stage::PositionRead, Stage::Collected, Stage::Written, Stage::Clean, Stage::Rewritten];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write {
        minutes_later: i32,
        users: Vec<(u64, Vec<Change>)>,
    },
    /// One user, several records, nothing in between.
    Again {
        minutes_later: i32,
        user: u64,
        records: Vec<Vec<Change>>,
    },
    Erase(u64, Option<Vec<u32>>),
    Link {
        minutes_later: i32,
        user: u64,
        links: Vec<(u64, u32)>,
    },
    Replace {
        segment: u32,
        users: Vec<u64>,
    },
    Settle {
        all: bool,
    },
    Read(u64, Reading),
    Members(u32),
    Checkpoint {
        during: Vec<(Stage, u64, Vec<Change>)>,
        end: End,
    },
    WarmUp,
    /// After it, whoever is not in use is on disk only.
    Cool,
    Reopen,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    FromMemory,
    Live,
    Later,
    Joined,
}

pub(super) const READINGS: [Reading; 4] =
    [Reading::FromMemory, Reading::Later, Reading::Live, Reading::Joined];

/// The end of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Success,
    /// The folder of the tables is not there while it writes.
    Failure,
    /// The process ends; what is on disk at this stage is what is left.
    Kill(Stage),
}

/// What the clock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    OnlyRises,
    /// Now and then it is set back. A replay over a checkpoint that is ahead of its position may then give another
    /// `added_at` (see `checkpoint.rs`). So in such a life no process is killed.
    IsSetBack,
}

fn any_minutes(clock: Clock) -> BoxedStrategy<i32> {
    match clock {
        Clock::OnlyRises => prop_oneof![10 => 0i32..5, 1 => 0i32..3000].boxed(),
        Clock::IsSetBack => prop_oneof![10 => 0i32..5, 1 => 0i32..3000, 3 => -30i32..0].boxed(),
    }
}

/// A user and its changes: a few of a few segments, or some dozens of hundreds, now and then hundreds.
fn any_part() -> impl Strategy<Value = (u64, Vec<Change>)> {
    let narrow = (1..=9u64, vec(any_change(), 0..6));
    let segments = (1u32..600, 1u32..60, any_change());
    let dozens = segments.prop_map(|(first, count, change)| {
        let moved = |segment| match change {
            Change::Add { value, minutes, .. } => Change::Add { segment, value, minutes },
            Change::AddLater { begins, value, minutes, .. } => {
                Change::AddLater { segment, begins, value, minutes }
            }
            Change::Remove(_) => Change::Remove(segment),
        };
        (first..first + count).map(moved).collect::<Vec<_>>()
    });
    let wide =
        prop_oneof![6 => dozens.boxed(), 3 => vec(any_change(), 1..4).boxed(), 1 => many_changes().boxed()];
    prop_oneof![3 => narrow, 2 => (WIDE, wide)]
}

fn any_end(clock: Clock) -> BoxedStrategy<End> {
    let kill = select(&STAGES[..]).prop_map(End::Kill);
    match clock {
        Clock::OnlyRises => prop_oneof![3 => Just(End::Success), 1 => Just(End::Failure), 2 => kill].boxed(),
        Clock::IsSetBack => prop_oneof![3 => Just(End::Success), 1 => Just(End::Failure)].boxed(),
    }
}

pub(super) fn any_step(clock: Clock) -> impl Strategy<Value = Step> {
    let users = vec(any_part(), 1..5).prop_map(|mut users| {
        users.sort_by_key(|(user, _)| *user);
        users.dedup_by_key(|(user, _)| *user);
        users
    });
    let one = (any_part(), vec(vec(any_change(), 1..5), 1..12));
    let links = vec((LINKED, prop_oneof![0u32..40, Just(30)]), 0..4);
    let during = vec((select(&STAGES[..]), any_part()), 0..6).prop_map(|during| {
        during.into_iter().map(|(stage, (user, changes))| (stage, user, changes)).collect()
    });
    prop_oneof![
        10 => (any_minutes(clock), users)
            .prop_map(|(minutes_later, users)| Step::Write { minutes_later, users }),
        3 => (any_minutes(clock), one).prop_map(|(minutes_later, ((user, first), mut records))| {
            records.push(first);
            Step::Again { minutes_later, user, records }
        }),
        2 => (USERS, proptest::option::of(vec(any_segment(), 0..4)))
            .prop_map(|(user, segments)| Step::Erase(user, segments)),
        3 => (any_minutes(clock), PLATFORM, links)
            .prop_map(|(minutes_later, user, links)| Step::Link { minutes_later, user, links }),
        2 => (any_segment(), subsequence(USERS.collect::<Vec<_>>(), 0..=12))
            .prop_map(|(segment, users)| Step::Replace { segment, users }),
        2 => any::<bool>().prop_map(|all| Step::Settle { all }),
        6 => (USERS, select(&READINGS[..])).prop_map(|(user, reading)| Step::Read(user, reading)),
        1 => any_segment().prop_map(Step::Members),
        4 => (during, any_end(clock)).prop_map(|(during, end)| Step::Checkpoint { during, end }),
        1 => Just(Step::WarmUp),
        3 => Just(Step::Cool),
        1 => Just(Step::Reopen),
    ]
}
