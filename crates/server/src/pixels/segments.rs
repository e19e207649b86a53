//! Reads the queries of segment and mapping pixels.

use super::{BadTarget, plain_target};
use ia_catalog::RedirectHost;
use ia_engine::parameters::{Parameters, Repeated, plain_name};
use ia_engine::pixels::{MAX_VALUE, PixelSegment, PixelSegmentName};
use ia_engine::user_ids::{self, NO_EXTERNAL_ID, key_without_domain};
use ia_model::{MemberId, SegmentId, UserKey, lenient};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::Arc;

/// The most segments that one call writes to.
pub(crate) const MAX_SEGMENTS: usize = 100;

/// The most ids that one call maps.
pub(crate) const MAX_MAPPED_IDS: usize = 20;

/// A call that is not valid, with the message for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadPixel(pub(crate) Cow<'static, str>);

impl From<Repeated> for BadPixel {
    fn from(error: Repeated) -> BadPixel {
        BadPixel(error.to_string().into())
    }
}

/// The kind of answer to a segment pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A transparent image, for an `img` element.
    Gif,
    /// An empty script, for a `script` element.
    JavaScript,
    /// A redirect to this URL.
    Redirect(String),
}

/// `GET /seg`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentPixel {
    /// The member for which it writes; `None` means the owner of the first segment.
    pub(crate) member: Option<MemberId>,
    /// 1 to [`MAX_SEGMENTS`] segments.
    pub(crate) segments: Vec<PixelSegment>,
    pub(crate) reply: Reply,
}

/// `GET /mapuid`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The member for which it writes, and whose own ids are linked.
    pub(crate) member: MemberId,
    /// Own ids of the member, each of 1 to 255 bytes. With `eids` they are 1 to [`MAX_MAPPED_IDS`].
    pub(crate) ids: Vec<String>,
    /// Extended ids.
    pub(crate) eids: Vec<UserKey>,
    /// At most [`MAX_SEGMENTS`] segments.
    pub(crate) segments: Vec<PixelSegment>,
}

/// The parameters of a call.
struct Call<'q> {
    query: &'q str,
    decoded: Parameters<'q>,
}

impl<'q> Call<'q> {
    fn of(query: &'q str) -> Call<'q> {
        Call { query, decoded: form_urlencoded::parse(query.as_bytes()).collect() }
    }

    /// Refuses a value that is not UTF-8. Decoding replaces all invalid bytes by the same character, so that two
    /// different ids could become one.
    fn must_be_utf8(&self, name: &'static str) -> Result<(), BadPixel> {
        if self.raw_values(name).any(|value| percent_decode_str(value).decode_utf8().is_err()) {
            return Err(BadPixel(format!("'{name}' must be UTF-8").into()));
        }
        Ok(())
    }

    /// The values of a parameter as they were sent.
    fn raw_values(&self, name: &'static str) -> impl Iterator<Item = &'q str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(move |(own, _)| plain_name(&decoded(own)) == name).map(|(_, value)| value)
    }

    /// The value of a parameter that takes one.
    fn get(&self, name: &str) -> Result<Option<&str>, BadPixel> {
        Ok(self.decoded.one(name)?)
    }

    /// The ids in a list, at most [`MAX_MAPPED_IDS`]. They are exact, as in other requests: but for white space around,
    /// each byte counts. A `;` that is written as `%3B` is part of an id.
    fn ids<T>(
        &self,
        name: &'static str,
        read: impl Fn(String) -> Result<T, Cow<'static, str>>,
    ) -> Result<Vec<T>, BadPixel> {
        self.must_be_utf8(name)?;
        let mut ids = Vec::new();
        let parts = self.raw_values(name).flat_map(|list| list.split(';')).map(decoded);
        for id in parts.filter(|id| !id.is_empty()) {
            let number = ids.len() + 1;
            let id = read(id).map_err(|fault| BadPixel(format!("'{name}': id {number} {fault}").into()))?;
            if number > MAX_MAPPED_IDS {
                return Err(BadPixel(format!("'{name}' has more than {MAX_MAPPED_IDS} ids").into()));
            }
            ids.push(id);
        }
        Ok(ids)
    }

    fn member(&self) -> Result<Option<MemberId>, BadPixel> {
        let parse = |text: &str| lenient::unsigned(text).filter(|&id| id > 0).map(MemberId);
        let bad = || BadPixel("'member' must be a positive integer".into());
        self.get("member")?.map(|text| parse(text).ok_or_else(bad)).transpose()
    }

    /// Adds the segments in the list `name`: codes if `by_code`, otherwise ids.
    fn segments(
        &self,
        name: &'static str,
        by_code: bool,
        removes: bool,
        default_value: u32,
        segments: &mut Vec<PixelSegment>,
    ) -> Result<(), BadPixel> {
        let list = self.decoded.list(name, ",").unwrap_or_default();
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (segment, value) = match part.split_once(':') {
                None => (part, default_value),
                Some((segment, value)) => (segment.trim(), int(name, value)?),
            };
            let name = if by_code {
                PixelSegmentName::Code(segment.to_owned())
            } else {
                let id = lenient::unsigned(segment).filter(|&id| id > 0);
                PixelSegmentName::Id(SegmentId(id.ok_or_else(|| {
                    BadPixel(format!("'{name}' must be segment ids with commas between them").into())
                })?))
            };
            segments.push(PixelSegment { name, value, removes });
            if segments.len() > MAX_SEGMENTS {
                return Err(BadPixel(format!("There are more than {MAX_SEGMENTS} segments").into()));
            }
        }
        Ok(())
    }
}

