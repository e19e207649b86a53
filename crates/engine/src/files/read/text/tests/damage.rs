//! Damaged and cut files.

use super::*;

const FILE: &str = "\
11111:100,1440,5;101,60,0\n\
22222:200,0,1#201;202\n\
\n\
AEBE52E7-03EE-455A-B3C4-E57283966239:300,,7^3\r\n\
44444:#400\n\
J\u{f6}rg:500,-1,0;501,9,9^eid:example.com\n\
66666:600,5\n\
77777:700,5,5";

/// What a byte may become: each with another bit, and all that mean something in a line.
fn damages(byte: u8) -> impl Iterator<Item = u8> {
    (0..8).map(move |bit| byte ^ (1 << bit)).chain(*b"\0\n\r\t 09-.e:;,#^{\xff\xc3")
}

/// The entries of the file, line by line.
fn entries_by_line() -> Vec<Vec<Entry>> {
    FILE.split('\n').map(|line| reference(line.as_bytes(), &BatchFiles::default())).collect()
}

fn read_all(file: &[u8]) -> Result<Vec<Entry>, String> {
    let layout = TextLayout::new(&BatchFiles::default(), MEMBER).unwrap();
    let summary = check(Box::new(Pieces::new(file, &[5, 40])), LIMITS).map_err(|fault| code_of(&fault));
    let entries = read(Pieces::new(file, &[7, 1]), &layout, 3).map_err(|fault| code_of(&fault));
    assert_eq!(summary.as_ref().err(), entries.as_ref().err(), "what the check takes can be read");
    entries.map(|entries| entries.entries)
}

#[test]
fn a_changed_byte_of_text_changes_its_own_line_alone() {
    let files = BatchFiles::default();
    let lines = entries_by_line();
    for at in 0..FILE.len() {
        let line = FILE.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        let was_end = FILE.as_bytes()[at] == b'\n';
        let before: Vec<Entry> = lines[..line].concat();
        let after: Vec<Entry> = lines[line + 1 + usize::from(was_end)..].concat();
        for byte in damages(FILE.as_bytes()[at]) {
            let mut damaged = FILE.as_bytes().to_vec();
            damaged[at] = byte;
            let Ok(entries) = read_all(&damaged) else {
                assert!(at < 4, "byte {at} as {byte} makes no other kind of file");
                continue;
            };
            assert!(entries.starts_with(&before) && entries.ends_with(&after), "byte {at} as {byte}");
            let start =
                FILE.as_bytes()[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let end = FILE.len() - lines_behind(line + 1 + usize::from(was_end));
            let own = reference(&damaged[start..end], &files);
            assert_eq!(entries[before.len()..entries.len() - after.len()], own, "byte {at} as {byte}");
        }
    }
}

/// How many bytes the lines from this one on have.
fn lines_behind(line: usize) -> usize {
    let lines: Vec<&str> = FILE.split_inclusive('\n').collect();
    lines.iter().skip(line).map(|line| line.len()).sum()
}

#[test]
fn a_text_that_is_cut_ends_with_the_line_that_is_cut() {
    let files = BatchFiles::default();
    let lines = entries_by_line();
    for length in 0..FILE.len() {
        let cut = &FILE.as_bytes()[..length];
        let line = cut.iter().filter(|&&byte| byte == b'\n').count();
        let start = cut.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let expected = [lines[..line].concat(), reference(&cut[start..], &files)].concat();
        assert_eq!(read_all(cut), Ok(expected));
    }
}

#[test]
fn damaged_gzip_is_refused_or_gives_the_whole_file() {
    let whole = reference(FILE.as_bytes(), &BatchFiles::default());
    for as_one in [true, false] {
        let packed = gzip(FILE.as_bytes(), as_one);
        assert_eq!(read_all(&packed), Ok(whole.clone()));
        for at in 0..packed.len() {
            for byte in damages(packed[at]) {
                let mut damaged = packed.clone();
                damaged[at] = byte;
                match read_all(&damaged) {
                    Ok(entries) if at >= 2 => assert_eq!(entries, whole, "byte {at} as {byte}"),
                    Ok(entries) if entries == whole => {}
                    // Without its first two bytes it is a text of nothing known.
                    Ok(entries) => {
                        assert!(entries.iter().all(|entry| matches!(entry, Entry::Fault(_))), "{entries:?}");
                    }
                    Err(code) => assert!(code == "gzip-error" || at < 2, "{code}"),
                }
            }
        }
        for length in 1..packed.len() {
            match read_all(&packed[..length]) {
                Err(code) => assert_eq!(code, "gzip-error"),
                Ok(entries) if length == 1 => assert!(matches!(entries[..], [Entry::Fault(_)])),
                // Some of the zeros behind it are gone, or all of the second member: nothing tells that there was one.
                Ok(entries) if length >= packed.len() - 7 => assert!(!as_one && entries == whole),
                Ok(entries) => {
                    let (one, _) = FILE.as_bytes().split_at(FILE.len() / 2);
                    assert!(!as_one && length == gzip(one, true).len());
                    assert_eq!(entries, reference(one, &BatchFiles::default()));
                }
            }
        }
    }
}
