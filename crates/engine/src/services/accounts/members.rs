use super::{AccountKind, page_of, path_of, read_state, state, time_of, to_change};
use crate::services::{Given, Object, ServiceError, plain_name};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, LimitsEdit, Login, MEMBER, MemberEdit, MemberRecord,
};
use serde_json::json;

const LIMITS: [&str; 6] = [
    "posts_per_second",
    "gets_per_second",
    "users_per_request",
    "users_per_second",
    "segments_per_user",
    "payload_bytes",
];

/// `/member`
pub struct Members;

impl AccountKind for Members {
    const RESOURCE: &'static Resource = &MEMBER;
    type Edit = MemberEdit;

    fn edit(given: &Given, _: bool) -> Result<MemberEdit, ServiceError> {
        let limits = match given.nested("limits")?.flatten() {
            None => LimitsEdit::default(),
            Some(limits) => {
                // A limit that is misspelt must not look as if it held.
                if let Some(name) = limits.names().find(|name| !LIMITS.contains(name)) {
                    let known = LIMITS.join(", ");
                    return Err(limits.bad(plain_name(name), format_args!("must be one of {known}")));
                }
                let limit = |name| Ok::<_, ServiceError>(to_change(limits.integer(name, 0, u32::MAX)?));
                LimitsEdit {
                    posts_per_second: limit("posts_per_second")?,
                    gets_per_second: limit("gets_per_second")?,
                    users_per_request: limit("users_per_request")?,
                    users_per_second: limit("users_per_second")?,
                    segments_per_user: limit("segments_per_user")?,
                    payload_bytes: limit("payload_bytes")?,
                }
            }
        };
        Ok(MemberEdit {
            path: path_of(given),
            id: given.integer("id", 1, u32::MAX)?.flatten(),
            name: given.line("name", 255)?.flatten(),
            active: read_state(given, &MEMBER)?,
            default_expiration: to_change(given.integer("default_expiration", 0, u32::MAX)?),
            use_external_uids: given.flag("use_external_uids")?.flatten(),
            external_member_uid: to_change(given.integer("external_member_uid", 1, u32::MAX)?),
            limits,
        })
    }

    fn create(edits: Vec<(Option<u32>, MemberEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateMembers(edits.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn change(edits: Vec<(u32, MemberEdit)>) -> AccountChange {
        AccountChange::EditMembers(edits)
    }

    async fn list(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<Object>, CatalogError> {
        Ok(page_of(accounts.list_members(by, query).await?, object))
    }
}

fn object(record: &MemberRecord) -> Object {
    let member = &record.member;
    let limits = &member.limits;
    Object(vec![
        ("id", member.id.0.into()),
        ("name", json!(&*member.name)),
        ("state", state(member.active)),
        ("default_expiration", member.default_expiration.into()),
        ("use_external_uids", member.use_external_uids.into()),
        ("external_member_uid", member.external_member_uid.map(|id| id.0).into()),
        (
            "limits",
            json!({
                "posts_per_second": limits.posts_per_second,
                "gets_per_second": limits.gets_per_second,
                "users_per_request": limits.users_per_request,
                "users_per_second": limits.users_per_second,
                "segments_per_user": limits.segments_per_user,
                "payload_bytes": limits.payload_bytes,
            }),
        ),
        ("last_modified", time_of(record.last_modified_ms)),
    ])
}
