//! Reads a record of the file by the [`Plan`](super::plan::Plan): a user and what is asked for its segments.

use super::cursor::{Broken, Cursor};
use super::plan::{
    Choice, Number, Plan, Segment, SegmentNumber, SegmentStep, Segments, Step, Text, Uid, UidKind, UidRecord,
    UidStep,
};
use super::schema::{Schema, TypeId};
use super::skip::skip;
use crate::files::read::{FileBlock, FileUser};
use crate::ingest::json::Text as JsonText;
use crate::ingest::structure::SegmentName;
use ia_model::{Domain, MemberId, SegmentId, lenient};
use std::fmt::{self, Write};

/// More segments than that are not kept, whatever the limit: memory is bounded so.
const MOST_SEGMENTS: usize = 1 << 16;

const NO_NUMBER: &str = "failed with an illegal number";
const NO_TEXT: &str = "failed with illegal characters";
const ILLEGAL_COUNT: &str = "failed with an illegal number of segments";
const ILLEGAL_SEGMENT: &str = "failed with an illegal segment";

/// The `expiration` of the default.
const DEFAULT_EXPIRATION: i64 = -2;

/// Reads records that lie one after the other.
pub(super) struct Entries<'p> {
    pub(super) schema: &'p Schema,
    pub(super) plan: &'p Plan,
    /// The most segments that an entry may have.
    pub(super) max_segments: usize,
}

/// A record, but for its segments.
pub(super) struct Entry<'f> {
    pub(super) id: Id<'f>,
    /// What is wrong with it, if it is no entry.
    pub(super) fault: Option<&'static str>,
}

/// The id of a user as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id<'f> {
    Platform(i64),
    Record {
        kind: UidKind,
        id: TextValue<'f>,
        qualifier: TextValue<'f>,
        member: NumberValue,
    },
    /// The name of its kind.
    Other(&'f str),
}

/// A value that is asked for as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextValue<'f> {
    Text(&'f str),
    Number(i64),
    /// Not there, or null.
    Absent,
    /// Not UTF-8, or of a type that is no text.
    Wrong,
}

/// A value that is asked for as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberValue {
    Number(i64),
    Absent,
    Wrong,
}

