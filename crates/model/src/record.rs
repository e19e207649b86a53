//! The record: the content of one log entry. `docs/FORMAT.md` describes its bytes.
//!
//! All facts are resolved before they are logged (segment ids, absolute expiry), so a replay needs
//! no catalog and gives the same result for ever.

mod file_chunk;

pub use file_chunk::{FileChunk, FileCounts, RefusedSegment, SegmentFault};

use crate::{Batch, Change, Domain, Expiry, MemberId, Minute, Operation, SegmentId, UserKey, varint};

/// The version that this code writes. A reader refuses versions that it does not know.
pub const FORMAT_VERSION: u8 = 1;

/// The most examples of each kind in a record, for the usage report.
pub const SAMPLES_PER_RECORD: usize = 20;

const KIND_INGEST: u8 = 1;
const KIND_ERASE: u8 = 2;
const KIND_LINK: u8 = 3;
const KIND_FILE: u8 = 4;

/// Bits of an erase's scope.
const ONLY_SEGMENTS: u8 = 1;
const OF_MEMBER: u8 = 2;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A `POST /rt-segment` with something to count or to apply, or a part of a file.
    Ingest(Box<Ingest>),
    /// The removal of a user's data.
    Erase(Erase),
    /// A member's own ids for a user of the platform.
    Link(Link),
}

/// An accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// When the request was accepted, milliseconds since 1970. It may be earlier than that of the record
    /// before: requests overtake each other, and clocks are set.
    pub accepted_at_ms: u64,
    /// The owner of its token.
    pub member: MemberId,
    /// The `X-Request-Id` of the request.
    pub request_id: String,
    /// Every valid user with its operations.
    pub batch: Batch,
    /// Refusals, and examples for the usage report.
    pub usage: Usage,
    /// The part of a file that this is. Only such a record holds [`Change::AddLater`].
    pub file: Option<Box<FileChunk>>,
}

/// The figures of the usage report beyond the batch itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Examples of the segments that were written to.
    pub valid_segments: Vec<SegmentRef>,
    /// Users with an invalid id, each as it was sent.
    pub invalid_users: Tally<String>,
    /// User-segment pairs whose segment the member may not write.
    pub unauthorized: Tally<SegmentRef>,
    /// Pairs with an inactive segment.
    pub inactive: Tally<SegmentRef>,
    /// Pairs with an unknown segment.
    pub invalid: Tally<SegmentRef>,
    /// Pairs that failed for another reason.
    pub other: Tally<SegmentRef>,
}

/// A count with up to [`SAMPLES_PER_RECORD`] examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<T> {
    /// The number of all.
    pub count: u32,
    /// The first of them, without repeats.
    pub samples: Vec<T>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Tally { count: 0, samples: Vec::new() }
    }
}

impl<T: PartialEq> Tally<T> {
    /// Counts one more, and keeps it as an example if it is new and there is room.
    pub fn add(&mut self, sample: impl FnOnce() -> T) {
        self.count += 1;
        if self.samples.len() < SAMPLES_PER_RECORD {
            let sample = sample();
            if !self.samples.contains(&sample) {
                self.samples.push(sample);
            }
        }
    }
}

/// A segment as a report shows it: `(321456, 'segment_321456', 123)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// The id; 0 where only an unknown code was given.
    pub id: u32,
    /// The code; empty where there is none or the segment is unknown.
    pub code: String,
    /// The owner; 0 where it is unknown.
    pub owner: u32,
}

/// Which memberships of a user are erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasedSegments {
    /// All, with the profile itself.
    All,
    /// Those of these segments.
    Only(Vec<SegmentId>),
}

/// The removal of a user's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    /// When the request was accepted, milliseconds since 1970.
    pub accepted_at_ms: u64,
    /// The user whose data is removed.
    pub user: UserKey,
    /// The memberships that are removed.
    pub segments: ErasedSegments,
    /// The member from whose usage report the user's id is removed; `None`: from all.
    pub member: Option<MemberId>,
}

/// Ids of members and of other sources for a user of the platform: new links, or later ends of known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// When it was accepted, milliseconds since 1970.
    pub accepted_at_ms: u64,
    /// The member that sent it.
    pub member: MemberId,
    /// The user, in [`Domain::Platform`].
    pub user: UserKey,
    /// Each id with the first minute after the link. Only ids of some domains can be linked: see [`Link::is_linkable`].
    pub links: Vec<(UserKey, Minute)>,
}

