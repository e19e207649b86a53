//! Resolution: from names on the wire to facts, against the catalog of that moment.
//!
//! A block or user that fails here is counted for the usage report and dropped; it never fails the request.

use super::json::Text;
use super::structure::{BlockRequest, Expiration, SegmentName};
use crate::nobody::Nobody;
use crate::opt_outs::InForce;
use crate::user_ids;
use hashbrown::{DefaultHashBuilder, HashTable};
use ia_catalog::{KnownUsers, Segment, Snapshot, TOKEN_PREFIX};
use ia_model::record::{SAMPLES_PER_RECORD, SegmentRef, Usage};
use ia_model::{
    Batch, Change, Domain, Expiry, MAX_EXTERNAL_ID_BYTES, MemberId, Minute, Operation, SegmentId, UserKey,
};
use std::collections::HashSet;
use std::hash::BuildHasher;

/// The operator's rules for how long a membership lives, in minutes.
#[derive(Debug, Clone, Copy)]
pub struct ExpirationRules {
    /// Where neither the block, the segment nor the member has one; 0 is for ever.
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
    /// Who has opted out. The caller keeps it until the record is committed.
    pub opt_outs: &'c InForce,
    /// Users whose ids are accepted.
    pub known: &'c KnownUsers,
    /// Ids that are not accepted, because they are nobody's.
    pub nobody: &'c Nobody,
}

/// The facts of a request.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// Each valid user with its operations.
    pub batch: Batch,
    /// What was refused.
    pub usage: Usage,
}

impl Resolved {
    /// Whether there is nothing to log: neither an operation nor a count.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.users() == 0 && self.usage.invalid_users.count == 0
    }
}

/// Why a user is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RefusedUser {
    /// Its id is not acceptable, for this reason.
    NotAcceptable(&'static str),
    /// The user has opted out. Its id is not written down.
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
pub(crate) enum Refusal<'c> {
    /// The member may not write to the segment.
    Unauthorized,
    /// The segment is switched off.
    Inactive(&'c Segment),
    /// There is no such segment.
    Invalid,
    /// The user wants to be in no segment of this one's owner.
    OptedOut(&'c Segment),
    /// The membership has ended already.
    Over(&'c Segment),
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
            Refusal::Over(_) => "The membership has ended already.",
        }
    }
}

/// Builds the facts of a request, user by user.
pub(crate) struct Resolver<'c> {
    context: Context<'c>,
    /// Of ids without a domain, where they are not the platform's.
    namespace: Option<MemberId>,
    base: Minute,
    /// Each user, in the order of its first block, with its first run of operations.
    batch: Batch,
    /// The operations of the user that is being added.
    run: Vec<Operation>,
    /// The index of each user in the batch. Hashed with a key of its own: ids come from outside.
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// Further runs of users that the request names more than once.
    repeats: Vec<(usize, Vec<Operation>)>,
    usage: Usage,
    sampled: HashSet<SegmentId>,
    refused_pairs: HashSet<(usize, RefusedSegment)>,
    refused_users: HashSet<(Result<Option<Domain>, String>, String)>,
}

