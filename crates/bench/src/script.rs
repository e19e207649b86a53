//! What a workload asks for, call by call, before it is put into the words of a protocol: what is compared
//! must be asked for the same users in the same order.

use crate::body::Form;
use crate::calls::{self, MAX_USERS};
use crate::client::Call;
use crate::distribution::{Distribution, Drawing};
use crate::population::{KNOWN, Membership, Population, UNKNOWN, WRITTEN, dice};
use crate::workload::{KNOWN_SEGMENTS, Kind, Pool, Prepared, Workload, Written};

/// Beyond this many, more calls would only cost time to prepare.
const MAX_POOL_CALLS: u64 = 200_000;

/// The calls of a workload.
#[derive(Debug)]
pub(crate) struct Script {
    kind: Kind,
    form: Form,
    written: Written,
    lap: u64,
    population: Population,
    users_per_call: usize,
    /// Those of all calls, one call after the other.
    users: Vec<Drawn>,
}

/// A user of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Its number in its population.
    number: u64,
    /// Whether it is one of the users without memberships.
    is_unknown: bool,
}

impl Script {
    /// The script of a workload whose HTTP bodies take about `pool_bytes`. Users are drawn from `users`, the
    /// same ones in every run. `written` says what is written, and of which known users reads are.
    pub(crate) fn new(
        workload: &Workload,
        written: Written,
        users: u64,
        distribution: Distribution,
        pool_bytes: u64,
    ) -> Script {
        Script::of_lap(workload, written, users, distribution, pool_bytes, 0)
    }

    /// [`Script::new`], with other draws for each `lap`.
    pub(crate) fn of_lap(
        workload: &Workload,
        written: Written,
        users: u64,
        distribution: Distribution,
        pool_bytes: u64,
        lap: u64,
    ) -> Script {
        let stream =
            workload.name.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = dice(stream.wrapping_add(lap << 32));
        let drawing = Drawing::new(distribution, users);
        let (range, per_call, calls) = match workload.kind {
            Kind::Write { users: per_call, segments } => {
                let per_call = per_call.min(users);
                let range = match written {
                    Written::NewSegments => WRITTEN,
                    Written::Known | Written::SomeKnown { .. } => KNOWN,
                };
                let bytes = per_call * workload.form.bytes_of_user(segments.into());
                (range, per_call, pool_calls(pool_bytes, bytes))
            }
            Kind::Read { .. } => (KNOWN, 1, MAX_POOL_CALLS),
            Kind::ReadMany { users: per_call } => {
                let per_call = per_call.min(users);
                // A few are enough: what a server does for them depends on the profiles alone.
                (KNOWN, per_call, pool_calls(pool_bytes / 16, per_call * 34))
            }
        };
        let half_unknown = matches!(workload.kind, Kind::Read { half_unknown: true });
        let users = (0..calls)
            .flat_map(|_| drawing.different(&mut random, per_call))
            .collect::<Vec<u64>>()
            .into_iter()
            .map(|number| Drawn { number, is_unknown: half_unknown && random.below(2) == 1 })
            .collect();
        Script {
            kind: workload.kind,
            form: workload.form,
            written,
            lap,
            population: Population::new(range, drawing.users()),
            users_per_call: usize::try_from(per_call.min(MAX_USERS)).expect("a thousand at most"),
            users,
        }
    }

    /// The calls of a workload in HTTP, about `pool_bytes` of bodies, with users drawn uniformly. When all are sent
    /// they are sent again, and what they write is no longer new.
    pub(crate) fn prepare(workload: &Workload, users: u64, pool_bytes: u64) -> Pool {
        Script::new(workload, Written::NewSegments, users, Distribution::Uniform, pool_bytes).http()
    }

    /// What a call does.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// How many memberships, or users, one call is about.
    pub(crate) fn items_per_call(&self) -> u64 {
        self.users_per_call as u64 * u64::from(self.segments_written().unwrap_or(1))
    }

    /// How many segments a call writes for a user, if it writes.
    pub(crate) fn segments_written(&self) -> Option<u32> {
        match self.kind {
            Kind::Write { segments, .. } => Some(segments),
            Kind::Read { .. } | Kind::ReadMany { .. } => None,
        }
    }

    /// The users of each call, with the number of the call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (u64, &[Drawn])> {
        (0..).zip(self.users.chunks(self.users_per_call))
    }

    /// The platform id of a user.
    pub(crate) fn id(&self, user: Drawn) -> u64 {
        if user.is_unknown {
            Population::new(UNKNOWN, self.population.users).id(user.number)
        } else {
            self.population.id(user.number)
        }
    }

    /// How many memberships a user that is read has.
    pub(crate) fn known_segments(&self, user: Drawn) -> u32 {
        match self.written {
            _ if user.is_unknown => 0,
            Written::SomeKnown { of } => of,
            Written::NewSegments | Written::Known => KNOWN_SEGMENTS,
        }
    }

    /// The memberships that call number `call` writes for a user.
    pub(crate) fn written(&self, call: u64, user: Drawn) -> Vec<Membership> {
        let (user, count) = (user.number, self.segments_written().unwrap_or(0));
        match self.written {
            // A user that is drawn again gets other segments, not a refresh of the same.
            Written::NewSegments => self.population.memberships(user, call + 1, count).collect(),
            // Those of the load.
            Written::Known => self.population.memberships(user, 0, count).collect(),
            Written::SomeKnown { of } => {
                self.population.some_of(user, of, self.lap << 32 | call, count).collect()
            }
        }
    }

    /// The script in HTTP.
    pub(crate) fn http(&self) -> Pool {
        self.http_in(self.form)
    }

    /// The script in HTTP, with writes in that form.
    pub(crate) fn http_in(&self, form: Form) -> Pool {
        let refused = form.refused_blocks();
        let calls = self.calls().map(|(number, users)| match self.kind {
            Kind::Write { .. } => {
                let adds = users.iter().map(|&user| (self.id(user), self.written(number, user)));
                let mark = format!(
                    r#""users_in_request":{},"segments_in_request":{}}},"warnings":[{}"#,
                    users.len(),
                    self.items_per_call() - refused,
                    if refused == 0 { "]" } else { "{" },
                );
                Prepared { call: Call::post("/rt-segment", form.body(adds.collect())), mark: mark.into() }
            }
            Kind::Read { .. } => {
                let mark = if users[0].is_unknown { r#""segments":[]"# } else { r#""segments":[{"# };
                Prepared { call: Call::get_user(self.id(users[0])), mark: mark.into() }
            }
            Kind::ReadMany { .. } => {
                let ids = users.iter().map(|&user| self.id(user));
                Prepared {
                    call: Call::post("/user-segment", calls::ask(ids)),
                    mark: r#""segments":[{"#.into(),
                }
            }
        });
        Pool { calls: calls.collect(), items_per_call: self.items_per_call() - refused }
    }
}

/// How many calls make a pool, from the bytes of one body.
fn pool_calls(pool_bytes: u64, body_bytes: u64) -> u64 {
    (pool_bytes / body_bytes).clamp(16, MAX_POOL_CALLS)
}

#[cfg(test)]
mod tests;
