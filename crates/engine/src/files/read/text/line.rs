//! Reads one line.

use super::super::{FileBlock, FileUser, MAX_SEGMENTS_PER_ENTRY};
use super::layout::{Before, Field, Signs, TextLayout};
use crate::ingest::json::Text;
use crate::ingest::structure::SegmentName;
use ia_model::{Domain, MemberId, SegmentId, lenient};

/// Why a line is not taken.
type Reason = &'static str;

/// The numbers of a segment, each at the place of its [`Field`]. The last place is of no field.
type Numbers = [i64; 6];

/// No number of a file: see [`number`].
const ABSENT: i64 = i64::MIN;

const NONE_GIVEN: Numbers = [ABSENT; 6];

impl TextLayout {
    /// Reads a line, and puts its segments into `blocks`. Fails with the reason of its format fault.
    pub(super) fn read_line<'l>(
        &self,
        line: &'l str,
        blocks: &mut Vec<FileBlock<'l>>,
    ) -> Result<FileUser<'l>, Reason> {
        if memchr::memchr(0, line.as_bytes()).is_some() {
            return Err("failed with a NUL byte");
        }
        let separators = &self.separators;
        let (end, found) = separators
            .find_either(Before::Segments, Before::Removals, line)
            .ok_or("failed with no segment")?;
        let id = line[..end].trim();
        let rest = &line[end + separators.length(found)..];
        // Only behind the id, so that one with this sign in it is whole.
        let (rest, domain) = match separators.find_last(Before::Domain, rest) {
            Some(at) => (&rest[..at], rest[at + separators.length(Before::Domain)..].trim()),
            None => (rest, ""),
        };
        let (additions, removals) = match found {
            Before::Removals => {
                // Then the id may be what stands in front of that one, with the sign of removals in it.
                let may_be_id = !separators.are_same(Before::Segments, Before::Field);
                if may_be_id && separators.find(Before::Segments, rest).is_some() {
                    return Err("failed with a separator in a wrong place");
                }
                ("", rest)
            }
            _ => match separators.find(Before::Removals, rest) {
                Some(at) => (&rest[..at], &rest[at + separators.length(Before::Removals)..]),
                None => (rest, ""),
            },
        };
        if separators.find(Before::Removals, removals).is_some() {
            return Err("failed with a second list of removals");
        }
        self.read_segments(additions, false, blocks)?;
        if !removals.is_empty() {
            self.read_segments(removals, true, blocks)?;
        }
        if blocks.is_empty() {
            return Err("failed with no segment");
        }
        Ok(user(id, domain))
    }

    fn read_segments<'l>(
        &self,
        list: &'l str,
        removes: bool,
        blocks: &mut Vec<FileBlock<'l>>,
    ) -> Result<(), Reason> {
        let usual = if removes { &self.identifying } else { &self.fields };
        let mut at = 0;
        while at < list.len() {
            let read = self.signs.and_then(|signs| read_usual(signs, usual, list, at));
            let block = match read {
                Some((numbers, code, next)) => {
                    at = next;
                    Some(self.block(&numbers, code, removes)?)
                }
                None => {
                    let rest = &list[at..];
                    let length = self.separators.find(Before::Segment, rest).unwrap_or(rest.len());
                    at += length + self.separators.length(Before::Segment);
                    self.read_segment(&rest[..length], removes)?
                }
            };
            if blocks.len() == MAX_SEGMENTS_PER_ENTRY && block.is_some() {
                return Err("failed with more than 1800 segments");
            }
            blocks.extend(block);
        }
        Ok(())
    }

    /// Reads a segment of any form; `None` where there is nothing.
    fn read_segment<'l>(&self, segment: &'l str, removes: bool) -> Result<Option<FileBlock<'l>>, Reason> {
        if segment.trim().is_empty() {
            return Ok(None);
        }
        let mut texts = [""; 6];
        let mut count = 0;
        let mut rest = Some(segment);
        while let Some(text) = rest {
            let end = self.separators.find(Before::Field, text);
            let place = texts.get_mut(count).ok_or(WRONG_COUNT)?;
            *place = &text[..end.unwrap_or(text.len())];
            count += 1;
            rest = end.map(|end| &text[end + self.separators.length(Before::Field)..]);
        }
        let fields = match count {
            _ if count == self.fields.len() => &self.fields,
            _ if removes && count == self.identifying.len() => &self.identifying,
            _ => return Err(WRONG_COUNT),
        };
        let mut numbers = NONE_GIVEN;
        let mut code = "";
        for (&field, text) in fields.iter().zip(texts) {
            let text = text.trim();
            if field == Field::Code {
                code = text;
            } else if !text.is_empty() {
                numbers[field as usize] = number(text).ok_or(illegal(field))?;
            }
        }
        self.block(&numbers, code, removes).map(Some)
    }

    #[inline]
    fn block<'l>(&self, numbers: &Numbers, code: &'l str, removes: bool) -> Result<FileBlock<'l>, Reason> {
        let given = |field: Field| Some(numbers[field as usize]).filter(|&number| number != ABSENT);
        let segment = match given(Field::Id) {
            // What is no id of a segment is an invalid segment: the line is well formed.
            Some(id) => SegmentName::Id(SegmentId(u32::try_from(id).unwrap_or(0))),
            None if code.is_empty() && self.fields.contains(&Field::Code) => {
                return Err(illegal(Field::Code));
            }
            None if code.is_empty() => return Err(illegal(Field::Id)),
            None => match given(Field::Member).filter(|&member| member != 0) {
                None => SegmentName::Code(self.member, Text::verbatim(code)),
                Some(member) => match u32::try_from(member) {
                    Ok(member) => SegmentName::Code(MemberId(member), Text::verbatim(code)),
                    Err(_) => SegmentName::Id(SegmentId(0)),
                },
            },
        };
        let expiration = if removes { Some(-1) } else { given(Field::Expiration) };
        let value = given(Field::Value).unwrap_or(0);
        let timestamp = given(Field::Timestamp).unwrap_or(0);
        Ok(FileBlock { segment, value, expiration, timestamp })
    }
}

