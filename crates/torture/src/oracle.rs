//! The oracle: what every user holds and what was counted, after all that the journal says.

use crate::findings::Findings;
use crate::journal::{Case, End, Session};
use crate::operation::{Change, Effect, Held, Operation, Part, is_shared};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a user holds, by segment.
pub(crate) type Holdings = BTreeMap<u32, Held>;

/// What can be read of the server: of every user that was asked for, and the sums of the usage report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// By user; without those that hold nothing.
    pub users: BTreeMap<u64, Holdings>,
    /// The report.
    pub counts: Counts,
}

/// Sums over accepted POSTs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// `num_valid_users`
    pub users: u64,
    /// `num_valid_adds`
    pub adds: u64,
    /// `num_valid_removes`
    pub removes: u64,
    /// `num_invalid_segments`
    pub invalid_segments: u64,
    /// All other counters, which have no cause to be anything but 0.
    pub others: u64,
}

/// What a status other than OK means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing of it was kept.
    LeavesNothing,
    /// Stable storage failed: an operation that was under way at that moment may be there after a restart. One that was
    /// sent after anybody had been refused left nothing.
    OfAFailedDisk,
}

/// What a connection that broke means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// The server died: the operation is there whole or not at all.
    IsOpen,
    /// The server stopped in order: an operation without an answer left nothing.
    LeavesNothing {
        /// One that was sent before this moment, in milliseconds since 1970, should have been answered.
        unless_sent_before_ms: u64,
    },
}

/// What endings mean in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Of a status other than OK.
    pub refusal: Refusal,
    /// Of a broken connection.
    pub on_break: Break,
}

/// Whether an operation has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Must,
    May,
    MustNot,
}

/// All that was settled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    users: BTreeMap<u64, Holdings>,
    counts: Counts,
}

impl Oracle {
    /// Goes over a session, decides what became of its unknown operations, and compares. What is seen counts as settled
    /// from now on.
    pub(crate) fn settle(&mut self, session: &Session, rules: Rules, seen: &Seen) -> Findings {
        let mut findings = Findings {
            reads: session.good_reads,
            stale: session.bad_reads.len() as u64,
            ..Default::default()
        };
        for fault in &session.bad_reads {
            findings.tell(|| fault.clone());
        }
        let verdicts = verdicts(&session.cases, rules, &mut findings);
        let happened = self.settle_own(&session.cases, &verdicts, seen, &mut findings);
        self.settle_shared(&session.cases, &happened, seen, &mut findings);
        for (case, _) in
            session.cases.iter().zip(&happened).filter(|&(_, &happened)| happened == Happened::Yes)
        {
            self.counts.count(case);
        }
        self.compare_counts(seen, &mut findings);
        self.users = seen.users.clone();
        self.counts = seen.counts;
        findings
    }

    /// Replays what was sent to users of one writer each, and returns which operations have happened.
    fn settle_own(
        &mut self,
        cases: &[Case],
        verdicts: &[Verdict],
        seen: &Seen,
        findings: &mut Findings,
    ) -> Vec<Happened> {
        let is_done = |&verdict| if verdict == Verdict::Must { Happened::Yes } else { Happened::No };
        let mut happened: Vec<Happened> = verdicts.iter().map(is_done).collect();
        let mut in_doubt: HashMap<u16, usize> = HashMap::new();
        for (index, (case, verdict)) in cases.iter().zip(verdicts).enumerate() {
            match verdict {
                Verdict::MustNot => {}
                Verdict::May => {
                    if in_doubt.insert(case.operation.writer(), index).is_some() {
                        findings.tell(|| format!("writer {} has two in doubt", case.operation.writer()));
                    }
                }
                Verdict::Must => {
                    if in_doubt.contains_key(&case.operation.writer()) {
                        findings
                            .tell(|| format!("{} was acknowledged after one in doubt", case.operation.id()));
                    }
                    own_effects(case).for_each(|effect| apply(&mut self.users, effect));
                }
            }
        }
        let mut torn_users = HashSet::new();
        for &index in in_doubt.values() {
            let case = &cases[index];
            match self.presence(case, seen) {
                Presence::Whole => {
                    happened[index] = Happened::Yes;
                    findings.unknown_present += 1;
                    own_effects(case).for_each(|effect| apply(&mut self.users, effect));
                }
                Presence::Absent => {}
                Presence::Hidden => happened[index] = Happened::Perhaps,
                Presence::Torn => {
                    findings.torn += 1;
                    findings.tell(|| format!("there in part: {:?}", case.operation));
                    torn_users.extend(own_effects(case).map(Effect::user));
                }
            }
        }
        let of_refused: HashSet<u32> = cases
            .iter()
            .zip(verdicts)
            .filter(|&(_, &v)| v == Verdict::MustNot)
            .map(|(c, _)| c.operation.id())
            .collect();
        let users = self.users.keys().chain(seen.users.keys()).copied();
        let users: std::collections::BTreeSet<u64> =
            users.filter(|user| !is_shared(*user) && !torn_users.contains(user)).collect();
        for user in users {
            compare_user(user, self.users.get(&user), seen.users.get(&user), &of_refused, findings);
        }
        happened
    }

