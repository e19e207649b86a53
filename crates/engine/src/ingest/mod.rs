//! The way of a `POST /rt-segment`: body, structure, resolution, commit.

mod answer;
mod body;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod plain;
mod post;
mod repair;
pub(crate) mod resolve;
pub(crate) mod structure;
mod warning;

use crate::opt_outs::InForce;
use answer::Message;
use body::Body;
pub use body::BodyError;
use ia_catalog::{KnownUsers, Snapshot};
use ia_model::record::{Ingest, Usage};
use ia_model::{MemberId, UserKey};
use plain::Plain;
pub use post::{IngestError, Ingester, Post};
pub use resolve::ExpirationRules;
use resolve::{Context, Resolved, Resolver};
use structure::{StructureLimits, Wanted};

/// What a request is checked and resolved with.
pub(crate) struct Request<'c> {
    /// The catalog of this moment.
    pub snapshot: &'c Snapshot,
    /// Whose token the request came with.
    pub member: MemberId,
    /// The time of acceptance, milliseconds since 1970.
    pub now_ms: u64,
    /// The request's id.
    pub request_id: &'c str,
    /// How much of the request is read.
    pub limits: StructureLimits,
    /// How long memberships live.
    pub expiration: ExpirationRules,
    /// Who has opted out. The caller keeps it until the record is committed.
    pub opt_outs: &'c InForce,
    /// Whose ids are taken.
    pub known: &'c KnownUsers,
    /// Whether this thread lets others go first from time to time.
    pub gives_way: bool,
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
pub(crate) struct Direct {
    /// What to commit.
    pub ingest: Ingest,
    /// Counts for the metrics.
    pub dropped: Dropped,
}

/// Resolves what is wanted for one user, whose id is a good one. One that has opted out is counted and nothing more.
pub(crate) fn prepare_direct(
    context: Context<'_>,
    request_id: &str,
    user: UserKey,
    wanted: &[Wanted<'_>],
) -> Direct {
    let mut resolver = Resolver::new(1, context);
    resolver.add_only(user, wanted);
    let Resolved { batch, usage, .. } = resolver.finish();
    let dropped = Dropped::of(&usage);
    let ingest = Ingest {
        accepted_at_ms: context.now_ms,
        member: context.member,
        request_id: request_id.to_owned(),
        batch,
        usage,
    };
    Direct { ingest, dropped }
}

/// Checks and resolves a decoded body. CPU only: a large body is best prepared off the async workers.
pub(crate) fn prepare(bytes: &[u8], request: &Request<'_>) -> Result<Prepared, BodyError> {
    let context = Context {
        snapshot: request.snapshot,
        member: request.member,
        now_ms: request.now_ms,
        expiration: request.expiration,
        opt_outs: request.opt_outs,
        known: request.known,
    };
    match plain::read(bytes, request.limits, context, request.gives_way) {
        Some(Plain { users, segments, resolved }) => {
            let answer = answer::write(&request.message(users, segments, &resolved), &[]);
            Ok(Prepared { ingest: request.ingest(resolved), answer, users, dropped: Dropped::default() })
        }
        None => prepare_with_care(bytes, request, context),
    }
}

/// The long way, which can tell what is wrong.
fn prepare_with_care(
    bytes: &[u8],
    request: &Request<'_>,
    context: Context<'_>,
) -> Result<Prepared, BodyError> {
    let repaired;
    let body = match Body::parse(bytes) {
        Err(error @ BodyError::NotJson(_)) => {
            repaired = repair::repair(bytes).ok_or(error)?;
            Body::parse(&repaired)?
        }
        parsed => parsed?,
    };
    let mut checked = structure::check(&body, request.limits);
    let mut warnings = std::mem::take(&mut checked.warnings);
    let mut resolved = resolve::resolve(&checked, context);
    let dropped = Dropped { malformed: checked.malformed, ..Dropped::of(&resolved.usage) };
    if request.verbose {
        warnings.append(&mut resolved.dropped);
    }
    let users = checked.users.len();
    let answer = answer::write(&request.message(users, checked.segments, &resolved), &warnings);
    Ok(Prepared { ingest: request.ingest(resolved), answer, users, dropped })
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

impl Request<'_> {
    fn message(&self, users: usize, segments: usize, resolved: &Resolved<'_>) -> Message {
        Message::new(users, segments, &resolved.batch, self.verbose)
    }

    /// What to commit, if anything.
    fn ingest(&self, resolved: Resolved<'_>) -> Option<Box<Ingest>> {
        (!resolved.is_empty()).then(|| {
            Box::new(Ingest {
                accepted_at_ms: self.now_ms,
                member: self.member,
                request_id: self.request_id.to_owned(),
                batch: resolved.batch,
                usage: resolved.usage,
            })
        })
    }
}

#[cfg(test)]
mod tests;