const WRONG_COUNT: Reason = "failed with an illegal number of fields";

fn illegal(field: Field) -> Reason {
    match field {
        Field::Id => "failed with an illegal segment id",
        Field::Code => "failed with an illegal segment code",
        Field::Member => "failed with an illegal member id",
        Field::Expiration => "failed with an illegal expiration",
        Field::Value => "failed with an illegal value",
        Field::Timestamp => "failed with an illegal timestamp",
    }
}

/// The most digits that always fit into an `i64`.
const MAX_DIGITS: usize = 18;

/// Reads the segment that begins at `at`, and where the next one begins. `None` where it has another form than all of
/// `fields` with digits alone in those that are numbers: then [`TextLayout::read_segment`] says what it is.
#[inline(always)]
fn read_usual<'l>(
    signs: Signs,
    fields: &[Field],
    list: &'l str,
    mut at: usize,
) -> Option<(Numbers, &'l str, usize)> {
    let bytes = list.as_bytes();
    let mut numbers = NONE_GIVEN;
    let mut code = "";
    let mut left = fields.len();
    for &field in fields {
        if field == Field::Code {
            let rest = &list[at..];
            let length = memchr::memchr2(signs.field, signs.segment, rest.as_bytes()).unwrap_or(rest.len());
            code = rest[..length].trim();
            at += length;
        } else {
            let is_negative = bytes.get(at) == Some(&b'-');
            let start = at + usize::from(is_negative);
            at = start;
            let mut number = 0_i64;
            while let Some(digit) =
                bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
            {
                number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
                at += 1;
            }
            match at - start {
                0 if is_negative => return None,
                0 => {}
                1..=MAX_DIGITS => numbers[field as usize] = if is_negative { -number } else { number },
                _ => return None,
            }
        }
        left -= 1;
        let sign = bytes.get(at).copied();
        let is_at_end = left == 0 && sign.is_none();
        if !is_at_end {
            let wanted = if left == 0 { signs.segment } else { signs.field };
            if sign != Some(wanted) {
                return None;
            }
            at += 1;
        }
    }
    // A segment with nothing in it is skipped elsewhere.
    (numbers != NONE_GIVEN || !code.is_empty()).then_some((numbers, code, at))
}

/// Reads a whole number. One that is beyond 64 bits is the nearest there is: its range is checked where it is used, and
/// a very long expiration is a good one.
fn number(text: &str) -> Option<i64> {
    let number = lenient::integer(text).or_else(|| {
        let (digits, nearest) = match text.strip_prefix('-') {
            Some(digits) => (digits, i64::MIN),
            None => (text.strip_prefix('+').unwrap_or(text), i64::MAX),
        };
        let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        are_digits.then_some(nearest)
    })?;
    Some(number.max(ABSENT + 1))
}

/// Whom a line is about; `domain` has no white space around.
#[inline]
fn user<'l>(id: &'l str, domain: &'l str) -> FileUser<'l> {
    if id.is_empty() {
        return FileUser::Invalid;
    }
    if domain.is_empty() {
        return FileUser::Named { domain: None, id };
    }
    if let Some(source) =
        domain.get(..4).filter(|start| start.eq_ignore_ascii_case("eid:")).map(|_| &domain[4..])
    {
        let source = source.trim();
        return if source.is_empty() { FileUser::Invalid } else { FileUser::Extended { source, id } };
    }
    let known = match lenient::unsigned(domain) {
        Some(number) => domain_of_number(number),
        None => Domain::from_name(domain),
    };
    match known.and_then(Domain::name) {
        Some(name) => FileUser::Named { domain: Some(name), id },
        None => FileUser::Invalid,
    }
}

/// The numbers of the vendor's text format. 6 is `sha1mac`, which is not supported.
fn domain_of_number(number: u32) -> Option<Domain> {
    Some(match number {
        3 => Domain::Idfa,
        4 => Domain::Sha1Udid,
        5 => Domain::Md5Udid,
        7 => Domain::OpenUdid,
        8 => Domain::Aaid,
        9 => Domain::WindowsAdId,
        10 => Domain::Rida,
        11 => Domain::Tifa,
        12 => Domain::Vida,
        13 => Domain::LgUdid,
        _ => return None,
    })
}
