//! Segments as rows.

use super::statement::{
    Numbers as _, fetch_all, is_active, malformed, page, rows_of, signed, state_name, upsert, whole_second,
};
use crate::Segment;
use crate::listing::Page;
use crate::listing::sql::List;
use crate::segments::{SegmentDetails, StoredSegment};
use crate::state::SegmentRow;
use ia_model::{MemberId, SegmentId};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use std::collections::HashMap;

/// All segments without their details, for a snapshot or for planning a catalog file.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    with_deleted: bool,
) -> Result<impl Iterator<Item = Result<SegmentRow, sqlx::Error>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, member_id, code, state, short_name, expire_minutes, deleted_at FROM segments \
         WHERE $1 OR deleted_at IS NULL",
    )
    .bind(with_deleted)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row_of(&row)))
}

/// The segments of those ids without their details. Deleted ones are left out.
pub(super) async fn load_some(
    connection: &mut SqliteConnection,
    ids: &[u32],
) -> Result<Vec<SegmentRow>, sqlx::Error> {
    let rows = fetch_all(connection, &rows_of("segments", "id", Some(ids))).await?;
    let rows = rows.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().filter(|row| !row.deleted).collect())
}

fn row_of(row: &SqliteRow) -> Result<SegmentRow, sqlx::Error> {
    Ok(SegmentRow {
        segment: segment_of(row)?,
        short_name: row.try_get("short_name")?,
        details: SegmentDetails::default(),
        last_modified_ms: 0,
        deleted: row.try_get::<Option<i64>, _>("deleted_at")?.is_some(),
    })
}

fn segment_of(row: &SqliteRow) -> Result<Segment, sqlx::Error> {
    Ok(Segment {
        id: SegmentId(row.u32("id")?),
        member: MemberId(row.u32("member_id")?),
        code: row.try_get::<Option<String>, _>("code")?.map(String::into_boxed_str),
        active: is_active(row)?,
        expire_minutes: row.optional_u32("expire_minutes")?,
    })
}

/// A page of segments.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    list: &List<'_>,
) -> Result<Page<StoredSegment>, sqlx::Error> {
    let Page { items, count } = page(connection, list).await?;
    Ok(Page { items: items.iter().map(stored_of).collect::<Result<_, _>>()?, count })
}

/// The segment of that id, where it is `owner`'s and not deleted.
pub(super) async fn own(
    connection: &mut SqliteConnection,
    owner: MemberId,
    id: SegmentId,
) -> Result<Option<StoredSegment>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM segments WHERE deleted_at IS NULL AND id = $1 AND member_id = $2")
        .bind(i64::from(id.0))
        .bind(i64::from(owner.0))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(stored_of).transpose()
}

fn stored_of(row: &SqliteRow) -> Result<StoredSegment, sqlx::Error> {
    let json = |column| {
        let text: Option<&str> = row.try_get(column)?;
        text.map(serde_json::from_str).transpose().map_err(malformed)
    };
    Ok(StoredSegment {
        segment: segment_of(row)?,
        short_name: row.try_get("short_name")?,
        details: SegmentDetails {
            description: row.try_get("description")?,
            advertiser_id: row.optional_u32("advertiser_id")?,
            parent_segment_id: row.optional_u32("parent_segment_id")?.map(SegmentId),
            enable_rm_piggyback: row.try_get("enable_rm_piggyback")?,
            max_usersync_pixels: row.optional_u32("max_usersync_pixels")?,
            piggyback_pixels: json("piggyback_pixels")?,
            querystring_mapping: json("querystring_mapping")?,
            querystring_mapping_key_value: json("querystring_mapping_key_value")?,
            price: row.try_get("price")?,
        },
        last_modified_ms: row.u64("last_modified")?,
    })
}

