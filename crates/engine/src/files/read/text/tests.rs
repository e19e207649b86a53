use super::super::fuzz::{Entries, Entry, LIMITS, MEMBER, Pieces, gzip, read, reference, set_up, set_ups};
use super::super::open::{FileLimits, check, open};
use super::super::{FileBlock, FileFault, FileUser, MAX_SEGMENTS_PER_ENTRY};
use super::*;
use crate::ingest::json::Text;
use crate::ingest::structure::SegmentName;
use ia_catalog::BatchFiles;
use ia_model::{MemberId, SegmentId};

mod damage;
mod random;

fn entries_of(content: &[u8], files: &BatchFiles) -> Entries {
    let layout = TextLayout::new(files, MEMBER).unwrap();
    read(Pieces::new(content, &[usize::MAX]), &layout, 1000).unwrap()
}

fn entry_of(line: &str, files: &BatchFiles) -> Entry {
    let mut entries = entries_of(line.as_bytes(), files).entries;
    assert_eq!(entries.len(), 1, "{line:?}");
    entries.remove(0)
}

fn named<'f>(domain: Option<&'f str>, id: &'f str) -> FileUser<'f> {
    FileUser::Named { domain, id }
}

fn segment(id: u32, expiration: Option<i64>, value: i64) -> FileBlock<'static> {
    FileBlock { segment: SegmentName::Id(SegmentId(id)), value, expiration, timestamp: 0 }
}

#[track_caller]
fn assert_user(line: &str, files: &BatchFiles, user: FileUser<'_>, blocks: &[FileBlock<'_>]) {
    assert_eq!(entry_of(line, files), Entry::user(user, blocks), "{line:?}");
}

#[track_caller]
fn assert_fault(line: &str, files: &BatchFiles, reason: &str) {
    assert_eq!(entry_of(line, files), Entry::Fault(format!("failed {reason}")), "{line:?}");
}

#[test]
fn lines_of_the_usual_layout() {
    let files = BatchFiles::default();
    let user = named(None, "12345");
    let kept = [segment(100, Some(1440), 5)];
    for line in [
        "12345:100,1440,5",
        "12345:100,1440,5;",
        "12345:;;100,1440,5; ;",
        "12345:100,1440,5#",
        "12345:100,1440,5;#;^",
        "12345:100,1440,5^ ",
        " 12345 : 100 ,\t1440, 5 ",
        "12345:100.0,1.44e3,+5",
        "12345:0100,001440,05",
        "\u{feff}12345:100,1440,5",
    ] {
        assert_user(line, &files, user, &kept);
    }
    assert_user("12345:100,,", &files, user, &[segment(100, None, 0)]);
    assert_user(
        "12345:100,0,0;101,-1,0",
        &files,
        user,
        &[segment(100, Some(0), 0), segment(101, Some(-1), 0)],
    );
    let removed = [segment(100, Some(-1), 0), segment(101, Some(-1), 0)];
    for line in
        ["12345:#100;101", "12345#100;101", "12345:#100;;101;", "12345:#100,,;101,,", "12345:#100;101,,"]
    {
        assert_user(line, &files, user, &removed);
    }
    let both = [segment(7, Some(9), 1), segment(8, Some(-1), 0)];
    assert_user("12345:7,9,1#8", &files, user, &both);
    assert_user("12345:7,9,1#8,60,0^3", &files, named(Some("idfa"), "12345"), &both);
    // Beyond any range: checked where it is used.
    assert_user(
        "12345:100,99999999999999999999,-99999999999999999999",
        &files,
        user,
        &[segment(100, Some(i64::MAX), i64::MIN + 1)],
    );
}

