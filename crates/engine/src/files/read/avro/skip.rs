//! Passes over values that nobody asks for.

use super::cursor::{Broken, Cursor};
use super::schema::{Form, Schema, TypeId};

/// How deeply values may be nested. A schema that refers to itself could nest without end.
const MAX_DEPTH: usize = 100;

/// Passes over a value. The work is bounded by the bytes it takes and the depth.
pub(super) fn skip(schema: &Schema, type_id: TypeId, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
    skip_within(schema, type_id, cursor, MAX_DEPTH)
}

fn skip_within(
    schema: &Schema,
    type_id: TypeId,
    cursor: &mut Cursor<'_>,
    depth: usize,
) -> Result<(), Broken> {
    let value_type = schema.get(type_id);
    if value_type.is_empty {
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Broken("values are nested too deeply"));
    };
    match &value_type.form {
        Form::Null => {}
        Form::Boolean => {
            cursor.bytes(1)?;
        }
        Form::Long => {
            cursor.long()?;
        }
        Form::Float => {
            cursor.bytes(4)?;
        }
        Form::Double => {
            cursor.bytes(8)?;
        }
        Form::Text => {
            cursor.counted_bytes()?;
        }
        Form::Fixed(size) => {
            cursor.bytes(*size)?;
        }
        Form::Enum(symbols) => {
            cursor.index(symbols.len())?;
        }
        Form::Record(fields) => {
            // Those without bytes stand last.
            for field in fields.iter().take_while(|field| !schema.get(field.type_id).is_empty) {
                skip_within(schema, field.type_id, cursor, depth)?;
            }
        }
        Form::Union(branches) => {
            let branch = cursor.index(branches.len())?;
            skip_within(schema, branches[branch], cursor, depth)?;
        }
        Form::Array(items) => {
            let is_empty = schema.get(*items).is_empty;
            while let Some((count, size)) = cursor.part(!is_empty)? {
                if let Some(size) = size {
                    cursor.bytes(size)?;
                } else if !is_empty {
                    for _ in 0..count {
                        skip_within(schema, *items, cursor, depth)?;
                    }
                }
            }
        }
        Form::Map(values) => {
            while let Some((count, size)) = cursor.part(true)? {
                if let Some(size) = size {
                    cursor.bytes(size)?;
                    continue;
                }
                for _ in 0..count {
                    cursor.counted_bytes()?;
                    skip_within(schema, *values, cursor, depth)?;
                }
            }
        }
        Form::Unfinished => return Err(Broken("a record has no fields")),
    }
    Ok(())
}