/// The parent of each of those segments, of each parent, and so on. Each segment is visited once, so it ends where
/// parents form a circle.
pub(super) async fn parents_above(
    connection: &mut SqliteConnection,
    below: &[SegmentId],
) -> Result<HashMap<SegmentId, SegmentId>, sqlx::Error> {
    // The numbers are part of the statement: there may be more than a database takes as values.
    let below: Vec<String> = below.iter().map(|id| id.0.to_string()).collect();
    let sql = format!(
        "WITH RECURSIVE above (id, parent) AS ( \
             SELECT id, parent_segment_id FROM segments WHERE id IN ({}) AND deleted_at IS NULL \
             UNION \
             SELECT segments.id, segments.parent_segment_id FROM segments \
             INNER JOIN above ON segments.id = above.parent WHERE segments.deleted_at IS NULL \
         ) SELECT id, parent FROM above WHERE parent IS NOT NULL",
        below.join(", ")
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((SegmentId(row.u32("id")?), SegmentId(row.u32("parent")?)))).collect()
}

/// The segment of `owner` with that code, in any case.
pub(super) async fn with_code(
    connection: &mut SqliteConnection,
    owner: MemberId,
    code: &str,
) -> Result<Option<SegmentId>, sqlx::Error> {
    let row = sqlx::query("SELECT id FROM segments WHERE member_id = $1 AND code_lower = $2")
        .bind(i64::from(owner.0))
        .bind(code.to_ascii_lowercase())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.u32("id").map(SegmentId)).transpose()
}

/// Writes the fields that a catalog file may set, and leaves the others as they are.
pub(super) async fn write_row(
    connection: &mut SqliteConnection,
    row: &SegmentRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let segment = &row.segment;
    // Written out: a file may bring 100,000 of them, and building a statement for each takes time.
    sqlx::query(
        "INSERT INTO segments (id, member_id, code, code_lower, state, short_name, expire_minutes, last_modified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (id) DO UPDATE SET code = excluded.code, code_lower = excluded.code_lower, \
             state = excluded.state, short_name = excluded.short_name, \
             expire_minutes = excluded.expire_minutes, last_modified = excluded.last_modified",
    )
    .bind(i64::from(segment.id.0))
    .bind(i64::from(segment.member.0))
    .bind(segment.code.as_deref())
    .bind(segment.code.as_deref().map(str::to_ascii_lowercase))
    .bind(state_name(segment.active))
    .bind(row.short_name.as_deref())
    .bind(segment.expire_minutes.map(i64::from))
    .bind(signed(whole_second(now_ms)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a segment with all its fields.
pub(super) async fn write(connection: &mut SqliteConnection, row: &StoredSegment) -> Result<(), sqlx::Error> {
    let StoredSegment { segment, short_name, details, last_modified_ms } = row;
    let json = |value: &Option<serde_json::Value>| -> sea_query::Value {
        value.as_ref().map(serde_json::Value::to_string).into()
    };
    let code = segment.code.as_deref();
    let row = [
        ("id", segment.id.0.into()),
        ("member_id", segment.member.0.into()),
        ("code", code.map(str::to_owned).into()),
        ("code_lower", code.map(str::to_ascii_lowercase).into()),
        ("state", state_name(segment.active).into()),
        ("short_name", short_name.clone().into()),
        ("expire_minutes", segment.expire_minutes.into()),
        ("last_modified", signed(*last_modified_ms).into()),
        ("description", details.description.clone().into()),
        ("advertiser_id", details.advertiser_id.into()),
        ("parent_segment_id", details.parent_segment_id.map(|id| id.0).into()),
        ("enable_rm_piggyback", details.enable_rm_piggyback.into()),
        ("max_usersync_pixels", details.max_usersync_pixels.into()),
        ("piggyback_pixels", json(&details.piggyback_pixels)),
        ("querystring_mapping", json(&details.querystring_mapping)),
        ("querystring_mapping_key_value", json(&details.querystring_mapping_key_value)),
        ("price", details.price.into()),
    ];
    upsert(connection, "segments", &["id"], row).await
}

/// Frees a segment's code, so that another may take it before this segment gets a new one.
pub(super) async fn clear_code(connection: &mut SqliteConnection, id: SegmentId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE segments SET code_lower = NULL WHERE id = $1")
        .bind(i64::from(id.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes a segment, if there is one, and what refers to it; whether there was one.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    id: SegmentId,
    now_ms: u64,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "UPDATE segments SET deleted_at = $2, last_modified = $2, code_lower = NULL \
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(i64::from(id.0))
    .bind(signed(whole_second(now_ms)))
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM shared_segments WHERE segment_id = $1")
        .bind(i64::from(id.0))
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}
