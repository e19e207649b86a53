//! The fields of the services' objects, and what is filtered and sorted by.

use super::{LoginRecord, MemberRecord, SharingRecord};
use crate::UserType;
use crate::listing::{Field, Kind, Resource, Value};
use crate::segments::STATES;

/// The types of logins.
pub const USER_TYPES: &[&str] = &["member", "bidder", "admin"];

/// How a member's segments are shared.
pub const EXPOSURES: &[&str] = &["all", "list"];

/// A field that is filtered and sorted by in memory, where its name stands for its value.
const fn listed(name: &'static str, kind: Kind) -> Field {
    Field::new(name, kind).by(name)
}

/// A member on the wire.
pub static MEMBER: Resource = Resource {
    singular: "member",
    plural: "members",
    fields: &[
        listed("id", Kind::Integer).searched().on_create(),
        listed("name", Kind::Text).searched().required(),
        listed("state", Kind::Choice(STATES)),
        listed("default_expiration", Kind::Integer),
        listed("use_external_uids", Kind::Flag),
        listed("external_member_uid", Kind::Integer),
        Field::new("limits", Kind::Nested),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

/// A login on the wire.
pub static USER: Resource = Resource {
    singular: "user",
    plural: "users",
    fields: &[
        listed("id", Kind::Integer).searched().read_only(),
        listed("username", Kind::Text).searched().required(),
        listed("email", Kind::Text).searched(),
        listed("first_name", Kind::Text).searched(),
        listed("last_name", Kind::Text).searched(),
        listed("state", Kind::Choice(STATES)),
        listed("user_type", Kind::Choice(USER_TYPES)),
        listed("read_only", Kind::Flag),
        listed("entity_id", Kind::Integer).required(),
        Field::new("password", Kind::Text).required(),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

/// A sharing on the wire.
pub static MEMBER_DATA_SHARING: Resource = Resource {
    singular: "member_data_sharing",
    plural: "member_data_sharings",
    fields: &[
        listed("id", Kind::Integer).searched().read_only(),
        listed("data_member_id", Kind::Integer).on_create(),
        listed("buyer_member_id", Kind::Integer).on_create().required(),
        listed("segment_exposure", Kind::Choice(EXPOSURES)).required(),
        Field::new("segments", Kind::Nested),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

/// How a member's files are laid out, on the wire.
pub static BATCH_SEGMENT_CONFIG: Resource = Resource {
    singular: "batch_segment_config",
    plural: "batch_segment_configs",
    fields: &[
        listed("id", Kind::Integer).searched().read_only(),
        listed("member_id", Kind::Integer).on_create(),
        listed("default_expiration", Kind::Integer),
        listed("use_external_uids", Kind::Flag),
        listed("external_member_uid", Kind::Integer),
        Field::new("member_segment_access", Kind::Nested),
        Field::new("separator_1", Kind::Text),
        Field::new("separator_2", Kind::Text),
        Field::new("separator_3", Kind::Text),
        Field::new("separator_4", Kind::Text),
        Field::new("separator_5", Kind::Text),
        Field::new("segment_fields", Kind::Nested),
        Field::new("hourly_byte_limit", Kind::Integer),
        Field::new("hourly_num_lines_limit", Kind::Integer),
        Field::new("daily_byte_limit", Kind::Integer),
        Field::new("daily_num_lines_limit", Kind::Integer),
        Field::new("max_concurrent_uploads", Kind::Integer),
        Field::new("num_error_log_lines", Kind::Integer),
        Field::new("num_invalid_before_error", Kind::Integer),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

fn state(active: bool) -> Value {
    STATES[usize::from(!active)].into()
}

/// Times are shown, and so filtered by, in whole seconds.
fn time(unix_ms: Option<u64>) -> Value {
    unix_ms.map_or(Value::Null, |ms| Value::Integer(i64::try_from(ms / 1000 * 1000).unwrap_or(i64::MAX)))
}

impl MemberRecord {
    pub(super) fn value(&self, field: &Field) -> Value {
        let member = &self.member;
        match field.name {
            "id" | "member_id" => member.id.0.into(),
            "name" => (&*member.name).into(),
            "state" => state(member.active),
            "default_expiration" => Value::of(member.default_expiration),
            "use_external_uids" => member.use_external_uids.into(),
            "external_member_uid" => Value::of(member.external_member_uid.map(|id| id.0)),
            "last_modified" => time(self.last_modified_ms),
            _ => Value::Null,
        }
    }
}

impl LoginRecord {
    pub(super) fn value(&self, field: &Field) -> Value {
        let login = &self.login;
        match field.name {
            "id" => login.user_id.into(),
            "username" => (&*login.username).into(),
            "email" => Value::of(self.email.as_deref()),
            "first_name" => Value::of(self.first_name.as_deref()),
            "last_name" => Value::of(self.last_name.as_deref()),
            "state" => state(self.active),
            "user_type" => UserType::name(login.user_type).into(),
            "read_only" => login.read_only.into(),
            "entity_id" => login.member.0.into(),
            "last_modified" => time(self.last_modified_ms),
            _ => Value::Null,
        }
    }
}

impl SharingRecord {
    pub(super) fn value(&self, field: &Field) -> Value {
        match field.name {
            "id" => self.id.into(),
            "data_member_id" => self.data_member.0.into(),
            "buyer_member_id" => self.buyer_member.0.into(),
            "segment_exposure" => EXPOSURES[usize::from(self.segments.is_some())].into(),
            "last_modified" => time(self.last_modified_ms),
            _ => Value::Null,
        }
    }
}
