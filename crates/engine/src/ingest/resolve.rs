//! Resolution: from names on the wire to facts, against the catalog of that moment.
//!
//! What fails here is counted for the usage report and dropped; it never fails the request.

use super::structure::{Checked, CheckedBlock, Expiration, SegmentName, Wanted};
use super::warning::{Entity, Warning};
use crate::opt_outs::InForce;
use crate::user_ids;
use hashbrown::{DefaultHashBuilder, HashTable};
use ia_catalog::{KnownUsers, Segment, Snapshot, TOKEN_PREFIX};
use ia_model::record::{SAMPLES_PER_RECORD, SegmentRef, Usage};
use ia_model::{Batch, Change, Domain, Expiry, MemberId, Minute, Operation, SegmentId, UserKey};
use std::collections::HashSet;
use std::hash::BuildHasher;

/// The operator's rules for how long a membership lives, in minutes.
#[derive(Debug, Clone, Copy)]
pub struct ExpirationRules {
    /// Where neither the block, the segment nor the member says anything; 0 is for ever.
    pub default_minutes: u32,
    /// Caps every expiry, "for ever" included.
    pub max_minutes: Option<u32>,
}

/// Who asks, when, and under which rules.
#[derive(Clone, Copy)]
pub(crate) struct Context<'c> {
    /// The catalog of this moment.
    pub snapshot: &'c Snapshot,
    /// Whose token the request came with.
    pub member: MemberId,
    /// The time of acceptance, milliseconds since 1970.
    pub now_ms: u64,
    /// How long memberships live.
    pub expiration: ExpirationRules,
    /// Who has opted out.
    pub opt_outs: &'c InForce,
    /// Whose ids are taken.
    pub known: &'c KnownUsers,
}

/// The facts of a request.
#[derive(Debug, Default)]
pub(crate) struct Resolved<'r> {
    /// Each valid user with its operations.
    pub batch: Batch,
    /// What was refused.
    pub usage: Usage,
    /// A warning for each thing that was dropped, for callers that ask.
    pub dropped: Vec<Warning<'r>>,
}

impl Resolved<'_> {
    /// Whether there is nothing to log: neither an operation nor a count.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.users() == 0 && self.usage.invalid_users.count == 0
    }
}

/// Resolves a checked request.
pub(crate) fn resolve<'r>(checked: &'r Checked<'r>, context: Context<'_>) -> Resolved<'r> {
    let mut resolver = Resolver::new(checked.users.len(), context);
    for user in &checked.users {
        match resolver.user_key(user.domain, &user.user_id) {
            Ok(key) => resolver.add_user(key, &user.blocks),
            Err(refused) => {
                resolver.refuse_user(&refused, user.domain, &user.user_id);
                for block in &user.blocks {
                    resolver.drop_block(refused.message(), block);
                }
            }
        }
    }
    resolver.finish()
}

/// Why a user is no user of the request.
#[derive(Debug, Clone, Copy)]
pub(super) enum RefusedUser {
    /// Its id is not acceptable, for this reason.
    NotAcceptable(&'static str),
    /// It wants no memberships. Its id is not written down.
    OptedOut,
}

impl RefusedUser {
    fn message(self) -> &'static str {
        match self {
            RefusedUser::NotAcceptable(reason) => reason,
            RefusedUser::OptedOut => "The user has opted out.",
        }
    }
}

/// Why a pair is dropped: the kinds that the usage report tells apart.
#[derive(Debug, Clone, Copy)]
enum Refusal<'c> {
    Unauthorized,
    Inactive(&'c Segment),
    Invalid,
    /// The user wants to be in no segment of this one's owner.
    OptedOut(&'c Segment),
}

/// How a refused segment is told from others: all spellings of a code are one.
#[derive(PartialEq, Eq, Hash)]
enum RefusedSegment {
    Id(SegmentId),
    Code(MemberId, String),
}

impl Refusal<'_> {
    fn message(self) -> &'static str {
        match self {
            Refusal::Unauthorized => "This member may not write to the segment.",
            Refusal::Inactive(_) => "The segment is inactive.",
            Refusal::Invalid => "The segment does not exist.",
            Refusal::OptedOut(_) => "The user has opted out of this segment's owner.",
        }
    }
}

