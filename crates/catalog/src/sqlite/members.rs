//! Members, their write access, and how their files are laid out.

use super::statement::{Numbers as _, fetch_all, is_active, page, rows_of, signed, state_name, upsert};
use crate::accounts::MemberRecord;
use crate::listing::Page;
use crate::listing::sql::List;
use crate::state::MemberRow;
use crate::{BatchFiles, Member, MemberLimits, RedirectHost};
use ia_model::MemberId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All members.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<MemberId, MemberRow>, sqlx::Error> {
    let rows = fetch_all(connection, &rows_of("members", "id", None)).await?;
    let mut other = OtherTables::load(connection, None).await?;
    rows.iter().map(|row| other.member(row).map(|member| (member.member.id, member))).collect()
}

/// A page of members.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    list: &List<'_>,
) -> Result<Page<MemberRecord>, sqlx::Error> {
    let Page { items, count } = page(connection, list).await?;
    let ids = items.iter().map(|row| row.u32("id")).collect::<Result<Vec<_>, _>>()?;
    let mut other = OtherTables::load(connection, Some(&ids)).await?;
    let record = |row| {
        let MemberRow { member, segment_access, batch, last_modified_ms } = other.member(row)?;
        let segment_access = segment_access.into_iter().collect();
        Ok(MemberRecord { member, segment_access, batch, last_modified_ms })
    };
    Ok(Page { items: items.iter().map(record).collect::<Result<_, sqlx::Error>>()?, count })
}

/// The data of members in other tables.
struct OtherTables {
    access: HashMap<MemberId, BTreeSet<MemberId>>,
    batch: HashMap<MemberId, BatchFiles>,
}

impl OtherTables {
    /// Of the members of those ids, or of all.
    async fn load(
        connection: &mut SqliteConnection,
        ids: Option<&[u32]>,
    ) -> Result<OtherTables, sqlx::Error> {
        let mut access: HashMap<MemberId, BTreeSet<MemberId>> = HashMap::new();
        for row in fetch_all(connection, &rows_of("segment_access", "member_id", ids)).await? {
            let owner = MemberId(row.u32("owner_member_id")?);
            access.entry(MemberId(row.u32("member_id")?)).or_default().insert(owner);
        }
        let batch = fetch_all(connection, &rows_of("batch_files", "member_id", ids)).await?;
        let batch = batch.iter().map(|row| Ok((MemberId(row.u32("member_id")?), batch_of(row)?)));
        Ok(OtherTables { access, batch: batch.collect::<Result<_, sqlx::Error>>()? })
    }

    fn member(&mut self, row: &SqliteRow) -> Result<MemberRow, sqlx::Error> {
        let id = MemberId(row.u32("id")?);
        let redirect_hosts: &str = row.try_get("redirect_hosts")?;
        let member = Member {
            id,
            name: row.try_get::<String, _>("name")?.into(),
            active: is_active(row)?,
            default_expiration: row.optional_u32("default_expiration")?,
            use_external_uids: row.try_get("use_external_uids")?,
            external_member_uid: row.optional_u32("external_member_uid")?.map(MemberId),
            limits: MemberLimits {
                posts_per_second: row.optional_u32("posts_per_second")?,
                gets_per_second: row.optional_u32("gets_per_second")?,
                users_per_request: row.optional_u32("users_per_request")?,
                users_per_second: row.optional_u32("users_per_second")?,
                segments_per_user: row.optional_u32("segments_per_user")?,
                payload_bytes: row.optional_u32("payload_bytes")?,
            },
            // A host that was stored and is none by later rules is one to which nothing is redirected.
            redirect_hosts: redirect_hosts.split(' ').filter_map(RedirectHost::parse).collect(),
        };
        Ok(MemberRow {
            member,
            segment_access: self.access.remove(&id).unwrap_or_default(),
            batch: self.batch.remove(&id),
            last_modified_ms: row.optional_u64("last_modified")?,
        })
    }
}

/// The set-up of the batch files of a member; the usual one where nothing was set.
pub(super) async fn batch_files(
    connection: &mut SqliteConnection,
    member: MemberId,
) -> Result<BatchFiles, sqlx::Error> {
    let rows = fetch_all(connection, &rows_of("batch_files", "member_id", Some(&[member.0]))).await?;
    rows.first().map_or_else(|| Ok(BatchFiles::default()), batch_of)
}