/// The reason why a payload is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer version of this program wrote it.
    #[error("record format version {0} is not known to this program")]
    UnknownVersion(u8),
    /// This version does not know the kind.
    #[error("record kind {0} is not known to this program")]
    UnknownKind(u8),
    /// The bytes are not in the record's format.
    #[error("the record is malformed in its {0}")]
    Malformed(&'static str),
}

impl Record {
    /// The payload for the log.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Record::Ingest(ingest) => ingest.encode(),
            Record::Erase(erase) => erase.encode(),
            Record::Link(link) => link.encode(),
        }
    }

    /// Whether a payload is that of an erase, without decoding it.
    pub fn is_erase(payload: &[u8]) -> bool {
        payload.starts_with(&[FORMAT_VERSION, KIND_ERASE])
    }

    /// Reads a payload, to its last byte.
    pub fn decode(payload: &[u8]) -> Result<Record, RecordError> {
        let mut input = payload;
        match take(&mut input, 1, "version")?[0] {
            FORMAT_VERSION => {}
            version => return Err(RecordError::UnknownVersion(version)),
        }
        let record = match take(&mut input, 1, "kind")?[0] {
            kind @ (KIND_INGEST | KIND_FILE) => {
                Record::Ingest(Box::new(Ingest::decode(&mut input, kind == KIND_FILE)?))
            }
            KIND_ERASE => Record::Erase(Erase::decode(&mut input)?),
            KIND_LINK => Record::Link(Link::decode(&mut input)?),
            kind => return Err(RecordError::UnknownKind(kind)),
        };
        if input.is_empty() { Ok(record) } else { Err(RecordError::Malformed("end")) }
    }
}

impl Ingest {
    /// The payload of a [`Record::Ingest`] with this content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + 16 * self.batch.users() + 8 * self.batch.operations().len());
        let is_of_file = self.file.is_some();
        out.extend([FORMAT_VERSION, if is_of_file { KIND_FILE } else { KIND_INGEST }]);
        varint::write(&mut out, self.accepted_at_ms);
        varint::write(&mut out, u64::from(self.member.0));
        write_bytes(&mut out, self.request_id.as_bytes());
        let base = Minute::containing(self.accepted_at_ms);
        varint::write(&mut out, self.batch.users() as u64);
        for (user, operations) in self.batch.iter() {
            write_bytes(&mut out, user.as_bytes());
            varint::write(&mut out, operations.len() as u64);
            for operation in operations {
                write_operation(&mut out, operation, base, is_of_file);
            }
        }
        self.usage.encode(&mut out);
        if let Some(chunk) = &self.file {
            chunk.encode(&mut out);
        }
        out
    }

    fn decode(input: &mut &[u8], is_of_file: bool) -> Result<Ingest, RecordError> {
        let accepted_at_ms = number(input, "time")?;
        let member = MemberId(number_u32(input, "member")?);
        let request_id = text(input, "request id")?;
        let base = Minute::containing(accepted_at_ms);
        let users = count(input, "users")?;
        let mut batch = Batch::with_capacity(users, users);
        let mut operations = Vec::new();
        for _ in 0..users {
            let user = user(input)?;
            for _ in 0..count(input, "operations")? {
                operations.push(read_operation(input, base, is_of_file)?);
            }
            batch.push(user, operations.drain(..));
        }
        let usage = Usage::decode(input)?;
        let file = is_of_file.then(|| FileChunk::decode(input).map(Box::new)).transpose()?;
        Ok(Ingest { accepted_at_ms, member, request_id, batch, usage, file })
    }
}