#[test]
fn domains() {
    let files = BatchFiles::default();
    let numbers = [
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
    let kept = [segment(100, Some(1), 2)];
    for (number, name) in (3..).zip(numbers) {
        let user = if name.is_empty() { FileUser::Invalid } else { named(Some(name), "ab-12") };
        assert_user(&format!("ab-12:100,1,2^{number}"), &files, user, &kept);
        assert_user(&format!("ab-12:100,1,2^ {number}.0 "), &files, user, &kept);
        assert_user(
            &format!("ab-12:100,1,2^{}", name.to_uppercase()),
            &files,
            if name.is_empty() { named(None, "ab-12") } else { user },
            &kept,
        );
    }
    for name in ["0", "1", "2", "6", "14", "-3", "4294967299", "sha1mac", "nothing", "eid:", "EID: "] {
        assert_user(&format!("x:100,1,2^{name}"), &files, FileUser::Invalid, &kept);
    }
    let extended = FileUser::Extended { source: "example.com", id: "x" };
    assert_user("x:100,1,2^eid:example.com", &files, extended, &kept);
    assert_user("x:100,1,2^ EID: example.com ", &files, extended, &kept);
    assert_user("x:#100^sh1udid", &files, named(Some("sha1udid"), "x"), &[segment(100, Some(-1), 0)]);
    // The domain is behind the last of these signs, and the id ends before the segments.
    assert_user("a^b:100,1,2", &files, named(None, "a^b"), &kept);
    assert_user("a^b:100,1,2^8", &files, named(Some("aaid"), "a^b"), &kept);
    assert_fault("a:100,1,2^3^8", &files, "with an illegal value");
    assert_user(" :100,1,2", &files, FileUser::Invalid, &kept);
    assert_user(":100,1,2^3", &files, FileUser::Invalid, &kept);
}

#[test]
fn faults_have_their_reasons() {
    let files = BatchFiles::default();
    for (line, reason) in [
        ("12345", "with no segment"),
        ("12345:", "with no segment"),
        ("12345:;;", "with no segment"),
        ("12345:#", "with no segment"),
        ("12345:#;^3", "with no segment"),
        ("12345^3", "with no segment"),
        ("12345:100", "with an illegal number of fields"),
        ("12345:100,5", "with an illegal number of fields"),
        ("12345:100,5,0,1", "with an illegal number of fields"),
        ("12345:100,5,0,1,2,3,4,5,6,7,8", "with an illegal number of fields"),
        ("12345:100,5,0;101", "with an illegal number of fields"),
        ("12345:#100,5", "with an illegal number of fields"),
        ("12345:,5,0", "with an illegal segment id"),
        ("12345:abc,5,0", "with an illegal segment id"),
        ("12345:1.5,5,0", "with an illegal segment id"),
        ("12345:-,5,0", "with an illegal segment id"),
        ("12345:100:5,5,0", "with an illegal segment id"),
        ("12345:100,x,0", "with an illegal expiration"),
        ("12345:100,1.5,0", "with an illegal expiration"),
        ("12345:100,NaN,0", "with an illegal expiration"),
        ("12345:100,5,-", "with an illegal value"),
        ("12345:100,5,0\u{1}", "with an illegal value"),
        ("12345:#100,x,0", "with an illegal expiration"),
        ("12345:100,5,0#1#2", "with a second list of removals"),
        ("123#45:100,5,0", "with a separator in a wrong place"),
        ("12345:100,5\0,0", "with a NUL byte"),
        ("\x0012345:100,5,0", "with a NUL byte"),
    ] {
        assert_fault(line, &files, reason);
    }
    // No segment can have such an id, but the line is well formed.
    for id in ["0", "-1", "4294967296", "99999999999999999999999"] {
        assert_user(&format!("1:{id},5,0"), &files, named(None, "1"), &[segment(0, Some(5), 0)]);
    }
    assert_user("1:4294967295,5,0", &files, named(None, "1"), &[segment(u32::MAX, Some(5), 0)]);
    let timed = set_up([":", ";", ",", "#", "^"], &["TIMESTAMP", "SEG_CODE", "MEMBER_ID"]);
    assert_fault("1:x,a,1", &timed, "with an illegal timestamp");
    assert_fault("1:1, ,1", &timed, "with an illegal segment code");
    assert_fault("1:1,a,x", &timed, "with an illegal member id");
    assert_fault("1:#a", &timed, "with an illegal number of fields");
}

#[test]
fn segments_by_code() {
    let files = set_up([":", ";", ",", "#", "^"], &["TIMESTAMP", "SEG_CODE", "MEMBER_ID"]);
    let code = |member: u32, code: &'static str, expiration, timestamp| FileBlock {
        segment: SegmentName::Code(MemberId(member), Text::verbatim(code)),
        value: 0,
        expiration,
        timestamp,
    };
    let user = named(None, "u");
    assert_user("u:1700000000, cars & co ,7", &files, user, &[code(7, "cars & co", None, 1_700_000_000)]);
    assert_user("u:,a,;0,b,0", &files, user, &[code(958, "a", None, 0), code(958, "b", None, 0)]);
    assert_user(
        "u:#a,7;,b,",
        &files,
        user,
        &[code(7, "a", Some(-1), 0), FileBlock { ..code(958, "b", Some(-1), 0) }],
    );
    assert_user("u:0,x:y,7", &files, user, &[code(7, "x:y", None, 0)]);
    assert_user("u:0,a,4294967296", &files, user, &[segment(0, None, 0)]);
    let own = set_up([":", ";", ":", "#", "^"], &["SEG_CODE"]);
    assert_user(
        "u:a;b#c",
        &own,
        user,
        &[code(958, "a", None, 0), code(958, "b", None, 0), code(958, "c", Some(-1), 0)],
    );
}

