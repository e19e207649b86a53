//! The lines of a usage report. A request gives at most one line of each kind, with its first
//! [`SAMPLES_PER_RECORD`] items, or fewer where they are long.

use ia_model::record::{Ingest, SAMPLES_PER_RECORD, SegmentRef, Tally};
use ia_model::{Change, Expiry, Minute};
use std::fmt::Write;

/// What was refused.
pub(super) fn error_lines(ingest: &Ingest) -> Vec<String> {
    let usage = &ingest.usage;
    let mut lines = Vec::new();
    push(&mut lines, "Invalid users", usage.invalid_users.samples.iter().cloned());
    for (name, tally) in [
        ("Inactive", &usage.inactive),
        ("Invalid", &usage.invalid),
        ("Unauthorized", &usage.unauthorized),
        ("Other", &usage.other),
    ] {
        let Tally { samples, .. } = tally;
        push(&mut lines, &format!("{name} segments {SEGMENT_COLUMNS}"), samples.iter().map(segment));
    }
    lines
}

/// What was accepted.
pub(super) fn segment_lines(ingest: &Ingest) -> Vec<String> {
    let mut lines = Vec::new();
    push(&mut lines, "Valid users", ingest.batch.iter().map(|(user, _)| user.id()));
    push(
        &mut lines,
        &format!("Valid segments {SEGMENT_COLUMNS}"),
        ingest.usage.valid_segments.iter().map(segment),
    );
    let operations = || {
        ingest
            .batch
            .iter()
            .flat_map(|(user, operations)| operations.iter().map(move |operation| (user, operation)))
    };
    let accepted_at = Minute::not_before(ingest.accepted_at_ms);
    let additions = operations().filter_map(|(user, operation)| match operation.change {
        Change::Add { expires, .. } => {
            Some(format!("({}, {}, {})", user.id(), operation.segment, minutes(expires, accepted_at)))
        }
        Change::Remove => None,
    });
    push(&mut lines, "Valid additions (user id, segment id, expiration)", additions);
    let removals = operations().filter(|(_, operation)| operation.change == Change::Remove);
    push(
        &mut lines,
        "Valid removals (user id, segment id, expiration)",
        removals.map(|(user, operation)| format!("({}, {}, -1)", user.id(), operation.segment)),
    );
    lines
}

/// A line takes no further item once it has this length: an hour keeps 400 lines, a report hundreds of hours.
const LONG_LINE_BYTES: usize = 800;

const SEGMENT_COLUMNS: &str = "(id, code, segment owner member id)";

fn push(lines: &mut Vec<String>, name: &str, items: impl Iterator<Item = String>) {
    let mut items = items.take(SAMPLES_PER_RECORD);
    let Some(first) = items.next() else { return };
    let mut line = format!("{name}: {first}");
    for item in items {
        if line.len() >= LONG_LINE_BYTES {
            break;
        }
        write!(line, ", {item}").expect("writing to a String does not fail");
    }
    // An id that was sent with a line break in it must not look like a line of its own.
    lines.push(line.replace(['\n', '\r'], " "));
}

fn segment(segment: &SegmentRef) -> String {
    format!("({}, '{}', {})", segment.id, segment.code, segment.owner)
}

/// An expiry as the minutes that were asked for; 0 is for ever.
fn minutes(expires: Expiry, accepted_at: Minute) -> u32 {
    match expires {
        Expiry::Never => 0,
        Expiry::At(minute) => minute.0.saturating_sub(accepted_at.0),
    }
}