impl<'c> Resolver<'c> {
    /// With room for that many users, of which there may be more or fewer.
    pub(crate) fn new(users: usize, context: Context<'c>) -> Self {
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
        }
    }

    /// Adds a user with its well-formed blocks, and tells `on_drop` the index of each block that is dropped, and why.
    pub(super) fn add_user<'b>(
        &mut self,
        domain: Option<Text<'_>>,
        id: Text<'_>,
        blocks: impl ExactSizeIterator<Item = BlockRequest<'b>>,
        mut on_drop: impl FnMut(usize, &'static str),
    ) {
        let (domain, id) = (domain.map(Text::trimmed), id.trimmed());
        match self.user_key(domain.as_deref(), &id) {
            Ok(key) => self.add_blocks(key, blocks, |index, refusal| on_drop(index, refusal.message())),
            Err(refused) => {
                self.refuse_user(refused, domain.as_deref(), &id);
                (0..blocks.len()).for_each(|index| on_drop(index, refused.message()));
            }
        }
    }

    /// Adds the only user of a request. One that has opted out, or is nobody, is counted and nothing more.
    pub(super) fn add_only(&mut self, key: UserKey, blocks: &[BlockRequest<'_>]) {
        let Context { opt_outs, nobody, member, .. } = self.context;
        if nobody.contains(&key) || opt_outs.refuses(&key, member) {
            self.usage.invalid_users.count += 1;
        } else {
            self.add_blocks(key, blocks.iter().copied(), |_, _| {});
        }
    }

    /// The user of an id as it was sent, if the member may add it to segments.
    pub(crate) fn user_key(&self, domain: Option<&str>, id: &str) -> Result<UserKey, RefusedUser> {
        let key = user_ids::key(self.namespace, domain, id).map_err(RefusedUser::NotAcceptable)?;
        self.acceptable(key)
    }

    /// The same user, if the member may add it to segments.
    pub(crate) fn acceptable(&self, key: UserKey) -> Result<UserKey, RefusedUser> {
        let Context { opt_outs, known, nobody, member, .. } = self.context;
        if nobody.contains(&key) {
            let reason = "The user_id is nobody's: many devices send it in place of an id.";
            return Err(RefusedUser::NotAcceptable(reason));
        }
        if opt_outs.refuses(&key, member) {
            return Err(RefusedUser::OptedOut);
        }
        // Members make up their own ids; nobody else has seen one before. Extended ids come from others.
        if key.domain() == Domain::External || known.contains(&key) {
            Ok(key)
        } else {
            Err(RefusedUser::NotAcceptable("The user is not known."))
        }
    }

    /// Counts a user that is refused.
    pub(crate) fn refuse_user(&mut self, refused: RefusedUser, domain: Option<&str>, id: &str) {
        // Spellings of one id are one user here too. An id that a member made up, or another source, has one spelling.
        let source = domain.and_then(Domain::source_in);
        let has_one_spelling = source.is_some() || domain.is_none() && self.namespace.is_some();
        let spelled = if has_one_spelling { id.to_owned() } else { id.to_ascii_lowercase() };
        let domain = match (source, domain) {
            (Some(source), _) => Err(format!("eid:{}", source.to_ascii_lowercase())),
            (None, None) => Ok(None),
            (None, Some(name)) => Domain::from_name(name).map(Some).ok_or_else(|| name.to_owned()),
        };
        if self.refused_users.insert((domain, spelled)) {
            // An id that is well formed but not known is written down whole, so that an erase finds it.
            let max_chars = if source.is_some() { MAX_EXTERNAL_ID_BYTES } else { MAX_SAMPLE_CHARS };
            match refused {
                RefusedUser::NotAcceptable(_) => self.usage.invalid_users.add(|| repeated(id, max_chars)),
                RefusedUser::OptedOut => self.usage.invalid_users.count += 1,
            }
        }
    }

    /// Counts a user whose id cannot be shown.
    pub(crate) fn refuse_unnamed_user(&mut self) {
        self.usage.invalid_users.count += 1;
    }

    /// The index of the user in the batch, which is that of the next one where the user is new.
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

    /// Adds an acceptable user with its well-formed blocks, and tells `on_drop` the index of each block that is dropped,
    /// and why.
    pub(crate) fn add_blocks<'b>(
        &mut self,
        key: UserKey,
        blocks: impl Iterator<Item = BlockRequest<'b>>,
        mut on_drop: impl FnMut(usize, Refusal<'c>),
    ) {
        let place = self.place(&key);
        self.run.clear();
        for (index, block) in blocks.enumerate() {
            let resolved = self.segment_for(&key, block.segment);
            match resolved.and_then(|segment| Ok((segment, self.change(block, segment)?))) {
                Ok((segment, change)) => {
                    self.sample(segment);
                    self.run.push(Operation { segment: segment.id, change });
                }
                Err(refusal) => {
                    self.count(place, refusal, block.segment);
                    on_drop(index, refusal);
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

    /// The segment, if the user may be added to it. Opt-outs come last, so that a member that may not write to the
    /// segment learns nothing of them.
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
                snapshot.segment_by_code(owner, &code.trimmed()).ok_or(Refusal::Invalid)?
            }
        };
        if !snapshot.may_write(member, segment.member) {
            return Err(Refusal::Unauthorized);
        }
        if segment.active { Ok(segment) } else { Err(Refusal::Inactive(segment)) }
    }

    fn change(&self, block: BlockRequest<'_>, segment: &'c Segment) -> Result<Change, Refusal<'c>> {
        let rules = self.context.expiration;
        let minutes = match block.expiration {
            Expiration::Remove => return Ok(Change::Remove),
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
        let from = block.begins.unwrap_or(self.base);
        let expires = match minutes {
            0 => Expiry::Never,
            minutes => Expiry::At(Minute(from.0.saturating_add(minutes))),
        };
        let value = block.value;
        // By the minute at which the record will be applied.
        let now = Minute::containing(self.context.now_ms);
        match block.begins {
            Some(begins) if begins > now => Ok(Change::AddLater { begins, expires, value }),
            Some(_) if !expires.is_live(now) => Err(Refusal::Over(segment)),
            _ => Ok(Change::Add { expires, value }),
        }
    }

    fn sample(&mut self, segment: &Segment) {
        if self.sampled.len() < SAMPLES_PER_RECORD && self.sampled.insert(segment.id) {
            self.usage.valid_segments.push(shown(segment));
        }
    }

    fn count(&mut self, place: usize, refusal: Refusal<'_>, name: SegmentName<'_>) {
        let refused = match (refusal, name) {
            (Refusal::Inactive(segment) | Refusal::OptedOut(segment) | Refusal::Over(segment), _) => {
                RefusedSegment::Id(segment.id)
            }
            (_, SegmentName::Id(id)) => RefusedSegment::Id(id),
            (_, SegmentName::Code(owner, code)) => {
                RefusedSegment::Code(owner, code.trimmed().to_ascii_lowercase())
            }
        };
        if !self.refused_pairs.insert((place, refused)) {
            return;
        }
        let as_sent = || match name {
            SegmentName::Id(id) => SegmentRef { id: id.0, code: String::new(), owner: 0 },
            SegmentName::Code(owner, code) => {
                SegmentRef { id: 0, code: repeated(&code.trimmed(), MAX_SAMPLE_CHARS), owner: owner.0 }
            }
        };
        match refusal {
            // Nothing of a foreign segment is shown but what the caller sent.
            Refusal::Unauthorized => self.usage.unauthorized.add(as_sent),
            Refusal::Invalid => self.usage.invalid.add(as_sent),
            Refusal::Inactive(segment) => self.usage.inactive.add(|| shown(segment)),
            Refusal::OptedOut(segment) | Refusal::Over(segment) => self.usage.other.add(|| shown(segment)),
        }
    }

    /// The facts of all users that were added.
    pub(crate) fn finish(self) -> Resolved {
        Resolved { batch: with_repeats(self.batch, self.repeats), usage: self.usage }
    }
}

/// The batch with the further runs of users in it, each at its user's place: later runs win over earlier ones.
fn with_repeats(first_runs: Batch, mut repeats: Vec<(usize, Vec<Operation>)>) -> Batch {
    if repeats.is_empty() {
        return first_runs;
    }
    // Stable: the runs of a user stay in their order.
    repeats.sort_by_key(|(place, _)| *place);
    let mut repeats = repeats.into_iter().peekable();
    let mut batch = Batch::with_capacity(first_runs.users(), first_runs.operations().len());
    for (place, (key, run)) in first_runs.iter().enumerate() {
        let Some((_, second)) = repeats.next_if(|(repeated, _)| *repeated == place) else {
            batch.push(key.clone(), run.iter().copied());
            continue;
        };
        let mut merged = [run, &second].concat();
        while let Some((_, run)) = repeats.next_if(|(repeated, _)| *repeated == place) {
            merged.extend_from_slice(&run);
        }
        keep_last(&mut merged);
        batch.push(key.clone(), merged);
    }
    batch
}

/// How much of a caller's text a report repeats; an id or code in use is far shorter.
const MAX_SAMPLE_CHARS: usize = 64;

/// The part of a caller's text that is written down. A token that was sent in the place of an id is left out: anyone
/// who reads a report or the log could use it.
pub(crate) fn repeated(text: &str, max_chars: usize) -> String {
    if text.contains(TOKEN_PREFIX) {
        return "(a token)".to_owned();
    }
    text.chars().take(max_chars).collect()
}

/// Orders operations by segment, and of several on one segment keeps the last.
fn keep_last(operations: &mut Vec<Operation>) {
    if operations.is_sorted_by(|one, next| one.segment < next.segment) {
        return;
    }
    // Stable: of two operations on one segment the later one stays later.
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
