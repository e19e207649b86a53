//! Taking user ids out of the lines of the usage report, however they were spelled.
//!
//! A line shows an id in the form of its key (decimal, lower-case hex, a UUID with hyphens), and the id of a refused
//! user as it was sent. So a line is read as *words* of letters, digits and hyphens, and words are compared without
//! hyphens, case and leading zeros. An id that is no such word is searched as it is.
//!
//! A user may have chosen an id, by a cookie or a link, that is `users`, a comma or the id of a segment. So only the
//! places of user ids in a line are searched.

use ia_model::MemberId;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Replaces an id in a line.
const PLACEHOLDER: &str = "(erased)";

/// An id of other bytes than a word's is searched in a whole job line from this length on.
const FEWEST_BYTES: usize = 4;

/// Ids of at least this length are found inside of longer words too, where they cannot be by chance.
const LONG_ID_CHARS: usize = 32;

/// An id that is to be erased from the lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasedId {
    /// The member whose lines are meant; `None` for all.
    pub member: Option<MemberId>,
    /// The id in its canonical spelling.
    pub id: String,
}

/// Looks for some ids in lines.
#[derive(Debug, Default)]
pub struct Scrubber {
    words: HashSet<String>,
    /// The lengths of `words`.
    word_chars: BTreeSet<usize>,
    texts: Vec<String>,
}

impl Scrubber {
    /// One for an id in its canonical spelling.
    pub fn of(id: String) -> Scrubber {
        let mut scrubber = Scrubber::default();
        scrubber.add(id);
        scrubber
    }

    /// One for each member, and one for the lines of all.
    pub(crate) fn by_member(erased: Vec<ErasedId>) -> BTreeMap<Option<MemberId>, Scrubber> {
        let mut scrubbers: BTreeMap<Option<MemberId>, Scrubber> = BTreeMap::new();
        for ErasedId { member, id } in erased {
            scrubbers.entry(member).or_default().add(id);
        }
        scrubbers
    }

    fn add(&mut self, id: String) {
        if id.is_empty() {
            return;
        }
        if id.bytes().all(is_of_word) {
            let word = normal(&id).into_owned();
            self.word_chars.insert(word.len());
            self.words.insert(word);
        } else {
            self.texts.push(id);
        }
    }

    /// Whether lines in `json`, the text of a JSON array, may hold one of the ids.
    pub(crate) fn may_be_in(&self, json: &str) -> bool {
        words(json).any(|word| self.is_erased(word))
            || self.texts.iter().any(|text| {
                let escaped = serde_json::to_string(text).unwrap_or_default();
                json.contains(escaped.trim_matches('"'))
            })
    }

    /// The line without the ids; `None` where there is none in it.
    pub(crate) fn without_ids(&self, line: &str) -> Option<String> {
        let (name, items) = line.split_at(line.find(": ").map_or(0, |end| end + 2));
        if name.ends_with(OF_SEGMENTS) {
            return None;
        }
        let is_of_pairs = name.ends_with(OF_PAIRS);
        let mut without = String::with_capacity(line.len());
        let mut copied = 0;
        for word in words(items).filter(|word| self.is_erased(word)) {
            let start = word.as_ptr().addr() - items.as_ptr().addr();
            let end = start + word.len();
            if is_of_pairs && is_behind_an_id(&items[..start], word, &items[end..]) {
                continue;
            }
            without.push_str(&items[copied..start]);
            without.push_str(PLACEHOLDER);
            copied = end;
        }
        without.push_str(&items[copied..]);
        for text in &self.texts {
            without = without_item(&without, text);
        }
        (without != items).then(|| format!("{name}{without}"))
    }

    /// The JSON array of lines without the ids, and how many lines that changed. A damaged array is
    /// never reported, so an empty one replaces it.
    pub(crate) fn without_ids_in(&self, json: &str) -> (String, u64) {
        let mut lines: Vec<String> = serde_json::from_str(json).unwrap_or_default();
        let mut changed = 0;
        for line in &mut lines {
            if let Some(without) = self.without_ids(line) {
                *line = without;
                changed += 1;
            }
        }
        (serde_json::to_string(&lines).expect("a list of texts is JSON"), changed)
    }

    /// Whether an id is in a line of a job's error log: the name of a counter, a hyphen, and the entry as it was sent.
    pub fn is_in_job_line(&self, line: &str) -> bool {
        let entry = line.split_once('-').map_or(line, |(_, entry)| entry);
        words(entry).any(|word| self.is_erased(word))
            || self.texts.iter().any(|text| {
                // A text as short as a separator counts only as the user, with which an entry begins.
                entry.starts_with(&**text) || text.len() >= FEWEST_BYTES && entry.contains(&**text)
            })
    }

    fn is_erased(&self, word: &str) -> bool {
        let word = normal(word);
        if self.words.contains(&*word) {
            return true;
        }
        let long = self.word_chars.range(LONG_ID_CHARS..word.len().max(LONG_ID_CHARS));
        long.into_iter()
            .any(|&chars| (0..=word.len() - chars).any(|at| self.words.contains(&word[at..at + chars])))
    }
}

/// The end of the name of a line that lists segments alone.
const OF_SEGMENTS: &str = " segments (id, code, segment owner member id): ";
/// The end of the name of a line in which a segment and an expiration follow each id.
const OF_PAIRS: &str = " (user id, segment id, expiration): ";