pub(super) struct Resolver<'r, 'c> {
    context: Context<'c>,
    /// Of ids without a domain, where they are not the platform's.
    namespace: Option<MemberId>,
    base: Minute,
    /// Each user, in the order of its first block, with its first run of operations.
    batch: Batch,
    /// The operations of the user that is being looked at.
    run: Vec<Operation>,
    /// Where each user stands in the batch. Hashed with a key of its own: ids come from outside.
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// Further runs of users that the request names more than once.
    repeats: Vec<(usize, Vec<Operation>)>,
    usage: Usage,
    sampled: HashSet<SegmentId>,
    refused_pairs: HashSet<(usize, RefusedSegment)>,
    refused_users: HashSet<(Result<Option<Domain>, &'r str>, String)>,
    dropped: Vec<Warning<'r>>,
}

impl<'r, 'c> Resolver<'r, 'c> {
    /// With room for that many users, of which there may be more or fewer.
    pub(super) fn new(users: usize, context: Context<'c>) -> Self {
        Resolver {
            context,
            namespace: user_ids::namespace(context.snapshot, context.member),
            // Rounded up: a membership is never shorter than was asked for.
            base: Minute::not_before(context.now_ms),
            batch: Batch::with_capacity(users, users),
            run: Vec::new(),
            places: HashTable::with_capacity(users),
            hasher: DefaultHashBuilder::default(),
            repeats: Vec::new(),
            usage: Usage::default(),
            sampled: HashSet::new(),
            refused_pairs: HashSet::new(),
            refused_users: HashSet::new(),
            dropped: Vec::new(),
        }
    }

    pub(super) fn user_key(&self, domain: Option<&str>, id: &str) -> Result<UserKey, RefusedUser> {
        let key = self.well_formed(domain, id).map_err(RefusedUser::NotAcceptable)?;
        let Context { opt_outs, known, member, .. } = self.context;
        if opt_outs.refuses(&key, member) {
            return Err(RefusedUser::OptedOut);
        }
        // Members make up their own ids; nobody else has seen one before.
        if key.domain() == Domain::External || known.contains(&key) {
            Ok(key)
        } else {
            Err(RefusedUser::NotAcceptable("The user is not known."))
        }
    }

    fn well_formed(&self, domain: Option<&str>, id: &str) -> Result<UserKey, &'static str> {
        let key = match domain {
            None => user_ids::key_without_domain(self.namespace, id),
            Some(name) => UserKey::parse(Domain::from_name(name).ok_or("The domain is not supported.")?, id),
        };
        key.map_err(|_| "The user_id is not well formed for its domain.")
    }

    fn refuse_user(&mut self, refused: &RefusedUser, domain: Option<&'r str>, id: &'r str) {
        // Spellings of one id are one user here too. An id that a member made up has one spelling.
        let is_own = domain.is_none() && self.namespace.is_some();
        let domain = domain.map_or(Ok(None), |name| Domain::from_name(name).map(Some).ok_or(name));
        let spelled = if is_own { id.to_owned() } else { id.to_ascii_lowercase() };
        if self.refused_users.insert((domain, spelled)) {
            match refused {
                RefusedUser::NotAcceptable(_) => self.usage.invalid_users.add(|| repeated(id)),
                RefusedUser::OptedOut => self.usage.invalid_users.count += 1,
            }
        }
    }

    fn drop_block(&mut self, message: &'static str, block: &CheckedBlock<'r>) {
        self.dropped.push(Warning::new(message, Entity::DroppedBlock(block.source)));
    }

    /// Where the user stands in the batch, or would stand next.
    fn place(&mut self, key: &UserKey) -> usize {
        let Resolver { batch, places, hasher, .. } = self;
        let hash = hasher.hash_one(key.as_bytes());
        let next = batch.users();
        let same = |&place: &usize| batch.user(place) == key;
        let rehash = |&place: &usize| {
            // The last one in is not in the batch yet.
            let other = if place < next { batch.user(place) } else { key };
            hasher.hash_one(other.as_bytes())
        };
        *places.entry(hash, same, rehash).or_insert(next).get()
    }

