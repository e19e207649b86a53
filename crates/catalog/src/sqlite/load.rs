//! Rows into values.

use crate::database::Database;
use crate::segments::SegmentDetails;
use crate::state::{Exposure, LoginRow, MemberRow, SegmentRow, State, login_key};
use crate::{
    BoxError, CatalogError, Login, Member, MemberLimits, PasswordHash, Segment, StoredLogin, UserType,
};
use ia_model::{MemberId, SegmentId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

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
    state.login_high_water = sqlx::query_scalar("SELECT id FROM id_high_water WHERE kind = 'login'")
        .fetch_one(&mut *connection)
        .await?;
    let deleted = sqlx::query(concat!(segment_columns!(), " WHERE deleted_at IS NOT NULL"));
    for row in deleted.fetch_all(connection).await? {
        let row = segment_of(&row, true)?;
        state.segments.insert(row.segment.id, row);
    }
    Ok(state)
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

macro_rules! segment_columns {
    () => {
        "SELECT id, member_id, code, state, short_name, expire_minutes FROM segments"
    };
}
use segment_columns;

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

async fn members(connection: &mut SqliteConnection) -> Result<BTreeMap<MemberId, MemberRow>, sqlx::Error> {
    let mut members = BTreeMap::new();
    for row in sqlx::query("SELECT * FROM members").fetch_all(&mut *connection).await? {
        let member = member_of(&row)?;
        members.insert(member.id, MemberRow { member, segment_access: BTreeSet::new() });
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

async fn logins(connection: &mut SqliteConnection) -> Result<BTreeMap<String, LoginRow>, sqlx::Error> {
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
        };
        logins.insert(row.try_get("username_lower")?, login);
    }
    Ok(logins)
}

async fn sharing(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<(MemberId, MemberId), Exposure>, sqlx::Error> {
    let rows: Vec<(u32, u32, String)> =
        sqlx::query_as("SELECT data_member_id, buyer_member_id, segment_exposure FROM sharing")
            .fetch_all(&mut *connection)
            .await?;
    let mut sharing: BTreeMap<_, _> = rows
        .into_iter()
        .map(|(owner, viewer, exposure)| {
            let exposure = if exposure == "all" { Exposure::All } else { Exposure::List(BTreeSet::new()) };
            ((MemberId(owner), MemberId(viewer)), exposure)
        })
        .collect();
    let listed: Vec<(u32, u32, u32)> =
        sqlx::query_as("SELECT data_member_id, buyer_member_id, segment_id FROM shared_segments")
            .fetch_all(connection)
            .await?;
    for (owner, viewer, segment) in listed {
        if let Some(Exposure::List(ids)) = sharing.get_mut(&(MemberId(owner), MemberId(viewer))) {
            ids.insert(SegmentId(segment));
        }
    }
    Ok(sharing)
}

/// A stored value that the schema's own rules exclude.
fn malformed(error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
