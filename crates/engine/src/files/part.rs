//! A part of a file as a record of the log: its entries are resolved as a POST is, and what is refused is counted for the
//! job.

use super::deletions::{Deleted, Deletions};
use super::read::{EntrySink, FileBlock, FileUser};
use crate::ingest::resolve::{Context, Refusal, RefusedUser, Resolved, Resolver, repeated};
use crate::ingest::structure::{BlockRequest, Expiration, MAX_INT, SegmentName};
use ia_catalog::file_jobs::FileJob;
use ia_model::record::{FileChunk, FileCounts, Ingest, RefusedSegment, SegmentFault};
use ia_model::{MemberId, Minute, SegmentId, UserKey};
use siphasher::sip::SipHasher13;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::hash::Hasher;

/// How much of an entry the error log repeats.
const MAX_ENTRY_CHARS: usize = 200;

/// The last time that a file can name, in seconds since 1970: the year 2106. What is later is in other units.
const MAX_TIMESTAMP: i64 = u32::MAX as i64;

/// What a part is resolved with.
#[derive(Clone, Copy)]
pub(super) struct PartRules<'c> {
    pub(super) context: Context<'c>,
    pub(super) job: &'c FileJob,
    pub(super) deletions: &'c Deletions,
    /// How many lines of the error log are kept; the newest.
    pub(super) max_error_lines: usize,
    /// With how many refused entries the file is given up; `None`: never.
    pub(super) refused_before_error: Option<u64>,
}

/// Takes the entries of a part.
pub(super) struct PartBuilder<'c, 'u> {
    rules: PartRules<'c>,
    resolver: Resolver<'c>,
    counts: FileCounts,
    refused: BTreeSet<RefusedSegment>,
    error_lines: VecDeque<String>,
    blocks_seen: usize,
    /// Told of each user that the file adds to the segment which it replaces.
    on_replacing: &'u mut dyn FnMut(&UserKey),
}

/// What became of a part.
pub(super) struct Part {
    pub(super) ingest: Ingest,
    /// Whether the file has too many refused entries; the part ends with the last one.
    pub(super) is_given_up: bool,
}

impl<'c, 'u> PartBuilder<'c, 'u> {
    /// With room for that many entries.
    pub(super) fn new(
        entries: usize,
        rules: PartRules<'c>,
        on_replacing: &'u mut dyn FnMut(&UserKey),
    ) -> PartBuilder<'c, 'u> {
        PartBuilder {
            rules,
            resolver: Resolver::new(entries, rules.context),
            counts: FileCounts::default(),
            refused: BTreeSet::new(),
            error_lines: VecDeque::new(),
            blocks_seen: 0,
            on_replacing,
        }
    }

    /// How many pairs of user and segment were seen.
    pub(super) fn blocks_seen(&self) -> usize {
        self.blocks_seen
    }

    /// Whether the file has too many refused entries.
    pub(super) fn is_given_up(&self) -> bool {
        let FileCounts { invalid_formats, invalid_users, .. } = self.rules.job.progress.counts;
        let refused =
            invalid_formats + invalid_users + self.counts.invalid_formats + self.counts.invalid_users;
        self.rules.refused_before_error.is_some_and(|most| refused >= most)
    }

    /// The record of the part. The caller fills in its number and where it ends.
    pub(super) fn finish(self) -> Part {
        let is_given_up = self.is_given_up();
        let Context { now_ms, member, .. } = self.rules.context;
        let Resolved { batch, usage } = self.resolver.finish();
        let chunk = FileChunk {
            job: self.rules.job.id,
            counts: self.counts,
            refused: self.refused.into_iter().collect(),
            error_lines: self.error_lines.into(),
            ..FileChunk::default()
        };
        let request_id = self.rules.job.job_id.clone();
        let file = Some(Box::new(chunk));
        Part {
            ingest: Ingest { accepted_at_ms: now_ms, member, request_id, batch, usage, file },
            is_given_up,
        }
    }

    fn user_key(&self, user: FileUser<'_>) -> Result<UserKey, RefusedUser> {
        let not_well_formed = |_| RefusedUser::NotAcceptable("The user id is not well formed.");
        let key = match user {
            FileUser::Named { domain, id } => return self.resolver.user_key(domain, id.trim()),
            FileUser::Extended { source, id } => {
                return self.resolver.user_key(Some(&format!("eid:{source}")), id.trim());
            }
            FileUser::Invalid => return Err(RefusedUser::NotAcceptable("This kind of id is not supported.")),
            FileUser::Platform(id) => UserKey::platform(id).map_err(not_well_formed)?,
            FileUser::External { member, id } => {
                let own = self.own_namespace();
                if member != 0 && member != own.0 {
                    return Err(RefusedUser::NotAcceptable("The ids of this member are not the sender's."));
                }
                crate::user_ids::key_without_domain(Some(own), id).map_err(not_well_formed)?
            }
        };
        self.resolver.acceptable(key)
    }