impl<'p> Entries<'p> {
    /// Reads a record; its segments replace what is in `blocks`.
    #[inline]
    pub(super) fn read<'f>(
        &self,
        cursor: &mut Cursor<'f>,
        blocks: &mut Vec<FileBlock<'f>>,
    ) -> Result<Entry<'f>, Broken>
    where
        'p: 'f,
    {
        blocks.clear();
        let mut entry = Entry { id: Id::Other(""), fault: None };
        for step in &self.plan.steps {
            match step {
                Step::Uid(choice) => entry.id = self.uid(choice, cursor)?,
                Step::Segments(choice) => entry.fault = self.segments(choice, cursor, blocks)?,
                Step::Skip(type_id) => self.skip(*type_id, cursor)?,
            }
        }
        if blocks.is_empty() {
            entry.fault = entry.fault.or(Some(ILLEGAL_COUNT));
        }
        Ok(entry)
    }

    fn skip(&self, type_id: TypeId, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
        skip(self.schema, type_id, cursor)
    }

    #[inline]
    fn uid<'f>(&self, choice: &'p Choice<Uid>, cursor: &mut Cursor<'f>) -> Result<Id<'f>, Broken>
    where
        'p: 'f,
    {
        match choice.pick(cursor)? {
            Uid::Platform => Ok(Id::Platform(cursor.long()?)),
            Uid::Record(record) => self.uid_record(record, cursor),
            Uid::Other(type_id) => {
                self.skip(*type_id, cursor)?;
                Ok(Id::Other(&self.schema.get(*type_id).name))
            }
        }
    }

    fn uid_record<'f>(&self, record: &'p UidRecord, cursor: &mut Cursor<'f>) -> Result<Id<'f>, Broken>
    where
        'p: 'f,
    {
        let (mut id, mut qualifier) = (TextValue::Absent, TextValue::Absent);
        let mut member = NumberValue::Absent;
        for step in &record.steps {
            match step {
                UidStep::Id(choice) => id = self.text(choice, cursor)?,
                UidStep::Qualifier(choice) => qualifier = self.text(choice, cursor)?,
                UidStep::Member(choice) => member = self.number(choice, cursor)?,
                UidStep::Skip(type_id) => self.skip(*type_id, cursor)?,
            }
        }
        Ok(Id::Record { kind: record.kind, id, qualifier, member })
    }

    /// Returns what is wrong with them.
    #[inline]
    fn segments<'f>(
        &self,
        choice: &'p Choice<Segments>,
        cursor: &mut Cursor<'f>,
        blocks: &mut Vec<FileBlock<'f>>,
    ) -> Result<Option<&'static str>, Broken>
    where
        'p: 'f,
    {
        let (items, take_space) = match choice.pick(cursor)? {
            Segments::Array { items, take_space } => (items, *take_space),
            Segments::Other(type_id) => {
                self.skip(*type_id, cursor)?;
                return Ok(Some(ILLEGAL_COUNT));
            }
        };
        let most = self.max_segments.min(MOST_SEGMENTS);
        let mut fault = None;
        while let Some((count, size)) = cursor.part(take_space)? {
            let end = size.map(|size| cursor.left() - size);
            for _ in 0..count {
                if blocks.len() >= most {
                    fault = Some(ILLEGAL_COUNT);
                    // Such items all look alike, and there may be any number of them.
                    if !take_space {
                        break;
                    }
                }
                match self.segment(items, cursor)? {
                    Ok(block) if blocks.len() < most => blocks.push(block),
                    Ok(_) => {}
                    Err(found) => fault = fault.or(Some(found)),
                }
            }
            if end.is_some_and(|end| end != cursor.left()) {
                return Err(Broken("a part of an array has another size than it says"));
            }
        }
        Ok(fault)
    }

    #[inline]
    fn segment<'f>(
        &self,
        items: &'p Choice<Segment>,
        cursor: &mut Cursor<'f>,
    ) -> Result<Result<FileBlock<'f>, &'static str>, Broken>
    where
        'p: 'f,
    {
        let steps = match items.pick(cursor)? {
            Segment::Record(steps) => steps,
            Segment::Other(type_id) => {
                self.skip(*type_id, cursor)?;
                return Ok(Err(ILLEGAL_SEGMENT));
            }
        };
        // What a field is worth that is not there, by the schema that clients carry.
        let (mut id, mut member, mut expiration, mut timestamp, mut value) = (0, 0, 0, 0, 0);
        let mut code = "";
        let mut fault = None;
        for step in steps {
            match step {
                SegmentStep::Number(which, choice) => {
                    let number = match self.number(choice, cursor)? {
                        NumberValue::Number(number) => number,
                        NumberValue::Absent => 0,
                        NumberValue::Wrong => {
                            fault = Some(NO_NUMBER);
                            0
                        }
                    };
                    match which {
                        SegmentNumber::Id => id = number,
                        SegmentNumber::Member => member = number,
                        SegmentNumber::Expiration => expiration = number,
                        SegmentNumber::Timestamp => timestamp = number,
                        SegmentNumber::Value => value = number,
                    }
                }
                SegmentStep::Code(choice) => match self.text(choice, cursor)? {
                    TextValue::Text(text) => code = text,
                    TextValue::Absent => {}
                    TextValue::Number(_) | TextValue::Wrong => fault = Some(NO_TEXT),
                },
                SegmentStep::Skip(type_id) => self.skip(*type_id, cursor)?,
            }
        }
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        let segment = if id == 0 && !code.trim().is_empty() {
            SegmentName::Code(MemberId(u32::try_from(member).unwrap_or(0)), JsonText::verbatim(code))
        } else {
            SegmentName::Id(SegmentId(u32::try_from(id).unwrap_or(0)))
        };
        let expiration = Some(expiration).filter(|&minutes| minutes != DEFAULT_EXPIRATION);
        Ok(Ok(FileBlock { segment, value, expiration, timestamp }))
    }

    #[inline]
    fn number(&self, choice: &Choice<Number>, cursor: &mut Cursor<'_>) -> Result<NumberValue, Broken> {
        let whole = |float: f64| {
            // Every whole number below 2^53 is exact.
            let is_exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
            if is_exact { NumberValue::Number(float as i64) } else { NumberValue::Wrong }
        };
        Ok(match choice.pick(cursor)? {
            Number::Long => NumberValue::Number(cursor.long()?),
            Number::Float => whole(cursor.float()?),
            Number::Double => whole(cursor.double()?),
            Number::Text => {
                let text = std::str::from_utf8(cursor.counted_bytes()?).unwrap_or("?");
                match text.trim() {
                    "" => NumberValue::Absent,
                    text => lenient::integer(text).map_or(NumberValue::Wrong, NumberValue::Number),
                }
            }
            Number::Null => NumberValue::Absent,
            Number::Other(type_id) => {
                self.skip(*type_id, cursor)?;
                NumberValue::Wrong
            }
        })
    }

    #[inline]
    fn text<'f>(&self, choice: &'p Choice<Text>, cursor: &mut Cursor<'f>) -> Result<TextValue<'f>, Broken>
    where
        'p: 'f,
    {
        Ok(match choice.pick(cursor)? {
            Text::String => {
                std::str::from_utf8(cursor.counted_bytes()?).map_or(TextValue::Wrong, TextValue::Text)
            }
            Text::Enum(symbols) => TextValue::Text(&symbols[cursor.index(symbols.len())?]),
            Text::Long => TextValue::Number(cursor.long()?),
            Text::Null => TextValue::Absent,
            Text::Other(type_id) => {
                self.skip(*type_id, cursor)?;
                TextValue::Wrong
            }
        })
    }
}

