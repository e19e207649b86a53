//! Writes the JSON of a user's memberships by hand. An answer for a thousand users has ten thousand memberships, and a
//! serializer, which escapes each key and formats each time anew, took three quarters of its time.

use super::asked::AskedUser;
use super::time_text::TimeText;
use crate::json::write_text;
use ia_model::{Expiry, Minute};
use ia_profiles::Membership;
use std::hint::black_box;

/// The most bytes of a membership behind what is shown of its segment.
const MAX_FACTS_BYTES: usize =
    br#","value":4294967295,"added_on":"9999-12-31 23:59:59","expires_on":"9999-12-31 23:59:59","#.len()
        + br#""last_seen_min":4294967295},"#.len();

/// Appends a user, and returns how many memberships it has. Each comes with what is shown of its segment
/// ([`Snapshot::shown`](ia_catalog::Snapshot::shown)).
pub(super) fn write_user<'a>(
    out: &mut Vec<u8>,
    user: &AskedUser,
    now: Minute,
    memberships: impl Iterator<Item = (&'a [u8], &'a Membership)>,
) -> usize {
    write_ids(out, user);
    out.extend_from_slice(br#""segments":["#);
    let memberships: Vec<_> = memberships.collect();
    // What is shown of segments is spread over the catalog's memory. This loads it in parallel, not one after the other.
    black_box(memberships.iter().fold(0, |sum, (segment, _)| sum ^ segment.first().unwrap_or(&0)));
    let bytes = memberships.iter().map(|(segment, _)| segment.len() + MAX_FACTS_BYTES).sum::<usize>();
    let start = out.len();
    // Room for all, so that no part has to ask for it.
    out.resize(start + bytes, 0);
    let mut text = Text { bytes: &mut out[start..], at: 0 };
    let (mut added_on, mut expires_on) = (TimeText::default(), TimeText::default());
    for (segment, membership) in &memberships {
        text.put_any(segment);
        text.put(br#","value":"#);
        text.put_number(membership.value);
        text.put(br#","added_on":""#);
        text.put(added_on.of(membership.added_at));
        match membership.expires {
            Expiry::Never => text.put(br#"","expires_on":null"#),
            Expiry::At(minute) => {
                text.put(br#"","expires_on":""#);
                text.put(expires_on.of(minute));
                text.put(br#"""#);
            }
        }
        text.put(br#","last_seen_min":"#);
        text.put_number(now.0.saturating_sub(membership.last_seen.0));
        text.put(b"},");
    }
    // Without the last comma.
    let end = start + text.at.saturating_sub(1);
    out.truncate(end);
    out.extend_from_slice(b"]}");
    memberships.len()
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

/// Text that is written into bytes which are there already.
struct Text<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Text<'_> {
    /// Adds a part whose length the compiler knows, which takes no call.
    #[inline]
    fn put<const N: usize>(&mut self, part: &[u8; N]) {
        *self.bytes[self.at..].first_chunk_mut().expect("there is room for all") = *part;
        self.at += N;
    }

    #[inline]
    fn put_any(&mut self, part: &[u8]) {
        let end = self.at + part.len();
        self.bytes[self.at..end].copy_from_slice(part);
        self.at = end;
    }

    #[inline]
    fn put_number(&mut self, number: u32) {
        self.put_any(itoa::Buffer::new().format(number).as_bytes());
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
    use ia_model::{Domain, MemberId, SegmentId, UserKey, time};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Minute = Minute(1_000_100);

    /// A membership, and the facts of its segment that are shown.
    #[derive(Debug, Clone)]
    struct Shown {
        code: Option<String>,
        member: u32,
        membership: Membership,
    }

    impl Shown {
        /// As the catalog writes it.
        fn segment(&self) -> Vec<u8> {
            let Shown { code, member, membership } = self;
            let (id, code) = (membership.segment, serde_json::to_string(code).unwrap());
            format!(r#"{{"id":{id},"code":{code},"member_id":{member}"#).into_bytes()
        }

        fn json(&self, now: Minute) -> Value {
            let Membership { segment, value, added_at, last_seen, expires, .. } = self.membership;
            let text = |minute: Minute| time::format_utc(minute.unix_ms());
            let expires_on = match expires {
                Expiry::Never => None,
                Expiry::At(minute) => Some(text(minute)),
            };
            json!({
                "id": segment.0, "code": self.code, "member_id": self.member, "value": value,
                "added_on": text(added_at), "expires_on": expires_on,
                "last_seen_min": now.0.saturating_sub(last_seen.0),
            })
        }
    }

    fn written(user: &AskedUser, memberships: &[Shown], now: Minute) -> Value {
        let segments: Vec<Vec<u8>> = memberships.iter().map(Shown::segment).collect();
        let shown = segments.iter().zip(memberships).map(|(segment, shown)| (&**segment, &shown.membership));
        let mut out = b"before".to_vec();
        assert_eq!(write_user(&mut out, user, now, shown), memberships.len());
        serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap()
    }

    /// Small numbers, large ones, and the largest.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0u32..1000, any::<u32>(), Just(u32::MAX)]
    }

    /// Minutes of a few days, and any.
    fn minute() -> impl Strategy<Value = Minute> {
        prop_oneof![29_000_000u32..29_005_000, number()].prop_map(Minute)
    }

    fn shown() -> impl Strategy<Value = Shown> {
        let expires = prop_oneof![Just(Expiry::Never), minute().prop_map(Expiry::At)];
        let facts = (number(), number(), minute(), minute(), expires);
        let code = proptest::option::of(any::<String>());
        (code, number(), facts).prop_map(|(code, member, (id, value, added_at, last_seen, expires))| {
            let segment = SegmentId(id);
            let membership = Membership { segment, value, added_at, last_seen, expires, pause: None };
            Shown { code, member, membership }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_a_serializer_says(
            memberships in proptest::collection::vec(shown(), 0..40),
            now in minute(),
        ) {
            let uuid = "aebe52e7-03ee-455a-b3c4-e57283966239";
            let user = AskedUser::from(UserKey::parse(Domain::Idfa, uuid).unwrap());
            let segments: Vec<Value> = memberships.iter().map(|shown| shown.json(now)).collect();
            let expected = json!({"user_id": uuid, "domain": "idfa", "segments": segments});
            prop_assert_eq!(written(&user, &memberships, now), expected);
        }
    }

    /// The order of the fields and the spaces are part of the answer.
    #[test]
    fn a_membership_has_these_bytes_and_the_largest_has_room() {
        let shown = |minute, number, expires| Shown {
            code: Some("a\"b".to_owned()),
            member: number,
            membership: Membership {
                segment: SegmentId(number),
                value: number,
                added_at: Minute(minute),
                last_seen: Minute(0),
                expires,
                pause: None,
            },
        };
        let largest = shown(u32::MAX, u32::MAX, Expiry::At(Minute(u32::MAX)));
        let memberships = [shown(29_000_000, 7, Expiry::Never), largest];
        let segments = memberships.each_ref().map(Shown::segment);
        let pairs = segments.iter().zip(&memberships).map(|(segment, shown)| (&**segment, &shown.membership));
        let mut out = Vec::new();
        write_user(&mut out, &AskedUser::from(UserKey::platform(7).unwrap()), Minute(u32::MAX), pairs);
        let last = time::format_utc(u64::MAX);
        let expected = format!(
            "{}{}{}{}",
            r#"{"user_id":"7","domain":null,"segments":[{"id":7,"code":"a\"b","member_id":7,"value":7,"#,
            r#""added_on":"2025-02-19 21:20:00","expires_on":null,"last_seen_min":4294967295},"#,
            r#"{"id":4294967295,"code":"a\"b","member_id":4294967295,"value":4294967295,"#,
            format_args!(r#""added_on":"{last}","expires_on":"{last}","last_seen_min":4294967295}}]}}"#),
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_id_that_a_member_made_up_is_shown_as_it_was_sent() {
        for id in ["7", "a\"b", "a\\b", "ü\u{2028}</x>", "a  b"] {
            let user = AskedUser::from(UserKey::external(MemberId(958), id).unwrap());
            assert_eq!(written(&user, &[], NOW), json!({"user_id": id, "domain": null, "segments": []}));
        }
    }

    #[test]
    fn extended_ids_are_shown_as_they_were_asked_for() {
        let eid = |source, id| UserKey::extended(source, id).unwrap();
        let one = AskedUser::from(eid("a.eu", "X\"1"));
        assert_eq!(written(&one, &[], NOW), json!({"user_id": "X\"1", "domain": "eid:a.eu", "segments": []}));
        let several = AskedUser::new(None, vec![eid("a.eu", "X\"1"), eid("b.eu", "2")]).unwrap();
        let eids = json!([
            {"source": "a.eu", "uids": [{"id": "X\"1"}]}, {"source": "b.eu", "uids": [{"id": "2"}]}
        ]);
        assert_eq!(written(&several, &[], NOW), json!({"eids": eids, "segments": []}));
        let platform = UserKey::platform(7).unwrap();
        let all = AskedUser::new(Some(platform), several.ids().cloned().collect()).unwrap();
        let expected = json!({"user_id": "7", "domain": null, "eids": eids, "segments": []});
        assert_eq!(written(&all, &[], NOW), expected);
    }

    #[test]
    fn a_user_without_memberships_has_an_empty_list() {
        let user = AskedUser::from(UserKey::platform(u64::MAX).unwrap());
        let expected = json!({"user_id": u64::MAX.to_string(), "domain": null, "segments": []});
        assert_eq!(written(&user, &[], NOW), expected);
    }
}
