//! Rows into values.

use crate::accounts::BatchFiles;
use crate::database::Database;
use crate::segments::SegmentDetails;
use crate::state::{Exposure, LoginRow, MemberRow, SegmentRow, SharingRow, State, login_key};
use crate::{
    BoxError, CatalogError, Login, Member, MemberLimits, PasswordHash, Segment, StoredLogin, UserType,
};
use ia_model::{MemberId, SegmentId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

macro_rules! segment_columns {
    () => {
        "SELECT id, member_id, code, state, short_name, expire_minutes FROM segments"
    };
}

/// The columns that [`login_of`] reads. `active` is that of the login and its member together.
macro_rules! login_columns {
    () => {
        "users.id AS user_id, users.username, users.member_id, users.user_type, users.read_only, \
         users.password_hash, (users.state = 'active' AND members.state = 'active') AS active \
         FROM users JOIN members ON members.id = users.member_id"
    };
}
pub(super) use login_columns;

pub(super) fn login_of(row: &SqliteRow) -> Result<Login, sqlx::Error> {
    let username: String = row.try_get("username")?;
    let user_type: String = row.try_get("user_type")?;
    Ok(Login {
        user_id: row.try_get("user_id")?,
        username: username.into(),
        member: MemberId(row.try_get("member_id")?),
        user_type: UserType::from_name(&user_type).map_err(malformed)?,
        read_only: row.try_get("read_only")?,
    })
}

pub(super) async fn login(database: &Database, username: &str) -> Result<Option<StoredLogin>, CatalogError> {
    let read = async {
        let row = sqlx::query(concat!("SELECT ", login_columns!(), " WHERE users.username_lower = $1"))
            .bind(login_key(username))
            .fetch_optional(database.pool())
            .await?;
        row.map(|row| {
            Ok(StoredLogin {
                login: login_of(&row)?,
                active: row.try_get("active")?,
                password_hash: PasswordHash::from_phc(row.try_get("password_hash")?),
            })
        })
        .transpose()
    };
    read.await.map_err(database.error("reading a login"))
}

/// The hash of every login, by the login's key.
pub(super) async fn password_hashes(
    database: &Database,
) -> Result<BTreeMap<String, PasswordHash>, CatalogError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT username_lower, password_hash FROM users")
        .fetch_all(database.pool())
        .await
        .map_err(database.error("reading the logins"))?;
    Ok(rows.into_iter().map(|(key, phc)| (key, PasswordHash::from_phc(phc))).collect())
}

pub(super) async fn generation(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let value: i64 = sqlx::query_scalar("SELECT value FROM generation").fetch_one(connection).await?;
    u64::try_from(value).map_err(malformed)
}

/// All that a change is planned against.
pub(super) async fn state(connection: &mut SqliteConnection) -> Result<State, sqlx::Error> {
    let (_, mut state) = shown(connection).await?;
    state.logins = logins(connection).await?;
    high_waters(connection, &mut state).await?;
    let deleted = sqlx::query(concat!(segment_columns!(), " WHERE deleted_at IS NOT NULL"));
    for row in deleted.fetch_all(connection).await? {
        let row = segment_of(&row, true)?;
        state.segments.insert(row.segment.id, row);
    }
    Ok(state)
}

/// All that a change of members, logins or sharing is planned against: everything but the segments.
pub(super) async fn accounts(connection: &mut SqliteConnection) -> Result<State, sqlx::Error> {
    let mut state = State {
        members: members(connection).await?,
        logins: logins(connection).await?,
        sharing: sharing(connection).await?,
        ..State::default()
    };
    high_waters(connection, &mut state).await?;
    Ok(state)
}

/// The segment of that id; `None` when there is none or it was deleted.
pub(super) async fn segment(
    connection: &mut SqliteConnection,
    id: SegmentId,
) -> Result<Option<SegmentRow>, sqlx::Error> {
    let row = sqlx::query(concat!(segment_columns!(), " WHERE id = $1 AND deleted_at IS NULL"))
        .bind(id.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| segment_of(&row, false)).transpose()
}

async fn high_waters(connection: &mut SqliteConnection, state: &mut State) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, u32)> =
        sqlx::query_as("SELECT kind, id FROM id_high_water").fetch_all(connection).await?;
    for (kind, id) in rows {
        match kind.as_str() {
            "login" => state.login_high_water = id,
            "sharing" => state.sharing_high_water = id,
            _ => {}
        }
    }
    Ok(())
}

/// What a snapshot shows, with its generation: the state without logins and deleted segments.
pub(super) async fn shown(connection: &mut SqliteConnection) -> Result<(u64, State), sqlx::Error> {
    let generation = generation(&mut *connection).await?;
    let mut state = State { members: members(connection).await?, ..State::default() };
    let segments = sqlx::query(concat!(segment_columns!(), " WHERE deleted_at IS NULL"));
    for row in segments.fetch_all(&mut *connection).await? {
        let row = segment_of(&row, false)?;
        state.segments.insert(row.segment.id, row);
    }
    state.sharing = sharing(connection).await?;
    Ok((generation, state))
}

fn segment_of(row: &SqliteRow, deleted: bool) -> Result<SegmentRow, sqlx::Error> {
    let code: Option<String> = row.try_get(2)?;
    let segment = Segment {
        id: SegmentId(row.try_get(0)?),
        member: MemberId(row.try_get(1)?),
        code: code.map(String::into_boxed_str),
        active: row.try_get::<&str, _>(3)? == "active",
        expire_minutes: row.try_get(5)?,
    };
    Ok(SegmentRow {
        segment,
        short_name: row.try_get(4)?,
        details: SegmentDetails::default(),
        last_modified_ms: 0,
        deleted,
    })
}

