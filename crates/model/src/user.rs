//! User keys: a domain and a canonical id in it.

use crate::MemberId;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// The kind of a user id, named by `domain` on the wire. A null domain is [`Domain::Platform`], or
/// [`Domain::External`] where a member sends ids of its own; `eid:` and a source are [`Domain::Extended`].
///
/// The discriminant is the first byte of an encoded key (`docs/FORMAT.md`) and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Domain {
    /// The platform's own user id, 1 to 2^64-1.
    Platform = 1,
    /// Apple's advertising id.
    Idfa = 2,
    /// Google's advertising id.
    Aaid = 3,
    /// SHA-1 of a device id.
    Sha1Udid = 4,
    /// MD5 of a device id.
    Md5Udid = 5,
    /// OpenUDID.
    OpenUdid = 6,
    /// The advertising id of Windows.
    WindowsAdId = 7,
    /// Roku's id for advertisers.
    Rida = 8,
    /// Amazon Fire TV's.
    Tifa = 9,
    /// Vizio's.
    Vida = 10,
    /// LG's.
    LgUdid = 11,
    /// A member's own id for a user, in a name space of a member.
    External = 12,
    /// An id of a source that gives ids to many, such as `liveramp.com`: an entry of `eids` in OpenRTB.
    Extended = 13,
}

/// The longest id of [`Domain::External`] and [`Domain::Extended`].
pub const MAX_EXTERNAL_ID_BYTES: usize = 255;

/// The longest source of [`Domain::Extended`].
pub const MAX_SOURCE_BYTES: usize = 255;

/// The beginning of the wire name of [`Domain::Extended`]; the source follows.
const EXTENDED_PREFIX: &str = "eid:";

/// The form of a domain's ids, which gives the size of their keys.
enum Shape {
    Number,
    Uuid,
    Hex20,
    Hex16,
    /// The member that owns the name space (4 bytes, big-endian), a byte with the length, the text.
    Text,
    /// A byte with the length of the source, the source, a byte with the length of the text, the text.
    Sourced,
}

impl Domain {
    /// All kinds, in the order of their tags.
    pub const ALL: [Domain; 13] = [
        Domain::Platform,
        Domain::Idfa,
        Domain::Aaid,
        Domain::Sha1Udid,
        Domain::Md5Udid,
        Domain::OpenUdid,
        Domain::WindowsAdId,
        Domain::Rida,
        Domain::Tifa,
        Domain::Vida,
        Domain::LgUdid,
        Domain::External,
        Domain::Extended,
    ];

