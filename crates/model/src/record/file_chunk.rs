//! The part of a file of memberships that one record holds.

use super::{RecordError, count, number, number_u32, take, text, write_bytes};
use crate::{SegmentId, varint};
use std::ops::AddAssign;

/// What a record says about its file beyond the batch: how far the file is read, and the counts of its job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileChunk {
    /// The number of the job.
    pub job: u64,
    /// Counts the records of the job from 0. They are logged in this order, without gaps.
    pub number: u32,
    /// Entries of the file (lines, or Avro records) up to the end of this part, from the start of the file.
    pub entries: u64,
    /// Whether it is the last of the file.
    pub is_last: bool,
    /// Where the record removes those that a file has replaced: the segment. Its removals take effect together.
    pub replaced: Option<SegmentId>,
    /// Counts of this part.
    pub counts: FileCounts,
    /// Different segments that were refused in this part. Some may be in earlier parts too.
    pub refused: Vec<RefusedSegment>,
    /// Entries that were refused, in the form of a job's error log.
    pub error_lines: Vec<String>,
}

/// Counts of the entries of a file, by what became of them. Each occurrence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileCounts {
    /// Pairs of user and segment that were applied, additions and removals.
    pub valid: u64,
    /// Entries whose user is valid.
    pub valid_users: u64,
    /// Entries whose user is not.
    pub invalid_users: u64,
    /// Entries that are no entries.
    pub invalid_formats: u64,
    /// Pairs with a time that is none.
    pub invalid_timestamps: u64,
    /// Pairs that failed for another reason.
    pub other_errors: u64,
}

/// Why a segment of a file is refused. The discriminant is in the log (`docs/FORMAT.md`) and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SegmentFault {
    /// There is no such segment.
    Invalid = 0,
    /// The member may not write to it.
    Unauthorized = 1,
    /// It is switched off.
    Inactive = 2,
    /// The membership had ended before the file was read.
    PastExpiration = 3,
}

/// A refused segment, as far as it takes to tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusedSegment {
    /// Why it is refused.
    pub fault: SegmentFault,
    /// Its id; or, of one that was named by its code, a hash of owner and code with the highest bit set.
    pub segment: u64,
}

impl AddAssign for FileCounts {
    fn add_assign(&mut self, other: FileCounts) {
        let mut values = self.values();
        for (value, more) in values.iter_mut().zip(other.values()) {
            *value = value.saturating_add(more);
        }
        *self = FileCounts::from_values(values);
    }
}

impl FileCounts {
    /// The counts in the order of the fields.
    pub fn values(&self) -> [u64; 6] {
        let FileCounts {
            valid,
            valid_users,
            invalid_users,
            invalid_formats,
            invalid_timestamps,
            other_errors,
        } = *self;
        [valid, valid_users, invalid_users, invalid_formats, invalid_timestamps, other_errors]
    }

    /// The counts from [`FileCounts::values`].
    pub fn from_values(values: [u64; 6]) -> FileCounts {
        let [valid, valid_users, invalid_users, invalid_formats, invalid_timestamps, other_errors] = values;
        FileCounts { valid, valid_users, invalid_users, invalid_formats, invalid_timestamps, other_errors }
    }
}

impl SegmentFault {
    /// The fault with that discriminant.
    pub fn from_code(code: u8) -> Option<SegmentFault> {
        use SegmentFault::{Inactive, Invalid, PastExpiration, Unauthorized};
        [Invalid, Unauthorized, Inactive, PastExpiration].into_iter().find(|&fault| fault as u8 == code)
    }
}

/// Bits of the flags.
const LAST: u8 = 1;
const REPLACED: u8 = 2;

impl FileChunk {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::write(out, self.job);
        varint::write(out, self.number.into());
        varint::write(out, self.entries);
        let last = if self.is_last { LAST } else { 0 };
        let replaced = if self.replaced.is_some() { REPLACED } else { 0 };
        out.push(last | replaced);
        if let Some(segment) = self.replaced {
            varint::write(out, segment.0.into());
        }
        self.counts.values().into_iter().for_each(|value| varint::write(out, value));
        varint::write(out, self.refused.len() as u64);
        for refused in &self.refused {
            out.push(refused.fault as u8);
            varint::write(out, refused.segment);
        }
        varint::write(out, self.error_lines.len() as u64);
        self.error_lines.iter().for_each(|line| write_bytes(out, line.as_bytes()));
    }

    pub(super) fn decode(input: &mut &[u8]) -> Result<FileChunk, RecordError> {
        let job = number(input, "job")?;
        let chunk = number_u32(input, "number of the part")?;
        let entries = number(input, "entries")?;
        let flags = take(input, 1, "flags")?[0];
        if flags & !(LAST | REPLACED) != 0 {
            return Err(RecordError::Malformed("flags"));
        }
        let is_replacing = flags & REPLACED != 0;
        let replaced = is_replacing.then(|| number_u32(input, "segment").map(SegmentId)).transpose()?;
        let mut values = [0; 6];
        for value in &mut values {
            *value = number(input, "counts")?;
        }
        let refused = (0..count(input, "refused segments")?).map(|_| {
            let code = take(input, 1, "refused segments")?[0];
            let fault = SegmentFault::from_code(code).ok_or(RecordError::Malformed("refused segments"))?;
            Ok(RefusedSegment { fault, segment: number(input, "refused segments")? })
        });
        let refused = refused.collect::<Result<_, RecordError>>()?;
        let lines = (0..count(input, "error lines")?).map(|_| text(input, "error lines"));
        Ok(FileChunk {
            job,
            number: chunk,
            entries,
            is_last: flags & LAST != 0,
            replaced,
            counts: FileCounts::from_values(values),
            refused,
            error_lines: lines.collect::<Result<_, RecordError>>()?,
        })
    }
}
