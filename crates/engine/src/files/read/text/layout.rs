//! How the lines of a member's files are built.

use super::super::FileFault;
use ia_catalog::BatchFiles;
use ia_model::MemberId;
use memchr::{memchr, memchr2, memrchr};

/// A field of a segment. The number is its place in [`super::line::Numbers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `SEG_ID`
    Id = 0,
    /// `MEMBER_ID`
    Member = 1,
    /// `EXPIRATION`
    Expiration = 2,
    /// `VALUE`
    Value = 3,
    /// `TIMESTAMP`
    Timestamp = 4,
    /// `SEG_CODE`, which is no number.
    Code = 5,
}

impl Field {
    fn of_name(name: &str) -> Option<Field> {
        Some(match name {
            "SEG_ID" => Field::Id,
            "SEG_CODE" => Field::Code,
            "MEMBER_ID" => Field::Member,
            "EXPIRATION" => Field::Expiration,
            "VALUE" => Field::Value,
            "TIMESTAMP" => Field::Timestamp,
            _ => return None,
        })
    }

    /// Whether it says which segment is meant.
    fn is_identifying(self) -> bool {
        matches!(self, Field::Id | Field::Code | Field::Member)
    }
}

/// What a separator stands before. The number is its place in the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Segments = 0,
    Segment = 1,
    Field = 2,
    Removals = 3,
    Domain = 4,
}

/// The layout of a member's files, made for reading.
#[derive(Debug, Clone)]
pub(crate) struct TextLayout {
    pub(super) separators: Separators,
    /// In their order in the file.
    pub(super) fields: Vec<Field>,
    /// Those of them that say which segment is meant, which may stand alone in a removal.
    pub(super) identifying: Vec<Field>,
    /// Whose a code without a member is.
    pub(super) member: MemberId,
    /// The bytes between segments and between fields, where numbers in between can be read digit by digit.
    pub(super) signs: Option<Signs>,
}

/// Separators of one byte that cannot be a part of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    pub(super) segment: u8,
    pub(super) field: u8,
}

impl TextLayout {
    /// The layout of the files of `member`.
    ///
    /// # Errors
    ///
    /// `layout-error` where the set-up has fields by which no segment can be named: the catalog takes none such.
    pub(crate) fn new(files: &BatchFiles, member: MemberId) -> Result<TextLayout, FileFault> {
        let fields: Option<Vec<Field>> =
            files.segment_fields.iter().map(|name| Field::of_name(name)).collect();
        let has_one_name = |fields: &Vec<Field>| fields.contains(&Field::Id) != fields.contains(&Field::Code);
        let fields = fields.filter(has_one_name).ok_or_else(|| FileFault::Damaged {
            code: "layout-error",
            detail: format!("the member has segment_fields {}", files.segment_fields.join(",")),
        })?;
        let separators = Separators::new(&files.separators);
        let identifying = fields.iter().copied().filter(|field| field.is_identifying()).collect();
        let signs = separators.signs();
        Ok(TextLayout { separators, fields, identifying, member, signs })
    }
}

/// The five separators. Those of earlier versions have up to ten characters. In a place where two of them stand, one
/// as the start of the other, the longer one is meant.
#[derive(Debug, Clone)]
pub(super) struct Separators {
    texts: [Box<str>; 5],
    /// Where each is one byte.
    bytes: Option<[u8; 5]>,
}

impl Separators {
    fn new(texts: &[String; 5]) -> Separators {
        let bytes: Vec<u8> =
            texts.iter().filter(|text| text.len() == 1).map(|text| text.as_bytes()[0]).collect();
        Separators { texts: texts.clone().map(String::into_boxed_str), bytes: bytes.try_into().ok() }
    }

    fn signs(&self) -> Option<Signs> {
        let [_, segment, field, ..] = self.bytes?;
        let may_be_of_number = |byte: u8| byte.is_ascii_digit() || byte == b'-';
        let are_fit = segment != field && !may_be_of_number(segment) && !may_be_of_number(field);
        are_fit.then_some(Signs { segment, field })
    }

    /// Its length in bytes.
    pub(super) fn length(&self, which: Before) -> usize {
        self.texts[which as usize].len()
    }

    /// Whether two separators are the same.
    pub(super) fn are_same(&self, one: Before, other: Before) -> bool {
        self.texts[one as usize] == self.texts[other as usize]
    }

    /// Where the first of one kind stands in `text`.
    #[inline]
    pub(super) fn find(&self, which: Before, text: &str) -> Option<usize> {
        match self.bytes {
            Some(bytes) => memchr(bytes[which as usize], text.as_bytes()),
            None => self.places(text).find(|&(_, found)| self.is(which, found)).map(|(at, _)| at),
        }
    }

    /// Where the first of two kinds stands in `text`, and which it is.
    #[inline]
    pub(super) fn find_either(&self, one: Before, other: Before, text: &str) -> Option<(usize, Before)> {
        match self.bytes {
            Some(bytes) => {
                let (first, second) = (bytes[one as usize], bytes[other as usize]);
                let at = memchr2(first, second, text.as_bytes())?;
                Some((at, if text.as_bytes()[at] == first { one } else { other }))
            }
            None => self.places(text).find_map(|(at, found)| {
                let which = [one, other].into_iter().find(|&which| self.is(which, found))?;
                Some((at, which))
            }),
        }
    }

    /// Where the last of one kind stands in `text`.
    #[inline]
    pub(super) fn find_last(&self, which: Before, text: &str) -> Option<usize> {
        match self.bytes {
            Some(bytes) => memrchr(bytes[which as usize], text.as_bytes()),
            None => self.places(text).filter(|&(_, found)| self.is(which, found)).last().map(|(at, _)| at),
        }
    }

    fn is(&self, which: Before, found: &str) -> bool {
        *self.texts[which as usize] == *found
    }

    /// All separators in `text`, from its start, each as long as it can be.
    fn places<'s>(&'s self, text: &'s str) -> impl Iterator<Item = (usize, &'s str)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < text.len() {
                let rest = &text.as_bytes()[at..];
                let here =
                    self.texts.iter().filter(|sep| !sep.is_empty() && rest.starts_with(sep.as_bytes()));
                if let Some(longest) = here.max_by_key(|separator| separator.len()) {
                    let found = (at, &**longest);
                    at += longest.len();
                    return Some(found);
                }
                at += 1;
            }
            None
        })
    }
}