    /// The domain of that wire name, in letters of any case and with white space around; `None` for an unknown name
    /// and for `sha1mac`. The name of an extended id says more than its domain: see [`Domain::source_in`].
    pub fn from_name(name: &str) -> Option<Domain> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("sh1udid") {
            return Some(Domain::Sha1Udid);
        }
        let has_name = |domain: &Domain| domain.name().is_some_and(|own| own.eq_ignore_ascii_case(name));
        Domain::ALL.into_iter().find(has_name)
    }

    /// What follows `eid:` in a wire name that begins so, without white space around: the source of an extended id, as
    /// it was sent. `None` for any other name.
    pub fn source_in(name: &str) -> Option<&str> {
        let (kind, source) = name.split_once(':')?;
        kind.trim().eq_ignore_ascii_case("eid").then_some(source.trim())
    }

    /// The wire name, where the domain alone gives it. [`UserKey::domain_name`] gives that of every user.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Domain::Platform | Domain::External | Domain::Extended => return None,
            Domain::Idfa => "idfa",
            Domain::Aaid => "aaid",
            Domain::Sha1Udid => "sha1udid",
            Domain::Md5Udid => "md5udid",
            Domain::OpenUdid => "openudid",
            Domain::WindowsAdId => "windowsadid",
            Domain::Rida => "rida",
            Domain::Tifa => "tifa",
            Domain::Vida => "vida",
            Domain::LgUdid => "lgudid",
        })
    }

    /// How many hex digits an id has; `None` where ids have another form.
    pub fn hex_digits(self) -> Option<usize> {
        match self.shape() {
            Shape::Hex20 => Some(40),
            Shape::Hex16 => Some(32),
            Shape::Number | Shape::Uuid | Shape::Text | Shape::Sourced => None,
        }
    }

    fn from_tag(tag: u8) -> Option<Domain> {
        Domain::ALL.into_iter().find(|&domain| domain as u8 == tag)
    }

    fn shape(self) -> Shape {
        match self {
            Domain::Platform => Shape::Number,
            Domain::External => Shape::Text,
            Domain::Extended => Shape::Sourced,
            Domain::Sha1Udid | Domain::OpenUdid => Shape::Hex20,
            Domain::Md5Udid => Shape::Hex16,
            _ => Shape::Uuid,
        }
    }

    /// The bytes of the key in `rest`, which follows the tag of this domain.
    fn id_bytes(self, rest: &[u8]) -> Option<usize> {
        Some(match self.shape() {
            Shape::Number => 8,
            Shape::Uuid | Shape::Hex16 => 16,
            Shape::Hex20 => 20,
            Shape::Text => TEXT_START + usize::from(*rest.get(TEXT_START - 1)?),
            Shape::Sourced => {
                let source = usize::from(*rest.first()?);
                2 + source + usize::from(*rest.get(1 + source)?)
            }
        })
    }
}

/// The offset of an external id's text behind the tag.
const TEXT_START: usize = 5;

/// An id that is not well formed in its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id is not well formed for its domain")]
pub struct InvalidUserId;

/// A user: one byte of [`Domain`], then the canonical id in as few bytes as it needs.
///
/// Two spellings of one id (case, hyphens, white space around it) give equal keys. Keys order by domain, then by id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(SmallVec<[u8; 22]>);

impl UserKey {
    /// The key of the platform's own user `id`, which is never 0.
    pub fn platform(id: u64) -> Result<UserKey, InvalidUserId> {
        if id == 0 {
            return Err(InvalidUserId);
        }
        Ok(UserKey::assemble(Domain::Platform, &id.to_be_bytes()))
    }

    /// The key of an `id` of the owner of `namespace`: 1 to [`MAX_EXTERNAL_ID_BYTES`] bytes without control
    /// characters, which could break the lines of a report. Case matters, white space around it does not.
    pub fn external(namespace: MemberId, id: &str) -> Result<UserKey, InvalidUserId> {
        UserKey::exactly_external(namespace, id.trim())
    }

    /// Also for ids from before white space was cut off.
    fn exactly_external(namespace: MemberId, id: &str) -> Result<UserKey, InvalidUserId> {
        let length = text_bytes(id)?;
        let mut bytes = SmallVec::with_capacity(1 + TEXT_START + id.len());
        bytes.push(Domain::External as u8);
        bytes.extend_from_slice(&namespace.0.to_be_bytes());
        bytes.push(length);
        bytes.extend_from_slice(id.as_bytes());
        Ok(UserKey(bytes))
    }

    /// The key of an `id` that `source` gave: 1 to [`MAX_EXTERNAL_ID_BYTES`] bytes without control characters, whose
    /// case matters. The source is a domain name ([`is_source`]), whose case does not. White space around either does
    /// not matter.
    pub fn extended(source: &str, id: &str) -> Result<UserKey, InvalidUserId> {
        let (source, id) = (source.trim(), id.trim());
        if !is_source(source) {
            return Err(InvalidUserId);
        }
        let length = text_bytes(id)?;
        let mut bytes = SmallVec::with_capacity(3 + source.len() + id.len());
        bytes.extend([Domain::Extended as u8, source.len() as u8]);
        bytes.extend(source.bytes().map(|letter| letter.to_ascii_lowercase()));
        bytes.push(length);
        bytes.extend_from_slice(id.as_bytes());
        Ok(UserKey(bytes))
    }

