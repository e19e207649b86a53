//! The reader of lines against one that was written by the words of the contract, character by character.

use super::open::{FileLimits, check, open};
use super::signature::{FileFormat, START_BYTES, format_of};
use super::text::{Field, MAX_LINE_BYTES, TextLayout};
use super::{EntrySink, FileBlock, FileFault, FileUser, MAX_SEGMENTS_PER_ENTRY};
use crate::ingest::json::Text;
use crate::ingest::structure::SegmentName;
use flate2::Compression;
use flate2::write::GzEncoder;
use ia_catalog::BatchFiles;
use ia_model::{Domain, MemberId, SegmentId, lenient};
use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};

/// The member whose files are read.
pub(crate) const MEMBER: MemberId = MemberId(958);

/// What a reader gave: a user and its segments, or the reason of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// With the segments.
    User(String, Vec<String>),
    /// With the reason.
    Fault(String),
}

impl Entry {
    pub(crate) fn user(user: FileUser<'_>, blocks: &[FileBlock<'_>]) -> Entry {
        Entry::User(format!("{user:?}"), blocks.iter().map(|block| format!("{block:?}")).collect())
    }
}

/// Keeps what a reader gives, and the lines as they are shown.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    pub(crate) shown: Vec<String>,
}

impl EntrySink for Entries {
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], entry: &dyn fmt::Display) {
        assert!(!blocks.is_empty());
        self.entries.push(Entry::user(user, blocks));
        self.shown.push(entry.to_string());
    }

    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display) {
        self.entries.push(Entry::Fault(reason.to_owned()));
        self.shown.push(entry.to_string());
    }
}

/// Gives its bytes in pieces of the given sizes, over and over.
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
    turn: usize,
}

impl Pieces {
    pub(crate) fn new(bytes: &[u8], sizes: &[usize]) -> Pieces {
        Pieces { bytes: bytes.to_vec(), at: 0, sizes: sizes.to_vec(), turn: 0 }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.turn += 1;
        if self.turn % 5 == 3 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.turn % self.sizes.len()].max(1);
        let length = size.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..][..length]);
        self.at += length;
        Ok(length)
    }
}

pub(crate) const LIMITS: FileLimits = FileLimits { max_decoded_bytes: 1 << 32 };

/// Reads a file to its end, some entries at a time.
pub(crate) fn read(file: Pieces, layout: &TextLayout, at_once: usize) -> Result<Entries, FileFault> {
    let mut reader = open(Box::new(file), layout, LIMITS)?;
    let mut entries = Entries::default();
    loop {
        let before = entries.entries.len();
        let read = reader.read(at_once, &mut entries)?;
        assert_eq!(entries.entries.len() - before, read);
        if read == 0 {
            return Ok(entries);
        }
    }
}

/// A set-up with these separators and fields.
pub(crate) fn set_up(separators: [&str; 5], fields: &[&str]) -> BatchFiles {
    BatchFiles {
        separators: separators.map(str::to_owned),
        segment_fields: fields.iter().map(|&field| field.to_owned()).collect(),
        ..BatchFiles::default()
    }
}

/// Set-ups of all kinds, also such as only earlier versions took.
pub(crate) fn set_ups() -> Vec<BatchFiles> {
    let usual = [":", ";", ",", "#", "^"];
    vec![
        BatchFiles::default(),
        set_up([":", ";", ":", "#", "^"], &["SEG_ID", "EXPIRATION", "VALUE"]),
        set_up(usual, &["SEG_CODE", "MEMBER_ID", "VALUE", "EXPIRATION", "TIMESTAMP"]),
        set_up(usual, &["SEG_ID"]),
        set_up(["\t", " ", ",", "#", "^"], &["EXPIRATION", "SEG_ID", "TIMESTAMP"]),
        set_up(["||", "|", "*", "§§", "->"], &["VALUE", "SEG_ID", "MEMBER_ID"]),
        set_up(["=", "-", "e", "7", "ü"], &["SEG_ID", "EXPIRATION"]),
        set_up([",", ";", " ", "\t", "!"], &["VALUE", "SEG_CODE"]),
        set_up([":", "-", "e", "7", "^"], &["SEG_ID", "VALUE"]),
        set_up(["::", ":", ":::", "", "::::"], &["TIMESTAMP", "SEG_CODE", "EXPIRATION"]),
    ]
}