pub(super) async fn members(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<MemberId, MemberRow>, sqlx::Error> {
    let mut members = BTreeMap::new();
    for row in sqlx::query("SELECT * FROM members").fetch_all(&mut *connection).await? {
        let member = member_of(&row)?;
        let last_modified_ms = time_of(&row)?;
        let row = MemberRow { member, segment_access: BTreeSet::new(), batch: None, last_modified_ms };
        members.insert(row.member.id, row);
    }
    for row in sqlx::query("SELECT * FROM batch_files").fetch_all(&mut *connection).await? {
        if let Some(member) = members.get_mut(&MemberId(row.try_get("member_id")?)) {
            member.batch = Some(batch_of(&row)?);
        }
    }
    let access: Vec<(u32, u32)> =
        sqlx::query_as("SELECT member_id, owner_member_id FROM segment_access").fetch_all(connection).await?;
    for (writer, owner) in access {
        if let Some(row) = members.get_mut(&MemberId(writer)) {
            row.segment_access.insert(MemberId(owner));
        }
    }
    Ok(members)
}

/// When a row was last changed, where that is known.
fn time_of(row: &SqliteRow) -> Result<Option<u64>, sqlx::Error> {
    let time: Option<i64> = row.try_get("last_modified")?;
    time.map(u64::try_from).transpose().map_err(malformed)
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
        hourly_byte_limit: limit_of(row, "hourly_byte_limit")?,
        hourly_num_lines_limit: limit_of(row, "hourly_num_lines_limit")?,
        daily_byte_limit: limit_of(row, "daily_byte_limit")?,
        daily_num_lines_limit: limit_of(row, "daily_num_lines_limit")?,
        max_concurrent_uploads: limit_of(row, "max_concurrent_uploads")?,
        num_error_log_lines: limit_of(row, "num_error_log_lines")?,
        num_invalid_before_error: limit_of(row, "num_invalid_before_error")?,
        last_modified_ms: time_of(row)?.unwrap_or_default(),
    })
}

fn limit_of(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(column)?.map(u64::try_from).transpose().map_err(malformed)
}

fn member_of(row: &SqliteRow) -> Result<Member, sqlx::Error> {
    let name: String = row.try_get("name")?;
    let external: Option<u32> = row.try_get("external_member_uid")?;
    Ok(Member {
        id: MemberId(row.try_get("id")?),
        name: name.into(),
        active: row.try_get::<&str, _>("state")? == "active",
        default_expiration: row.try_get("default_expiration")?,
        use_external_uids: row.try_get("use_external_uids")?,
        external_member_uid: external.map(MemberId),
        limits: MemberLimits {
            posts_per_second: row.try_get("posts_per_second")?,
            gets_per_second: row.try_get("gets_per_second")?,
            users_per_request: row.try_get("users_per_request")?,
            users_per_second: row.try_get("users_per_second")?,
            segments_per_user: row.try_get("segments_per_user")?,
            payload_bytes: row.try_get("payload_bytes")?,
        },
    })
}

pub(super) async fn logins(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<String, LoginRow>, sqlx::Error> {
    let mut logins = BTreeMap::new();
    for row in sqlx::query("SELECT * FROM users").fetch_all(connection).await? {
        let user_type: String = row.try_get("user_type")?;
        let login = LoginRow {
            id: row.try_get("id")?,
            username: row.try_get("username")?,
            password_hash: PasswordHash::from_phc(row.try_get("password_hash")?),
            active: row.try_get::<&str, _>("state")? == "active",
            user_type: UserType::from_name(&user_type).map_err(malformed)?,
            read_only: row.try_get("read_only")?,
            member: MemberId(row.try_get("member_id")?),
            email: row.try_get("email")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            last_modified_ms: time_of(&row)?,
        };
        logins.insert(row.try_get("username_lower")?, login);
    }
    Ok(logins)
}

pub(super) async fn sharing(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<(MemberId, MemberId), SharingRow>, sqlx::Error> {
    let mut sharing = BTreeMap::new();
    for row in sqlx::query("SELECT * FROM sharing").fetch_all(&mut *connection).await? {
        let pair = (MemberId(row.try_get("data_member_id")?), MemberId(row.try_get("buyer_member_id")?));
        let exposure = match row.try_get::<&str, _>("segment_exposure")? {
            "all" => Exposure::All,
            _ => Exposure::List(BTreeSet::new()),
        };
        sharing
            .insert(pair, SharingRow { id: row.try_get("id")?, exposure, last_modified_ms: time_of(&row)? });
    }
    let listed: Vec<(u32, u32, u32)> =
        sqlx::query_as("SELECT data_member_id, buyer_member_id, segment_id FROM shared_segments")
            .fetch_all(connection)
            .await?;
    for (owner, viewer, segment) in listed {
        let row = sharing.get_mut(&(MemberId(owner), MemberId(viewer)));
        if let Some(SharingRow { exposure: Exposure::List(ids), .. }) = row {
            ids.insert(SegmentId(segment));
        }
    }
    Ok(sharing)
}

/// A stored value that the schema's own rules exclude.
fn malformed(error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
