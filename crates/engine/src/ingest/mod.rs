//! `POST /rt-segment`: one walk over the body reads and resolves it; then it is committed.

mod answer;
mod body;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod json;
mod post;
mod read;
#[cfg(any(test, feature = "fuzz"))]
mod reference;
mod repair;
pub(crate) mod resolve;
pub(crate) mod structure;
mod warning;

use crate::threads::Turns;
use answer::Message;
pub use body::BodyError;
use ia_model::UserKey;
use ia_model::record::{Ingest, Usage};
pub use post::{IngestError, Ingester, Post, Purpose};
use read::{NoRequest, ReadRequest, ReadRules};
pub use resolve::ExpirationRules;
use resolve::{Context, Resolved, Resolver};
use structure::{BlockRequest, StructureLimits};

/// After how many users of a large body other threads run: a tenth of a millisecond, or two.
const USERS_PER_TURN: u32 = 128;

/// What a request is checked and resolved with.
pub(crate) struct Request<'c> {
    /// Who asks, when, and under which rules.
    pub context: Context<'c>,
    /// The request's id.
    pub request_id: &'c str,
    /// How much of the request is read.
    pub limits: StructureLimits,
    /// How often other threads run meanwhile.
    pub turns: Turns,
    /// Whether the caller wants to hear about what is dropped in resolution.
    pub verbose: bool,
}

/// A request that is ready to be committed, and then answered.
pub(crate) struct Prepared {
    /// What to commit; `None` where nothing is left to apply or to count.
    pub ingest: Option<Box<Ingest>>,
    /// The body of the answer, to be sent once the commit is done.
    pub answer: Vec<u8>,
    /// Users that passed the structural check.
    pub users: usize,
    /// Counts for the metrics.
    pub dropped: Dropped,
}

/// How much of a request was not accepted, by cause.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dropped {
    /// Blocks and users that failed the structural check.
    pub malformed: usize,
    /// Users whose id is not acceptable.
    pub invalid_users: u32,
    /// Pairs whose segment the member may not write.
    pub unauthorized: u32,
    /// Pairs whose segment is switched off.
    pub inactive: u32,
    /// Pairs whose segment does not exist.
    pub invalid_segments: u32,
}

/// What is written for one user without a body.
pub(crate) struct SingleUserWrite {
    /// What to commit.
    pub ingest: Ingest,
    /// Counts for the metrics.
    pub dropped: Dropped,
}

/// Resolves blocks of one user, whose key is acceptable. A user that has opted out is counted and nothing more.
pub(crate) fn prepare_single_user(
    context: Context<'_>,
    request_id: &str,
    user: UserKey,
    blocks: &[BlockRequest<'_>],
) -> SingleUserWrite {
    let mut resolver = Resolver::new(1, context);
    resolver.add_only(user, blocks);
    let resolved = resolver.finish();
    let dropped = Dropped::of(&resolved.usage);
    SingleUserWrite { ingest: record(context, request_id, resolved), dropped }
}

/// Checks and resolves a decoded body. CPU only: a large body is best prepared off the async workers.
pub(crate) fn prepare(bytes: &[u8], request: &Request<'_>) -> Result<Prepared, BodyError> {
    let body = std::str::from_utf8(bytes).map_err(|error| BodyError::explain_bytes(bytes, error))?;
    match prepare_json(body, request) {
        Err(error @ BodyError::NotJson(_)) => {
            let repaired = repair::repair(body).ok_or(error)?;
            prepare_json(&repaired, request)
        }
        prepared => prepared,
    }
}

fn prepare_json(body: &str, request: &Request<'_>) -> Result<Prepared, BodyError> {
    let &Request { context, request_id, limits, turns, verbose } = request;
    let read = read::read(body, ReadRules { limits, verbose, turns }, context);
    let ReadRequest { users, segments, malformed, warnings, resolved } =
        read.map_err(|error| match error {
            NoRequest::NotJson => BodyError::explain(body),
            NoRequest::Shape(message) => BodyError::Shape(message),
        })?;
    let answer = answer::write(&Message::new(users, segments, &resolved.batch, verbose), &warnings);
    let dropped = Dropped { malformed, ..Dropped::of(&resolved.usage) };
    let ingest = (!resolved.is_empty()).then(|| Box::new(record(context, request_id, resolved)));
    Ok(Prepared { ingest, answer, users, dropped })
}

fn record(context: Context<'_>, request_id: &str, resolved: Resolved) -> Ingest {
    Ingest {
        accepted_at_ms: context.now_ms,
        member: context.member,
        request_id: request_id.to_owned(),
        batch: resolved.batch,
        usage: resolved.usage,
        file: None,
    }
}

impl Dropped {
    /// Each cause by the name under which it is counted.
    fn by_cause(&self) -> [(&'static str, u64); 5] {
        [
            ("malformed", self.malformed as u64),
            ("invalid_user", self.invalid_users.into()),
            ("unauthorized_segment", self.unauthorized.into()),
            ("inactive_segment", self.inactive.into()),
            ("invalid_segment", self.invalid_segments.into()),
        ]
    }

    /// What resolution refused.
    fn of(usage: &Usage) -> Dropped {
        Dropped {
            malformed: 0,
            invalid_users: usage.invalid_users.count,
            unauthorized: usage.unauthorized.count,
            inactive: usage.inactive.count,
            invalid_segments: usage.invalid.count,
        }
    }
}
