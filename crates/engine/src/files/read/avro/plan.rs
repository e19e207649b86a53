//! What is to be done with each value of a record, found once from the schema of the file: fields are known by their
//! names, whatever their order, and all others are passed over.

use super::schema::{Field, Form, Schema, TypeId};
use std::convert::Infallible;

/// A field that is there with a type that can hold no such thing, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable(pub(super) &'static str);

/// The values of a record, in the order in which they are written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Step {
    Uid(Choice<Uid>),
    Segments(Choice<Segments>),
    Skip(TypeId),
}

/// A value of one type, or of any branch of a union.
#[derive(Debug)]
pub(super) struct Choice<T> {
    /// Where it is no union, that type alone.
    pub(super) branches: Vec<T>,
    pub(super) is_union: bool,
}

/// A kind of user id.
#[derive(Debug)]
pub(super) enum Uid {
    /// A number.
    Platform,
    Record(UidRecord),
    /// One that is not supported.
    Other(TypeId),
}

#[derive(Debug)]
pub(super) struct UidRecord {
    pub(super) kind: UidKind,
    pub(super) steps: Vec<UidStep>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UidKind {
    /// An id of the platform that stands in a record.
    Platform,
    /// `device_id` or `ifa`.
    Device,
    External,
    Extended,
}

#[derive(Debug)]
pub(super) enum UidStep {
    Id(Choice<Text>),
    /// The domain of a device, the type of an `ifa`, the source of an extended id.
    Qualifier(Choice<Text>),
    Member(Choice<Number>),
    Skip(TypeId),
}

#[derive(Debug)]
pub(super) enum Segments {
    Array {
        items: Choice<Segment>,
        /// Whether an item takes at least a byte.
        take_space: bool,
    },
    Other(TypeId),
}

#[derive(Debug)]
pub(super) enum Segment {
    Record(Vec<SegmentStep>),
    Other(TypeId),
}

#[derive(Debug)]
pub(super) enum SegmentStep {
    Number(SegmentNumber, Choice<Number>),
    Code(Choice<Text>),
    Skip(TypeId),
}

/// The numbers of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentNumber {
    Id,
    Member,
    Expiration,
    Timestamp,
    Value,
}

#[derive(Debug)]
pub(super) enum Number {
    Long,
    Float,
    Double,
    /// Digits.
    Text,
    Null,
    Other(TypeId),
}

#[derive(Debug)]
pub(super) enum Text {
    String,
    Enum(Vec<String>),
    Long,
    Null,
    Other(TypeId),
}

impl Plan {
    pub(super) fn of(schema: &Schema) -> Result<Plan, Unusable> {
        let Form::Record(fields) = &schema.get(schema.root).form else {
            return Err(Unusable("the values in the file are no records"));
        };
        for (name, fault) in
            [("uid", "its records have no field 'uid'"), ("segments", "its records have no field 'segments'")]
        {
            if !fields.iter().any(|field| field.name == name) {
                return Err(Unusable(fault));
            }
        }
        let steps = written(schema, fields).map(|field| match field.name.as_str() {
            "uid" => Ok(Step::Uid(Choice::of(schema, field.type_id, uid))),
            "segments" => segments_of(schema, field.type_id).map(Step::Segments),
            _ => Ok(Step::Skip(field.type_id)),
        });
        Ok(Plan { steps: steps.collect::<Result<Vec<Step>, Unusable>>()? })
    }
}

impl<T> Choice<T> {
    fn of(schema: &Schema, type_id: TypeId, branch: impl Fn(&Schema, TypeId) -> T) -> Choice<T> {
        let Ok(choice) =
            Choice::try_of(schema, type_id, |schema, type_id| Ok::<T, Infallible>(branch(schema, type_id)));
        choice
    }

    fn try_of<E>(
        schema: &Schema,
        type_id: TypeId,
        branch: impl Fn(&Schema, TypeId) -> Result<T, E>,
    ) -> Result<Choice<T>, E> {
        Ok(match &schema.get(type_id).form {
            Form::Union(branches) => {
                let branches = branches.iter().map(|&type_id| branch(schema, type_id));
                Choice { branches: branches.collect::<Result<Vec<T>, E>>()?, is_union: true }
            }
            _ => Choice { branches: vec![branch(schema, type_id)?], is_union: false },
        })
    }

    fn can(&self, can: impl Fn(&T) -> bool) -> bool {
        self.branches.iter().any(can)
    }
}

fn uid(schema: &Schema, type_id: TypeId) -> Uid {
    let branch = schema.get(type_id);
    let record = match (&branch.form, branch.name.as_str()) {
        // A `long` has no name by the specification, and clients give it this one.
        (Form::Long, "" | "anid") => return Uid::Platform,
        (Form::Record(_), "anid") => uid_record(schema, type_id, UidKind::Platform, None),
        (Form::Record(_), "device_id") => uid_record(schema, type_id, UidKind::Device, Some("domain")),
        (Form::Record(_), "ifa") => uid_record(schema, type_id, UidKind::Device, Some("type")),
        (Form::Record(_), "external_id") => uid_record(schema, type_id, UidKind::External, None),
        (Form::Record(_), "eid") => uid_record(schema, type_id, UidKind::Extended, Some("source")),
        _ => None,
    };
    record.map_or(Uid::Other(type_id), Uid::Record)
}

