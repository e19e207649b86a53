//! The fuzz targets of this crate (`fuzz/`), which panic where a promise about arbitrary bytes is broken.

use crate::{Domain, MemberId, Record, UserKey, is_source};

const DOMAINS: [&str; 10] =
    ["idfa", "aaid", "sha1udid", "md5udid", "openudid", "windowsadid", "rida", "tifa", "vida", "lgudid"];

/// The first byte picks the domain; the rest is read as an id on the wire, and as an encoded key.
pub fn user(input: &[u8]) {
    let Some((&pick, rest)) = input.split_first() else { return };
    let name = usize::from(pick).checked_sub(1).map(|index| DOMAINS[index % DOMAINS.len()]);
    let domain = name.map_or(Domain::Platform, |name| Domain::from_name(name).expect("a domain"));
    if let Ok(text) = std::str::from_utf8(rest) {
        let parsed = UserKey::parse(domain, text).ok();
        assert_eq!(parsed.as_ref().map(|key| key.as_bytes().to_vec()), expected_key(domain, name, text));
        if let Some(key) = parsed {
            check_key(&key);
            assert_eq!(key.domain(), domain);
        }
        check_external(MemberId(u32::from(pick) << 24 | 958), text);
        let (source, id) = text.split_once([':', '\n']).unwrap_or((text, "x"));
        check_extended(source, id);
        if let Some(source) = Domain::source_in(text) {
            assert_eq!(Domain::from_name(text), None);
            check_extended(source, "x");
        }
        if let Some(named) = Domain::from_name(text) {
            let name = text.trim().to_ascii_lowercase();
            assert!(named.name() == Some(&*name) || name == "sh1udid");
        }
    }
    for bytes in [rest, input] {
        if let Ok(key) = UserKey::from_bytes(bytes) {
            assert_eq!(key.as_bytes(), bytes);
            check_key(&key);
        }
        if let Some((key, after)) = UserKey::split_encoded(bytes) {
            let is_text = [Domain::External as u8, Domain::Extended as u8].contains(&key[0]);
            assert!(UserKey::from_bytes(key).is_ok() || is_text || key == [1, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!([key, after].concat(), bytes);
        }
    }
}

fn check_key(key: &UserKey) {
    let spelled = key.id();
    assert_eq!(UserKey::from_bytes(key.as_bytes()).as_ref(), Ok(key));
    if let Some(member) = key.namespace() {
        // A stored id can have white space around, which the wire no longer has.
        return check_external(member, &spelled);
    }
    if let Some(source) = key.source() {
        assert_eq!(UserKey::extended(source, &spelled).as_ref(), Ok(key), "its own spelling");
        let name = key.domain_name().expect("the name of a source");
        assert_eq!(Domain::source_in(&name.to_uppercase()), Some(source.to_uppercase().as_str()));
        return check_extended(source, &spelled);
    }
    assert_eq!(UserKey::parse(key.domain(), &spelled).as_ref(), Ok(key), "its own spelling");
    if key.domain() != Domain::Platform {
        assert_eq!(UserKey::parse(key.domain(), &spelled.to_uppercase()).as_ref(), Ok(key), "case");
    }
}

fn check_external(member: MemberId, text: &str) {
    let text = text.trim();
    let has_room = (1..=255).contains(&text.len());
    let is_plain = !text.chars().any(|letter| matches!(u32::from(letter), 0..=0x1f | 0x7f..=0x9f));
    let Ok(key) = UserKey::external(member, text) else { return assert!(!(has_room && is_plain)) };
    assert!(has_room && is_plain);
    let written = [&[12], &member.0.to_be_bytes()[..], &[text.len() as u8], text.as_bytes()].concat();
    assert_eq!(key.as_bytes(), written);
    assert_eq!((key.namespace(), key.id().as_str()), (Some(member), text));
    assert_eq!(
        UserKey::split_encoded(&[written.as_slice(), b"more"].concat()),
        Some((&written[..], &b"more"[..]))
    );
}

fn check_extended(source: &str, text: &str) {
    let (source, text) = (source.trim(), text.trim());
    let is_plain = !text.chars().any(|letter| matches!(u32::from(letter), 0..=0x1f | 0x7f..=0x9f));
    let is_id = (1..=255).contains(&text.len()) && is_plain;
    let has_name = (1..=255).contains(&source.len())
        && source.chars().all(|letter| matches!(letter, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_'));
    assert_eq!(is_source(source), has_name);
    let Ok(key) = UserKey::extended(source, text) else { return assert!(!(is_id && has_name)) };
    assert!(is_id && has_name);
    let lower = source.to_lowercase();
    let lengths = [lower.len() as u8, text.len() as u8];
    let written = [&[13, lengths[0]], lower.as_bytes(), &[lengths[1]], text.as_bytes()].concat();
    assert_eq!(key.as_bytes(), written);
    assert_eq!((key.source(), key.id().as_str()), (Some(lower.as_str()), text));
    assert_eq!(UserKey::from_bytes(&written).as_ref(), Ok(&key));
}

/// The key by the words of the contract, computed in another way.
fn expected_key(domain: Domain, name: Option<&str>, text: &str) -> Option<Vec<u8>> {
    let tag = vec![domain as u8];
    let text = text.trim();
    let Some(name) = name else {
        let digits = text.trim_start_matches('0');
        let is_number = !text.is_empty() && text.chars().all(|digit| "0123456789".contains(digit));
        if !is_number || digits.is_empty() || digits.len() > 20 {
            return None;
        }
        let number: u128 = digits.chars().fold(0, |sum, digit| 10 * sum + u128::from(digit as u8 - b'0'));
        let id = u64::try_from(number).ok()?;
        return Some([tag, id.to_be_bytes().to_vec()].concat());
    };
    let digits = match name {
        "sha1udid" | "openudid" => 40,
        _ => 32,
    };
    let is_uuid = !matches!(name, "sha1udid" | "openudid" | "md5udid");
    let is_braced = is_uuid && text.starts_with('{') && text.ends_with('}') && text.len() > 1;
    let text = if is_braced { &text[1..text.len() - 1] } else { text };
    let text: String = text.chars().filter(|&letter| !is_uuid || letter != '-').collect();
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16));
    Some([tag, pairs.collect::<Result<Vec<u8>, _>>().ok()?].concat())
}

/// A payload of the log.
pub fn record(input: &[u8]) {
    let Ok(record) = Record::decode(input) else { return };
    let payload = record.encode();
    assert!(payload.len() <= input.len(), "the written form is the shortest that is read");
    assert_eq!(Record::decode(&payload).as_ref(), Ok(&record));
    if let Record::Ingest(ingest) = &record {
        assert_eq!(ingest.encode(), payload);
        let runs: usize = ingest.batch.iter().map(|(_, operations)| operations.len()).sum();
        assert_eq!(runs, ingest.batch.operations().len());
        assert_eq!(ingest.batch.iter().len(), ingest.batch.users());
    }
    // Every byte is accounted for.
    assert!(Record::decode(&[payload.as_slice(), &[0]].concat()).is_err());
    assert!(Record::decode(&payload[..payload.len() - 1]).is_err());
}

/// Variants of each kept input that [`replay`] tries.
const VARIANTS: u64 = 200;

/// Checks all inputs kept for a target of this crate or one above it (seeds and past failures), and variants of each,
/// the same in every run.
///
/// # Panics
///
/// Where an input fails, and where none is kept.
pub fn replay(target: &str, check: fn(&[u8])) {
    let mut replayed = 0;
    for kept in ["seeds", "regressions"] {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(kept).join(target);
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            check(&input);
            for number in 0..VARIANTS {
                let variant = variant(&input, number);
                let outcome = std::panic::catch_unwind(|| check(&variant));
                assert!(outcome.is_ok(), "{target} fails for {variant:?}");
            }
            replayed += 1;
        }
    }
    assert!(replayed > 0, "no input is kept for {target}");
}

/// An input with one to four edits: a bit flipped, a byte replaced, a part left out, repeated, or cut off.
fn variant(input: &[u8], number: u64) -> Vec<u8> {
    let mut state =
        input.iter().fold(number, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = |below: usize| {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    };
    let mut bytes = input.to_vec();
    for _ in 0..=random(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random(bytes.len());
        let end = at + 1 + random((bytes.len() - at).min(16));
        match random(5) {
            0 => bytes[at] ^= 1 << random(8),
            1 => bytes[at] = [0, 0xff, b'"', b'\\', b'0', b'-', b'\n', b':'][random(8)],
            2 => drop(bytes.drain(at..end.min(bytes.len()))),
            3 => {
                let part = bytes[at..end.min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_inputs_hold() {
        replay("user", user);
        replay("record", record);
    }
}