    /// The name space of the member's own ids, also where ids without a domain are the platform's.
    fn own_namespace(&self) -> MemberId {
        let Context { snapshot, member, .. } = self.rules.context;
        snapshot.member(member).and_then(|member| member.external_member_uid).unwrap_or(member)
    }

    fn refuse_user(&mut self, refused: RefusedUser, user: FileUser<'_>, entry: &dyn fmt::Display) {
        self.counts.invalid_users += 1;
        // Of a person who has opted out nothing is written down.
        if matches!(refused, RefusedUser::NotAcceptable(_)) {
            self.log("num_invalid_user", entry, "");
        }
        match user {
            FileUser::Named { domain, id } => self.resolver.refuse_user(refused, domain, id.trim()),
            FileUser::Platform(id) => self.resolver.refuse_user(refused, None, &id.to_string()),
            FileUser::External { id, .. } => self.resolver.refuse_user(refused, None, id),
            FileUser::Extended { source, id } => {
                self.resolver.refuse_user(refused, Some(&format!("eid:{source}")), id);
            }
            FileUser::Invalid => self.resolver.refuse_unnamed_user(),
        }
    }

    /// Adds a line to the error log: the counter, the entry, the reason.
    fn log(&mut self, counter: &str, entry: &dyn fmt::Display, reason: &str) {
        if self.rules.max_error_lines == 0 {
            return;
        }
        if self.error_lines.len() == self.rules.max_error_lines {
            self.error_lines.pop_front();
        }
        self.error_lines.push_back(error_line(counter, entry, reason));
    }

    /// The blocks that can be resolved. Counts and logs the others.
    fn well_formed<'f>(
        &mut self,
        blocks: &[FileBlock<'f>],
        kept_out_of: &[MemberId],
        entry: &dyn fmt::Display,
    ) -> Vec<BlockRequest<'f>> {
        let snapshot = self.rules.context.snapshot;
        let mut requests = Vec::with_capacity(blocks.len());
        let (mut bad_timestamps, mut other_faults) = (0, 0);
        for block in blocks {
            let begins = match block.timestamp {
                0 => None,
                1..=MAX_TIMESTAMP => Some(Minute::not_before(block.timestamp.unsigned_abs() * 1000)),
                _ => {
                    bad_timestamps += 1;
                    continue;
                }
            };
            let expiration = match block.expiration {
                None => Some(Expiration::Default),
                Some(minutes) => Expiration::from_wire(minutes.min(MAX_INT)),
            };
            let value = u32::try_from(block.value).ok().filter(|&value| i64::from(value) <= MAX_INT);
            let (Some(expiration), Some(value)) = (expiration, value) else {
                other_faults += 1;
                continue;
            };
            if !kept_out_of.is_empty() {
                let owner = match block.segment {
                    SegmentName::Id(id) => snapshot.segment(id).map(|segment| segment.member),
                    SegmentName::Code(owner, _) => Some(owner),
                };
                if owner.is_some_and(|owner| kept_out_of.contains(&owner)) {
                    // A deleted person's: counted, and not written down.
                    self.counts.other_errors += 1;
                    continue;
                }
            }
            requests.push(BlockRequest { segment: block.segment, value, expiration, begins });
        }
        if bad_timestamps > 0 {
            self.counts.invalid_timestamps += bad_timestamps;
            self.log("num_invalid_timestamp", entry, "");
        }
        if other_faults > 0 {
            self.counts.other_errors += other_faults;
            self.log("num_other_error", entry, "failed with a number out of its range");
        }
        requests
    }
}

