use super::{AccountKind, page_of, path_of, time_of, to_change};
use crate::services::{Given, Object, ServiceError, integer};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, Change, EXPOSURES, Login, MEMBER_DATA_SHARING, SharingEdit,
    SharingRecord,
};
use serde_json::json;

/// The most segments of one list.
const MAX_SEGMENTS: usize = 10_000;

/// `/member-data-sharing`
pub struct Sharing;

impl AccountKind for Sharing {
    const RESOURCE: &'static Resource = &MEMBER_DATA_SHARING;
    type Edit = SharingEdit;

    fn edit(given: &Given, append: bool) -> Result<SharingEdit, ServiceError> {
        let exposure = given.choice_of(MEMBER_DATA_SHARING.known_field("segment_exposure"))?.flatten();
        let segments = given.list("segments", MAX_SEGMENTS, "objects with the id of a segment", |value| {
            integer(value).or_else(|| integer(value.get("id")?)).filter(|&id| id > 0)
        })?;
        Ok(SharingEdit {
            path: path_of(given),
            data_member: given.integer("data_member_id", 1, u32::MAX)?.flatten(),
            buyer_member: given.integer("buyer_member_id", 1, u32::MAX)?.flatten(),
            all: exposure.map(|exposure| exposure == EXPOSURES[0]),
            segments: match to_change(segments) {
                Change::Keep => None,
                // Of `all`, clients send back what they read.
                Change::Clear => exposure.filter(|exposure| *exposure == EXPOSURES[0]).map(|_| Vec::new()),
                Change::Set(ids) => Some(ids),
            },
            append,
        })
    }

    fn create(edits: Vec<(Option<u32>, SharingEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateSharing(edits.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn change(edits: Vec<(u32, SharingEdit)>) -> AccountChange {
        AccountChange::EditSharing(edits)
    }

    async fn list(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<Object>, CatalogError> {
        Ok(page_of(accounts.list_sharing(by, query).await?, object))
    }
}

fn object(record: &SharingRecord) -> Object {
    let segments = record.segments.iter().flatten();
    let segments: Vec<_> = segments.map(|(id, name)| json!({"id": id.0, "name": name})).collect();
    Object(vec![
        ("id", record.id.into()),
        ("data_member_id", record.data_member.0.into()),
        ("buyer_member_id", record.buyer_member.0.into()),
        ("segment_exposure", EXPOSURES[usize::from(record.segments.is_some())].into()),
        ("segments", segments.into()),
        ("last_modified", time_of(record.last_modified_ms)),
    ])
}