impl Erase {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT_VERSION, KIND_ERASE];
        varint::write(&mut out, self.accepted_at_ms);
        write_bytes(&mut out, self.user.as_bytes());
        let only = if matches!(self.segments, ErasedSegments::Only(_)) { ONLY_SEGMENTS } else { 0 };
        let of_member = if self.member.is_some() { OF_MEMBER } else { 0 };
        out.push(only | of_member);
        if let ErasedSegments::Only(segments) = &self.segments {
            varint::write(&mut out, segments.len() as u64);
            for segment in segments {
                varint::write(&mut out, u64::from(segment.0));
            }
        }
        if let Some(member) = self.member {
            varint::write(&mut out, u64::from(member.0));
        }
        out
    }

    fn decode(input: &mut &[u8]) -> Result<Erase, RecordError> {
        let accepted_at_ms = number(input, "time")?;
        let user = user(input)?;
        let scope = take(input, 1, "scope")?[0];
        if scope & !(ONLY_SEGMENTS | OF_MEMBER) != 0 {
            return Err(RecordError::Malformed("scope"));
        }
        let segments = if scope & ONLY_SEGMENTS == 0 {
            ErasedSegments::All
        } else {
            let segments = count(input, "segments")?;
            let ids = (0..segments).map(|_| number_u32(input, "segment").map(SegmentId));
            ErasedSegments::Only(ids.collect::<Result<_, _>>()?)
        };
        let is_of_member = scope & OF_MEMBER != 0;
        let member = is_of_member.then(|| number_u32(input, "member").map(MemberId)).transpose()?;
        Ok(Erase { accepted_at_ms, user, segments, member })
    }
}

impl Link {
    /// Whether an id can be linked to a user of the platform: those of members, and extended ids.
    pub fn is_linkable(id: &UserKey) -> bool {
        matches!(id.domain(), Domain::External | Domain::Extended)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT_VERSION, KIND_LINK];
        varint::write(&mut out, self.accepted_at_ms);
        varint::write(&mut out, u64::from(self.member.0));
        write_bytes(&mut out, self.user.as_bytes());
        varint::write(&mut out, self.links.len() as u64);
        for (id, expires) in &self.links {
            write_bytes(&mut out, id.as_bytes());
            varint::write(&mut out, u64::from(expires.0));
        }
        out
    }

    fn decode(input: &mut &[u8]) -> Result<Link, RecordError> {
        let accepted_at_ms = number(input, "time")?;
        let member = MemberId(number_u32(input, "member")?);
        let user = user_of(|user| user.domain() == Domain::Platform, input)?;
        let links = count(input, "links")?;
        let links =
            (0..links).map(|_| Ok((user_of(Link::is_linkable, input)?, Minute(number_u32(input, "link")?))));
        Ok(Link { accepted_at_ms, member, user, links: links.collect::<Result<_, _>>()? })
    }
}