    /// Reads an id in its wire form, with white space around; a UUID may stand in braces. Fails in
    /// [`Domain::External`] and [`Domain::Extended`], which need more: see [`UserKey::external`] and
    /// [`UserKey::extended`].
    pub fn parse(domain: Domain, id: &str) -> Result<UserKey, InvalidUserId> {
        let id = id.trim();
        match domain.shape() {
            Shape::Number => {
                // `str::parse` would take a sign.
                if !id.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(InvalidUserId);
                }
                UserKey::platform(id.parse().map_err(|_| InvalidUserId)?)
            }
            Shape::Uuid => {
                parse_hex::<16>(without_braces(id), true).map(|bytes| UserKey::assemble(domain, &bytes))
            }
            Shape::Hex16 => parse_hex::<16>(id, false).map(|bytes| UserKey::assemble(domain, &bytes)),
            Shape::Hex20 => parse_hex::<20>(id, false).map(|bytes| UserKey::assemble(domain, &bytes)),
            Shape::Text | Shape::Sourced => Err(InvalidUserId),
        }
    }

    /// Reads an encoded key. Fails unless the domain is known, the length is right, and another constructor
    /// would make it.
    pub fn from_bytes(bytes: &[u8]) -> Result<UserKey, InvalidUserId> {
        let (&tag, id) = bytes.split_first().ok_or(InvalidUserId)?;
        let domain = Domain::from_tag(tag).ok_or(InvalidUserId)?;
        if Some(id.len()) != domain.id_bytes(id) {
            return Err(InvalidUserId);
        }
        match domain {
            Domain::Platform if id == [0; 8] => Err(InvalidUserId),
            Domain::External => {
                let (member, text) = id.split_at(TEXT_START);
                let member = u32::from_be_bytes(member[..4].try_into().expect("4 bytes"));
                let text = std::str::from_utf8(text).map_err(|_| InvalidUserId)?;
                UserKey::exactly_external(MemberId(member), text)
            }
            Domain::Extended => {
                let (source, text) = split_sourced(id);
                let [source, text] = [source, text].map(|part| std::str::from_utf8(part));
                let key =
                    UserKey::extended(source.map_err(|_| InvalidUserId)?, text.map_err(|_| InvalidUserId)?)?;
                if key.as_bytes() == bytes { Ok(key) } else { Err(InvalidUserId) }
            }
            _ => Ok(UserKey::assemble(domain, id)),
        }
    }

    /// Splits bytes behind the encoded key with which they begin. `None` when they begin with something else.
    pub fn split_encoded(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (&tag, rest) = bytes.split_first()?;
        let domain = Domain::from_tag(tag)?;
        bytes.split_at_checked(1 + domain.id_bytes(rest)?)
    }

    /// The encoded key, the form in logs and stores.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The kind of its id.
    pub fn domain(&self) -> Domain {
        Domain::from_tag(self.0[0]).expect("a key is only made with a known domain")
    }

    /// The owner of the name space of an id of [`Domain::External`].
    pub fn namespace(&self) -> Option<MemberId> {
        let member = self.0.get(1..TEXT_START).filter(|_| self.domain() == Domain::External)?;
        Some(MemberId(u32::from_be_bytes(member.try_into().expect("4 bytes"))))
    }

    /// Who gave an id of [`Domain::Extended`]: a domain name in lower-case letters.
    pub fn source(&self) -> Option<&str> {
        let source = (self.domain() == Domain::Extended).then(|| split_sourced(&self.0[1..]).0)?;
        Some(std::str::from_utf8(source).expect("a source is ASCII"))
    }

    /// What `domain` says of this user on the wire; `None` (null on the wire) for the platform's own ids and for those
    /// of a member.
    pub fn domain_name(&self) -> Option<Cow<'static, str>> {
        match self.source() {
            Some(source) => Some(format!("{EXTENDED_PREFIX}{source}").into()),
            None => self.domain().name().map(Cow::Borrowed),
        }
    }

    /// Whether all digits of a device's id are 0: what devices send whose owner limits tracking. Millions share it, so
    /// it is no user's. The same goes for an extended id that is written with zeros alone, as a UUID or without
    /// hyphens.
    pub fn is_all_zero(&self) -> bool {
        match self.domain().shape() {
            Shape::Number | Shape::Text => false,
            Shape::Uuid | Shape::Hex16 | Shape::Hex20 => self.0[1..].iter().all(|&byte| byte == 0),
            Shape::Sourced => {
                let id = split_sourced(&self.0[1..]).1;
                let id = id.strip_prefix(b"{").and_then(|id| id.strip_suffix(b"}")).unwrap_or(id);
                id.contains(&b'0') && id.iter().all(|byte| b"0-".contains(byte))
            }
        }
    }

    /// The id in its canonical spelling: decimal, lower-case hex, a lower-case UUID with hyphens, or the
    /// text of an external or extended id.
    pub fn id(&self) -> String {
        let id = &self.0[1..];
        match self.domain().shape() {
            Shape::Number => {
                u64::from_be_bytes(id.try_into().expect("a platform id has 8 bytes")).to_string()
            }
            Shape::Uuid => {
                let digits = hex(id);
                let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                parts.join("-")
            }
            Shape::Hex16 | Shape::Hex20 => hex(id),
            Shape::Text => String::from_utf8(id[TEXT_START..].to_vec()).expect("an external id is text"),
            Shape::Sourced => {
                String::from_utf8(split_sourced(id).1.to_vec()).expect("an extended id is text")
            }
        }
    }

    fn assemble(domain: Domain, id: &[u8]) -> UserKey {
        let mut bytes = SmallVec::new();
        bytes.push(domain as u8);
        bytes.extend_from_slice(id);
        UserKey(bytes)
    }
}

