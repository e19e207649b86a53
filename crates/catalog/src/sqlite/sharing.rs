//! Who sees whose segments.

use super::statement::{Numbers as _, fetch_all, page, rows_of, signed, upsert};
use crate::accounts::SharingRecord;
use crate::listing::Page;
use crate::listing::sql::List;
use crate::state::{Exposure, SharingRow};
use ia_model::{MemberId, SegmentId};
use sea_query::{Expr, ExprTrait as _, Query};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Owner and viewer.
type Pair = (MemberId, MemberId);

fn pair_of(row: &SqliteRow) -> Result<Pair, sqlx::Error> {
    Ok((MemberId(row.u32("data_member_id")?), MemberId(row.u32("buyer_member_id")?)))
}

fn is_of_all(row: &SqliteRow) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<&str, _>("segment_exposure")? == "all")
}

/// All sharing.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<Pair, SharingRow>, sqlx::Error> {
    let mut listed: BTreeMap<Pair, BTreeSet<SegmentId>> = BTreeMap::new();
    for row in fetch_all(connection, &rows_of("shared_segments", "segment_id", None)).await? {
        listed.entry(pair_of(&row)?).or_default().insert(SegmentId(row.u32("segment_id")?));
    }
    let sharing = |row: &SqliteRow| {
        let pair = pair_of(row)?;
        let exposure = match is_of_all(row)? {
            true => Exposure::All,
            false => Exposure::List(listed.remove(&pair).unwrap_or_default()),
        };
        let last_modified_ms = row.optional_u64("last_modified")?;
        Ok((pair, SharingRow { id: row.u32("id")?, exposure, last_modified_ms }))
    };
    fetch_all(connection, &rows_of("sharing", "id", None)).await?.iter().map(sharing).collect()
}

/// A page of sharing.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    list: &List<'_>,
) -> Result<Page<SharingRecord>, sqlx::Error> {
    let Page { items, count } = page(connection, list).await?;
    let ids = items.iter().map(|row| row.u32("id")).collect::<Result<Vec<_>, _>>()?;
    let mut listed = listed_segments(connection, &ids).await?;
    let record = |row: &SqliteRow| {
        let (id, (data_member, buyer_member)) = (row.u32("id")?, pair_of(row)?);
        let segments = (!is_of_all(row)?).then(|| listed.remove(&id).unwrap_or_default());
        let last_modified_ms = row.optional_u64("last_modified")?;
        Ok(SharingRecord { id, data_member, buyer_member, segments, last_modified_ms })
    };
    Ok(Page { items: items.iter().map(record).collect::<Result<_, sqlx::Error>>()?, count })
}

/// The segments that are listed by sharing of those ids, in the order of their ids, with their names.
async fn listed_segments(
    connection: &mut SqliteConnection,
    ids: &[u32],
) -> Result<HashMap<u32, Vec<(SegmentId, Option<String>)>>, sqlx::Error> {
    let is_same = |column| Expr::col(("sharing", column)).equals(("shared_segments", column));
    let mut statement = Query::select();
    statement
        .columns([("sharing", "id"), ("shared_segments", "segment_id"), ("segments", "short_name")])
        .from("sharing")
        .inner_join("shared_segments", is_same("data_member_id").and(is_same("buyer_member_id")))
        .inner_join("segments", Expr::col(("segments", "id")).equals(("shared_segments", "segment_id")))
        .and_where(Expr::col(("sharing", "id")).is_in(ids.iter().copied()))
        .order_by(("shared_segments", "segment_id"), sea_query::Order::Asc);
    let mut listed: HashMap<u32, Vec<_>> = HashMap::new();
    for row in fetch_all(connection, &statement).await? {
        let segment = (SegmentId(row.u32("segment_id")?), row.try_get("short_name")?);
        listed.entry(row.u32("id")?).or_default().push(segment);
    }
    Ok(listed)
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    (owner, viewer): Pair,
    sharing: &SharingRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let (exposure, listed) = match &sharing.exposure {
        Exposure::All => ("all", None),
        Exposure::List(ids) => ("list", Some(ids)),
    };
    let row = [
        ("data_member_id", owner.0.into()),
        ("buyer_member_id", viewer.0.into()),
        ("segment_exposure", exposure.into()),
        ("id", sharing.id.into()),
        ("last_modified", signed(now_ms).into()),
    ];
    upsert(connection, "sharing", &["data_member_id", "buyer_member_id"], row).await?;
    sqlx::query("DELETE FROM shared_segments WHERE data_member_id = $1 AND buyer_member_id = $2")
        .bind(i64::from(owner.0))
        .bind(i64::from(viewer.0))
        .execute(&mut *connection)
        .await?;
    for segment in listed.into_iter().flatten() {
        sqlx::query(
            "INSERT INTO shared_segments (data_member_id, buyer_member_id, segment_id) VALUES ($1, $2, $3)",
        )
        .bind(i64::from(owner.0))
        .bind(i64::from(viewer.0))
        .bind(i64::from(segment.0))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Deletes a sharing, and its list with it.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    (owner, viewer): Pair,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sharing WHERE data_member_id = $1 AND buyer_member_id = $2")
        .bind(i64::from(owner.0))
        .bind(i64::from(viewer.0))
        .execute(connection)
        .await?;
    Ok(())
}
