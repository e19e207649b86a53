//! User keys: a domain and a canonical id in it.

use crate::MemberId;
use smallvec::SmallVec;
use std::fmt;

/// The kind of a user id, named by `domain` on the wire. A null domain is [`Domain::Platform`], or
/// [`Domain::External`] where a member sends ids of its own.
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
}

/// The longest id of [`Domain::External`].
pub const MAX_EXTERNAL_ID_BYTES: usize = 255;

/// The form of a domain's ids, which gives the size of their keys.
enum Shape {
    Number,
    Uuid,
    Hex20,
    Hex16,
    /// The member that owns the name space (4 bytes, big-endian), a byte with the length, the text.
    Text,
}

impl Domain {
    /// All kinds, in the order of their tags.
    pub const ALL: [Domain; 12] = [
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
    ];

    /// The domain of that wire name, in letters of any case and with white space around; `None` for an unknown name
    /// and for `sha1mac`.
    pub fn from_name(name: &str) -> Option<Domain> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("sh1udid") {
            return Some(Domain::Sha1Udid);
        }
        let has_name = |domain: &Domain| domain.name().is_some_and(|own| own.eq_ignore_ascii_case(name));
        Domain::ALL.into_iter().find(has_name)
    }

    /// The wire name, `None` (null on the wire) for the platform's own ids and for those of a member.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Domain::Platform | Domain::External => return None,
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
            Shape::Number | Shape::Uuid | Shape::Text => None,
        }
    }

    fn from_tag(tag: u8) -> Option<Domain> {
        Domain::ALL.into_iter().find(|&domain| domain as u8 == tag)
    }

    fn shape(self) -> Shape {
        match self {
            Domain::Platform => Shape::Number,
            Domain::External => Shape::Text,
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
        let length = u8::try_from(id.len()).map_err(|_| InvalidUserId)?;
        if length == 0 || id.chars().any(char::is_control) {
            return Err(InvalidUserId);
        }
        let mut bytes = SmallVec::with_capacity(1 + TEXT_START + id.len());
        bytes.push(Domain::External as u8);
        bytes.extend_from_slice(&namespace.0.to_be_bytes());
        bytes.push(length);
        bytes.extend_from_slice(id.as_bytes());
        Ok(UserKey(bytes))
    }

    /// Reads an id in its wire form, with white space around; a UUID may stand in braces. Fails in
    /// [`Domain::External`], which needs the name space: see [`UserKey::external`].
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
            Shape::Text => Err(InvalidUserId),
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

    /// Whether all digits of a device's id are 0: what devices send whose owner limits tracking. Millions share it, so
    /// it is no user's.
    pub fn is_all_zero(&self) -> bool {
        let is_of_device = !matches!(self.domain().shape(), Shape::Number | Shape::Text);
        is_of_device && self.0[1..].iter().all(|&byte| byte == 0)
    }

    /// The id in its canonical spelling: decimal, lower-case hex, a lower-case UUID with hyphens, or the
    /// text of an external id.
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
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_uuid_are_one_user() {
        let lower = UserKey::parse(Domain::Idfa, "aebe52e7-03ee-455a-b3c4-e57283966239").unwrap();
        let upper = UserKey::parse(Domain::Idfa, "AEBE52E7-03EE-455A-B3C4-E57283966239").unwrap();
        let bare = UserKey::parse(Domain::Idfa, "AEBE52E703EE455AB3C4E57283966239").unwrap();
        assert_eq!(lower, upper);
        assert_eq!(lower, bare);
        let braced = UserKey::parse(Domain::Idfa, " {AEBE52E7-03EE-455A-B3C4-E57283966239}\r\n").unwrap();
        assert_eq!(lower, braced);
        assert_eq!(upper.id(), "aebe52e7-03ee-455a-b3c4-e57283966239");
        for id in ["{AEBE52E703EE455AB3C4E57283966239", "AEBE52E703EE455AB3C4E57283966239}", "{}", "{{}}"] {
            assert_eq!(UserKey::parse(Domain::Idfa, id), Err(InvalidUserId), "{id}");
        }
        assert_ne!(lower, UserKey::parse(Domain::Aaid, "AEBE52E7-03EE-455A-B3C4-E57283966239").unwrap());
    }

    #[test]
    fn platform_ids_are_1_to_the_largest_64_bit_number() {
        assert_eq!(
            UserKey::parse(Domain::Platform, "18446744073709551615").unwrap().id(),
            u64::MAX.to_string()
        );
        assert_eq!(UserKey::parse(Domain::Platform, "007").unwrap().id(), "7");
        assert_eq!(UserKey::parse(Domain::Platform, " 12346\t").unwrap().id(), "12346");
        for id in ["0", "", "-1", "+1", "18446744073709551616", "1.0", "1 1", "asdf", "١"] {
            assert_eq!(UserKey::parse(Domain::Platform, id), Err(InvalidUserId), "{id:?}");
        }
    }

    #[test]
    fn digests_have_their_length() {
        let sha1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
        assert_eq!(UserKey::parse(Domain::Sha1Udid, &sha1.to_uppercase()).unwrap().id(), sha1);
        assert_eq!(UserKey::parse(Domain::OpenUdid, sha1).unwrap().id(), sha1);
        assert!(UserKey::parse(Domain::Md5Udid, &sha1[..32]).is_ok());
        assert!(UserKey::parse(Domain::Md5Udid, sha1).is_err());
        assert!(UserKey::parse(Domain::Sha1Udid, &sha1[..39]).is_err());
        assert!(UserKey::parse(Domain::Sha1Udid, &format!("-{}", &sha1[1..])).is_err());
        assert!(UserKey::parse(Domain::Md5Udid, &format!("{{{}}}", &sha1[..32])).is_err());
    }

    #[test]
    fn only_ids_of_devices_are_all_zero() {
        for domain in Domain::ALL {
            let zeros = match domain {
                Domain::External => UserKey::external(MemberId(0), "0").unwrap(),
                Domain::Platform => continue,
                _ => UserKey::parse(domain, &"0".repeat(2 * domain.id_bytes(&[]).unwrap())).unwrap(),
            };
            assert_eq!(zeros.is_all_zero(), domain != Domain::External, "{domain:?}");
        }
        let nearly = UserKey::parse(Domain::Idfa, "00000000-0000-0000-0000-000000000001").unwrap();
        assert!(!nearly.is_all_zero());
    }

    #[test]
    fn every_domain_goes_through_its_name_and_its_bytes() {
        for domain in Domain::ALL {
            let key = match domain {
                Domain::External => UserKey::external(MemberId(958), "A;b ü").unwrap(),
                Domain::Platform => UserKey::platform(11_111_111).unwrap(),
                _ => UserKey::parse(domain, &"1".repeat(2 * domain.id_bytes(&[]).unwrap())).unwrap(),
            };
            assert_eq!(UserKey::split_encoded(key.as_bytes()), Some((key.as_bytes(), [].as_slice())));
            assert_eq!(UserKey::from_bytes(key.as_bytes()), Ok(key.clone()));
            assert_eq!(key.domain(), domain);
            if let Some(name) = domain.name() {
                assert_eq!(Domain::from_name(name), Some(domain));
            }
        }
        assert_eq!(Domain::from_name("sh1udid"), Some(Domain::Sha1Udid));
        assert_eq!(Domain::from_name("sha1mac"), None);
        assert_eq!(Domain::from_name(" SHA1MAC "), None);
        assert_eq!(Domain::from_name("IDFA "), Some(Domain::Idfa));
        assert_eq!(Domain::from_name("Sh1Udid"), Some(Domain::Sha1Udid));
        assert_eq!(Domain::from_name(""), None);
        assert_eq!(UserKey::from_bytes(&[1, 2]), Err(InvalidUserId));
        assert_eq!(UserKey::from_bytes(&[99; 9]), Err(InvalidUserId));
        assert_eq!(UserKey::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(InvalidUserId), "0 is no user");
    }

    #[test]
    fn external_ids_are_texts_in_a_name_space() {
        let external = |member, id: &str| UserKey::external(MemberId(member), id);
        let key = external(7, "Cart-42").unwrap();
        assert_eq!(key.as_bytes(), b"\x0c\x00\x00\x00\x07\x07Cart-42");
        assert_eq!((key.id().as_str(), key.namespace()), ("Cart-42", Some(MemberId(7))));
        assert_ne!(external(8, "Cart-42").unwrap(), key);
        assert_ne!(external(7, "cart-42").unwrap(), key);
        assert_eq!(external(7, &"x".repeat(255)).unwrap().id().len(), 255);
        assert_eq!(external(7, "\tCart-42 ").unwrap(), key);
        let kept = b"\x0c\x00\x00\x00\x07\x01 ";
        assert_eq!(
            UserKey::from_bytes(kept).unwrap().as_bytes(),
            kept,
            "from before white space was cut off"
        );
        for id in ["", " ", "two\nlines", "nul\0", "\u{7f}", "\u{85}", &"x".repeat(256), &"ü".repeat(128)] {
            assert_eq!(external(7, id), Err(InvalidUserId), "{id:?}");
        }
        // Encoded: an empty id, a cut id, a byte too many, no text at all, a control character.
        for id in ["\0\0\0\x07\0", "\0\0\0\x07\x02a", "\0\0\0\x07\x01ab", "\0\0\0\x07", "\0\0\0\x07\x01\n"] {
            assert_eq!(UserKey::from_bytes(&[b"\x0c", id.as_bytes()].concat()), Err(InvalidUserId), "{id:?}");
        }
        assert_eq!(UserKey::from_bytes(b"\x0c\0\0\0\x07\x01\xff"), Err(InvalidUserId));
        assert_eq!(UserKey::parse(Domain::External, "1"), Err(InvalidUserId));
        assert_eq!(UserKey::platform(7).unwrap().namespace(), None);
    }

    #[test]
    fn debug_does_not_show_the_id() {
        let key = UserKey::platform(123_456_789).unwrap();
        assert!(!format!("{key:?}").contains("123456789"));
    }
}