    fn add_user(&mut self, key: UserKey, blocks: &'r [CheckedBlock<'r>]) {
        let place = self.place(&key);
        self.run.clear();
        for block in blocks {
            match self.segment_for(&key, block.wanted.segment) {
                Ok(segment) => self.want(block.wanted, segment),
                Err(refusal) => {
                    self.count(place, refusal, block.wanted.segment);
                    self.drop_block(refusal.message(), block);
                }
            }
        }
        keep_last(&mut self.run);
        if place == self.batch.users() {
            self.batch.push(key, self.run.iter().copied());
        } else {
            self.repeats.push((place, self.run.clone()));
        }
    }

    /// Adds a user of whom nothing is refused and that was not there before. `None` when that is not so;
    /// the resolver is of no more use then.
    pub(super) fn add_accepted(&mut self, key: UserKey, blocks: &[Wanted<'_>]) -> Option<()> {
        if self.place(&key) < self.batch.users() {
            return None;
        }
        self.run.clear();
        for &wanted in blocks {
            let segment = self.segment_for(&key, wanted.segment).ok()?;
            self.want(wanted, segment);
        }
        keep_last(&mut self.run);
        self.batch.push(key, self.run.iter().copied());
        Some(())
    }

    /// Adds the only user of a request, and counts what is refused of it.
    pub(super) fn add_only(&mut self, key: UserKey, wanted: &[Wanted<'_>]) {
        if self.context.opt_outs.refuses(&key, self.context.member) {
            // As in `refuse_user`: its id is not written down.
            self.usage.invalid_users.count += 1;
            return;
        }
        let place = self.place(&key);
        self.run.clear();
        for &wanted in wanted {
            match self.segment_for(&key, wanted.segment) {
                Ok(segment) => self.want(wanted, segment),
                Err(refusal) => self.count(place, refusal, wanted.segment),
            }
        }
        keep_last(&mut self.run);
        self.batch.push(key, self.run.drain(..));
    }

    fn want(&mut self, wanted: Wanted<'_>, segment: &Segment) {
        self.sample(segment);
        let change = self.change(wanted, segment);
        self.run.push(Operation { segment: segment.id, change });
    }

    /// The segment, if the user may be added to it. That the user wants it is asked last: it tells nothing to
    /// those who may not write there.
    fn segment_for(&self, user: &UserKey, name: SegmentName<'_>) -> Result<&'c Segment, Refusal<'c>> {
        let Context { opt_outs, member, .. } = self.context;
        let segment = self.segment(name)?;
        // From the writer's own segments the user is kept out as a whole.
        if segment.member != member && opt_outs.keeps_out_of(user, segment.member) {
            return Err(Refusal::OptedOut(segment));
        }
        Ok(segment)
    }

    fn segment(&self, name: SegmentName<'_>) -> Result<&'c Segment, Refusal<'c>> {
        let Context { snapshot, member, .. } = self.context;
        let segment = match name {
            SegmentName::Id(id) => snapshot.segment(id).ok_or(Refusal::Invalid)?,
            SegmentName::Code(owner, code) => {
                // Asked first, so that a stranger cannot tell which codes another member has.
                if !snapshot.may_write(member, owner) {
                    return Err(Refusal::Unauthorized);
                }
                snapshot.segment_by_code(owner, code).ok_or(Refusal::Invalid)?
            }
        };
        if !snapshot.may_write(member, segment.member) {
            return Err(Refusal::Unauthorized);
        }
        if segment.active { Ok(segment) } else { Err(Refusal::Inactive(segment)) }
    }

    fn change(&self, wanted: Wanted<'_>, segment: &Segment) -> Change {
        let rules = self.context.expiration;
        let minutes = match wanted.expiration {
            Expiration::Remove => return Change::Remove,
            Expiration::Never => 0,
            Expiration::AfterMinutes(minutes) => minutes,
            Expiration::Default => segment
                .expire_minutes
                .or_else(|| self.context.snapshot.member(self.context.member)?.default_expiration)
                .unwrap_or(rules.default_minutes),
        };
        let minutes = match rules.max_minutes {
            Some(max) if minutes == 0 || minutes > max => max,
            _ => minutes,
        };
        let expires = match minutes {
            0 => Expiry::Never,
            minutes => Expiry::At(Minute(self.base.0.saturating_add(minutes))),
        };
        Change::Add { expires, value: wanted.value }
    }

    fn sample(&mut self, segment: &Segment) {
        if self.sampled.len() < SAMPLES_PER_RECORD && self.sampled.insert(segment.id) {
            self.usage.valid_segments.push(shown(segment));
        }
    }

    fn count(&mut self, place: usize, refusal: Refusal<'_>, name: SegmentName<'_>) {
        let refused = match (refusal, name) {
            (Refusal::Inactive(segment) | Refusal::OptedOut(segment), _) => RefusedSegment::Id(segment.id),
            (_, SegmentName::Id(id)) => RefusedSegment::Id(id),
            (_, SegmentName::Code(owner, code)) => RefusedSegment::Code(owner, code.to_ascii_lowercase()),
        };
        if !self.refused_pairs.insert((place, refused)) {
            return;
        }
        let as_sent = || match name {
            SegmentName::Id(id) => SegmentRef { id: id.0, code: String::new(), owner: 0 },
            SegmentName::Code(owner, code) => SegmentRef { id: 0, code: repeated(code), owner: owner.0 },
        };
        match refusal {
            // Nothing of a foreign segment is shown but what the caller sent.
            Refusal::Unauthorized => self.usage.unauthorized.add(as_sent),
            Refusal::Invalid => self.usage.invalid.add(as_sent),
            Refusal::Inactive(segment) => self.usage.inactive.add(|| shown(segment)),
            Refusal::OptedOut(segment) => self.usage.other.add(|| shown(segment)),
        }
    }

    pub(super) fn finish(mut self) -> Resolved<'r> {
        let mut batch = self.batch;
        if !self.repeats.is_empty() {
            // A user's later runs win over its earlier ones.
            self.repeats.sort_by_key(|(place, _)| *place);
            let mut repeats = self.repeats.into_iter().peekable();
            let first_runs = std::mem::take(&mut batch);
            for (place, (key, run)) in first_runs.iter().enumerate() {
                let mut merged = run.to_vec();
                while let Some((_, run)) = repeats.next_if(|(repeated, _)| *repeated == place) {
                    merged.extend_from_slice(&run);
                }
                keep_last(&mut merged);
                batch.push(key.clone(), merged);
            }
        }
        Resolved { batch, usage: self.usage, dropped: self.dropped }
    }
}

/// How much of a caller's text a report repeats; an id or code in use is far shorter.
const MAX_SAMPLE_CHARS: usize = 64;

/// What is written down of a caller's text. A token that was sent in the place of an id is not: who reads a report
/// or the log could use it.
fn repeated(text: &str) -> String {
    if text.contains(TOKEN_PREFIX) {
        return "(a token)".to_owned();
    }
    text.chars().take(MAX_SAMPLE_CHARS).collect()
}

/// Orders operations by segment, and of several on one segment keeps the last.
fn keep_last(operations: &mut Vec<Operation>) {
    if operations.is_sorted_by(|one, next| one.segment < next.segment) {
        return;
    }
    // Stable, so that what was later comes later still.
    operations.sort_by_key(|operation| operation.segment);
    operations.dedup_by(|later, kept| {
        let is_same = later.segment == kept.segment;
        if is_same {
            *kept = *later;
        }
        is_same
    });
}

fn shown(segment: &Segment) -> SegmentRef {
    SegmentRef {
        id: segment.id.0,
        code: segment.code.as_deref().unwrap_or_default().to_owned(),
        owner: segment.member.0,
    }
}

#[cfg(test)]
pub(super) mod tests;
