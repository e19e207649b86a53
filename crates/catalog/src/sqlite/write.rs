//! Values into rows.

use super::raise_generation;
use crate::apply::Plan;
use crate::state::{Exposure, LoginRow, MemberRow, SegmentRow, SharingRow, login_key};
use ia_model::{MemberId, SegmentId};
use sqlx::SqliteConnection;

/// Writes all rows of a plan. The caller commits.
pub(super) async fn plan(
    connection: &mut SqliteConnection,
    plan: &Plan,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    for row in &plan.members {
        member(connection, row, now_ms).await?;
    }
    // Access may name members that stand further down.
    for row in &plan.members {
        segment_access(connection, row).await?;
    }
    for row in &plan.logins {
        login(connection, row, now_ms).await?;
    }
    revoke(connection, &plan.revoked).await?;
    // Two segments may swap their codes: all are given up before any is taken.
    for id in &plan.recoded {
        sqlx::query("UPDATE segments SET code_lower = NULL WHERE id = $1")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
    }
    for row in &plan.segments {
        segment(connection, row, now_ms).await?;
    }
    for ((owner, viewer), row) in &plan.sharing {
        sharing(connection, *owner, *viewer, row, now_ms).await?;
    }
    raise_high_water(connection, "sharing", plan.sharing.iter().map(|(_, row)| row.id).max()).await?;
    raise_high_water(connection, "login", plan.logins.iter().map(|row| row.id).max()).await?;
    raise_high_water(connection, "segment", plan.segments.iter().map(|row| row.segment.id.0).max()).await?;
    raise_generation(connection).await
}

/// Whether there was such a segment. The caller commits.
pub(super) async fn delete_segment(
    connection: &mut SqliteConnection,
    id: SegmentId,
    now_ms: u64,
) -> Result<bool, sqlx::Error> {
    let deleted = forget_segment(&mut *connection, id, now_ms).await?;
    raise_generation(connection).await?;
    Ok(deleted)
}

/// Deletes a segment, if there is one, and what refers to it. The caller raises the generation and commits.
pub(crate) async fn forget_segment(
    connection: &mut SqliteConnection,
    id: SegmentId,
    now_ms: u64,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "UPDATE segments SET deleted_at = $2, last_modified = $2, code_lower = NULL \
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(id.0)
    .bind(signed(whole_second(now_ms)))
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM shared_segments WHERE segment_id = $1").bind(id.0).execute(connection).await?;
    Ok(deleted.rows_affected() > 0)
}

