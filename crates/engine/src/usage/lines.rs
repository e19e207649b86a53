//! The lines of a usage report. A request gives at most one line of each kind, with its first
//! [`SAMPLES_PER_RECORD`] items, or fewer if they are long.

use ia_model::record::{Ingest, SAMPLES_PER_RECORD, SegmentRef};
use ia_model::{Change, Expiry, Minute, SegmentId, UserKey};
use std::borrow::Cow;
use std::fmt::Write;

/// Lines about the refused users and segments of a request.
pub(super) fn error_lines(ingest: &Ingest) -> impl Iterator<Item = String> {
    let usage = &ingest.usage;
    let users =
        line("Invalid users", usage.invalid_users.samples.iter(), |line, id| line.push_str(&one_line(id)));
    let kinds = [
        ("Inactive segments", &usage.inactive),
        ("Invalid segments", &usage.invalid),
        ("Unauthorized segments", &usage.unauthorized),
        ("Other segments", &usage.other),
    ];
    let segments = kinds.into_iter().filter_map(|(name, tally)| segments(name, &tally.samples));
    users.into_iter().chain(segments)
}

/// Lines about the accepted users and segments of a request.
pub(super) fn segment_lines(ingest: &Ingest) -> impl Iterator<Item = String> {
    let users = ingest.batch.iter().map(|(user, _)| user);
    let operations =
        || ingest.batch.iter().flat_map(|(user, operations)| operations.iter().map(move |one| (user, one)));
    let accepted_at = Minute::not_before(ingest.accepted_at_ms);
    let additions = operations().filter_map(|(user, operation)| match operation.change {
        Change::Add { expires, .. } | Change::AddLater { expires, .. } => {
            Some((user, operation.segment, minutes(expires, accepted_at)))
        }
        Change::Remove => None,
    });
    let removals = operations()
        .filter(|(_, operation)| operation.change == Change::Remove)
        .map(|(user, operation)| (user, operation.segment, -1));
    let lines = [
        line("Valid users", users, |line, user| line.push_str(&user.id())),
        segments("Valid segments", &ingest.usage.valid_segments),
        line("Valid additions (user id, segment id, expiration)", additions, change),
        line("Valid removals (user id, segment id, expiration)", removals, change),
    ];
    lines.into_iter().flatten()
}

/// A line of this length gets no further item: an hour keeps 400 lines, and a report has hundreds of hours.
const LONG_LINE_BYTES: usize = 800;

/// A line with a name and its items; `None` if there are no items.
fn line<T>(
    name: &str,
    items: impl Iterator<Item = T>,
    mut write_item: impl FnMut(&mut String, T),
) -> Option<String> {
    let mut items = items.take(SAMPLES_PER_RECORD).peekable();
    items.peek()?;
    let mut line = String::with_capacity(160);
    line.push_str(name);
    line.push_str(": ");
    while let Some(item) = items.next() {
        write_item(&mut line, item);
        if line.len() >= LONG_LINE_BYTES {
            break;
        }
        if items.peek().is_some() {
            line.push_str(", ");
        }
    }
    Some(line)
}

fn segments(name: &str, samples: &[SegmentRef]) -> Option<String> {
    let name = format!("{name} (id, code, segment owner member id)");
    line(&name, samples.iter(), |line, segment| {
        let SegmentRef { id, code, owner } = segment;
        write!(line, "({id}, '{}', {owner})", one_line(code)).expect("writing to a String does not fail");
    })
}

fn change(line: &mut String, (user, segment, minutes): (&UserKey, SegmentId, i64)) {
    write!(line, "({}, {segment}, {minutes})", user.id()).expect("writing to a String does not fail");
}

/// A line break in sent text must not start a new line.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ").into() } else { text.into() }
}

/// The minutes that the request asked for; 0 means for ever.
fn minutes(expires: Expiry, accepted_at: Minute) -> i64 {
    match expires {
        Expiry::Never => 0,
        Expiry::At(minute) => minute.0.saturating_sub(accepted_at.0).into(),
    }
}
