//! Reading everything back, and holding it against the journal.

use crate::calls::Bodies;
use crate::client::{Connection, Target};
use crate::error::Error;
use crate::journal::Fate;
use crate::population::Membership;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// The answer to `POST /user-segment`, as far as it is checked.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    response: Found<'a>,
}

#[derive(Debug, Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    user_segments: Vec<User<'a>>,
}

#[derive(Debug, Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    segments: Vec<Shown<'a>>,
}

#[derive(Debug, Deserialize)]
struct Shown<'a> {
    id: u32,
    value: u32,
    /// Null for ever. A day is far longer than a run, so that which of the two it is can be checked.
    #[serde(borrow)]
    expires_on: Option<Cow<'a, str>>,
}

/// What was found, in memberships where it does not say bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Acknowledged memberships that were looked for.
    pub acknowledged: u64,
    /// Those that are missing, or have another value or kind of expiry.
    pub lost: u64,
    /// Memberships that were read and never sent.
    pub unexpected: u64,
    /// Unanswered or refused bodies that are there in part.
    pub torn_bodies: u64,
    /// Unanswered bodies that are there wholly.
    pub unknown_bodies_present: u64,
    /// Unanswered bodies of which nothing is there.
    pub unknown_bodies_absent: u64,
    /// Refused bodies that are there wholly.
    pub refused_bodies_present: u64,
    /// Refused bodies of which nothing is there.
    pub refused_bodies_absent: u64,
    /// Where the first fault was.
    pub first_fault: Option<String>,
}

impl Findings {
    /// Whether the server kept its promise.
    pub(crate) fn is_sound(&self) -> bool {
        self.lost == 0 && self.unexpected == 0 && self.torn_bodies == 0
    }

    fn add(&mut self, other: Findings) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.unexpected += other.unexpected;
        self.torn_bodies += other.torn_bodies;
        self.unknown_bodies_present += other.unknown_bodies_present;
        self.unknown_bodies_absent += other.unknown_bodies_absent;
        self.refused_bodies_present += other.refused_bodies_present;
        self.refused_bodies_absent += other.refused_bodies_absent;
        if self.first_fault.is_none() {
            self.first_fault = other.first_fault;
        }
    }
}

/// The memberships of a user or a body, compared with what was sent.
#[derive(Debug, Default)]
struct Comparison {
    /// There as sent.
    same: u64,
    /// There, with another value or kind of expiry.
    other: u64,
    /// Not there.
    missing: u64,
    /// There, and not sent.
    extra: u64,
    first_fault: Option<String>,
}

impl Comparison {
    fn user(&mut self, mut sent: Vec<Membership>, user: &User) {
        sent.sort_unstable_by_key(|membership| membership.segment);
        let mut shown: Vec<&Shown> = user.segments.iter().collect();
        shown.sort_by_key(|shown| shown.id);
        let mut shown = shown.into_iter().peekable();
        for membership in sent {
            while let Some(extra) = shown.next_if(|shown| shown.id < membership.segment) {
                self.extra += 1;
                self.fault(user, || format!("is in segment {}, which was not sent", extra.id));
            }
            let Some(found) = shown.next_if(|shown| shown.id == membership.segment) else {
                self.missing += 1;
                self.fault(user, || format!("is not in segment {}", membership.segment));
                continue;
            };
            if found.value == membership.value && found.expires_on.is_none() == (membership.expiration == 0) {
                self.same += 1;
            } else {
                self.other += 1;
                self.fault(user, || format!("should have {membership:?} and has {found:?}"));
            }
        }
        for extra in shown {
            self.extra += 1;
            self.fault(user, || format!("is in segment {}, which was not sent, or twice", extra.id));
        }
    }

    fn fault(&mut self, user: &User, what: impl FnOnce() -> String) {
        self.first_fault.get_or_insert_with(|| format!("user {} {}", user.user_id, what()));
    }

    fn judge(self, fate: Fate) -> Findings {
        let Comparison { same, other, missing, extra, first_fault } = self;
        let mut findings = Findings { unexpected: extra, ..Findings::default() };
        match fate {
            Fate::Acknowledged => {
                findings.acknowledged = same + other + missing;
                findings.lost = other + missing;
            }
            Fate::Unsent => findings.unexpected += same + other,
            Fate::Unknown | Fate::Refused => {
                let (present, absent) = if fate == Fate::Unknown {
                    (&mut findings.unknown_bodies_present, &mut findings.unknown_bodies_absent)
                } else {
                    (&mut findings.refused_bodies_present, &mut findings.refused_bodies_absent)
                };
                match (same, other + missing) {
                    (_, 0) => *present += 1,
                    (0, _) if other == 0 => *absent += 1,
                    _ => findings.torn_bodies += 1,
                }
            }
        }
        if !findings.is_sound() {
            let otherwise = || Some("a body that was never sent is there".to_owned());
            findings.first_fault = first_fault.or_else(otherwise);
        }
        findings
    }
}

/// Holds the answer about a body's users against what was sent. The answer must name the users that were
/// asked for, in order.
fn judge(bodies: &Bodies, body: usize, fate: Fate, answer: &[u8]) -> Result<Findings, Error> {
    let Answer { response: Found { status, user_segments } } = serde_json::from_slice(answer)
        .map_err(|source| Error::Answer { what: "POST /user-segment".to_owned(), source })?;
    let asked = bodies.users(body);
    let ids = asked.clone().map(|user| bodies.population.id(user).to_string());
    if status != "OK" || !user_segments.iter().map(|user| user.user_id.as_ref()).eq(ids) {
        return Err(Error::broken("POST /user-segment did not answer OK with the users that were asked for"));
    }
    let mut comparison = Comparison::default();
    for (user, shown) in asked.zip(&user_segments) {
        comparison.user(bodies.memberships(user).collect(), shown);
    }
    Ok(comparison.judge(fate))
}

/// Reads back every body and judges it by its fate, over `connections` connections.
pub(crate) async fn verify(
    target: &Target,
    bodies: Bodies,
    fates: Vec<Fate>,
    connections: usize,
    done: Arc<AtomicUsize>,
) -> Result<Findings, Error> {
    let fates = Arc::new(fates);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (fates, next, done) = (Arc::clone(&fates), Arc::clone(&next), Arc::clone(&done));
        let mut connection = Connection::open(target).await?;
        workers.spawn(async move {
            let mut findings = Findings::default();
            loop {
                let body = next.fetch_add(1, Ordering::Relaxed);
                let Some(&fate) = fates.get(body) else { return Ok::<_, Error>(findings) };
                let answer = connection.post("/user-segment", bodies.ask(body)).await?;
                findings.add(judge(&bodies, body, fate, &answer)?);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut findings = Findings::default();
    while let Some(ended) = workers.join_next().await {
        findings.add(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