#[test]
fn the_first_and_the_third_separator_may_be_the_same() {
    let files = set_up([":", ";", ":", "#", "^"], &["SEG_ID", "EXPIRATION", "VALUE"]);
    let two = [segment(100, Some(1440), 5), segment(101, Some(-1), 0)];
    assert_user("12345:100:1440:5;101:-1:0", &files, named(None, "12345"), &two);
    assert_user("12345:100:1440:5#101", &files, named(None, "12345"), &two);
    assert_user("12345#101:60:0", &files, named(None, "12345"), &two[1..]);
    assert_user("12345:#101:60:0^8", &files, named(Some("aaid"), "12345"), &two[1..]);
}

#[test]
fn separators_of_earlier_versions() {
    let files = set_up(["||", "|", "*", "§§", "->"], &["VALUE", "SEG_ID", "EXPIRATION"]);
    let two = [segment(100, Some(1440), 5), segment(101, Some(-1), 0)];
    assert_user("1||5*100*1440|0*101*-1|", &files, named(None, "1"), &two);
    assert_user("1||5*100*1440§§101->3", &files, named(Some("idfa"), "1"), &two);
    assert_user("1§§101|100->3", &files, named(Some("idfa"), "1"), &[two[1], segment(100, Some(-1), 0)]);
    // The same in Latin-1.
    let latin1: Vec<u8> = "1||5*100*1440§§101->3".chars().map(|letter| letter as u8).collect();
    assert_eq!(entries_of(&latin1, &files).entries, [Entry::user(named(Some("idfa"), "1"), &two)]);
    assert_fault("1|5*100*1440", &files, "with no segment");
    // A digit or a sign of numbers as a separator.
    let odd = set_up([":", "-", "e", "7", "^"], &["SEG_ID", "EXPIRATION"]);
    assert_user(
        "1:100e5-200e07300",
        &odd,
        named(None, "1"),
        &[segment(100, Some(5), 0), segment(200, Some(0), 0), segment(300, Some(-1), 0)],
    );
}