/// A part of a query without its escapes.
fn decoded(part: &str) -> String {
    percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn int(name: &str, text: &str) -> Result<u32, BadPixel> {
    let value = lenient::unsigned(text).filter(|&value| value <= MAX_VALUE);
    value.ok_or_else(|| {
        BadPixel(format!("a value in '{name}' must be an integer from 0 to {MAX_VALUE}").into())
    })
}

impl SegmentPixel {
    /// Reads the query of a call. Beside `redirect_hosts`, a redirect may go to the `own_hosts` of the member for which
    /// the segments are written.
    pub(crate) fn parse(
        query: &str,
        redirect_hosts: &[RedirectHost],
        own_hosts: impl FnOnce(Option<MemberId>, &[PixelSegment]) -> Arc<[RedirectHost]>,
    ) -> Result<SegmentPixel, BadPixel> {
        let call = Call::of(query);
        let member = call.member()?;
        let value = call.get("value")?.map_or(Ok(0), |value| int("value", value))?;
        let mut segments = Vec::new();
        // Removals last: the later operation on a segment wins.
        for (name, by_code, removes) in [
            ("add", false, false),
            ("add_code", true, false),
            ("remove", false, true),
            ("remove_code", true, true),
        ] {
            call.segments(name, by_code, removes, value, &mut segments)?;
            if by_code && member.is_none() && call.decoded.list(name, ",").is_some() {
                return Err(BadPixel(format!("'member' is required with '{name}'").into()));
            }
        }
        if segments.is_empty() {
            return Err(BadPixel("'add', 'add_code', 'remove' or 'remove_code' is required".into()));
        }
        call.must_be_utf8("redir")?;
        let reply = match (call.get("redir")?, call.get("t")?.map(str::trim)) {
            (Some(url), _) => {
                let allowed = [redirect_hosts, &own_hosts(member, &segments)];
                Reply::Redirect(plain_target(url, &allowed).map_err(bad_redirect)?)
            }
            (None, None | Some("2")) => Reply::Gif,
            (None, Some("1")) => Reply::JavaScript,
            (None, Some(_)) => return Err(BadPixel("'t' must be 1 or 2".into())),
        };
        Ok(SegmentPixel { member, segments, reply })
    }
}

fn bad_redirect(error: BadTarget) -> BadPixel {
    BadPixel(format!("'redir' is not followed: {error}").into())
}

impl Mapping {
    /// Reads the query of a call.
    pub(crate) fn parse(query: &str) -> Result<Mapping, BadPixel> {
        let call = Call::of(query);
        let member = call.member()?.ok_or_else(|| BadPixel("'member' is required".into()))?;
        let ids = call.ids("user", |id| {
            // Checked for any member id, so that the answer does not reveal whether the member exists.
            key_without_domain(Some(member), &id).map_err(|_| Cow::Borrowed(NO_EXTERNAL_ID))?;
            Ok(id)
        })?;
        let eids = call.ids("eid", |eid| {
            let form = "must be a source, a colon and an id, such as liveramp.com:XY1";
            let (source, id) = eid.split_once(':').ok_or(form)?;
            user_ids::extended(source, id).map_err(|fault| format!("is refused: {fault}").into())
        })?;
        if ids.is_empty() && eids.is_empty() {
            return Err(BadPixel("'user' or 'eid' is required".into()));
        }
        if ids.len() + eids.len() > MAX_MAPPED_IDS {
            return Err(BadPixel(format!("There are more than {MAX_MAPPED_IDS} ids to map").into()));
        }
        let mut segments = Vec::new();
        call.segments("seg", false, false, 0, &mut segments)?;
        call.segments("seg_code", true, false, 0, &mut segments)?;
        Ok(Mapping { member, ids, eids, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_hosts(_: Option<MemberId>, _: &[PixelSegment]) -> Arc<[RedirectHost]> {
        Arc::default()
    }

    fn by_id(id: u32, value: u32, removes: bool) -> PixelSegment {
        PixelSegment { name: PixelSegmentName::Id(SegmentId(id)), value, removes }
    }

    fn by_code(code: &str, value: u32, removes: bool) -> PixelSegment {
        PixelSegment { name: PixelSegmentName::Code(code.to_owned()), value, removes }
    }

    #[test]
    fn a_pixel_names_segments_and_their_changes() {
        let query = "add=1.0,2:5.0,,%203&remove=4e0&add_code=a:7,b&remove_code=c&member=958.0&value=9.0&t=1";
        let (add, remove) = (false, true);
        let segments = vec![
            by_id(1, 9, add),
            by_id(2, 5, add),
            by_id(3, 9, add),
            by_code("a", 7, add),
            by_code("b", 9, add),
            by_id(4, 9, remove),
            by_code("c", 9, remove),
        ];
        let pixel = SegmentPixel { member: Some(MemberId(958)), segments, reply: Reply::JavaScript };
        assert_eq!(SegmentPixel::parse(query, &[], no_hosts), Ok(pixel));
        let mapping = Mapping::parse("member=958&user=A;b;;c%2B&seg=1,2:5&seg_code=x:3").unwrap();
        assert_eq!(mapping.ids, ["A", "b", "c+"]);
        // A `;` between ids is plain; one in an id is escaped.
        for (user, ids) in [
            ("A%3BB", &["A;B"][..]),
            ("A%3bB;C", &["A;B", "C"]),
            ("%3B", &[";"]),
            (";%3B;", &[";"]),
            ("a%253Bb", &["a%3Bb"]),
            ("a%26b;c%3Dd;e=f", &["a&b", "c=d", "e=f"]),
            ("a+b%2B;%2Bc", &["a b+", "+c"]),
            ("caf%C3%A9;\u{e9}", &["caf\u{e9}", "\u{e9}"]),
            ("a%3;b%", &["a%3", "b%"]),
        ] {
            assert_eq!(Mapping::parse(&format!("user={user}&member=958")).unwrap().ids, ids, "{user}");
            assert_eq!(Mapping::parse(&format!("member=958&us%65r={user}")).unwrap().ids, ids, "{user}");
        }
        // Ids are exact bytes.
        let exact = Mapping::parse("member=958&user=%20a;b%20;c+d;caf%C3%A9&other=%FF").unwrap();
        assert_eq!(exact.ids, [" a", "b ", "c d", "caf\u{e9}"]);
        assert_eq!(mapping.segments, [by_id(1, 0, add), by_id(2, 5, add), by_code("x", 3, add)]);
    }

    #[test]
    fn an_invalid_parameter_is_named() {
        let many = |count: usize, separator: &str| vec!["7"; count].join(separator);
        let hosts = [RedirectHost::parse("ok.example").unwrap()];
        for (query, message) in [
            (String::new(), "'add'"),
            ("add=".into(), "'add'"),
            ("add=x".into(), "'add'"),
            ("add=0".into(), "'add'"),
            ("add=-1".into(), "'add'"),
            ("add=4294967296".into(), "'add'"),
            ("remove=1.5".into(), "'remove'"),
            ("add=1:x".into(), "'add'"),
            ("add=1:".into(), "'add'"),
            ("add=1:2147483648".into(), "'add'"),
            ("add=1&value=-1".into(), "'value'"),
            ("add_code=a".into(), "'member'"),
            ("remove_code=a".into(), "'member'"),
            ("add=1&member=0".into(), "'member'"),
            ("add=1&member=x".into(), "'member'"),
            ("add=1&t=3".into(), "'t'"),
            ("add=1&t=1&t=2".into(), "'t' takes one value"),
            (format!("add={}&add=8", many(MAX_SEGMENTS, ",")), "more than 100 segments"),
            ("add=1&redir=https://evil.example/".into(), "'redir'"),
            ("add=1&redir=https://ok.example/%0d%0aSet-Cookie:a=b".into(), "'redir'"),
            ("add=1&redir=https://ok.example/%E9".into(), "'redir' must be UTF-8"),
            (format!("add={}&remove=8", many(MAX_SEGMENTS, ",")), "more than 100 segments"),
        ] {
            let error = SegmentPixel::parse(&query, &hosts, no_hosts).unwrap_err();
            assert!(error.0.contains(message), "{query}: {error}");
        }
        assert!(SegmentPixel::parse(&format!("add={}", many(MAX_SEGMENTS, ",")), &[], no_hosts).is_ok());
        for (query, message) in [
            (String::new(), "'member'"),
            ("member=958".into(), "'user'"),
            ("member=958&user=;;".into(), "'user'"),
            (format!("member=958&user={}", many(21, ";")), "'user' has more than 20 ids"),
            (format!("member=958&user={}", many(1000, ";")), "'user' has more than 20 ids"),
            (format!("member=958&user={}", "x".repeat(256)), "'user'"),
            ("member=958&user=a;b%0ac".into(), "'user': id 2"),
            ("member=958&user=a%0d%0ab".into(), "'user': id 1"),
            // Two ids that are not UTF-8 must not become one.
            ("member=958&user=caf%E9".into(), "'user' must be UTF-8"),
            ("member=958&us%65r=a;caf%E9".into(), "'user' must be UTF-8"),
            ("member=958&user[]=a&user%5B1%5D=caf%E9".into(), "'user' must be UTF-8"),
            ("member=958&member=77&user=a".into(), "'member' takes one value"),
            ("member=958&user=hbapi:1:x:ia1".into(), "'user': id 1"),
            ("member=958&user=a&seg=x".into(), "'seg'"),
            (format!("member=958&user=a&seg_code={}", many(101, ",")), "more than 100 segments"),
        ] {
            let error = Mapping::parse(&query).unwrap_err();
            assert!(error.0.contains(message), "{query}: {error}");
        }
        assert!(Mapping::parse(&format!("member=958&user={}", many(20, ";"))).is_ok());
    }
}