/// Files of lines, after a byte that picks the set-up, and one that picks how the file is packed and read.
pub fn files_text(input: &[u8]) {
    let [pick, form, content @ ..] = input else { return };
    let set_ups = set_ups();
    let files = &set_ups[usize::from(*pick) % set_ups.len()];
    let layout = TextLayout::new(files, MEMBER).expect("it names segments");
    let expected = match format_of(&content[..content.len().min(START_BYTES)]) {
        Ok(FileFormat::Text) => Ok(reference(content, files)),
        // A packed file has what it unpacks to; that it is the right one is the matter of the target `gzip`.
        _ => Err(()),
    };
    let file = if form & 1 == 0 { content.to_vec() } else { gzip(content, form & 2 == 0) };
    for (sizes, at_once) in [([usize::MAX, 9], 1000), ([1, 1], 1), ([3, 17], 2)] {
        let pieces = || Pieces::new(&file, &sizes);
        let checked = check(Box::new(pieces()), LIMITS);
        let read = read(pieces(), &layout, at_once);
        match (&expected, &checked, &read) {
            (Ok(expected), Ok(summary), Ok(entries)) => {
                assert_eq!(&entries.entries, expected);
                let lines = content.split_inclusive(|&byte| byte == b'\n').count();
                assert_eq!(summary.entries, lines as u64);
            }
            (Err(()), Ok(_), Ok(_)) => {}
            (Err(()), Err(fault), Err(same)) => assert_eq!(fault.to_string(), same.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

/// Packs a file, as one member or as two with zeros behind.
pub(crate) fn gzip(content: &[u8], as_one: bool) -> Vec<u8> {
    let packed = |part: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).expect("into memory");
        encoder.finish().expect("into memory")
    };
    if as_one {
        return packed(content);
    }
    let (one, other) = content.split_at(content.len() / 2);
    [packed(one), packed(other), vec![0; 7]].concat()
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Sign(String),
    Letter(char),
}

/// What a file says, by the contract.
pub(crate) fn reference(content: &[u8], files: &BatchFiles) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let lines = content.split(|&byte| byte == b'\n' || byte == b'\r');
    lines
        .filter_map(|line| {
            if line.len() > MAX_LINE_BYTES {
                return Some(Entry::Fault("failed with more than 64 KiB".to_owned()));
            }
            let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            if line.iter().all(|byte| b" \t".contains(byte)) {
                return None;
            }
            let text = String::from_utf8(line.to_vec())
                .unwrap_or_else(|_| line.iter().map(|&byte| char::from(byte)).collect());
            Some(match reference_line(&text, files) {
                Err(reason) => Entry::Fault(reason.to_owned()),
                Ok(_) if !seen.insert(line) => Entry::Fault("failed as a repeated line".to_owned()),
                Ok(entry) => entry,
            })
        })
        .collect()
}

fn tokens(text: &str, files: &BatchFiles) -> Vec<Token> {
    let mut signs: Vec<&String> = files.separators.iter().filter(|sign| !sign.is_empty()).collect();
    signs.sort_by_key(|sign| std::cmp::Reverse(sign.len()));
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(sign) = signs.iter().find(|sign| rest.starts_with(sign.as_str())) {
            tokens.push(Token::Sign((*sign).clone()));
            rest = &rest[sign.len()..];
        } else {
            tokens.push(Token::Letter(letter));
            rest = &rest[letter.len_utf8()..];
        }
    }
    tokens
}

fn text_of(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(|token| match token {
            Token::Sign(sign) => sign.clone(),
            Token::Letter(letter) => letter.to_string(),
        })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn reference_line(text: &str, files: &BatchFiles) -> Result<Entry, &'static str> {
    if text.contains('\0') {
        return Err("failed with a NUL byte");
    }
    let tokens = tokens(text, files);
    let sign = |number: usize| Token::Sign(files.separators[number - 1].clone());
    let first = tokens
        .iter()
        .position(|token| *token == sign(1) || *token == sign(4))
        .ok_or("failed with no segment")?;
    let id = text_of(&tokens[..first]);
    let rest = &tokens[first + 1..];
    let (rest, domain) = match rest.iter().rposition(|token| *token == sign(5)) {
        Some(at) => (&rest[..at], text_of(&rest[at + 1..])),
        None => (rest, String::new()),
    };
    let only_removes = tokens[first] == sign(4) && sign(4) != sign(1);
    if only_removes && sign(1) != sign(3) && rest.contains(&sign(1)) {
        return Err("failed with a separator in a wrong place");
    }
    let lists: Vec<&[Token]> = rest.split(|token| *token == sign(4)).collect();
    let (additions, removals): (&[Token], &[Token]) = match (only_removes, lists.as_slice()) {
        (true, [removals]) => (&[], removals),
        (false, [additions]) => (additions, &[]),
        (false, [additions, removals]) => (additions, removals),
        _ => return Err("failed with a second list of removals"),
    };
    let mut codes = Vec::new();
    for (list, removes) in [(additions, false), (removals, true)] {
        for segment in list.split(|token| *token == sign(2)).filter(|segment| !text_of(segment).is_empty()) {
            let fields: Vec<String> = segment.split(|token| *token == sign(3)).map(text_of).collect();
            let segment = reference_segment(&fields, removes, files)?;
            if codes.len() == MAX_SEGMENTS_PER_ENTRY {
                return Err("failed with more than 1800 segments");
            }
            codes.push(segment);
        }
    }
    let blocks: Vec<FileBlock<'_>> = codes
        .iter()
        .map(|(block, code)| match (block.segment, code) {
            (SegmentName::Code(member, _), Some(code)) => {
                FileBlock { segment: SegmentName::Code(member, Text::verbatim(code)), ..*block }
            }
            _ => *block,
        })
        .collect();
    if blocks.is_empty() {
        return Err("failed with no segment");
    }
    Ok(Entry::user(reference_user(&id, &domain), &blocks))
}

