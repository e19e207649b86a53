use super::AccountKind;
use crate::services::rules::{
    Rule, catalog_integer, count, flag, id, list, list_of, of_type, or_null, reference, referred, time,
    time_of,
};
use crate::services::{
    RequestFields, RequestObject, ResourceKind, ServiceError, answer_fields, request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, BATCH_SEGMENT_CONFIG, BatchEdit, BatchFiles, CatalogError, Login, MemberRecord,
    SEGMENT_FIELDS,
};
use serde_json::{Value, json};
use utoipa::openapi::schema::Type;

/// The most owners in one list.
const MAX_OWNERS: usize = 10_000;

/// `/batch-segment-config`
pub struct Batch;

/// How a member's files are laid out: what was set, or what is usual.
pub struct SetUp {
    record: MemberRecord,
    files: BatchFiles,
}

impl ResourceKind for Batch {
    const NAME: &'static str = "BatchConfig";
    const TABLE: &'static Resource = &BATCH_SEGMENT_CONFIG;
    const ID_NAME: &'static str = "member_id";
    type Request = BatchEdit;
    type Answer = SetUp;

    fn example() -> Value {
        json!({"member_id": 958, "member_segment_access": [{"segment_owner_member_id": 1661}]})
    }
}

request_fields! {
    /// What is absent stays as it is, or is as usual in a new one.
    BatchEdit {
        /// Whose. Absent where the query says it.
        member_id => _ = id(),
        default_expiration = catalog_integer(),
        use_external_uids = flag(),
        external_member_uid = id(),
        /// Into whose segments the member may write, beside its own.
        member_segment_access => [segment_access] = list(owner(), MAX_OWNERS),
        /// One ASCII character: a tab, a space or a sign other than `[](){}$\\/|?*+-`. Only the first and the third may be the same.
        separator_1 => [separators[0]] = separator(),
        separator_2 => [separators[1]] = separator(),
        separator_3 => [separators[2]] = separator(),
        separator_4 => [separators[3]] = separator(),
        separator_5 => [separators[4]] = separator(),
        /// Either `SEG_ID` or `SEG_CODE` is among them. Also as one text: `[SEG_ID,EXPIRATION,VALUE]`.
        segment_fields = segment_fields(),
        hourly_byte_limit = count(),
        hourly_num_lines_limit = count(),
        daily_byte_limit = count(),
        daily_num_lines_limit = count(),
        max_concurrent_uploads = count(),
        num_error_log_lines = count(),
        num_invalid_before_error = count(),
    }
}

answer_fields! {
    set_up: SetUp {
        id: u32 = set_up.record.member.id.0,
        member_id: u32 = set_up.record.member.id.0,
        default_expiration: Option<u32> = set_up.record.member.default_expiration,
        use_external_uids: bool = set_up.record.member.use_external_uids,
        external_member_uid: Option<u32> = set_up.record.member.external_member_uid.map(|id| id.0),
        member_segment_access: Vec<Value> = set_up.record.segment_access.iter()
            .map(|owner| json!({OWNER: owner.0})).collect()
            => list_of(owner().schema).into(),
        separator_1: String = set_up.files.separators[0].clone(),
        separator_2: String = set_up.files.separators[1].clone(),
        separator_3: String = set_up.files.separators[2].clone(),
        separator_4: String = set_up.files.separators[3].clone(),
        separator_5: String = set_up.files.separators[4].clone(),
        segment_fields: Vec<String> = set_up.files.segment_fields => list_of(field_name().schema).into(),
        hourly_byte_limit: Option<u64> = set_up.files.hourly_byte_limit,
        hourly_num_lines_limit: Option<u64> = set_up.files.hourly_num_lines_limit,
        daily_byte_limit: Option<u64> = set_up.files.daily_byte_limit,
        daily_num_lines_limit: Option<u64> = set_up.files.daily_num_lines_limit,
        max_concurrent_uploads: Option<u64> = set_up.files.max_concurrent_uploads,
        num_error_log_lines: Option<u64> = set_up.files.num_error_log_lines,
        num_invalid_before_error: Option<u64> = set_up.files.num_invalid_before_error,
        /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
        last_modified: Option<String> = time_of(set_up.record.last_modified_ms) => or_null(time()),
    }
}

impl AccountKind for Batch {
    const CHANGE: fn(Vec<(u32, BatchEdit)>) -> AccountChange = AccountChange::EditBatch;

    fn change_of(object: &RequestObject, append: bool) -> Result<BatchEdit, ServiceError> {
        Ok(BatchEdit { path: object.path().to_owned(), append, ..BatchEdit::read(object)? })
    }

    fn creation(new: Vec<(Option<u32>, BatchEdit)>) -> Result<AccountChange, ServiceError> {
        let with_member = |(member, new): (Option<u32>, BatchEdit)| {
            let name = format!("{}member_id", new.path);
            let reason = "is required, in the query or in the object";
            Ok((member.ok_or_else(|| ServiceError::bad(name, reason))?, new))
        };
        let new = new.into_iter().map(with_member).collect::<Result<_, ServiceError>>()?;
        Ok(AccountChange::CreateBatch(new))
    }

    async fn page(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<SetUp>, CatalogError> {
        let Page { items, count } = accounts.list_batch(by, query).await?;
        let set_up =
            |mut record: MemberRecord| SetUp { files: record.batch.take().unwrap_or_default(), record };
        Ok(Page { items: items.into_iter().map(set_up).collect(), count })
    }
}

const OWNER: &str = "segment_owner_member_id";

/// A member into whose segments another may write.
fn owner() -> Rule<u32> {
    referred(OWNER, reference(OWNER), "objects with the segment_owner_member_id")
}

/// What separates the parts of a line. The catalog has the rules for it.
fn separator() -> Rule<String> {
    let schema = of_type(Type::String).pattern(Some(r##"^[\t !"#%&',.:;<=>@^_`~]$"##));
    Rule::new(schema, "one character, as text", |value| value.as_str().map(str::to_owned))
}

/// The name of a field, in any case; the catalog knows the right ones.
fn field_name() -> Rule<String> {
    let schema = of_type(Type::String).enum_values(Some(SEGMENT_FIELDS));
    Rule::new(schema, "names of fields", |value| Some(value.as_str()?.trim().to_ascii_uppercase()))
}

/// A list of names; also as one text, `[SEG_ID,VALUE]`, which is how the vendor writes it.
fn segment_fields() -> Rule<Vec<String>> {
    let names = list(field_name(), SEGMENT_FIELDS.len());
    let Rule { schema, expected, .. } = &names;
    let (schema, expected) = (schema.clone(), format!("{expected}, or one text like [SEG_ID,VALUE]"));
    Rule::new(schema, expected, move |value| match value.as_str() {
        Some(text) => {
            let text = text.trim();
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let name = |name: &str| name.trim().trim_matches('"').trim().to_ascii_uppercase();
            let listed = bare.split(',').map(name).filter(|_| !bare.trim().is_empty());
            let listed: Vec<String> = listed.collect();
            (listed.len() <= SEGMENT_FIELDS.len()).then_some(listed)
        }
        None => names.read(value),
    })
}
