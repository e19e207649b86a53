//! Random entries in random layouts, written and read back.

use super::*;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

#[derive(Debug, Clone)]
struct Segment {
    id: u32,
    code: String,
    member: Option<u32>,
    expiration: Option<i64>,
    value: Option<i64>,
    timestamp: Option<i64>,
}

#[derive(Debug, Clone)]
struct User {
    id: String,
    domain: Option<&'static str>,
    added: Vec<Segment>,
    removed: Vec<Segment>,
    /// Whether removals have only the fields that say which segment is meant.
    is_short: bool,
}

fn segment() -> impl Strategy<Value = Segment> {
    let number =
        || proptest::option::of(prop_oneof![-1..100_000_i64, any::<i64>().prop_map(|n| n.max(i64::MIN + 1))]);
    (
        any::<u32>(),
        "[a-zA-Z]([a-zA-Z0-9ö]{0,8}[a-zA-Z])?",
        proptest::option::of(1..u32::MAX),
        number(),
        number(),
        number(),
    )
        .prop_map(|(id, code, member, expiration, value, timestamp)| Segment {
            id,
            code,
            member,
            expiration,
            value,
            timestamp,
        })
}

fn user() -> impl Strategy<Value = User> {
    let segments = || proptest::collection::vec(segment(), 0..5);
    let domain = select(vec![None, None, Some("idfa"), Some("aaid"), Some("openudid")]);
    ("[a-zA-Z0-9]{1,20}", domain, segments(), segments(), any::<bool>())
        .prop_filter("a line has a segment", |(_, _, added, removed, _)| added.len() + removed.len() > 0)
        .prop_map(|(id, domain, added, removed, is_short)| User { id, domain, added, removed, is_short })
}

/// Separators that the catalog takes, and such as only earlier versions took.
fn separators() -> impl Strategy<Value = [String; 5]> {
    let new: Vec<&str> = vec![
        ":", ";", ",", "#", "^", "\t", " ", "!", "\"", "%", "&", "'", "=", "<", ">", "@", "_", "`", "~", ".",
    ];
    // None is a part of another: where such stand side by side, as around an empty field, a line has two meanings.
    let old: Vec<&str> = vec!["|", "*", "->", "§", "::::::::::", "日本", "[", "((", "$"];
    let five = |from: Vec<&'static str>| {
        (subsequence(from, 5).prop_shuffle(), any::<bool>()).prop_map(|(mut five, same)| {
            if same {
                five[2] = five[0];
            }
            <[String; 5]>::try_from(five.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap()
        })
    };
    prop_oneof![3 => five(new), 1 => five(old)]
}

fn fields() -> impl Strategy<Value = Vec<&'static str>> {
    let others = subsequence(vec!["MEMBER_ID", "EXPIRATION", "VALUE", "TIMESTAMP"], 0..=4);
    (others, select(vec!["SEG_ID", "SEG_CODE"]))
        .prop_map(|(mut fields, name)| {
            fields.push(name);
            fields
        })
        .prop_shuffle()
}

fn write(segment: &Segment, fields: &[&str], files: &BatchFiles) -> String {
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let texts: Vec<String> = fields
        .iter()
        .map(|&field| match field {
            "SEG_ID" => segment.id.to_string(),
            "SEG_CODE" => segment.code.clone(),
            "MEMBER_ID" => number(segment.member.map(i64::from)),
            "EXPIRATION" => number(segment.expiration),
            "VALUE" => number(segment.value),
            _ => number(segment.timestamp),
        })
        .collect();
    texts.join(&files.separators[2])
}

fn expected<'s>(segment: &'s Segment, fields: &[&str], removes: bool) -> FileBlock<'s> {
    let of = |field: &str, number: Option<i64>| number.filter(|_| fields.contains(&field));
    let member = of("MEMBER_ID", segment.member.map(i64::from))
        .map_or(MEMBER, |id| MemberId(u32::try_from(id).unwrap()));
    let named = if fields.contains(&"SEG_ID") {
        SegmentName::Id(SegmentId(segment.id))
    } else {
        SegmentName::Code(member, Text::verbatim(&segment.code))
    };
    FileBlock {
        segment: named,
        value: of("VALUE", segment.value).unwrap_or(0),
        expiration: if removes { Some(-1) } else { of("EXPIRATION", segment.expiration) },
        timestamp: of("TIMESTAMP", segment.timestamp).unwrap_or(0),
    }
}

/// A line, and what it says.
fn line_and_entry(user: &User, fields: &[&str], files: &BatchFiles) -> (String, Entry) {
    let [sep1, sep2, _, sep4, sep5] = &files.separators;
    let short: Vec<&str> =
        fields.iter().copied().filter(|field| ["SEG_ID", "SEG_CODE", "MEMBER_ID"].contains(field)).collect();
    let of_removed = if user.is_short { &short } else { fields };
    let list = |segments: &[Segment], fields: &[&str]| {
        segments.iter().map(|segment| write(segment, fields, files)).collect::<Vec<_>>().join(sep2)
    };
    let mut line = format!("{}{sep1}{}", user.id, list(&user.added, fields));
    if !user.removed.is_empty() {
        line += &format!("{sep4}{}", list(&user.removed, of_removed));
    }
    if let Some(domain) = user.domain {
        line += &format!("{sep5}{domain}");
    }
    let added = user.added.iter().map(|segment| expected(segment, fields, false));
    let removed = user.removed.iter().map(|segment| expected(segment, of_removed, true));
    let blocks: Vec<FileBlock<'_>> = added.chain(removed).collect();
    (line, Entry::user(named(user.domain, &user.id), &blocks))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        users in proptest::collection::vec(user(), 1..6),
        separators in separators(),
        fields in fields(),
        sizes in proptest::collection::vec(1..40_usize, 1..5),
        at_once in 1..4_usize,
        end in select(vec!["\n", "\r\n", "\r", "\n\n"]),
        packed in any::<bool>(),
    ) {
        let names = fields.iter().map(|&field| field.to_owned()).collect();
        let files = BatchFiles { separators, segment_fields: names, ..BatchFiles::default() };
        let mut content = String::new();
        let mut expected = Vec::new();
        // The number keeps the lines different, so that none is a repeated one.
        for (number, user) in users.iter().enumerate() {
            let user = User { id: format!("{number}x{}", user.id), ..user.clone() };
            let (line, entry) = line_and_entry(&user, &fields, &files);
            content += &format!("{line}{end}");
            expected.push(entry);
        }
        let file = if packed { gzip(content.as_bytes(), at_once == 1) } else { content.clone().into_bytes() };
        let layout = TextLayout::new(&files, MEMBER).unwrap();
        let entries = read(Pieces::new(&file, &sizes), &layout, at_once).unwrap();
        prop_assert_eq!(&entries.entries, &expected, "{}", content);
        prop_assert_eq!(reference(content.as_bytes(), &files), expected);
    }

    #[test]
    fn any_text_gives_what_the_contract_says(
        lines in proptest::collection::vec("[a0-9:;,#^ .+-]{0,30}", 0..5),
        which in 0..10_usize,
    ) {
        let files = &set_ups()[which];
        let content = lines.join("\n");
        prop_assert_eq!(entries_of(content.as_bytes(), files).entries, reference(content.as_bytes(), files));
    }
}