fn batch_of(row: &SqliteRow) -> Result<BatchFiles, sqlx::Error> {
    let fields: String = row.try_get("segment_fields")?;
    Ok(BatchFiles {
        separators: [
            row.try_get("separator_1")?,
            row.try_get("separator_2")?,
            row.try_get("separator_3")?,
            row.try_get("separator_4")?,
            row.try_get("separator_5")?,
        ],
        segment_fields: fields.split(',').map(str::to_owned).collect(),
        hourly_byte_limit: row.optional_u64("hourly_byte_limit")?,
        hourly_num_lines_limit: row.optional_u64("hourly_num_lines_limit")?,
        daily_byte_limit: row.optional_u64("daily_byte_limit")?,
        daily_num_lines_limit: row.optional_u64("daily_num_lines_limit")?,
        max_concurrent_uploads: row.optional_u64("max_concurrent_uploads")?,
        num_error_log_lines: row.optional_u64("num_error_log_lines")?,
        num_invalid_before_error: row.optional_u64("num_invalid_before_error")?,
        last_modified_ms: row.u64("last_modified")?,
    })
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    member: &Member,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let limits = &member.limits;
    let redirect_hosts: Vec<String> = member.redirect_hosts.iter().map(RedirectHost::to_string).collect();
    let row = [
        ("id", member.id.0.into()),
        ("name", (&*member.name).into()),
        ("state", state_name(member.active).into()),
        ("default_expiration", member.default_expiration.into()),
        ("use_external_uids", member.use_external_uids.into()),
        ("external_member_uid", member.external_member_uid.map(|id| id.0).into()),
        ("posts_per_second", limits.posts_per_second.into()),
        ("gets_per_second", limits.gets_per_second.into()),
        ("users_per_request", limits.users_per_request.into()),
        ("users_per_second", limits.users_per_second.into()),
        ("segments_per_user", limits.segments_per_user.into()),
        ("payload_bytes", limits.payload_bytes.into()),
        ("last_modified", signed(now_ms).into()),
        ("redirect_hosts", redirect_hosts.join(" ").into()),
    ];
    upsert(connection, "members", &["id"], row).await
}

pub(super) async fn write_access(
    connection: &mut SqliteConnection,
    row: &MemberRow,
) -> Result<(), sqlx::Error> {
    let member = i64::from(row.member.id.0);
    sqlx::query("DELETE FROM segment_access WHERE member_id = $1")
        .bind(member)
        .execute(&mut *connection)
        .await?;
    for owner in &row.segment_access {
        sqlx::query("INSERT INTO segment_access (member_id, owner_member_id) VALUES ($1, $2)")
            .bind(member)
            .bind(i64::from(owner.0))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn write_batch(
    connection: &mut SqliteConnection,
    member: MemberId,
    files: &BatchFiles,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let limit = |value: Option<u64>| -> sea_query::Value { value.map(signed).into() };
    let [one, two, three, four, five] = &files.separators;
    let row = [
        ("member_id", member.0.into()),
        ("separator_1", one.as_str().into()),
        ("separator_2", two.as_str().into()),
        ("separator_3", three.as_str().into()),
        ("separator_4", four.as_str().into()),
        ("separator_5", five.as_str().into()),
        ("segment_fields", files.segment_fields.join(",").into()),
        ("hourly_byte_limit", limit(files.hourly_byte_limit)),
        ("hourly_num_lines_limit", limit(files.hourly_num_lines_limit)),
        ("daily_byte_limit", limit(files.daily_byte_limit)),
        ("daily_num_lines_limit", limit(files.daily_num_lines_limit)),
        ("max_concurrent_uploads", limit(files.max_concurrent_uploads)),
        ("num_error_log_lines", limit(files.num_error_log_lines)),
        ("num_invalid_before_error", limit(files.num_invalid_before_error)),
        ("last_modified", signed(now_ms).into()),
    ];
    upsert(connection, "batch_files", &["member_id"], row).await
}