/// A segment, whose code is beside it.
type Segment = (FileBlock<'static>, Option<String>);

fn reference_segment(texts: &[String], removes: bool, files: &BatchFiles) -> Result<Segment, &'static str> {
    let mut names: Vec<&str> = files.segment_fields.iter().map(String::as_str).collect();
    if removes && texts.len() != names.len() {
        names.retain(|name| ["SEG_ID", "SEG_CODE", "MEMBER_ID"].contains(name));
    }
    if texts.len() != names.len() {
        return Err("failed with an illegal number of fields");
    }
    let text = |wanted: &str| names.iter().position(|&name| name == wanted).map_or("", |at| &texts[at]);
    let mut numbers = Vec::new();
    // The first illegal one of a line is the one that is named.
    for (&name, text) in names.iter().zip(texts) {
        let (field, reason) = match name {
            "SEG_ID" => (Field::Id, "failed with an illegal segment id"),
            "MEMBER_ID" => (Field::Member, "failed with an illegal member id"),
            "EXPIRATION" => (Field::Expiration, "failed with an illegal expiration"),
            "VALUE" => (Field::Value, "failed with an illegal value"),
            "TIMESTAMP" => (Field::Timestamp, "failed with an illegal timestamp"),
            _ => continue,
        };
        if !text.is_empty() {
            numbers.push((field, reference_number(text).ok_or(reason)?));
        }
    }
    let number =
        |wanted: Field| numbers.iter().find(|(field, _)| *field == wanted).map(|&(_, number)| number);
    let as_id = |number: i64| u32::try_from(number).ok();
    let (segment, code) = if names.contains(&"SEG_CODE") {
        let code = text("SEG_CODE");
        if code.is_empty() {
            return Err("failed with an illegal segment code");
        }
        let member = match number(Field::Member) {
            None | Some(0) => Some(MEMBER),
            Some(member) => as_id(member).map(MemberId),
        };
        match member {
            Some(member) => (SegmentName::Code(member, Text::verbatim("")), Some(code.to_owned())),
            None => (SegmentName::Id(SegmentId(0)), None),
        }
    } else {
        let id = number(Field::Id).ok_or("failed with an illegal segment id")?;
        (SegmentName::Id(SegmentId(as_id(id).unwrap_or(0))), None)
    };
    let expiration = if removes { Some(-1) } else { number(Field::Expiration) };
    let value = number(Field::Value).unwrap_or(0);
    Ok((FileBlock { segment, value, expiration, timestamp: number(Field::Timestamp).unwrap_or(0) }, code))
}

fn reference_number(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(['-', '+']);
    let is_long = digits.len() > 30
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && text.len() - digits.len() < 2;
    let number = match text.parse::<i128>() {
        Ok(number) => number,
        Err(_) if is_long => {
            let significant = digits.trim_start_matches('0');
            let nearest = significant.parse().unwrap_or(i128::MAX);
            if text.starts_with('-') { -nearest } else { nearest }
        }
        Err(_) => i128::from(lenient::integer(text)?),
    };
    let nearest = number.clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX));
    i64::try_from(nearest).ok()
}

fn reference_user<'r>(id: &'r str, domain: &'r str) -> FileUser<'r> {
    let source = domain
        .split_once(':')
        .filter(|(kind, _)| kind.to_lowercase() == "eid")
        .map(|(_, source)| source.trim());
    let number = lenient::integer(domain);
    let names = [
        "idfa",
        "sha1udid",
        "md5udid",
        "",
        "openudid",
        "aaid",
        "windowsadid",
        "rida",
        "tifa",
        "vida",
        "lgudid",
    ];
    let numbered =
        number.and_then(|number| names.get(usize::try_from(number.checked_sub(3)?).ok()?).copied());
    match (id, domain, source, number) {
        ("", ..) | (_, _, Some(""), _) => FileUser::Invalid,
        (_, "", ..) => FileUser::Named { domain: None, id },
        (_, _, Some(source), _) => FileUser::Extended { source, id },
        (_, _, _, Some(_)) => match numbered.filter(|name| !name.is_empty()) {
            Some(name) => FileUser::Named { domain: Some(name), id },
            None => FileUser::Invalid,
        },
        (_, name, None, None) => match Domain::from_name(name).and_then(Domain::name) {
            Some(name) => FileUser::Named { domain: Some(name), id },
            None => FileUser::Invalid,
        },
    }
}
