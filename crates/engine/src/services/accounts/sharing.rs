use super::{AccountKind, without_ids};
use crate::services::rules::{
    Rule, id, list, list_of, of_type, one_of, or_null, reference, referred, time, time_of,
};
use crate::services::{
    RequestFields, RequestObject, ResourceKind, ServiceError, answer_fields, request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, EXPOSURES, Login, MEMBER_DATA_SHARING, SharingEdit, SharingRecord,
};
use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The most segments of one list.
const MAX_SEGMENTS: usize = 10_000;

/// `/member-data-sharing`
pub struct Sharing;

impl ResourceKind for Sharing {
    const NAME: &'static str = "Sharing";
    const TABLE: &'static Resource = &MEMBER_DATA_SHARING;
    type Request = SharingEdit;
    type Answer = SharingRecord;

    fn example() -> Value {
        json!({"buyer_member_id": 1661, "segment_exposure": "list", "segments": [{"id": 10001}]})
    }
}

request_fields! {
    /// What is absent stays as it is, or is as usual in a new one.
    SharingEdit {
        /// Which, in a change of several.
        id => _ = id(),
        /// Whose segments; the caller's member if absent, another is for admins. On creation.
        data_member_id => [data_member] = id(),
        /// Who sees them. On creation.
        buyer_member_id => [buyer_member] = id(),
        segment_exposure => [all] = one_of(EXPOSURES).map(|exposure| exposure == EXPOSURES[0]),
        /// For `list`; segments of the data member.
        segments = list(segment_to_share(), MAX_SEGMENTS),
    }
}

answer_fields! {
    record: SharingRecord {
        id: u32 = record.id,
        data_member_id: u32 = record.data_member.0,
        buyer_member_id: u32 = record.buyer_member.0,
        segment_exposure: &str = EXPOSURES[usize::from(record.segments.is_some())] => one_of(EXPOSURES).schema,
        /// Empty for `all`.
        segments: Vec<Value> = record.segments.iter().flatten()
            .map(|(id, name)| json!({"id": id.0, "name": name})).collect()
            => list_of(segment().into()).into(),
        /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
        last_modified: Option<String> = time_of(record.last_modified_ms) => or_null(time()),
    }
}

impl AccountKind for Sharing {
    const CHANGE: fn(Vec<(u32, SharingEdit)>) -> AccountChange = AccountChange::EditSharing;
    const DELETE: Option<fn(Vec<u32>) -> AccountChange> = Some(AccountChange::DeleteSharing);

    fn change_of(object: &RequestObject, append: bool) -> Result<SharingEdit, ServiceError> {
        let mut change = SharingEdit { path: object.path().to_owned(), append, ..SharingEdit::read(object)? };
        // Of `all`, clients send back what they read.
        if change.all == Some(true) && object.is_null("segments") {
            change.segments = Some(Vec::new());
        }
        Ok(change)
    }

    fn creation(new: Vec<(Option<u32>, SharingEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateSharing(without_ids(new)))
    }

    async fn page(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<SharingRecord>, CatalogError> {
        accounts.list_sharing(by, query).await
    }
}

/// The schema of a segment of the list, with its short name.
fn segment() -> ObjectBuilder {
    let name = of_type(Type::String).description(Some("Its short name."));
    reference("id").property("name", or_null(name.into()))
}

/// A segment of the list; its id alone will do, too.
fn segment_to_share() -> Rule<u32> {
    let about = "A segment; its id alone will do, too. The name is ignored.";
    referred("id", segment().description(Some(about)), "objects with the id of a segment")
}