impl Usage {
    fn encode(&self, out: &mut Vec<u8>) {
        write_segments(out, &self.valid_segments);
        varint::write(out, u64::from(self.invalid_users.count));
        varint::write(out, self.invalid_users.samples.len() as u64);
        for id in &self.invalid_users.samples {
            write_bytes(out, id.as_bytes());
        }
        for tally in [&self.unauthorized, &self.inactive, &self.invalid, &self.other] {
            varint::write(out, u64::from(tally.count));
            write_segments(out, &tally.samples);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Usage, RecordError> {
        let valid_segments = read_segments(input)?;
        let invalid_count = number_u32(input, "invalid users")?;
        let samples = (0..count(input, "invalid users")?).map(|_| text(input, "invalid users"));
        let invalid_users = Tally { count: invalid_count, samples: samples.collect::<Result<_, _>>()? };
        let mut tally = || {
            let count = number_u32(input, "refused segments")?;
            Ok(Tally { count, samples: read_segments(input)? })
        };
        Ok(Usage {
            valid_segments,
            invalid_users,
            unauthorized: tally()?,
            inactive: tally()?,
            invalid: tally()?,
            other: tally()?,
        })
    }
}

/// An operation is the segment, then a code: 0 to remove, 1 to add for ever, 2 + n to add until n minutes after the
/// minute of acceptance; the value follows an add. In the record of a file the code is doubled, and odd where the
/// membership begins later: the minutes until then follow it.
fn write_operation(out: &mut Vec<u8>, operation: &Operation, base: Minute, is_of_file: bool) {
    varint::write(out, u64::from(operation.segment.0));
    let (expires, begins, value) = match operation.change {
        Change::Remove => return out.push(0),
        Change::Add { expires, value } => (expires, None, value),
        Change::AddLater { begins, expires, value } => (expires, Some(begins), value),
    };
    let code = match expires {
        Expiry::Never => 1,
        Expiry::At(minute) => 2 + u64::from(minute.0.saturating_sub(base.0)),
    };
    if is_of_file {
        varint::write(out, 2 * code + u64::from(begins.is_some()));
        if let Some(begins) = begins {
            varint::write(out, u64::from(begins.0.saturating_sub(base.0)));
        }
    } else {
        debug_assert!(begins.is_none(), "only files hold memberships that begin later");
        varint::write(out, code);
    }
    varint::write(out, u64::from(value));
}

fn read_operation(input: &mut &[u8], base: Minute, is_of_file: bool) -> Result<Operation, RecordError> {
    let segment = SegmentId(number_u32(input, "segment")?);
    let written = number(input, "expiry")?;
    let (code, is_later) = if is_of_file { (written / 2, written % 2 == 1) } else { (written, false) };
    let minutes_later = |minutes: u64, what| {
        let minute = u64::from(base.0).saturating_add(minutes);
        u32::try_from(minute).map(Minute).map_err(|_| RecordError::Malformed(what))
    };
    let begins = is_later.then(|| minutes_later(number(input, "begin")?, "begin")).transpose()?;
    let expires = match code {
        0 if is_later => return Err(RecordError::Malformed("expiry")),
        0 => return Ok(Operation { segment, change: Change::Remove }),
        1 => Expiry::Never,
        minutes => Expiry::At(minutes_later(minutes - 2, "expiry")?),
    };
    let value = number_u32(input, "value")?;
    let change = match begins {
        None => Change::Add { expires, value },
        Some(begins) => Change::AddLater { begins, expires, value },
    };
    Ok(Operation { segment, change })
}

fn write_segments(out: &mut Vec<u8>, segments: &[SegmentRef]) {
    varint::write(out, segments.len() as u64);
    for segment in segments {
        varint::write(out, u64::from(segment.id));
        write_bytes(out, segment.code.as_bytes());
        varint::write(out, u64::from(segment.owner));
    }
}

fn read_segments(input: &mut &[u8]) -> Result<Vec<SegmentRef>, RecordError> {
    (0..count(input, "segment samples")?)
        .map(|_| {
            let id = number_u32(input, "segment samples")?;
            let code = text(input, "segment samples")?;
            let owner = number_u32(input, "segment samples")?;
            Ok(SegmentRef { id, code, owner })
        })
        .collect()
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::write(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take<'a>(input: &mut &'a [u8], length: usize, what: &'static str) -> Result<&'a [u8], RecordError> {
    let (taken, rest) = input.split_at_checked(length).ok_or(RecordError::Malformed(what))?;
    *input = rest;
    Ok(taken)
}

fn bytes<'a>(input: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], RecordError> {
    let length = count(input, what)?;
    take(input, length, what)
}

fn text(input: &mut &[u8], what: &'static str) -> Result<String, RecordError> {
    String::from_utf8(bytes(input, what)?.to_vec()).map_err(|_| RecordError::Malformed(what))
}

fn user(input: &mut &[u8]) -> Result<UserKey, RecordError> {
    UserKey::from_bytes(bytes(input, "user")?).map_err(|_| RecordError::Malformed("user"))
}

fn user_of(kind: fn(&UserKey) -> bool, input: &mut &[u8]) -> Result<UserKey, RecordError> {
    user(input).and_then(|key| if kind(&key) { Ok(key) } else { Err(RecordError::Malformed("user")) })
}

fn number(input: &mut &[u8], what: &'static str) -> Result<u64, RecordError> {
    varint::read(input).ok_or(RecordError::Malformed(what))
}

fn number_u32(input: &mut &[u8], what: &'static str) -> Result<u32, RecordError> {
    varint::read_u32(input).ok_or(RecordError::Malformed(what))
}

/// A count of items that each take at least a byte: a count above the bytes left is malformed, so that
/// damage cannot reserve memory.
fn count(input: &mut &[u8], what: &'static str) -> Result<usize, RecordError> {
    let count = number(input, what)?;
    usize::try_from(count).ok().filter(|&count| count <= input.len()).ok_or(RecordError::Malformed(what))
}

#[cfg(test)]
mod tests;
