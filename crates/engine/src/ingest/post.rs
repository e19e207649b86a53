//! What a request to add users goes through: limits, checks, resolution, commit.

use super::resolve::{Context, ExpirationRules};
use super::structure::{BlockRequest, StructureLimits};
use super::{BodyError, Dropped, Request, SingleUserWrite, USERS_PER_TURN, prepare, prepare_single_user};
use crate::budget::Reservation;
use crate::catalog_view::CatalogView;
use crate::held::{BodyFault, HeldAnswer, HeldBody, OutOfBodyMemory};
use crate::large_work::LargeWork;
use crate::limits::{Limits, OverRate, RequestLimits};
use crate::metrics::Metrics;
use crate::nobody::Nobody;
use crate::opt_outs::OptOuts;
use crate::threads::Turns;
use crate::write::commit::{CommitError, Committer, Encoded};
use ia_catalog::KnownUsers;
use ia_model::{Clock, MemberId, Record, UserKey};
use std::sync::Arc;

/// Adds users to segments and removes them.
pub struct Ingester {
    /// Segments, and who may write to them.
    pub(crate) catalog: Arc<CatalogView>,
    /// Users that are dropped.
    pub(crate) opt_outs: Arc<OptOuts>,
    /// Users that count as valid.
    pub(crate) known: Arc<KnownUsers>,
    /// Ids that are nobody's.
    pub(crate) nobody: Arc<Nobody>,
    /// How much a member may send.
    pub(crate) limits: Arc<Limits>,
    /// How long memberships live.
    pub(crate) expiration: ExpirationRules,
    /// Makes records durable and visible.
    pub(crate) committer: Arc<Committer>,
    /// Where large bodies are parsed.
    pub(crate) large_work: Arc<LargeWork>,
    /// Counts what is refused.
    pub(crate) metrics: Arc<Metrics>,
    /// The time of acceptance.
    pub(crate) clock: Arc<dyn Clock>,
}

/// A request whose body has come in.
pub struct Post {
    /// Whose token it came with.
    pub member: MemberId,
    /// As [`Ingester::admit`] gave them.
    pub limits: RequestLimits,
    /// The request's id.
    pub request_id: Arc<str>,
    /// What it is for.
    pub purpose: Purpose,
    /// What was sent.
    pub body: HeldBody,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is applied.
    Apply {
        /// Whether the caller wants to hear about what resolution drops.
        verbose: bool,
    },
    /// Its sender wants to hear what would come of it. Nothing is written or counted.
    DryRun,
}

