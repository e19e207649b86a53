//! The answer to a `POST /rt-segment`, bounded in bytes.

use super::warning::{Entity, Message as Sentence, Warning};
use ia_model::Batch;
use serde::Serialize;
use std::io::{self, Write};

/// How many bytes of warnings an answer lists. Each warning repeats a part of the request, blocks of a
/// surplus user even with nulls that were not sent, so a body of a megabyte could ask for thirty. Requests
/// that merely have too many users stay far below.
const MAX_WARNING_BYTES: usize = 8 << 20;

/// `message`
#[derive(Serialize)]
pub(super) struct Message {
    users_in_request: usize,
    segments_in_request: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_accepted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments_accepted: Option<usize>,
}

impl Message {
    /// The counts of a request; a verbose one also tells what was accepted.
    pub(super) fn new(users: usize, segments: usize, batch: &Batch, verbose: bool) -> Message {
        Message {
            users_in_request: users,
            segments_in_request: segments,
            users_accepted: verbose.then(|| batch.users()),
            segments_accepted: verbose.then(|| batch.operations().len()),
        }
    }
}

/// The whole body. Warnings that do not fit are counted in one that says so; the warning that nothing of
/// the request is left always stands.
pub(super) fn write(message: &Message, warnings: &[Warning<'_>]) -> Vec<u8> {
    const SOUND: &str = "an answer holds nothing that JSON cannot say";
    let mut out = br#"{"response":{"status":"OK","message":"#.to_vec();
    serde_json::to_writer(&mut out, message).expect(SOUND);
    out.extend_from_slice(br#","warnings":["#);
    let (last, others) = match warnings.split_last() {
        Some((last, others)) if last.is_about_request() => (Some(last), others),
        _ => (None, warnings),
    };
    let end = out.len() + MAX_WARNING_BYTES;
    let mut listed = 0;
    for warning in others {
        let mark = out.len();
        if serde_json::to_writer(Capped { out: &mut out, end }, warning).is_err() {
            out.truncate(mark);
            break;
        }
        out.push(b',');
        listed += 1;
    }
    let left_out = (listed < others.len())
        .then(|| Warning { message: Sentence::LeftOut(others.len() - listed), entity: Entity::Nothing });
    for warning in left_out.iter().chain(last) {
        serde_json::to_writer(&mut out, warning).expect(SOUND);
        out.push(b',');
    }
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"]}}");
    out
}

/// Fails where `out` would grow over `end`.
struct Capped<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.end {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::super::structure::{StructureLimits, check};
    use super::*;
    use serde_json::Value;

    fn answer_to(text: &str) -> (Value, usize) {
        let body = Body::parse(text.as_bytes()).unwrap();
        let checked = check(&body, StructureLimits { users_per_request: 1000, segments_per_user: 100 });
        let bytes = write(
            &Message::new(checked.users.len(), checked.segments, &Batch::default(), false),
            &checked.warnings,
        );
        (serde_json::from_slice(&bytes).unwrap(), bytes.len())
    }

    #[test]
    fn a_flood_of_warnings_is_cut_and_says_how_much_is_missing() {
        // A user that is over the limit shows each of its blocks with five nulls.
        let surplus = format!(r#"{{"user_id":"1","seg_block":[{}{{}}]}}"#, "{},".repeat(3000));
        let text = format!(
            r#"{{"rt_segment":[{}{}{surplus}]}}"#,
            "0,".repeat(1000),
            format!("{surplus},").repeat(200)
        );
        let (answer, bytes) = answer_to(&text);
        assert!(bytes < MAX_WARNING_BYTES + 4 * text.len(), "{bytes}");
        let warnings = answer["response"]["warnings"].as_array().unwrap();
        assert_eq!(warnings.last().unwrap()["message"], "No valid rt_segment in request.");
        let cut = warnings[warnings.len() - 2]["message"].as_str().unwrap();
        let missing: usize = cut.strip_suffix(" more warnings are left out.").unwrap().parse().unwrap();
        assert_eq!(warnings.len() - 2 + missing, 1201);
    }

    #[test]
    fn every_user_over_the_limit_of_an_ordinary_request_is_named() {
        let text = format!(
            r#"{{"rt_segment":[{}0]}}"#,
            r#"{"user_id":"1234567890","seg_block":[{"seg_id":1}]},"#.repeat(18_500)
        );
        let (answer, _) = answer_to(&text);
        assert_eq!(answer["response"]["warnings"].as_array().unwrap().len(), 17_501);
        assert_eq!(answer["response"]["message"]["users_in_request"], 1000);
    }
}
