use super::{AccountKind, without_ids};
use crate::services::rules::{
    catalog_integer, flag, id, line, list, object, or_null, state, state_of, time, time_of,
};
use crate::services::{
    RequestFields, RequestObject, ResourceKind, ServiceError, answer_fields, plain_name, request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, LimitsEdit, Login, MAX_REDIRECT_HOSTS, MEMBER, MemberEdit,
    MemberLimits, MemberRecord, RedirectHost,
};
use serde_json::{Value, json};

/// Longer than `*.`, the longest host and a port.
const MAX_HOST_CHARACTERS: usize = 300;

/// `/member`
pub struct Members;

impl ResourceKind for Members {
    const NAME: &'static str = "Member";
    const TABLE: &'static Resource = &MEMBER;
    type Request = MemberEdit;
    type Answer = MemberRecord;

    fn example() -> Value {
        json!({"name": "Acme", "default_expiration": 43200})
    }
}

request_fields! {
    /// What is absent stays as it is, or is as usual in a new one.
    MemberEdit {
        /// Which, in a change; of a new one its id, the highest plus one if absent.
        id = id(),
        name = line(255),
        state => [active] = state(),
        /// For a membership where neither it nor its segment says; 0 is for ever, null leaves it to the server.
        default_expiration = catalog_integer(),
        use_external_uids = flag(),
        /// In whose name space external ids are; null is its own.
        external_member_uid = id(),
        limits => _ = object(LimitsEdit::schema()),
        /// Where its pixels may redirect browsers, beside the server's own hosts: `host` or `*.host`, also with `:port`.
        redirect_hosts = list(line(MAX_HOST_CHARACTERS), MAX_REDIRECT_HOSTS),
    }
}

request_fields! {
    /// A member's own limits: null leaves one to the server, 0 lifts it.
    LimitsEdit {
        posts_per_second = catalog_integer(),
        gets_per_second = catalog_integer(),
        users_per_request = catalog_integer(),
        users_per_second = catalog_integer(),
        segments_per_user = catalog_integer(),
        payload_bytes = catalog_integer(),
    }
}

answer_fields! {
    record: MemberRecord {
        id: u32 = record.member.id.0,
        name: String = record.member.name.into(),
        state: String = state_of(record.member.active) => state().schema,
        default_expiration: Option<u32> = record.member.default_expiration,
        use_external_uids: bool = record.member.use_external_uids,
        external_member_uid: Option<u32> = record.member.external_member_uid.map(|id| id.0),
        limits: Value = limits_of(&record.member.limits) => LimitsEdit::schema(),
        redirect_hosts: Vec<String> = record.member.redirect_hosts.iter().map(RedirectHost::to_string).collect(),
        /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
        last_modified: Option<String> = time_of(record.last_modified_ms) => or_null(time()),
    }
}

fn limits_of(limits: &MemberLimits) -> Value {
    json!({
        "posts_per_second": limits.posts_per_second,
        "gets_per_second": limits.gets_per_second,
        "users_per_request": limits.users_per_request,
        "users_per_second": limits.users_per_second,
        "segments_per_user": limits.segments_per_user,
        "payload_bytes": limits.payload_bytes,
    })
}

impl AccountKind for Members {
    const CHANGE: fn(Vec<(u32, MemberEdit)>) -> AccountChange = AccountChange::EditMembers;

    fn change_of(object: &RequestObject, append: bool) -> Result<MemberEdit, ServiceError> {
        let mut change = MemberEdit { path: object.path().to_owned(), append, ..MemberEdit::read(object)? };
        if let Some(limits) = object.nested::<LimitsEdit>("limits")? {
            // A misspelt limit must not look as if it held.
            if let Some(name) = limits.names().find(|name| !LimitsEdit::NAMES.contains(name)) {
                let known = LimitsEdit::NAMES.join(", ");
                return Err(limits.bad(plain_name(name), format_args!("must be one of {known}")));
            }
            change.limits = LimitsEdit::read(&limits)?;
        }
        Ok(change)
    }

    fn creation(new: Vec<(Option<u32>, MemberEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateMembers(without_ids(new)))
    }

    async fn page(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<MemberRecord>, CatalogError> {
        accounts.list_members(by, query).await
    }
}