#[test]
fn ends_of_lines_and_letters_of_other_languages() {
    let files = BatchFiles::default();
    let users = |content: &[u8]| entries_of(content, &files).entries;
    let kept = [segment(100, Some(1), 2)];
    let three = ["a", "b", "c"].map(|id| Entry::user(named(None, id), &kept));
    for content in [
        "a:100,1,2\nb:100,1,2\nc:100,1,2",
        "a:100,1,2\r\nb:100,1,2\r\nc:100,1,2\r\n",
        "a:100,1,2\rb:100,1,2\rc:100,1,2\r",
        "a:100,1,2\r\r\nb:100,1,2\n\r\n \t\nc:100,1,2\n\n\n",
        "\u{feff}a:100,1,2\n\n\u{feff}b:100,1,2\nc:100,1,2",
    ] {
        assert_eq!(users(content.as_bytes()), three, "{content:?}");
    }
    assert!(users(b"").is_empty());
    assert!(users(b"\xef\xbb\xbf\n\xef\xbb\xbf ").is_empty());
    let letters = Entry::user(named(None, "Jörg"), &kept);
    let mixed = users(b"J\xc3\xb6rg:100,1,2\nJ\xf6rg:100,1,2\n");
    assert_eq!(mixed, [letters.clone(), letters], "the bytes differ, so it is no repeated line");
    assert_eq!(
        users(b"\x01:100,1,2"),
        [Entry::user(named(None, "\u{1}"), &kept)],
        "refused where ids are checked"
    );
}

#[test]
fn a_line_that_comes_again_is_a_fault() {
    let content = b"a:1,1,1\nb:1,1,1\na:1,1,1\r\na:1,1,1;\nx\nx\na:1,1,1";
    let entries = entries_of(content, &BatchFiles::default());
    let kinds: Vec<&str> = entries
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::User(..) => "user",
            Entry::Fault(reason) => reason,
        })
        .collect();
    let repeated = "failed as a repeated line";
    let short = "failed with no segment";
    assert_eq!(kinds, ["user", "user", repeated, "user", short, short, repeated]);
    assert_eq!(entries.shown[2], "a:1,1,1");
}

#[test]
fn bounds_of_a_line() {
    let files = BatchFiles::default();
    let line = |segments: usize| {
        let segments: Vec<String> = (1..=segments).map(|id| format!("{id},,")).collect();
        format!("1:{}", segments.join(";"))
    };
    assert_eq!(MAX_SEGMENTS_PER_ENTRY, 1800);
    let Entry::User(_, blocks) = entry_of(&line(1800), &files) else { panic!("1,800 are allowed") };
    assert_eq!(blocks.len(), 1800);
    assert_fault(&line(1801), &files, "with more than 1800 segments");
    assert_fault(&format!("{}#7", line(1800)), &files, "with more than 1800 segments");
    let long = |length: usize| format!("{}:1,1,1", "x".repeat(length - 6));
    let Entry::User(..) = entry_of(&long(64 << 10), &files) else { panic!("64 KiB are allowed") };
    for length in [(64 << 10) + 1, 100_000, 128 << 10, (128 << 10) + 1, 1 << 20] {
        let content = format!("a:1,1,1\n{}\nb:1,1,1", long(length));
        for sizes in [[usize::MAX, 1], [1000, 17]] {
            let layout = TextLayout::new(&files, MEMBER).unwrap();
            let entries = read(Pieces::new(content.as_bytes(), &sizes), &layout, 2).unwrap();
            assert_eq!(entries.entries[1], Entry::Fault("failed with more than 64 KiB".to_owned()));
            assert_eq!(entries.entries.len(), 3);
            assert_eq!(entries.shown[1], format!("{}…", "x".repeat(256)));
        }
    }
}

#[test]
fn shown_lines_are_on_one_line_and_short() {
    let shown = |line: &[u8]| Shown(line).to_string();
    assert_eq!(shown(b"a\tb\0c\x1b[0m\x85"), "a\tb\\u{0}c\\u{1b}[0m\\u{85}");
    assert_eq!(shown("Jörg".as_bytes()), "Jörg");
    assert_eq!(shown(b"J\xf6rg"), "Jörg");
    assert_eq!(shown(&[b'x'; 256]), "x".repeat(256));
    assert_eq!(shown(format!("{}ö and more", "x".repeat(255)).as_bytes()), format!("{}…", "x".repeat(255)));
}

/// Bytes that nobody keeps: a line of any length, as zeros of a disk.
struct Endless(u64);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.0).unwrap());
        buffer[..length].fill(b'7');
        self.0 -= length as u64;
        Ok(length)
    }
}