/// Whether a word of a line of pairs is the segment or the expiration of one.
fn is_behind_an_id(before: &str, word: &str, after: &str) -> bool {
    let is_number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_end = |text: &str| text.starts_with(')');
    let has_expiration = after.strip_prefix(", ").and_then(|after| after.split_once(')'));
    before.ends_with(", ")
        && is_number(word)
        && (is_end(after) || has_expiration.is_some_and(|(expiration, _)| is_number(expiration)))
}

/// The items of a line without `text`, where it is a whole item or the first part of one.
fn without_item(items: &str, text: &str) -> String {
    let mut without = String::with_capacity(items.len());
    let mut copied = 0;
    for (start, _) in items.match_indices(text) {
        let (before, after) = (&items[..start], &items[start + text.len()..]);
        let is_begun = before.is_empty() || before.ends_with(", ") || before.ends_with('(');
        if is_begun && (after.is_empty() || after.starts_with(", ")) {
            without.push_str(&items[copied..start]);
            without.push_str(PLACEHOLDER);
            copied = start + text.len();
        }
    }
    without + &items[copied..]
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_ascii() || !is_of_word(letter as u8)).filter(|word| !word.is_empty())
}

/// A word without the differences that do not matter.
fn normal(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let normal = if word.bytes().all(is_plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(
            word.bytes()
                .filter(|&byte| byte != b'-')
                .map(|byte| char::from(byte.to_ascii_lowercase()))
                .collect(),
        )
    };
    if normal.starts_with('0')
        && normal.bytes().all(|byte| byte.is_ascii_digit())
        && normal.len() < LONG_ID_CHARS
    {
        return Cow::Owned(normal.trim_start_matches('0').to_owned());
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(ids: &[&str], line: &str) -> String {
        let mut scrubber = Scrubber::default();
        ids.iter().for_each(|&id| scrubber.add(id.to_owned()));
        let without = scrubber.without_ids(line);
        let json = serde_json::to_string(&[line]).unwrap();
        assert!(without.is_none() || scrubber.may_be_in(&json), "{line}: passed over unread");
        without.unwrap_or_else(|| line.to_owned())
    }

    #[test]
    fn every_spelling_of_an_id_goes_and_nothing_else() {
        let uuid = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
        for (ids, line, expected) in [
            (&["12"][..], "Valid users: 12, 112, 120, 12", "Valid users: (erased), 112, 120, (erased)"),
            (
                &["12"],
                "Valid additions (user id, segment id, expiration): (12, 5, 0)",
                "Valid additions (user id, segment id, expiration): ((erased), 5, 0)",
            ),
            (&["12"], "Invalid users: 0012, -12, +12", "Invalid users: (erased), (erased), +(erased)"),
            (&[uuid], "Invalid users: 6D92078A82464BA4AE5B76104861E7DC", "Invalid users: (erased)"),
            (&[uuid], "Invalid users: 6D-92078a8246-4BA4AE5B76104861E7D-C, x", "Invalid users: (erased), x"),
            (
                &[uuid],
                "Invalid users: idfa-6d92078a-8246-4ba4-ae5b-76104861e7dc.",
                "Invalid users: (erased).",
            ),
            (
                &[uuid],
                "Valid users: 6d92078a-8246-4ba4-ae5b-76104861e7dd",
                "Valid users: 6d92078a-8246-4ba4-ae5b-76104861e7dd",
            ),
            (&["a@b \"q\"", "c"], "Valid users: a@b \"q\", a@c", "Valid users: (erased), a@(erased)"),
            (&["é", "1"], "Valid users: é, é1é, ü", "Valid users: (erased), é(erased)é, ü"),
            (
                &["a, (b"],
                "Valid removals (user id, segment id, expiration): (a, (b, 5, -1), (c, 5, -1)",
                "Valid removals (user id, segment id, expiration): ((erased), 5, -1), (c, 5, -1)",
            ),
        ] {
            assert_eq!(scrubbed(ids, line), expected, "{ids:?}");
        }
    }

    #[test]
    fn an_id_that_was_chosen_to_do_harm_takes_away_only_itself() {
        let chosen = [
            "Valid",
            "users",
            "user",
            "segment",
            "id",
            "code",
            "expiration",
            "additions",
            "5",
            "1",
            "60",
            ",",
            "(",
            ")",
            "), (",
            ": ",
            "'news'",
            "Valid users: ",
        ];
        for line in [
            "Valid users: 12, users5, a@b",
            "Valid segments (id, code, segment owner member id): (5, 'news', 1), (60, 'user', 5)",
            "Unauthorized segments (id, code, segment owner member id): (0, 'code', 60)",
        ] {
            assert_eq!(scrubbed(&chosen, line), line);
        }
        assert_eq!(
            scrubbed(
                &chosen,
                "Valid additions (user id, segment id, expiration): (12, 5, 60), (5, 5, 0), (id, 1, 1)"
            ),
            "Valid additions (user id, segment id, expiration): (12, 5, 60), ((erased), 5, 0), ((erased), 1, 1)"
        );
        let removals = "Valid removals (user id, segment id, expiration): (12, 5, -1), (13, 60, -1)";
        assert_eq!(scrubbed(&chosen, removals), removals);
    }

    #[test]
    fn a_uuid_of_digits_keeps_its_zeros() {
        let digits = "00000000-0000-0000-0000-000000000007";
        assert_eq!(scrubbed(&[digits], "Valid users: 7"), "Valid users: 7");
        assert_eq!(scrubbed(&[digits], &format!("Valid users: {digits}")), "Valid users: (erased)");
        assert_eq!(scrubbed(&["7"], &format!("Valid users: {digits}")), format!("Valid users: {digits}"));
    }
}
