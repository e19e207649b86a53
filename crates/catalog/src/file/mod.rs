//! The catalog file: what an operator writes, read strictly.

mod check;
mod field;

pub use field::Change;
pub(crate) use field::Secret;

use crate::login::{UserType, login_key};
use crate::snapshot::MemberLimits;
use serde::Deserialize;
use std::fmt;

/// A catalog file that was read and found sound in itself.
///
/// What it says about objects that it does not hold (an owner that must exist, a code that must be free)
/// is checked when it is applied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    #[serde(default, deserialize_with = "field::objects")]
    pub(crate) members: Vec<MemberEntry>,
    #[serde(default, deserialize_with = "field::objects")]
    pub(crate) users: Vec<UserEntry>,
    #[serde(default, deserialize_with = "field::objects")]
    pub(crate) segments: Vec<SegmentEntry>,
    #[serde(default, deserialize_with = "field::objects")]
    pub(crate) sharing: Vec<SharingEntry>,
}

/// Where a catalog file is at fault, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFileError {
    /// The place in the JSON, like `segments[3].code`; `.` is the whole file.
    pub path: String,
    /// Line and column, from 1, where the text itself could not be read.
    pub position: Option<(usize, usize)>,
    /// The fault. Never quotes a value of another type than its field's: it may be a password.
    pub reason: String,
}

impl CatalogFile {
    /// Reads and checks a file.
    pub fn parse(bytes: &[u8]) -> Result<CatalogFile, CatalogFileError> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(CatalogFileError::at(".".to_owned(), "the file is UTF-16: save it as UTF-8"));
        }
        // Some editors begin a file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let file: CatalogFile = field::object(tracked)
            .map_err(|error| CatalogFileError::unreadable(track.path().to_string(), &error))?;
        deserializer.end().map_err(|error| CatalogFileError::unreadable(".".to_owned(), &error))?;
        file.check()?;
        Ok(file)
    }

    /// The passwords that it names, by the key of their login.
    pub(crate) fn passwords(&self) -> Vec<(String, Secret)> {
        let named = |user: &UserEntry| Some((login_key(&user.username), user.password.clone()?));
        self.users.iter().filter_map(named).collect()
    }
}

impl CatalogFileError {
    fn unreadable(path: String, error: &serde_json::Error) -> CatalogFileError {
        let position = Some((error.line(), error.column()));
        let text = error.to_string();
        // serde_json appends the position to every message.
        let tail = format!(" at line {} column {}", error.line(), error.column());
        let reason = text.strip_suffix(&tail).unwrap_or(&text);
        // The value may be a password in the wrong place.
        let reason = without_value(reason);
        CatalogFileError { path, position, reason }
    }

    fn at(path: String, reason: impl Into<String>) -> CatalogFileError {
        CatalogFileError { path, position: None, reason: reason.into() }
    }
}

/// The message of serde without the value that it quotes: `invalid type: string, expected u32`.
fn without_value(reason: &str) -> String {
    let Some((said, expected)) = reason.rsplit_once(", expected ") else { return reason.to_owned() };
    let (kind, value) = said.split_once([':', '`']).unwrap_or((said, ""));
    match kind {
        "invalid type" | "invalid value" => {
            let what = value.trim_start().split([' ', '"', '`']).next().unwrap_or_default();
            format!("{kind}: {what}, expected {expected}")
        }
        "unknown variant " => format!("unknown variant, expected {expected}"),
        _ => reason.to_owned(),
    }
}

impl fmt::Display for CatalogFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        if self.path != "." {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CatalogFileError {}

/// Whether something is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateEntry {
    Active,
    Inactive,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberEntry {
    #[serde(deserialize_with = "field::whole")]
    pub id: u32,
    pub name: String,
    pub state: Option<StateEntry>,
    #[serde(default, deserialize_with = "field::whole_change")]
    pub default_expiration: Change<u32>,
    pub use_external_uids: Option<bool>,
    #[serde(default, deserialize_with = "field::whole_change")]
    pub external_member_uid: Change<u32>,
    #[serde(default, deserialize_with = "field::wholes")]
    pub segment_access: Option<Vec<u32>>,
    #[serde(default, deserialize_with = "field::object")]
    pub limits: LimitsEdit,
    #[serde(default)]
    pub redirect_hosts: Change<Vec<String>>,
}

/// Changes of a member's own limits; see [`MemberLimits`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsEdit {
    /// `POST /rt-segment` a second.
    #[serde(deserialize_with = "field::whole_change")]
    pub posts_per_second: Change<u32>,
    /// `GET /rt-segment-processed` a second.
    #[serde(deserialize_with = "field::whole_change")]
    pub gets_per_second: Change<u32>,
    /// Users of one request that are looked at.
    #[serde(deserialize_with = "field::whole_change")]
    pub users_per_request: Change<u32>,
    /// Users a second, over all requests.
    #[serde(deserialize_with = "field::whole_change")]
    pub users_per_second: Change<u32>,
    /// Segment blocks of one user that are looked at.
    #[serde(deserialize_with = "field::whole_change")]
    pub segments_per_user: Change<u32>,
    /// Bytes of a decoded body.
    #[serde(deserialize_with = "field::whole_change")]
    pub payload_bytes: Change<u32>,
}

impl LimitsEdit {
    /// Puts `limits` into the state that is asked for.
    pub(crate) fn write_to(&self, limits: &mut MemberLimits) {
        self.posts_per_second.write_to(&mut limits.posts_per_second);
        self.gets_per_second.write_to(&mut limits.gets_per_second);
        self.users_per_request.write_to(&mut limits.users_per_request);
        self.users_per_second.write_to(&mut limits.users_per_second);
        self.segments_per_user.write_to(&mut limits.segments_per_user);
        self.payload_bytes.write_to(&mut limits.payload_bytes);
    }

    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, &Change<u32>); 6] {
        let LimitsEdit {
            posts_per_second,
            gets_per_second,
            users_per_request,
            users_per_second,
            segments_per_user,
            payload_bytes,
        } = self;
        [
            ("posts_per_second", posts_per_second),
            ("gets_per_second", gets_per_second),
            ("users_per_request", users_per_request),
            ("users_per_second", users_per_second),
            ("segments_per_user", segments_per_user),
            ("payload_bytes", payload_bytes),
        ]
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEntry {
    pub username: String,
    pub password: Option<Secret>,
    #[serde(deserialize_with = "field::whole")]
    pub member_id: u32,
    pub user_type: Option<UserType>,
    pub read_only: Option<bool>,
    pub state: Option<StateEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    #[serde(deserialize_with = "field::whole")]
    pub id: u32,
    #[serde(deserialize_with = "field::whole")]
    pub member_id: u32,
    #[serde(default)]
    pub code: Change<String>,
    #[serde(default)]
    pub short_name: Change<String>,
    pub state: Option<StateEntry>,
    #[serde(default, deserialize_with = "field::whole_change")]
    pub expire_minutes: Change<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExposureEntry {
    All,
    List,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharingEntry {
    #[serde(deserialize_with = "field::whole")]
    pub data_member_id: u32,
    #[serde(deserialize_with = "field::whole")]
    pub buyer_member_id: u32,
    pub segment_exposure: ExposureEntry,
    #[serde(default, deserialize_with = "field::wholes")]
    pub segments: Option<Vec<u32>>,
}