/// Takes back all tokens of those logins.
pub(super) async fn revoke(connection: &mut SqliteConnection, user_ids: &[u32]) -> Result<(), sqlx::Error> {
    for &user_id in user_ids {
        sqlx::query("UPDATE tokens SET revoked = TRUE WHERE user_id = $1")
            .bind(user_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn member(
    connection: &mut SqliteConnection,
    row: &MemberRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let member = &row.member;
    let limits = &member.limits;
    sqlx::query(
        "INSERT INTO members (id, name, state, default_expiration, use_external_uids, external_member_uid, \
             posts_per_second, gets_per_second, users_per_request, users_per_second, segments_per_user, \
             payload_bytes, last_modified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, \
             default_expiration = excluded.default_expiration, \
             use_external_uids = excluded.use_external_uids, \
             external_member_uid = excluded.external_member_uid, \
             posts_per_second = excluded.posts_per_second, gets_per_second = excluded.gets_per_second, \
             users_per_request = excluded.users_per_request, users_per_second = excluded.users_per_second, \
             segments_per_user = excluded.segments_per_user, payload_bytes = excluded.payload_bytes, \
             last_modified = excluded.last_modified",
    )
    .bind(member.id.0)
    .bind(&*member.name)
    .bind(state_name(member.active))
    .bind(member.default_expiration)
    .bind(member.use_external_uids)
    .bind(member.external_member_uid.map(|id| id.0))
    .bind(limits.posts_per_second)
    .bind(limits.gets_per_second)
    .bind(limits.users_per_request)
    .bind(limits.users_per_second)
    .bind(limits.segments_per_user)
    .bind(limits.payload_bytes)
    .bind(signed(now_ms))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn segment_access(
    connection: &mut SqliteConnection,
    row: &MemberRow,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM segment_access WHERE member_id = $1")
        .bind(row.member.id.0)
        .execute(&mut *connection)
        .await?;
    for owner in &row.segment_access {
        sqlx::query("INSERT INTO segment_access (member_id, owner_member_id) VALUES ($1, $2)")
            .bind(row.member.id.0)
            .bind(owner.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn login(
    connection: &mut SqliteConnection,
    row: &LoginRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO users (id, username, username_lower, password_hash, state, user_type, read_only, member_id, \
             email, first_name, last_name, last_modified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (id) DO UPDATE SET username = excluded.username, \
             username_lower = excluded.username_lower, password_hash = excluded.password_hash, \
             state = excluded.state, user_type = excluded.user_type, read_only = excluded.read_only, \
             member_id = excluded.member_id, email = excluded.email, first_name = excluded.first_name, \
             last_name = excluded.last_name, last_modified = excluded.last_modified",
    )
    .bind(row.id)
    .bind(&row.username)
    .bind(login_key(&row.username))
    .bind(row.password_hash.as_phc())
    .bind(state_name(row.active))
    .bind(row.user_type.name())
    .bind(row.read_only)
    .bind(row.member.0)
    .bind(row.email.as_deref())
    .bind(row.first_name.as_deref())
    .bind(row.last_name.as_deref())
    .bind(signed(now_ms))
    .execute(connection)
    .await?;
    Ok(())
}

async fn segment(
    connection: &mut SqliteConnection,
    row: &SegmentRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let segment = &row.segment;
    sqlx::query(
        "INSERT INTO segments (id, member_id, code, code_lower, state, short_name, expire_minutes, last_modified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (id) DO UPDATE SET code = excluded.code, code_lower = excluded.code_lower, \
             state = excluded.state, short_name = excluded.short_name, \
             expire_minutes = excluded.expire_minutes, last_modified = excluded.last_modified",
    )
    .bind(segment.id.0)
    .bind(segment.member.0)
    .bind(segment.code.as_deref())
    .bind(segment.code.as_deref().map(str::to_ascii_lowercase))
    .bind(state_name(segment.active))
    .bind(row.short_name.as_deref())
    .bind(segment.expire_minutes)
    .bind(signed(whole_second(now_ms)))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn sharing(
    connection: &mut SqliteConnection,
    owner: MemberId,
    viewer: MemberId,
    row: &SharingRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let (name, listed) = match &row.exposure {
        Exposure::All => ("all", None),
        Exposure::List(ids) => ("list", Some(ids)),
    };
    sqlx::query(
        "INSERT INTO sharing (data_member_id, buyer_member_id, segment_exposure, id, last_modified) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (data_member_id, buyer_member_id) \
         DO UPDATE SET segment_exposure = excluded.segment_exposure, last_modified = excluded.last_modified",
    )
    .bind(owner.0)
    .bind(viewer.0)
    .bind(name)
    .bind(row.id)
    .bind(signed(now_ms))
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM shared_segments WHERE data_member_id = $1 AND buyer_member_id = $2")
        .bind(owner.0)
        .bind(viewer.0)
        .execute(&mut *connection)
        .await?;
    for segment in listed.into_iter().flatten() {
        sqlx::query(
            "INSERT INTO shared_segments (data_member_id, buyer_member_id, segment_id) VALUES ($1, $2, $3)",
        )
        .bind(owner.0)
        .bind(viewer.0)
        .bind(segment.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn raise_high_water(
    connection: &mut SqliteConnection,
    kind: &str,
    id: Option<u32>,
) -> Result<(), sqlx::Error> {
    if let Some(id) = id {
        sqlx::query("UPDATE id_high_water SET id = $2 WHERE kind = $1 AND id < $2")
            .bind(kind)
            .bind(id)
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(crate) fn state_name(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

/// Times of segments are shown and filtered by the second.
fn whole_second(unix_ms: u64) -> u64 {
    unix_ms / 1000 * 1000
}

/// A time for a signed column; the clock reaches its end in 292 million years.
pub(crate) fn signed(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms).unwrap_or(i64::MAX)
}
