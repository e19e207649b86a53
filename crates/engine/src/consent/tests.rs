//! A table of what calls send, and what follows.

use super::*;
use proptest::prelude::*;

const VENDOR: u16 = 52;

const RULES: ConsentRules = ConsentRules {
    gpc: true,
    us_privacy: true,
    gdpr: true,
    gpp: true,
    tcf_vendor_id: NonZeroU16::new(VENDOR),
};

/// Writes consent strings.
#[derive(Clone, Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn int(mut self, bits: u32, value: u64) -> Writer {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn fibonacci(mut self, value: u64) -> Writer {
        let mut numbers = vec![1, 2];
        while *numbers.last().unwrap() < value {
            numbers.push(numbers[numbers.len() - 1] + numbers[numbers.len() - 2]);
        }
        while numbers.last().is_some_and(|&number| number > value) {
            numbers.pop();
        }
        let mut rest = value;
        let mut bits: Vec<bool> = Vec::new();
        for &number in numbers.iter().rev() {
            bits.push(number <= rest);
            rest -= if number <= rest { number } else { 0 };
        }
        self.0.extend(bits.into_iter().rev().chain([true]));
        self
    }

    fn text(&self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let six =
            |bits: &[bool]| (0..6).fold(0, |six, at| six << 1 | usize::from(bits.get(at) == Some(&true)));
        self.0.chunks(6).map(|bits| char::from(ALPHABET[six(bits)])).collect()
    }
}

type Ranges<'r> = &'r [(u16, u16)];

