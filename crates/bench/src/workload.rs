//! The workloads: what is asked of a server, prepared before the clock starts.

use crate::body::Form;
use crate::calls::MAX_USERS;
use crate::client::Call;
use crate::error::Error;
use clap::Args;
use std::borrow::Cow;
use std::sync::Arc;

/// Users that reads find are in this many segments.
pub(crate) const KNOWN_SEGMENTS: u32 = 10;

/// Bodies of a thousand users keep a server busy over few connections; over more they only wait longer.
const BULK_CONNECTIONS: usize = 8;

/// What one call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `POST /rt-segment` of that many users with that many segments each.
    Write {
        /// Users of a body.
        users: u64,
        /// Segments of a user.
        segments: u32,
    },
    /// `GET /user-segment` of a user.
    Read {
        /// Whether a random half of the users have no memberships. Most bid requests ask for such users.
        half_unknown: bool,
    },
    /// `POST /user-segment` of that many users.
    ReadMany {
        /// Users of a body.
        users: u64,
    },
}

/// Which memberships writes are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Other segments with every body, of users that nothing else writes.
    NewSegments,
    /// Those that a load of the known users left: the same profiles stay as large as they are.
    Known,
    /// Of the `of` memberships that a load left of each known user, others with every body, with other values: these
    /// profiles stay as large too.
    SomeKnown {
        /// How many a user has.
        of: u32,
    },
}

/// A kind of call over a number of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What a call does.
    pub kind: Kind,
    /// How a write is written.
    pub form: Form,
    /// How many connections are kept busy.
    pub connections: usize,
}

/// Which workloads run, over how many connections, and whom they are about.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Users to draw from, and users that are loaded to be read.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub users: u64,
    /// Connections of the workloads with small calls; those with large ones use up to 8.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    pub connections: u16,
    /// Run only these: bulk10, compact, bulk1, small, read, read-unknown, readmany; in `compare` also memory.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<String>,
}

impl Choice {
    /// The workloads of the names given; all when there are none.
    pub(crate) fn workloads(&self) -> Result<Vec<Workload>, Error> {
        let mut workloads = Workload::all(self.connections.into());
        let is_known = |name: &String| workloads.iter().any(|workload| workload.name == name);
        if let Some(unknown) = self.only.iter().find(|name| !is_known(name)) {
            return Err(Error::broken(format!("there is no workload {unknown:?}")));
        }
        if !self.only.is_empty() {
            workloads.retain(|workload| self.only.iter().any(|name| name == workload.name));
        }
        Ok(workloads)
    }
}

/// The prepared calls of a workload.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Taken in turn, again from the front after the last.
    pub calls: Arc<[Prepared]>,
    /// How many memberships, or users, one call is about.
    pub items_per_call: u64,
}

impl Pool {
    /// The same calls for the ceiling, which knows no users: what it answers to reads is fixed.
    pub(crate) fn for_ceiling(&self) -> Pool {
        let calls = self.calls.iter().map(|Prepared { call, mark }| {
            let mark = if call.uri.path() == "/user-segment" { "".into() } else { mark.clone() };
            Prepared { call: call.clone(), mark }
        });
        Pool { calls: calls.collect(), items_per_call: self.items_per_call }
    }
}

/// A call, and what its answer must show beside OK.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is sent.
    pub call: Call,
    /// Bytes that the beginning of a right answer holds.
    pub mark: Cow<'static, str>,
}

impl Workload {
    /// All workloads, in the order in which they run: those that write come first.
    pub(crate) fn all(connections: usize) -> Vec<Workload> {
        let bulk = connections.min(BULK_CONNECTIONS);
        let write = |users, segments| Kind::Write { users, segments };
        [
            ("bulk10", write(MAX_USERS, 10), bulk),
            ("compact", write(MAX_USERS, 10), bulk),
            ("bulk1", write(MAX_USERS, 1), bulk),
            ("small", write(1, 2), connections),
            ("read", Kind::Read { half_unknown: false }, connections),
            ("read-unknown", Kind::Read { half_unknown: true }, connections),
            ("readmany", Kind::ReadMany { users: MAX_USERS }, bulk),
        ]
        .map(|(name, kind, connections)| {
            let form = if name == "compact" { Form::Compact } else { Form::Documented };
            Workload { name, kind, form, connections }
        })
        .into()
    }

    /// Whether it needs users that are known already.
    pub(crate) fn reads(&self) -> bool {
        !matches!(self.kind, Kind::Write { .. })
    }

    /// What its items are.
    pub(crate) fn unit(&self) -> &'static str {
        if self.reads() { "users read" } else { "memberships" }
    }

    /// The workload of that name.
    pub(crate) fn named(name: &str, connections: usize) -> Workload {
        let found = Workload::all(connections).into_iter().find(|workload| workload.name == name);
        found.unwrap_or_else(|| panic!("there is no workload {name}"))
    }
}