    /// Whether an operation in doubt is there, by what its writer's users hold.
    fn presence(&self, case: &Case, seen: &Seen) -> Presence {
        let none = Holdings::new();
        let (mut like_before, mut like_after) = (0, 0);
        for effect in own_effects(case) {
            let before = self.users.get(&effect.user()).unwrap_or(&none);
            let found = seen.users.get(&effect.user()).unwrap_or(&none);
            for Change { segment, held } in changes(effect, before) {
                let (before, found) = (before.get(&segment).copied(), found.get(&segment).copied());
                // A change that changes nothing says nothing.
                if before != held {
                    like_before += u32::from(found == before);
                    like_after += u32::from(found == held);
                }
            }
        }
        match (like_before, like_after) {
            // Every POST has its mark; nobody can tell by a user who holds nothing, or whom others write to.
            (0, 0) if matches!(case.operation, Operation::Delete(_)) => Presence::Hidden,
            (_, 0) => Presence::Absent,
            (0, _) => Presence::Whole,
            _ => Presence::Torn,
        }
    }

    /// Checks that what a shared user holds comes from one operation that no later one has replaced.
    fn settle_shared(&self, cases: &[Case], happened: &[Happened], seen: &Seen, findings: &mut Findings) {
        let mut writes: BTreeMap<u64, Vec<(&Case, Effect<'_>, Happened)>> = BTreeMap::new();
        for (case, &happened) in cases.iter().zip(happened).filter(|&(_, &happened)| happened != Happened::No)
        {
            for effect in case.operation.effects().into_iter().filter(|effect| is_shared(effect.user())) {
                writes.entry(effect.user()).or_default().push((case, effect, happened));
            }
        }
        let none = Holdings::new();
        let users = self.users.keys().chain(seen.users.keys()).chain(writes.keys());
        let users: std::collections::BTreeSet<u64> = users.copied().filter(|&user| is_shared(user)).collect();
        for user in users {
            let found = seen.users.get(&user).unwrap_or(&none);
            let writes = writes.get(&user).map_or([].as_slice(), Vec::as_slice);
            let last_sent =
                writes.iter().filter(|(case, ..)| is_acknowledged(case)).map(|(c, ..)| c.sent_at).max();
            let is_current = |case: &Case| match (&case.ended, last_sent) {
                // Answered before another was sent, and so before it in the log.
                (Some((ended_at, End::Acknowledged)), Some(last)) => *ended_at >= last,
                _ => true,
            };
            let mut candidates: Vec<Holdings> = writes
                .iter()
                .filter(|(case, ..)| is_current(case))
                .map(|&(_, effect, _)| left_by(effect))
                .collect();
            if writes.iter().all(|&(.., happened)| happened == Happened::Perhaps) {
                candidates.push(self.users.get(&user).cloned().unwrap_or_default());
            }
            if !candidates.contains(found) {
                let posts: HashSet<u32> = found.values().map(|held| held.post()).collect();
                if posts.len() > 1
                    || (!found.is_empty() && found.len() != crate::operation::SHARED_SEGMENTS.count())
                {
                    findings.torn += 1;
                } else if candidates.iter().all(Holdings::is_empty) {
                    findings.unexpected += 1;
                } else {
                    findings.lost += 1;
                }
                findings
                    .tell(|| format!("shared user {user} holds {found:?}, which is none of {candidates:?}"));
            }
        }
    }

    fn compare_counts(&self, seen: &Seen, findings: &mut Findings) {
        let (expected, found) = (self.counts.values(), seen.counts.values());
        findings.miscounted +=
            expected.iter().zip(found).filter(|&(expected, found)| *expected != found).count() as u64;
        if expected != found {
            findings
                .tell(|| format!("the usage report says {:?} and should say {:?}", seen.counts, self.counts));
        }
    }
}

/// Whether an operation has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happened {
    Yes,
    No,
    /// A delete that was not answered, where it cannot be told.
    Perhaps,
}

enum Presence {
    Whole,
    Absent,
    Torn,
    /// Nothing shows it.
    Hidden,
}

impl Counts {
    fn values(&self) -> [u64; 5] {
        let Counts { users, adds, removes, invalid_segments, others } = *self;
        [users, adds, removes, invalid_segments, others]
    }

    /// A delete counts as nothing.
    fn count(&mut self, case: &Case) {
        let Operation::Post(post) = &case.operation else { return };
        self.users += post.users.len() as u64;
        for change in post.users.iter().flat_map(|part| &part.changes) {
            *if change.held.is_some() { &mut self.adds } else { &mut self.removes } += 1;
        }
        self.invalid_segments += u64::from(post.invalid_segments);
    }
}

