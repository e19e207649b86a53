//! The fields of the services' objects, and what is filtered and sorted by.

use crate::listing::{Field, Kind, Resource};
use crate::segments::STATES;

/// The types of logins.
pub const USER_TYPES: &[&str] = &["member", "bidder", "admin"];

/// How a member's segments are shared.
pub const EXPOSURES: &[&str] = &["all", "list"];

/// A field that is filtered and sorted by the column of its name.
const fn listed(name: &'static str, kind: Kind) -> Field {
    let field = Field::new(name, kind);
    match kind {
        Kind::Text | Kind::Word => field.by_lower(name),
        Kind::Time => field.by_second(name),
        _ => field.by(name),
    }
}

/// A member on the wire.
pub static MEMBER: Resource = Resource {
    singular: "member",
    plural: "members",
    other_keys: None,
    fields: &[
        listed("id", Kind::Integer).searched().on_create(),
        listed("name", Kind::Text).searched().required(),
        listed("state", Kind::Choice(STATES)),
        listed("default_expiration", Kind::Integer),
        listed("use_external_uids", Kind::Flag),
        listed("external_member_uid", Kind::Integer),
        Field::new("limits", Kind::Nested),
        Field::new("redirect_hosts", Kind::Nested),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

/// A login on the wire.
pub static USER: Resource = Resource {
    singular: "user",
    plural: "users",
    other_keys: None,
    fields: &[
        listed("id", Kind::Integer).searched().read_only(),
        listed("username", Kind::Text).searched().required(),
        listed("email", Kind::Text).searched(),
        listed("first_name", Kind::Text).searched(),
        listed("last_name", Kind::Text).searched(),
        listed("state", Kind::Choice(STATES)),
        listed("user_type", Kind::Choice(USER_TYPES)),
        listed("read_only", Kind::Flag),
        Field::new("entity_id", Kind::Integer).by("member_id").required(),
        Field::new("password", Kind::Text).required(),
        listed("last_modified", Kind::Time).read_only(),
    ],
};

/// A sharing on the wire.
pub static MEMBER_DATA_SHARING: Resource = Resource {
    singular: "member_data_sharing",
    plural: "member_data_sharings",
    other_keys: None,
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
    other_keys: Some(("batch_segment_upload_config", "batch_segment_upload_configs")),
    fields: &[
        listed("id", Kind::Integer).searched().read_only(),
        Field::new("member_id", Kind::Integer).by("id").on_create(),
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
