use super::{AccountKind, page_of, path_of, time_of, to_change};
use crate::services::{Given, Object, ServiceError, integer};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, BATCH_SEGMENT_CONFIG, BatchEdit, CatalogError, Login, MemberRecord,
    SEGMENT_FIELDS,
};
use serde_json::{Value, json};

/// The most owners in one list.
const MAX_OWNERS: usize = 10_000;

/// `/batch-segment-config`
pub struct Batch;

impl AccountKind for Batch {
    const RESOURCE: &'static Resource = &BATCH_SEGMENT_CONFIG;
    type Edit = BatchEdit;

    fn edit(given: &Given, append: bool) -> Result<BatchEdit, ServiceError> {
        let owner = |value: &Value| {
            integer(value).or_else(|| integer(value.get("segment_owner_member_id")?)).filter(|&id| id > 0)
        };
        let owners = "objects with the segment_owner_member_id";
        let separator = |name| Ok::<_, ServiceError>(given.text(name, 10, &[])?.flatten());
        let limit = |name| Ok::<_, ServiceError>(to_change(given.count(name)?));
        Ok(BatchEdit {
            path: path_of(given),
            default_expiration: to_change(given.integer("default_expiration", 0, u32::MAX)?),
            use_external_uids: given.flag("use_external_uids")?.flatten(),
            external_member_uid: to_change(given.integer("external_member_uid", 1, u32::MAX)?),
            segment_access: given.list("member_segment_access", MAX_OWNERS, owners, owner)?.flatten(),
            append,
            separators: [
                separator("separator_1")?,
                separator("separator_2")?,
                separator("separator_3")?,
                separator("separator_4")?,
                separator("separator_5")?,
            ],
            segment_fields: segment_fields(given)?,
            hourly_byte_limit: limit("hourly_byte_limit")?,
            hourly_num_lines_limit: limit("hourly_num_lines_limit")?,
            daily_byte_limit: limit("daily_byte_limit")?,
            daily_num_lines_limit: limit("daily_num_lines_limit")?,
            max_concurrent_uploads: limit("max_concurrent_uploads")?,
            num_error_log_lines: limit("num_error_log_lines")?,
            num_invalid_before_error: limit("num_invalid_before_error")?,
        })
    }

    fn id_name() -> &'static str {
        "member_id"
    }

    fn create(edits: Vec<(Option<u32>, BatchEdit)>) -> Result<AccountChange, ServiceError> {
        let with_member = |(member, edit): (Option<u32>, BatchEdit)| {
            let member = member.ok_or_else(|| {
                ServiceError::bad(
                    format_args!("{}member_id", edit.path),
                    "is required, in the query or in the object",
                )
            })?;
            Ok((member, edit))
        };
        Ok(AccountChange::CreateBatch(
            edits.into_iter().map(with_member).collect::<Result<_, ServiceError>>()?,
        ))
    }

    fn change(edits: Vec<(u32, BatchEdit)>) -> AccountChange {
        AccountChange::EditBatch(edits)
    }

    async fn list(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<Object>, CatalogError> {
        Ok(page_of(accounts.list_batch(by, query).await?, object))
    }
}

/// A list of names; also as one text, `[SEG_ID,VALUE]`, which is how other servers show it.
fn segment_fields(given: &Given) -> Result<Option<Vec<String>>, ServiceError> {
    let name = |value: &Value| value.as_str().map(str::to_owned);
    let lists = given.list("segment_fields", SEGMENT_FIELDS.len(), "names of fields", name)?.flatten();
    Ok(lists.map(|names| {
        let bare = |text: &str| text.trim_matches(|c| "[] \"".contains(c)).to_owned();
        names.iter().flat_map(|text| text.split(',')).map(bare).collect()
    }))
}

fn object(record: &MemberRecord) -> Object {
    let member = &record.member;
    let files = record.batch.clone().unwrap_or_default();
    let [one, two, three, four, five] = files.separators;
    let owners: Vec<Value> =
        record.segment_access.iter().map(|owner| json!({"segment_owner_member_id": owner.0})).collect();
    Object(vec![
        ("id", member.id.0.into()),
        ("member_id", member.id.0.into()),
        ("default_expiration", member.default_expiration.into()),
        ("use_external_uids", member.use_external_uids.into()),
        ("external_member_uid", member.external_member_uid.map(|id| id.0).into()),
        ("member_segment_access", owners.into()),
        ("separator_1", one.into()),
        ("separator_2", two.into()),
        ("separator_3", three.into()),
        ("separator_4", four.into()),
        ("separator_5", five.into()),
        ("segment_fields", files.segment_fields.into()),
        ("hourly_byte_limit", files.hourly_byte_limit.into()),
        ("hourly_num_lines_limit", files.hourly_num_lines_limit.into()),
        ("daily_byte_limit", files.daily_byte_limit.into()),
        ("daily_num_lines_limit", files.daily_num_lines_limit.into()),
        ("max_concurrent_uploads", files.max_concurrent_uploads.into()),
        ("num_error_log_lines", files.num_error_log_lines.into()),
        ("num_invalid_before_error", files.num_invalid_before_error.into()),
        ("last_modified", time_of(record.last_modified_ms)),
    ])
}