fn is_acknowledged(case: &Case) -> bool {
    matches!(case.ended, Some((_, End::Acknowledged)))
}

fn own_effects(case: &Case) -> impl Iterator<Item = Effect<'_>> {
    case.operation.effects().into_iter().filter(|effect| !is_shared(effect.user()))
}

/// What becomes of the memberships of a user that holds this.
fn changes(effect: Effect<'_>, before: &Holdings) -> Vec<Change> {
    match effect {
        Effect::Change(part) => part.changes.clone(),
        Effect::Forget(_) => before.keys().map(|&segment| Change { segment, held: None }).collect(),
    }
}

/// What a shared user holds after this: each operation changes all of its segments.
fn left_by(effect: Effect<'_>) -> Holdings {
    match effect {
        Effect::Change(Part { changes, .. }) => {
            changes.iter().filter_map(|change| Some((change.segment, change.held?))).collect()
        }
        Effect::Forget(_) => Holdings::new(),
    }
}

fn apply(users: &mut BTreeMap<u64, Holdings>, effect: Effect<'_>) {
    let holdings = users.entry(effect.user()).or_default();
    for Change { segment, held } in changes(effect, holdings) {
        match held {
            Some(held) => holdings.insert(segment, held),
            None => holdings.remove(&segment),
        };
    }
}

/// What each ending means, counted.
fn verdicts(cases: &[Case], rules: Rules, findings: &mut Findings) -> Vec<Verdict> {
    let refusals = cases.iter().filter_map(|case| match case.ended {
        Some((line, End::Refused { .. })) => Some(line),
        _ => None,
    });
    let first_refusal = refusals.min().unwrap_or(usize::MAX);
    let mut verdicts = Vec::with_capacity(cases.len());
    for case in cases {
        let id = case.operation.id();
        let disk_had_failed = rules.refusal == Refusal::OfAFailedDisk && case.sent_at > first_refusal;
        let verdict = match &case.ended {
            Some((_, End::Acknowledged)) => {
                if disk_had_failed {
                    findings.wrong_answers += 1;
                    findings.tell(|| format!("{id} was acknowledged after the disk had failed"));
                }
                Verdict::Must
            }
            Some((_, End::Refused { status, says_retry_after })) => {
                if *status != 503 || !says_retry_after {
                    findings.wrong_answers += 1;
                    findings.tell(|| format!("{id} was answered with {:?}", case.ended));
                }
                match rules.refusal {
                    Refusal::OfAFailedDisk if !disk_had_failed => Verdict::May,
                    _ => Verdict::MustNot,
                }
            }
            Some((_, End::Nonsense(answer))) => {
                findings.wrong_answers += 1;
                findings.tell(|| format!("{id} was answered with {answer}"));
                Verdict::May
            }
            Some((_, End::Broken { received_bytes, error })) => match rules.on_break {
                Break::IsOpen if disk_had_failed => Verdict::MustNot,
                Break::IsOpen => Verdict::May,
                Break::LeavesNothing { unless_sent_before_ms } => {
                    if *received_bytes > 0 || case.sent_at_ms < unless_sent_before_ms {
                        findings.wrong_answers += 1;
                        findings.tell(|| {
                            format!("{id} was not answered but with {received_bytes} bytes: {error}")
                        });
                    }
                    Verdict::MustNot
                }
            },
            None => Verdict::May,
        };
        *match verdict {
            Verdict::Must => &mut findings.acknowledged,
            Verdict::May => &mut findings.unknown,
            Verdict::MustNot => &mut findings.refused,
        } += 1;
        let is_delete = matches!(case.operation, Operation::Delete(_));
        findings.deleted += u64::from(is_delete && verdict == Verdict::Must);
        verdicts.push(verdict);
    }
    verdicts
}

fn compare_user(
    user: u64,
    expected: Option<&Holdings>,
    found: Option<&Holdings>,
    of_refused: &HashSet<u32>,
    findings: &mut Findings,
) {
    let none = Holdings::new();
    let (expected, found) = (expected.unwrap_or(&none), found.unwrap_or(&none));
    if expected == found {
        return;
    }
    for (segment, held) in expected {
        if found.get(segment) != Some(held) {
            findings.lost += 1;
            findings.tell(|| {
                format!("user {user} should hold {held:?} in {segment} and holds {:?}", found.get(segment))
            });
        }
    }
    for (segment, held) in found {
        let is_refused = of_refused.contains(&held.post());
        if is_refused || !expected.contains_key(segment) {
            findings.unexpected += 1;
            let why = if is_refused { "a POST that was refused" } else { "nothing that is acknowledged" };
            findings.tell(|| format!("user {user} holds {held:?} in {segment}, left by {why}"));
        }
    }
}

#[cfg(test)]
mod tests;