/// `None` where a field cannot hold what it is for. Fields that lack are seen when ids are read: not each has one.
fn uid_record(schema: &Schema, type_id: TypeId, kind: UidKind, qualifier: Option<&str>) -> Option<UidRecord> {
    let Form::Record(fields) = &schema.get(type_id).form else { return None };
    let steps = written(schema, fields).map(|field| {
        let text = || Choice::of(schema, field.type_id, text);
        match field.name.as_str() {
            "id" => Some(text()).filter(|text| text.can(Text::can_be_id)).map(UidStep::Id),
            "member_id" if kind == UidKind::External => {
                let member = Choice::of(schema, field.type_id, number);
                Some(member).filter(|member| member.can(Number::can_be_number)).map(UidStep::Member)
            }
            name if Some(name) == qualifier => {
                Some(text()).filter(|text| text.can(Text::can_be_text)).map(UidStep::Qualifier)
            }
            _ => Some(UidStep::Skip(field.type_id)),
        }
    });
    Some(UidRecord { kind, steps: steps.collect::<Option<Vec<UidStep>>>()? })
}

fn segments_of(schema: &Schema, type_id: TypeId) -> Result<Choice<Segments>, Unusable> {
    let segments = Choice::try_of(schema, type_id, |schema, type_id| {
        let Form::Array(items) = schema.get(type_id).form else { return Ok(Segments::Other(type_id)) };
        let take_space = !schema.get(items).is_empty;
        let items = Choice::try_of(schema, items, segment)?;
        let has_records = items.can(|item| matches!(item, Segment::Record(_)));
        Ok(if has_records { Segments::Array { items, take_space } } else { Segments::Other(type_id) })
    })?;
    if segments.can(|segments| matches!(segments, Segments::Array { .. })) {
        Ok(segments)
    } else {
        Err(Unusable("its field 'segments' is no array of records"))
    }
}

fn segment(schema: &Schema, type_id: TypeId) -> Result<Segment, Unusable> {
    let Form::Record(fields) = &schema.get(type_id).form else { return Ok(Segment::Other(type_id)) };
    let steps = written(schema, fields).map(|field| {
        let number = |which, fault| {
            let number = Choice::of(schema, field.type_id, number);
            let can = number.can(Number::can_be_number);
            if can { Ok(SegmentStep::Number(which, number)) } else { Err(Unusable(fault)) }
        };
        match field.name.as_str() {
            "id" => number(SegmentNumber::Id, "the field 'id' of its segments is no number"),
            "member_id" => {
                number(SegmentNumber::Member, "the field 'member_id' of its segments is no number")
            }
            "expiration" => {
                number(SegmentNumber::Expiration, "the field 'expiration' of its segments is no number")
            }
            "timestamp" => {
                number(SegmentNumber::Timestamp, "the field 'timestamp' of its segments is no number")
            }
            "value" => number(SegmentNumber::Value, "the field 'value' of its segments is no number"),
            "code" => {
                let code = Choice::of(schema, field.type_id, text);
                let can = code.can(Text::can_be_text);
                if can {
                    Ok(SegmentStep::Code(code))
                } else {
                    Err(Unusable("the field 'code' of its segments is no string"))
                }
            }
            _ => Ok(SegmentStep::Skip(field.type_id)),
        }
    });
    steps.collect::<Result<Vec<SegmentStep>, Unusable>>().map(Segment::Record)
}

/// The fields whose values take bytes. A field of another kind (always null, for one) is as good as none.
fn written<'s>(schema: &'s Schema, fields: &'s [Field]) -> impl Iterator<Item = &'s Field> {
    fields.iter().filter(|field| !schema.get(field.type_id).is_empty)
}

fn number(schema: &Schema, type_id: TypeId) -> Number {
    match schema.get(type_id).form {
        Form::Long => Number::Long,
        Form::Float => Number::Float,
        Form::Double => Number::Double,
        Form::Text => Number::Text,
        Form::Null => Number::Null,
        _ => Number::Other(type_id),
    }
}

fn text(schema: &Schema, type_id: TypeId) -> Text {
    match &schema.get(type_id).form {
        Form::Text => Text::String,
        Form::Enum(symbols) => Text::Enum(symbols.clone()),
        Form::Long => Text::Long,
        Form::Null => Text::Null,
        _ => Text::Other(type_id),
    }
}

impl Number {
    fn can_be_number(&self) -> bool {
        !matches!(self, Number::Other(_))
    }
}

impl Text {
    fn can_be_id(&self) -> bool {
        !matches!(self, Text::Other(_))
    }

    fn can_be_text(&self) -> bool {
        !matches!(self, Text::Other(_) | Text::Long)
    }
}