#[test]
fn a_line_of_200_mb_is_one_fault_and_the_next_one_is_read() {
    use std::io::Read;
    let file = b"a:1,1,1\n".chain(Endless(200 << 20)).chain(&b"\nb:1,1,1"[..]);
    let layout = TextLayout::new(&BatchFiles::default(), MEMBER).unwrap();
    let mut reader = open(Box::new(file), &layout, LIMITS).unwrap();
    let mut entries = Entries::default();
    assert_eq!(reader.read(100, &mut entries).unwrap(), 3);
    assert_eq!(entries.entries[1], Entry::Fault("failed with more than 64 KiB".to_owned()));
    assert!(matches!(entries.entries[2], Entry::User(..)));
}

#[test]
fn room_for_segments_is_kept_from_line_to_line() {
    let mut blocks = Vec::with_capacity(77);
    blocks.push(segment(1, None, 0));
    let room = blocks.as_ptr();
    let again = empty_of(blocks);
    assert_eq!((again.as_ptr(), again.capacity(), again.len()), (room, 77, 0));
}

fn code_of(fault: &FileFault) -> String {
    fault.to_string()
}

#[test]
fn gzip_is_found_and_bounded() {
    let content = b"a:1,1,1\nb:2,2,2\n";
    let files = BatchFiles::default();
    let plain = entries_of(content, &files).entries;
    for packed in [gzip(content, true), gzip(content, false), gzip(b"", true), gzip(b"", false)] {
        let entries = entries_of(&packed, &files).entries;
        assert!(entries == plain || entries.is_empty());
    }
    let checked = |file: &[u8], max_decoded_bytes| {
        check(Box::new(Pieces::new(file, &[3, 100])), FileLimits { max_decoded_bytes })
            .map(|summary| summary.entries)
            .map_err(|fault| code_of(&fault))
    };
    for file in [content.to_vec(), gzip(content, true), gzip(content, false)] {
        assert_eq!(checked(&file, 16), Ok(2));
        assert_eq!(checked(&file, 15), Err("file-too-large".to_owned()));
        assert_eq!(checked(&file, 0), Err("file-too-large".to_owned()));
    }
    let bomb = gzip(&vec![b'\n'; 50 << 20], true);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(checked(&bomb, 10 << 20), Err("file-too-large".to_owned()));
    let behind = [gzip(content, true), b"more".to_vec()].concat();
    assert_eq!(checked(&behind, 99), Err("gzip-error".to_owned()));
    let behind = [gzip(content, false), b"\0x".to_vec()].concat();
    assert_eq!(checked(&behind, 99), Err("gzip-error".to_owned()));
    assert_eq!(checked(&gzip(&gzip(content, true), true), 999), Err("unsupported-compression".to_owned()));
    assert_eq!(checked(b"Obj\x01", 999).unwrap_err(), checked(&gzip(b"Obj\x01", true), 999).unwrap_err());
}

#[test]
fn a_failing_disk_is_no_damage() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            // As if it were of the content.
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }
    use std::io::Read;
    let packed = gzip(b"a:1,1,1\nb:2,2,2\n", true);
    for length in 0..packed.len() {
        let file = std::io::Cursor::new(packed[..length].to_vec()).chain(Failing);
        let fault = check(Box::new(file), LIMITS).unwrap_err();
        assert!(matches!(fault, FileFault::Io(_)), "{fault:?} after {length} bytes");
    }
    assert!(
        check(Box::new(packed.as_slice().to_vec().as_slice().to_owned().leak() as &[u8]), LIMITS).is_ok()
    );
}

#[test]
fn layouts_in_which_no_segment_is_named_are_refused() {
    for fields in [&["EXPIRATION"][..], &["SEG_ID", "SEG_CODE"], &["SEG_ID", "COLOUR"], &[]] {
        let fault = TextLayout::new(&set_up([":", ";", ",", "#", "^"], fields), MEMBER).unwrap_err();
        assert_eq!(code_of(&fault), "layout-error");
    }
}