#[derive(Clone, Copy)]
enum Vendors<'v> {
    Field(u16, &'v [u16]),
    Ranges(Ranges<'v>),
}

fn ranges(writer: Writer, ranges: Ranges) -> Writer {
    ranges.iter().fold(writer.int(12, ranges.len() as u64), |writer, &(first, last)| match first == last {
        true => writer.int(1, 0).int(16, first.into()),
        false => writer.int(1, 1).int(16, first.into()).int(16, last.into()),
    })
}

fn vendors(writer: Writer, vendors: Vendors) -> Writer {
    match vendors {
        Vendors::Ranges(those) => ranges(writer.int(16, 900).int(1, 1), those),
        Vendors::Field(last, those) => (1..=last)
            .fold(writer.int(16, last.into()).int(1, 0), |writer, id| {
                writer.int(1, those.contains(&id).into())
            }),
    }
}

/// A TC string with these consents to purposes, vendors, and restrictions by purpose and type.
fn tc(purposes: &[u64], consents: Vendors, restrictions: &[(u64, u64, Ranges)]) -> String {
    let writer = Writer::default().int(6, 2).int(36, 17_000_000_000).int(36, 17_000_000_000);
    let writer =
        writer.int(12, 31).int(12, 1).int(6, 0).int(12, 0).int(12, 300).int(6, 5).int(2, 2).int(12, 0);
    let writer = (1..=24).fold(writer, |writer, purpose| writer.int(1, purposes.contains(&purpose).into()));
    // All legitimate interests.
    let writer = writer.int(24, 0xff_ffff).int(1, 0).int(12, 0);
    let writer = vendors(vendors(writer, consents), Vendors::Ranges(&[(1, 900)]));
    let writer = writer.int(12, restrictions.len() as u64);
    restrictions
        .iter()
        .fold(writer, |writer, &(purpose, kind, those)| ranges(writer.int(6, purpose).int(2, kind), those))
        .text()
}

/// A GPP string; each number of a section stands in its own range, as far as they are not successive.
fn gpp(sections: &[(u64, &str)]) -> String {
    let ids: Vec<u64> = sections.iter().map(|(id, _)| *id).collect();
    let groups: Vec<&[u64]> = ids.chunk_by(|one, next| one + 1 == *next).collect();
    let mut writer = Writer::default().int(6, 3).int(6, 1).int(12, groups.len() as u64);
    let mut before = 0;
    for group in groups {
        let length = group.len() as u64 - 1;
        writer = writer.int(1, (length > 0).into()).fibonacci(group[0] - before);
        writer = if length > 0 { writer.fibonacci(length) } else { writer };
        before = group[0] + length;
    }
    sections.iter().fold(writer.text(), |text, (_, section)| text + "~" + section)
}

fn consenting() -> String {
    tc(&[1], Vendors::Field(60, &[VENDOR]), &[])
}

fn tcf(text: &str) -> Option<bool> {
    tcf::allows(text, RULES.tcf_vendor_id)
}

/// Whether the section that applies is judged, and how.
fn section(id: u16, text: &str) -> Option<bool> {
    let (string, sid) = (gpp(&[(id.into(), text)]), id.to_string());
    gpp::allows(Some(&string), Some(&sid), RULES.tcf_vendor_id)
}

#[test]
fn a_tc_string_must_consent_to_purpose_1_for_the_vendor() {
    use Vendors::{Field, Ranges};
    let all: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let unrestricted: &[(u64, u64, super::tests::Ranges)] = &[];
    for (purposes, consents, restrictions, allowed) in [
        (&[1][..], Field(VENDOR, &[VENDOR]), unrestricted, true),
        (&[1], Field(800, &[1, VENDOR, 800]), unrestricted, true),
        (&[1], Field(800, &[VENDOR - 1, VENDOR + 1]), unrestricted, false),
        (&[1], Field(VENDOR - 1, &[VENDOR - 1]), unrestricted, false),
        (&[1], Field(0, &[]), unrestricted, false),
        (&[1], Ranges(&[(VENDOR, VENDOR)]), unrestricted, true),
        (&[1], Ranges(&[(2, 5), (50, 60), (800, 800)]), unrestricted, true),
        (&[1], Ranges(&[(1, VENDOR - 1), (VENDOR + 1, 900)]), unrestricted, false),
        (&[1], Ranges(&[]), unrestricted, false),
        // All purposes but the first; legitimate interest in all of them is in each string here.
        (&all[1..], Field(60, &[VENDOR]), unrestricted, false),
        (all, Field(60, &[VENDOR]), unrestricted, true),
        (&[], Field(60, &[VENDOR]), unrestricted, false),
        // Restrictions: the vendor alone, in a range; other vendors, other purposes, other types.
        (all, Field(60, &[VENDOR]), &[(1, 0, &[(VENDOR, VENDOR)])], false),
        (all, Ranges(&[(1, 900)]), &[(2, 0, &[(1, 900)]), (1, 0, &[(3, 4), (50, 52)])], false),
        (all, Ranges(&[(1, 900)]), &[(1, 0, &[(1, 51), (53, 900)])], true),
        (all, Field(60, &[VENDOR]), &[(2, 0, &[(1, 900)])], true),
        (all, Field(60, &[VENDOR]), &[(1, 1, &[(1, 900)]), (1, 2, &[(1, 900)])], true),
    ] {
        let text = tc(purposes, consents, restrictions);
        assert_eq!(tcf(&text), Some(allowed), "{text}");
        // The other segments do not matter, nor does padding.
        assert_eq!(tcf(&format!("{text}.IAAA.YAAAAAAAAAAA")), Some(allowed), "{text}");
        assert_eq!(tcf(&format!("{text}=")), Some(allowed), "{text}");
        assert_eq!(tcf::allows(&text, None), Some(false), "nobody can have consented for no vendor");
        assert_eq!(section(2, &text), Some(allowed), "in a GPP string");
    }
}

/// A string of another program, from a report about a reader that misread its restriction: purpose 1 is not allowed for
/// vendors 8 and 9. It has consents for 2, 6, 8, 9, 350 and 722, in ranges.
#[test]
fn a_restriction_is_read_as_others_write_it() {
    let text = "COwWHt-OwWHt-DNACOENAXCAANDAAEkAAAAAFpQBQABAAGgAQABIBXgFpAK_ABAK-ACCAAwAIAAk";
    let allowed: Vec<u16> =
        (1..=900).filter(|&vendor| tcf::allows(text, NonZeroU16::new(vendor)) == Some(true)).collect();
    assert_eq!(allowed, [2, 6, 350, 722]);
}

#[test]
fn a_tc_string_that_cannot_be_read_is_no_consent() {
    let whole = consenting();
    assert_eq!(tcf(&whole), Some(true));
    // The last three characters are part of the last field, the number of restrictions.
    for end in 0..whole.len() - 2 {
        assert_eq!(tcf(&whole[..end]), None, "cut at {end}");
    }
    let backwards = tc(&[1], Vendors::Ranges(&[(60, 50)]), &[]);
    let first_version = "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA";
    for text in
        ["", "!", "${GDPR_CONSENT_123}", first_version, &backwards, &format!("D{}", &whole[1..]), "\u{e9}"]
    {
        assert_eq!(tcf(text), None, "{text}");
    }
}

/// Sections from the tests of `iab_gpp`, each with all opt-outs, without any, and with Global Privacy Control alone.
#[test]
fn a_us_section_must_have_no_opt_out() {
    for (id, text, allowed) in [
        (6, "1YNN", Some(true)),
        (6, "1---", Some(true)),
        (6, "1YYN", Some(false)),
        (6, "1Y", None),
        (7, "BAAAAAAAAQA", Some(true)),
        (7, "BVVVVVVVVWA", Some(false)),
        (7, "BVQqAAAAAgA.QA", Some(true)),
        (7, "BVQqAAAAAgA.YA", Some(false)),
        (7, "CAAAAAAAAAWA.Q", Some(true)),
        (7, "DAAAAAAAAAWA.Q", None),
        (8, "BAAAAACA", Some(true)),
        (8, "BVVVVVVY", Some(false)),
        (8, "BVqqqqpY.YA", Some(false)),
        (8, "BUoAAABY", Some(true)),
        (8, "BUoAAABY.QA", Some(true)),
        (8, "BUoAAABY.YA", Some(false)),
        (9, "BAAAABA", Some(true)),
        (9, "BVVVVWY", Some(false)),
        (10, "BAAAAEA", Some(true)),
        (10, "BVVVVVg", Some(false)),
        (11, "BAAAAAQA", Some(true)),
        (11, "BVVVVVmA", Some(false)),
        (12, "BAAAAAEA", Some(true)),
        (12, "BVVVVVVg", Some(false)),
        (12, "", None),
        (7, "${US}", None),
        (7, "BVQqAAAAAgA.", None),
        // Canada, the first TCF, what is no jurisdiction, what is not known.
        (1, "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", None),
        (3, "DBAA", None),
        (5, "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", None),
        (24, "BAAAABA", None),
        (27, "BAAAABA", None),
    ] {
        assert_eq!(section(id, text), allowed, "section {id}: {text}");
    }
}

/// Each choice alone is enough, wherever the section has it. (Version, then two bits each: notices, then choices.)
#[test]
fn one_opt_out_is_enough() {
    // Section, number of notices, choices that count, total of two-bit fields after the version, those before it.
    for (id, notices, choices, fields) in [
        (7, 6, 3, 12 + 2 + 1),
        (8, 3, 2, 9 + 2 + 1),
        (9, 3, 2, 8 + 1),
        (10, 3, 2, 7 + 1),
        (11, 4, 2, 8 + 1),
        (12, 3, 2, 8 + 3),
        (13, 3, 2, 8 + 3 + 1),
        (14, 3, 2, 8 + 3 + 1),
        (15, 3, 2, 11 + 3 + 1),
        (16, 3, 2, 8 + 1 + 1),
        (17, 3, 2, 9 + 5 + 1),
        (18, 4, 2, 8 + 1),
        (19, 3, 2, 8 + 1 + 1),
        (20, 3, 2, 8 + 3 + 1),
        (21, 3, 2, 10 + 5 + 1),
        (22, 3, 2, 8 + 1 + 1),
        (23, 3, 2, 8 + 1 + 1),
    ] {
        let text = |opted_out: Option<usize>| {
            let choice = |writer: Writer, at| writer.int(2, if opted_out == Some(at) { 1 } else { 2 });
            let writer = (0..notices).fold(Writer::default().int(6, 1), |writer, _| writer.int(2, 1));
            let writer = (0..choices).fold(writer, choice);
            // Nothing else applies; then: not covered by the agreement, in no mode. Filled up to a byte.
            let writer = (0..fields).fold(writer, |writer, _| writer.int(2, 0));
            writer.int(2, 2).int(4, 0).int(8, 0).text()
        };
        assert_eq!(section(id, &text(None)), Some(true), "section {id}");
        for choice in 0..choices {
            assert_eq!(section(id, &text(Some(choice))), Some(false), "section {id}, choice {choice}");
        }
    }
}

#[test]
fn the_sections_that_apply_are_judged() {
    let (yes, no) = ("BVQqAAAAAgA.QA", "BVVVVVVVVWA");
    let (eu, not_eu) = (consenting(), tc(&[], Vendors::Field(0, &[]), &[]));
    let two = gpp(&[(2, &not_eu), (7, yes)]);
    // Three that do not follow each other, which the library reads as 2, 6 and 6.
    let three = gpp(&[(2, &eu), (6, "1YYN"), (8, "BUoAAABY")]);
    let many = gpp(&[(2, &eu), (5, "x"), (6, "1YNN"), (7, no), (8, "BUoAAABY"), (30, "?"), (900, "?")]);
    let none = "DBAA";
    for (string, sid, allowed) in [
        (Some(&*two), Some("7"), Some(true)),
        (Some(&two), Some("2"), Some(false)),
        (Some(&two), Some("7,2"), Some(false)),
        (Some(&two), Some(" 7 , -1 "), Some(true)),
        (Some(&two), Some("-1"), Some(true)),
        (Some(&two), Some(","), Some(true)),
        // Not said which: all that there are.
        (Some(&two), None, Some(false)),
        (Some(&two), Some("0"), Some(false)),
        (Some(&gpp(&[(2, &eu), (7, yes)])), None, Some(true)),
        (Some(none), None, Some(true)),
        (Some(none), Some("-1"), Some(true)),
        // One applies that is not there.
        (Some(none), Some("7"), None),
        (Some(&two), Some("7,8"), None),
        (None, Some("7"), None),
        (None, None, Some(true)),
        (None, Some("0"), Some(true)),
        (None, Some("-1"), Some(true)),
        (Some(&three), Some("2"), Some(true)),
        (Some(&three), Some("8"), Some(true)),
        (Some(&three), Some("2,8"), Some(true)),
        (Some(&three), Some("6"), Some(false)),
        (Some(&many), Some("2,6,8"), Some(true)),
        (Some(&many), Some("7"), Some(false)),
        (Some(&many), Some("5"), None),
        (Some(&many), Some("900"), None),
        // What the caller says does not apply need not be readable.
        (Some("?"), Some("-1"), Some(true)),
        (Some("?"), Some("7"), None),
        (Some("?"), None, None),
        (Some("${GPP_STRING_123}"), Some("${GPP_SID}"), None),
        (None, Some("${GPP_SID}"), None),
        (Some(&two), Some("seven"), None),
        (Some(&two), Some("70000"), None),
        (Some(&two), Some("-7"), None),
        // The header: too few and too many sections, another type, another version, a TC string.
        (Some(&format!("{two}~x")), Some("7"), None),
        (Some(two.rsplit_once('~').unwrap().0), Some("7"), None),
        (Some(&format!("C{}", &two[1..])), Some("7"), None),
        (Some(&format!("DC{}", &two[2..])), Some("7"), None),
        (Some(&eu), Some("2"), None),
    ] {
        assert_eq!(gpp::allows(string, sid, RULES.tcf_vendor_id), allowed, "{string:?} {sid:?}");
    }
}

#[test]
fn any_refusal_counts() {
    let (consents, denies) = (consenting(), tc(&[1], Vendors::Field(60, &[]), &[]));
    let (free, opted_out) = (gpp(&[(7, "BVQqAAAAAgA.QA")]), gpp(&[(7, "BVVVVVVVVWA")]));
    let long = format!("{consents}.{}", "A".repeat(MAX_STRING_BYTES));
    let signals = |gpc, us_privacy, gdpr, gdpr_consent, gpp, gpp_sid| Signals {
        gpc,
        us_privacy: Some(us_privacy),
        gdpr: Some(gdpr),
        gdpr_consent: Some(gdpr_consent),
        gpp: Some(gpp),
        gpp_sid: Some(gpp_sid),
    };
    let gpc = Some(Refusal::GlobalPrivacyControl);
    let (us, eu, platform) = (Some(Refusal::UsPrivacy), Some(Refusal::Gdpr), Some(Refusal::Gpp));
    let table = [
        (Signals::default(), None),
        (signals(false, "", "", "", "", ""), None),
        (signals(false, " ", " ", " ", " ", " "), None),
        (signals(true, "", "", "", "", ""), gpc),
        (signals(false, "1YYN", "", "", "", ""), us),
        (signals(false, "1-Y-", "", "", "", ""), us),
        (signals(false, " 1YNN ", "", "", "", ""), None),
        (signals(false, "1---", "", "", "", ""), None),
        (signals(false, "1YN", "", "", "", ""), us),
        (signals(false, "1YNNN", "", "", "", ""), us),
        (signals(false, "1ynn", "", "", "", ""), us),
        (signals(false, "2YNN", "", "", "", ""), us),
        (signals(false, "${US_PRIVACY}", "", "", "", ""), us),
        (signals(false, "", "1", "", "", ""), eu),
        (signals(false, "", "1", &denies, "", ""), eu),
        (signals(false, "", "1", &consents, "", ""), None),
        (signals(false, "", " 1 ", &consents, "", ""), None),
        (signals(false, "", "1", "${GDPR_CONSENT_123}", "", ""), eu),
        (signals(false, "", "1", &long, "", ""), eu),
        // It is not said to apply.
        (signals(false, "", "0", &denies, "", ""), None),
        (signals(false, "", "0", "?", "", ""), None),
        (signals(false, "", "", &denies, "", ""), None),
        // Neither 0 nor 1: it may apply, so the string decides.
        (signals(false, "", "${GDPR}", &consents, "", ""), None),
        (signals(false, "", "${GDPR}", "${GDPR_CONSENT_123}", "", ""), eu),
        (signals(false, "", "true", "", "", ""), eu),
        (signals(false, "", "00", &denies, "", ""), eu),
        (signals(false, "", "", "", &opted_out, "7"), platform),
        (signals(false, "", "", "", &free, "7"), None),
        (signals(false, "", "", "", &long, "7"), platform),
        // Together.
        (signals(false, "1YNN", "1", &consents, &free, "7"), None),
        (signals(false, "1YNN", "1", &consents, &free, "-1"), None),
        (signals(true, "1YNN", "1", &consents, &free, "7"), gpc),
        (signals(false, "1YYN", "1", &consents, &free, "7"), us),
        (signals(false, "1YNN", "1", &denies, &free, "7"), eu),
        (signals(false, "1YNN", "1", &consents, &opted_out, "7"), platform),
        (signals(false, "1YNN", "0", &denies, &opted_out, "7"), platform),
        (signals(true, "1YYN", "1", &denies, &opted_out, "7"), gpc),
    ];
    for (signals, refusal) in table {
        assert_eq!(RULES.refusal(&signals), refusal, "{signals:?}");
        let off = ConsentRules { gpc: false, us_privacy: false, gdpr: false, gpp: false, ..RULES };
        assert_eq!(off.refusal(&signals), None, "switched off");
        // Each alone switched off leaves the others.
        let all = signals;
        for (rules, without) in [
            (ConsentRules { gpc: false, ..RULES }, Signals { gpc: false, ..all }),
            (ConsentRules { us_privacy: false, ..RULES }, Signals { us_privacy: None, ..all }),
            (ConsentRules { gdpr: false, ..RULES }, Signals { gdpr: None, ..all }),
            (ConsentRules { gpp: false, ..RULES }, Signals { gpp: None, gpp_sid: None, ..all }),
        ] {
            assert_eq!(rules.refusal(&signals), RULES.refusal(&without), "{rules:?} {signals:?}");
        }
    }
    let nobody = ConsentRules { tcf_vendor_id: None, ..RULES };
    assert_eq!(nobody.refusal(&signals(false, "", "1", &consents, "", "")), eu, "no vendor is configured");
    assert_eq!(nobody.refusal(&signals(false, "", "0", &consents, "", "")), None);
}

/// Nobody may make the server work for long with one call: the most expensive strings that fit.
#[test]
fn the_work_is_bounded_by_the_length() {
    let all = [(0, u16::MAX)].repeat(1400);
    let expensive = tc(&[1], Vendors::Ranges(&all), &[(1, 0, &[])]);
    assert!((5000..MAX_STRING_BYTES).contains(&expensive.len()));
    assert_eq!(tcf(&expensive), Some(true));
    // A header that lists the most sections in a few characters.
    let header =
        Writer::default().int(6, 3).int(6, 1).int(12, 1).int(1, 1).fibonacci(1).fibonacci(60_000).text();
    assert_eq!(gpp::allows(Some(&header), None, None), None);
    let beyond = Writer::default().int(6, 3).int(6, 1).int(12, 1).int(1, 0).fibonacci(70_000).text();
    assert_eq!(gpp::allows(Some(&format!("{beyond}~x")), None, None), None);
}

proptest! {
    /// Random texts and strings with random damage: an answer, never a panic.
    #[test]
    fn noise_is_no_panic(
        noise in "\\PC{0,80}",
        letters in "[A-D][A-Za-z0-9_.~-]{0,120}",
        (ids, at, with) in (proptest::collection::btree_set(1u64..40, 0..6), any::<u16>(), "[A-Za-z0-9_.~-]"),
        section in "B[A-Za-z0-9_-]{6,14}(\\.[A-Za-z0-9_-]{0,3}){0,2}",
        sid in "[0-9,-]{0,12}",
    ) {
        let sections: Vec<(u64, &str)> = ids.iter().map(|&id| (id, &*section)).collect();
        for whole in [consenting(), gpp(&sections), letters, noise] {
            let mut damaged: Vec<char> = whole.chars().collect();
            let at = usize::from(at) % (damaged.len() + 1);
            damaged.splice(at..(at + 1).min(damaged.len()), with.chars());
            for text in [damaged.into_iter().collect(), whole] {
                let text: String = text;
                let all = Signals { gpc: false, us_privacy: Some(&text), gdpr: Some(&text), gdpr_consent: Some(&text),
                    gpp: Some(&text), gpp_sid: Some(&sid) };
                let _ = RULES.refusal(&all);
                let _ = RULES.refusal(&Signals { us_privacy: None, gdpr: None, ..all });
                let _ = RULES.refusal(&Signals { us_privacy: None, gdpr: Some("1"), ..all });
                for id in 0..40 {
                    let _ = us::allows(id, &text);
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        purposes in proptest::collection::btree_set(1u64..=24, 0..24),
        those in proptest::collection::btree_set(1u16..=200, 0..30),
        restricted in proptest::collection::btree_set(40u16..=60, 0..10),
        (purpose, kind, in_ranges) in (1u64..3, 0u64..3, any::<bool>()),
    ) {
        let purposes: Vec<u64> = purposes.into_iter().collect();
        let list: Vec<u16> = those.iter().copied().collect();
        let singles = |ids: &std::collections::BTreeSet<u16>| ids.iter().map(|&id| (id, id)).collect::<Vec<_>>();
        let as_ranges = singles(&those);
        let consents = if in_ranges { Vendors::Ranges(&as_ranges) } else { Vendors::Field(200, &list) };
        let text = tc(&purposes, consents, &[(purpose, kind, &singles(&restricted))]);
        let is_restricted = purpose == 1 && kind == 0 && restricted.contains(&VENDOR);
        let expected = purposes.contains(&1) && those.contains(&VENDOR) && !is_restricted;
        prop_assert_eq!(tcf(&text), Some(expected));
    }
}
