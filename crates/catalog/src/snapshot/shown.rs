//! What an answer about a user shows of a segment whatever the user: its JSON, written once and not for each membership.

use super::Segment;
use std::sync::Arc;

/// The texts of segments, one behind the other, so that they take little more than their bytes.
pub(super) struct ShownTexts {
    text: Box<[u8]>,
    /// Where each text ends.
    ends: Box<[usize]>,
}

impl ShownTexts {
    pub(super) fn of(segments: &[Segment]) -> ShownTexts {
        let mut text = Vec::new();
        let ends = segments.iter().map(|segment| {
            append(&mut text, segment);
            text.len()
        });
        let ends = ends.collect();
        ShownTexts { text: text.into(), ends }
    }

    /// The text of the segment at that index.
    #[inline]
    pub(super) fn at(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// The text of one segment.
pub(super) fn text(segment: &Segment) -> Arc<[u8]> {
    let mut text = Vec::new();
    append(&mut text, segment);
    text.into()
}

fn append(text: &mut Vec<u8>, segment: &Segment) {
    text.extend_from_slice(format!(r#"{{"id":{},"code":"#, segment.id).as_bytes());
    serde_json::to_writer(&mut *text, &segment.code).expect("writing a text to a Vec does not fail");
    text.extend_from_slice(format!(r#","member_id":{}"#, segment.member).as_bytes());
}