/// User ids stay out of logs by default, so `Debug` shows the domain alone.
impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({:?}, …)", self.domain())
    }
}

/// Whether a text is the source of extended ids: 1 to [`MAX_SOURCE_BYTES`] letters and digits of ASCII, `.`, `-` and
/// `_`, as domain names have them.
pub fn is_source(text: &str) -> bool {
    let is_of_name = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
    (1..=MAX_SOURCE_BYTES).contains(&text.len()) && text.bytes().all(is_of_name)
}

/// The length of an id that is a text, if it is a good one.
fn text_bytes(id: &str) -> Result<u8, InvalidUserId> {
    let length = u8::try_from(id.len()).map_err(|_| InvalidUserId)?;
    if length == 0 || id.chars().any(char::is_control) { Err(InvalidUserId) } else { Ok(length) }
}

/// Source and text in what follows the tag of an extended id, which has the right length.
fn split_sourced(id: &[u8]) -> (&[u8], &[u8]) {
    let (source, text) = id[1..].split_at(usize::from(id[0]));
    (source, &text[1..])
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// A UUID without the braces that some languages print around it.
fn without_braces(id: &str) -> &str {
    id.strip_prefix('{').and_then(|id| id.strip_suffix('}')).unwrap_or(id)
}

/// Reads exactly `2 * N` hex digits, and with `hyphens` skips hyphens between them.
fn parse_hex<const N: usize>(text: &str, hyphens: bool) -> Result<[u8; N], InvalidUserId> {
    let mut bytes = [0u8; N];
    let mut digits = 0;
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'-' if hyphens => continue,
            _ => return Err(InvalidUserId),
        };
        let slot = bytes.get_mut(digits / 2).ok_or(InvalidUserId)?;
        *slot = *slot << 4 | digit;
        digits += 1;
    }
    if digits == 2 * N { Ok(bytes) } else { Err(InvalidUserId) }
}

#[cfg(test)]
mod tests;