impl<T> Choice<T> {
    /// The branch that the next value is of.
    #[inline(always)]
    fn pick(&self, cursor: &mut Cursor<'_>) -> Result<&T, Broken> {
        let index = if self.is_union { cursor.index(self.branches.len())? } else { 0 };
        Ok(&self.branches[index])
    }
}

impl<'f> Id<'f> {
    /// Whose id it is. A number that stands for a text is written into `digits`.
    #[inline]
    pub(super) fn user<'u>(&self, digits: &'u mut itoa::Buffer) -> FileUser<'u>
    where
        'f: 'u,
    {
        match *self {
            Id::Platform(id) => u64::try_from(id).map_or(FileUser::Invalid, FileUser::Platform),
            Id::Record { kind, id, qualifier, member } => {
                named_user(kind, id, qualifier, member, digits).unwrap_or(FileUser::Invalid)
            }
            Id::Other(_) => FileUser::Invalid,
        }
    }
}

fn named_user<'u>(
    kind: UidKind,
    id: TextValue<'u>,
    qualifier: TextValue<'u>,
    member: NumberValue,
    digits: &'u mut itoa::Buffer,
) -> Option<FileUser<'u>> {
    if kind == UidKind::Platform {
        return match id {
            TextValue::Number(id) => u64::try_from(id).ok().map(FileUser::Platform),
            TextValue::Text(text) => text.trim().parse().ok().map(FileUser::Platform),
            TextValue::Absent | TextValue::Wrong => None,
        };
    }
    let id = match id {
        TextValue::Text(text) => text,
        TextValue::Number(number) => digits.format(number),
        TextValue::Absent | TextValue::Wrong => return None,
    };
    let qualifier = match qualifier {
        TextValue::Text(text) => Some(text),
        _ => None,
    };
    Some(match kind {
        UidKind::Platform => return None,
        UidKind::Device => {
            let domain = qualifier.filter(|name| Domain::from_name(name).is_some())?;
            FileUser::Named { domain: Some(domain), id }
        }
        UidKind::External => {
            let member = match member {
                NumberValue::Number(member) => u32::try_from(member).ok()?,
                NumberValue::Absent => 0,
                NumberValue::Wrong => return None,
            };
            FileUser::External { member, id }
        }
        UidKind::Extended => FileUser::Extended { source: qualifier?, id },
    })
}

/// A record in the style of a line of text, for the log of a job: `<id>:<segment>,<segment>`.
pub(super) struct Shown<'e> {
    pub(super) id: &'e Id<'e>,
    pub(super) blocks: &'e [FileBlock<'e>],
}

/// How many letters of a record are shown.
const MAX_SHOWN: usize = 200;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Cut { out: f, left: MAX_SHOWN };
        // An error means that enough is written.
        if self.write(&mut out).is_err() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn write(&self, out: &mut Cut<'_, '_>) -> fmt::Result {
        match self.id {
            Id::Platform(id) => write!(out, "{id}")?,
            Id::Record { id: TextValue::Text(text), .. } => out.write_str(text)?,
            Id::Record { id: TextValue::Number(number), .. } => write!(out, "{number}")?,
            Id::Record { .. } => {}
            Id::Other(kind) => out.write_str(kind)?,
        }
        for (index, block) in self.blocks.iter().enumerate() {
            out.write_char(if index == 0 { ':' } else { ',' })?;
            match block.segment {
                SegmentName::Id(SegmentId(id)) => write!(out, "{id}")?,
                SegmentName::Code(_, code) => out.write_str(&code.decode())?,
            }
        }
        Ok(())
    }
}

/// Lets so many letters through, on one line, and fails then.
struct Cut<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    left: usize,
}

impl Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.out.write_char(if letter.is_control() { '?' } else { letter })?;
        }
        Ok(())
    }
}
