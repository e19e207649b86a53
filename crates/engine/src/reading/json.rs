//! Writes the JSON of a user's memberships by hand. An answer for a thousand users has ten thousand memberships, and a
//! serializer, which escapes each key and formats each time anew, took three quarters of its time.

use super::asked::AskedUser;
use crate::json::{write_number, write_text};
use ia_catalog::Segment;
use ia_model::time::{self, UTC_BYTES};
use ia_model::{Expiry, Minute};
use ia_profiles::Membership;
use std::hint::black_box;
use std::ops::Range;

/// Appends a user, and returns how many memberships it has.
pub(super) fn write_user<'a>(
    out: &mut Vec<u8>,
    user: &AskedUser,
    now: Minute,
    memberships: impl Iterator<Item = (&'a Segment, &'a Membership)>,
) -> usize {
    write_ids(out, user);
    out.extend_from_slice(br#""segments":["#);
    let memberships: Vec<_> = memberships.collect();
    // The codes are spread over the catalog's memory. This loads them in parallel, not one after the other.
    let first_byte = |(segment, _): &(&Segment, _)| segment.code.as_deref()?.bytes().next();
    black_box(memberships.iter().filter_map(first_byte).fold(0, |sum, byte| sum ^ byte));
    let (mut added_on, mut expires_on) = (TimeText::default(), TimeText::default());
    // Value and times are often equal to those of the membership before, and are copied then.
    let mut before: Option<(&Membership, Range<usize>)> = None;
    let count = memberships.len();
    for (index, (segment, membership)) in memberships.into_iter().enumerate() {
        out.reserve(ENTRY_BYTES);
        out.extend_from_slice(if index == 0 { br#"{"id":"# } else { br#",{"id":"# });
        write_number(out, segment.id.0);
        out.extend_from_slice(br#","code":"#);
        write_text_or_null(out, segment.code.as_deref());
        out.extend_from_slice(br#","member_id":"#);
        write_number(out, segment.member.0);
        let start = out.len();
        match &before {
            Some((other, facts)) if has_facts_of(membership, other) => out.extend_from_within(facts.clone()),
            _ => {
                out.extend_from_slice(br#","value":"#);
                write_number(out, membership.value);
                out.extend_from_slice(br#","added_on":"#);
                added_on.write(out, membership.added_at);
                out.extend_from_slice(br#","expires_on":"#);
                match membership.expires {
                    Expiry::Never => out.extend_from_slice(b"null"),
                    Expiry::At(minute) => expires_on.write(out, minute),
                }
                out.extend_from_slice(br#","last_seen_min":"#);
                write_number(out, now.0.saturating_sub(membership.last_seen.0));
                out.push(b'}');
                before = Some((membership, start..out.len()));
            }
        }
    }
    out.extend_from_slice(b"]}");
    count
}

/// The start of the object of a user, with its ids in the form in which they were asked for.
fn write_ids(out: &mut Vec<u8>, asked: &AskedUser) {
    out.push(b'{');
    if let Some(user) = asked.user() {
        out.extend_from_slice(br#""user_id":"#);
        write_text(out, &user.id());
        out.extend_from_slice(br#","domain":"#);
        write_text_or_null(out, user.domain_name().as_deref());
        out.push(b',');
    }
    let eids = asked.eids();
    if !eids.is_empty() {
        out.extend_from_slice(br#""eids":"#);
        serde_json::to_writer(&mut *out, &eids).expect("writing texts to a Vec does not fail");
        out.push(b',');
    }
}

/// Larger than the JSON of a membership, unless its code is long.
const ENTRY_BYTES: usize = 256;

/// Whether everything but the segment is the same.
fn has_facts_of(membership: &Membership, other: &Membership) -> bool {
    membership.value == other.value
        && membership.added_at == other.added_at
        && membership.expires == other.expires
        && membership.last_seen == other.last_seen
}

/// The text of a minute, kept for the next membership, which often has the same minute.
#[derive(Default)]
struct TimeText {
    minute: Option<Minute>,
    text: [u8; UTC_BYTES],
}

impl TimeText {
    fn write(&mut self, out: &mut Vec<u8>, minute: Minute) {
        if self.minute != Some(minute) {
            self.text = time::utc_text(minute.unix_ms());
            self.minute = Some(minute);
        }
        out.push(b'"');
        out.extend_from_slice(&self.text);
        out.push(b'"');
    }
}

fn write_text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::{Domain, MemberId, SegmentId, UserKey};
    use serde_json::{Value, json};

    fn written(user: &AskedUser, memberships: &[(Segment, Membership)]) -> Value {
        let mut out = b"before".to_vec();
        let shown = memberships.iter().map(|(segment, membership)| (segment, membership));
        assert_eq!(write_user(&mut out, user, Minute(1_000_100), shown), memberships.len());
        serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap()
    }

    #[test]
    fn any_code_and_any_time_are_read_back() {
        let uuid = "aebe52e7-03ee-455a-b3c4-e57283966239";
        let user = AskedUser::from(UserKey::parse(Domain::Idfa, uuid).unwrap());
        let codes = [
            Some("plain"),
            None,
            Some(""),
            Some("a\"b"),
            Some("a\\b"),
            Some("a\nb\u{1}"),
            Some("é/\u{2028}"),
        ];
        let memberships: Vec<(Segment, Membership)> = codes
            .iter()
            .zip(1u32..)
            .map(|(code, id)| {
                let segment = Segment {
                    id: SegmentId(u32::MAX - id),
                    member: MemberId(id),
                    code: code.map(Box::from),
                    active: true,
                    expire_minutes: None,
                };
                let expires =
                    if id % 3 == 0 { Expiry::Never } else { Expiry::At(Minute(2_000_000 + id / 2)) };
                let at = Minute(1_000_000 + id / 2);
                let (segment_id, value, pause) = (segment.id, id * 7, None);
                let membership =
                    Membership { segment: segment_id, value, added_at: at, last_seen: at, expires, pause };
                (segment, membership)
            })
            .collect();
        let expected: Vec<Value> = memberships
            .iter()
            .map(|(segment, membership)| {
                json!({
                    "id": segment.id.0, "code": segment.code, "member_id": segment.member.0,
                    "value": membership.value,
                    "added_on": time::format_utc(membership.added_at.unix_ms()),
                    "expires_on": match membership.expires {
                        Expiry::Never => None,
                        Expiry::At(minute) => Some(time::format_utc(minute.unix_ms())),
                    },
                    "last_seen_min": 1_000_100 - membership.last_seen.0,
                })
            })
            .collect();
        assert_eq!(
            written(&user, &memberships),
            json!({"user_id": uuid, "domain": "idfa", "segments": expected})
        );
    }

    #[test]
    fn an_id_that_a_member_made_up_is_shown_as_it_was_sent() {
        for id in ["7", "a\"b", "a\\b", "ü\u{2028}</x>", "a  b"] {
            let user = AskedUser::from(UserKey::external(MemberId(958), id).unwrap());
            assert_eq!(written(&user, &[]), json!({"user_id": id, "domain": null, "segments": []}));
        }
    }

    #[test]
    fn extended_ids_are_shown_as_they_were_asked_for() {
        let eid = |source, id| UserKey::extended(source, id).unwrap();
        let one = AskedUser::from(eid("a.eu", "X\"1"));
        assert_eq!(written(&one, &[]), json!({"user_id": "X\"1", "domain": "eid:a.eu", "segments": []}));
        let several = AskedUser::new(None, vec![eid("a.eu", "X\"1"), eid("b.eu", "2")]).unwrap();
        let eids = json!([
            {"source": "a.eu", "uids": [{"id": "X\"1"}]}, {"source": "b.eu", "uids": [{"id": "2"}]}
        ]);
        assert_eq!(written(&several, &[]), json!({"eids": eids, "segments": []}));
        let platform = UserKey::platform(7).unwrap();
        let all = AskedUser::new(Some(platform), several.ids().cloned().collect()).unwrap();
        let expected = json!({"user_id": "7", "domain": null, "eids": eids, "segments": []});
        assert_eq!(written(&all, &[]), expected);
    }

    #[test]
    fn a_user_without_memberships_has_an_empty_list() {
        let user = AskedUser::from(UserKey::platform(u64::MAX).unwrap());
        let expected = json!({"user_id": u64::MAX.to_string(), "domain": null, "segments": []});
        assert_eq!(written(&user, &[]), expected);
    }
}