/// Why a request was not applied. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Too many requests or users.
    #[error(transparent)]
    OverRate(#[from] OverRate),
    /// The body cannot be had.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The body is no request.
    #[error(transparent)]
    Parse(#[from] BodyError),
    /// The answer does not fit into memory now.
    #[error(transparent)]
    Memory(#[from] OutOfBodyMemory),
    /// It could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A request that is checked, resolved and encoded.
struct Ready {
    record: Option<Encoded>,
    answer: Vec<u8>,
    users: usize,
    dropped: Dropped,
    reservation: Reservation,
}

impl Ingester {
    /// Counts a request against the rate of its member, before its body is read, and gives the member's limits. Dry
    /// runs have a rate of their own.
    pub fn admit(&self, member: MemberId, purpose: Purpose) -> Result<RequestLimits, OverRate> {
        let limits = self.limits.of(&self.catalog.snapshot(), member);
        let now_ms = self.clock.now_ms();
        match purpose {
            Purpose::DryRun => self.limits.take_dry_run(member, now_ms)?,
            Purpose::Apply { .. } => self.limits.take_post(member, &limits, now_ms)?,
        }
        Ok(limits)
    }

    /// Fails where there is no room now for what a body of that length needs: to be asked before it is read.
    pub fn check_room(&self, body_bytes: usize) -> Result<(), CommitError> {
        self.committer.check_room(body_bytes)
    }

    /// Applies a request. On success it is on stable storage and visible to every read that starts afterwards; the
    /// result is the JSON of the answer.
    pub async fn post(self: &Arc<Self>, post: Post) -> Result<HeldAnswer, IngestError> {
        let (member, limits, request_id) = (post.member, post.limits, Arc::clone(&post.request_id));
        let is_dry_run = post.purpose == Purpose::DryRun;
        let room = if is_dry_run { None } else { Some(self.committer.reserve(post.body.sent_bytes())?) };
        let permit = self.large_work.permit(post.body.is_large()).await;
        // What an async worker has to do is as urgent as what waits.
        let turns = if permit.is_some() { Turns::every(USERS_PER_TURN) } else { Turns::never() };
        let worker = Arc::clone(self);
        let ready = self.large_work.run(permit, move || worker.make_ready(post, turns)).await?;
        let Some(room) = room else { return Ok(HeldAnswer::new(ready.answer, ready.reservation)?) };
        self.limits.take_users(member, ready.users, &limits, self.clock.now_ms())?;
        // Before the commit: what is refused for want of memory must not be applied.
        let answer = HeldAnswer::new(ready.answer, ready.reservation)?;
        if let Some(record) = ready.record {
            let position = self.committer.commit(record, room).await?;
            tracing::debug!(%request_id, %member, position, "committed");
        }
        self.count(&ready.dropped);
        Ok(answer)
    }

    fn make_ready(&self, post: Post, turns: Turns) -> Result<Ready, IngestError> {
        let Post { member, limits, request_id, purpose, body } = post;
        let (bytes, reservation) = body.decode()?;
        let opt_outs = self.opt_outs.in_force();
        let context = Context {
            snapshot: &self.catalog.snapshot(),
            member,
            now_ms: self.clock.now_ms(),
            expiration: self.expiration,
            opt_outs: &opt_outs,
            known: &self.known,
            nobody: &self.nobody,
        };
        let request = Request {
            context,
            request_id: &request_id,
            limits: StructureLimits {
                users_per_request: limits.users_per_request as usize,
                segments_per_user: limits.segments_per_user as usize,
            },
            turns,
            verbose: purpose != Purpose::Apply { verbose: false },
        };
        let prepared = prepare(&bytes, &request)?;
        let record = prepared.ingest.map(|ingest| Encoded::new(Record::Ingest(ingest)));
        Ok(Ready {
            record: record.map(|record| record.resolved_with(opt_outs)),
            answer: prepared.answer,
            users: prepared.users,
            dropped: prepared.dropped,
            reservation,
        })
    }

    /// Writes blocks of one user, whose key is acceptable. Durable and visible on return.
    pub(crate) async fn write_user(
        &self,
        member: MemberId,
        request_id: &str,
        user: UserKey,
        blocks: &[BlockRequest<'_>],
    ) -> Result<(), CommitError> {
        // Kept until the record is in the log: an opt-out waits for it, to undo it.
        let opt_outs = self.opt_outs.in_force();
        let context = Context {
            snapshot: &self.catalog.snapshot_to_keep(),
            member,
            now_ms: self.clock.now_ms(),
            expiration: self.expiration,
            opt_outs: &opt_outs,
            known: &self.known,
            nobody: &self.nobody,
        };
        let cause = if self.nobody.contains(&user) { "nobody" } else { "opted_out" };
        let SingleUserWrite { ingest, dropped } = prepare_single_user(context, request_id, user, blocks);
        if ingest.batch.users() == 0 {
            self.metrics.pixel_ignored(cause);
        }
        let record = Encoded::new(Record::Ingest(Box::new(ingest))).resolved_with(opt_outs);
        let room = self.committer.reserve(0)?;
        let position = self.committer.commit(record, room).await?;
        self.count(&dropped);
        tracing::debug!(request_id, %member, position, "committed");
        Ok(())
    }

    fn count(&self, dropped: &Dropped) {
        for (cause, count) in dropped.by_cause() {
            self.metrics.refused(cause, count);
        }
    }
}