impl EntrySink for PartBuilder<'_, '_> {
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], entry: &dyn fmt::Display) {
        if self.is_given_up() {
            return;
        }
        self.blocks_seen += blocks.len();
        let key = match self.user_key(user) {
            Ok(key) => key,
            Err(refused) => return self.refuse_user(refused, user, entry),
        };
        let started_ms = self.rules.job.started_ms.unwrap_or_default();
        let kept_out_of = match self.rules.deletions.of(&key, started_ms) {
            Deleted::No => Vec::new(),
            Deleted::All => return self.refuse_user(RefusedUser::OptedOut, user, entry),
            Deleted::Of(members) => members,
        };
        let requests = self.well_formed(blocks, &kept_out_of, entry);
        self.counts.valid_users += 1;
        if let Some(replaced) = self.rules.job.replaced {
            let adds = |request: &BlockRequest<'_>| request.expiration != Expiration::Remove;
            if requests.iter().any(|request| adds(request) && self.is_segment(request.segment, replaced)) {
                (self.on_replacing)(&key);
            }
        }
        let mut dropped = Dropped::default();
        let resolver = &mut self.resolver;
        resolver.add_blocks(key, requests.iter().copied(), |index, refusal| {
            dropped.count(refusal, requests[index].segment);
        });
        self.counts.valid += requests.len() as u64 - dropped.pairs;
        self.counts.other_errors += dropped.other_pairs;
        for (fault, segments) in dropped.segments {
            self.log(counter_of(fault), entry, "");
            self.refused.extend(segments.into_iter().map(|segment| RefusedSegment { fault, segment }));
        }
    }

    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display) {
        if self.is_given_up() {
            return;
        }
        self.counts.invalid_formats += 1;
        self.log("num_invalid_format", entry, reason);
    }
}

impl PartBuilder<'_, '_> {
    fn is_segment(&self, name: SegmentName<'_>, segment: SegmentId) -> bool {
        match name {
            SegmentName::Id(id) => id == segment,
            SegmentName::Code(owner, code) => {
                let named = self.rules.context.snapshot.segment_by_code(owner, &code.trimmed());
                named.is_some_and(|named| named.id == segment)
            }
        }
    }
}

/// The refused pairs of one entry.
#[derive(Default)]
struct Dropped {
    pairs: u64,
    /// Those of them that no counter of segments is for.
    other_pairs: u64,
    /// The segments by their fault. An entry has few different ones.
    segments: Vec<(SegmentFault, HashSet<u64>)>,
}

impl Dropped {
    #[cold]
    fn count(&mut self, refusal: Refusal<'_>, name: SegmentName<'_>) {
        self.pairs += 1;
        let fault = match refusal {
            Refusal::Unauthorized => SegmentFault::Unauthorized,
            Refusal::Inactive(_) => SegmentFault::Inactive,
            Refusal::Invalid => SegmentFault::Invalid,
            Refusal::Over(_) => SegmentFault::PastExpiration,
            // The person's choice: counted, and not written down.
            Refusal::OptedOut(_) => return self.other_pairs += 1,
        };
        let segment = match (refusal, name) {
            (Refusal::Inactive(segment) | Refusal::Over(segment), _) => segment.id.0.into(),
            (_, SegmentName::Id(id)) => id.0.into(),
            (_, SegmentName::Code(owner, code)) => code_hash(owner, &code.trimmed()),
        };
        match self.segments.iter_mut().find(|(known, _)| *known == fault) {
            Some((_, segments)) => drop(segments.insert(segment)),
            None => self.segments.push((fault, HashSet::from([segment]))),
        }
    }
}

/// A hash that is the same in every process, with the highest bit set. All spellings of a code are one.
fn code_hash(owner: MemberId, code: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&owner.0.to_le_bytes());
    hasher.write(code.to_ascii_lowercase().as_bytes());
    hasher.finish() | 1 << 63
}

fn counter_of(fault: SegmentFault) -> &'static str {
    match fault {
        SegmentFault::Invalid => "num_invalid_segment",
        SegmentFault::Unauthorized => "num_unauth_segment",
        SegmentFault::Inactive => "num_inactive_segment",
        SegmentFault::PastExpiration => "num_past_expiration",
    }
}

fn error_line(counter: &str, entry: &dyn fmt::Display, reason: &str) -> String {
    let entry = repeated_entry(&entry.to_string());
    let space = if reason.is_empty() { "" } else { " " };
    format!("{counter}-{entry}{space}{reason}")
}

/// The beginning of an entry, in one line and without tokens.
fn repeated_entry(entry: &str) -> String {
    if entry.contains(ia_catalog::TOKEN_PREFIX) {
        return repeated(entry, MAX_ENTRY_CHARS);
    }
    let in_line = |character: char| if character.is_control() && character != '\t' { ' ' } else { character };
    entry.chars().take(MAX_ENTRY_CHARS).map(in_line).collect()
}
