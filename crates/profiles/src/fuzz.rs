//! The fuzz targets of this crate (`fuzz/`), which panic where a promise about arbitrary bytes is broken.

use crate::codec;
use crate::membership::{Edit, Merger, sorted};
use crate::{Membership, MemoryProfiles, Profiles, links, merging, page};
use ia_model::{
    Batch, Change, Domain, Erase, ErasedSegments, Expiry, Ingest, MemberId, Minute, Operation, Record,
    SegmentId, UserKey, varint,
};

/// Reads an input; after its end all is zero.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> u32 {
        varint::read_u32(&mut self.0).unwrap_or_else(|| self.byte().into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A blob of the store, then operations on its profile, if it has one.
pub fn profile(input: &[u8]) {
    let Some((&blob_bytes, rest)) = input.split_first() else { return };
    let (blob, rest) = rest.split_at(usize::from(blob_bytes).min(rest.len()));
    let mut entries = Vec::new();
    let _ = codec::unpack(blob, &mut entries);
    check_links(blob);
    let reference = MemoryProfiles::new(0);
    let user = UserKey::platform(1).expect("not 0");
    let mut packed = Vec::new();
    if codec::read_blob(blob, Domain::Platform, &mut entries).is_ok() {
        check_profile(&entries);
        packed = blob[1..].to_vec();
        reference.put(&user, &entries);
    }
    change(&mut Input(rest), packed, &reference, &user);
}

/// Bytes that are not links are refused, and links have one form.
fn check_links(blob: &[u8]) {
    let Ok(links) = links::read_blob(blob) else { return };
    let mut again = vec![links::LINKS_FORMAT_VERSION];
    links::pack(&links, &mut again);
    assert_eq!(links::read_blob(&again).expect("what was packed here"), links);
    assert!(again == blob || blob[0] == 1, "links have one form in a version");
    let mut merged = links.clone();
    for link in links.iter().filter(|(_, end)| end.0 > 0) {
        links::merge(&mut merged, std::slice::from_ref(link), Minute(0), links.len());
    }
    assert!(
        merged.iter().eq(links.iter().filter(|(_, end)| end.0 > 0)),
        "to link again in order changes nothing"
    );
}

/// Changes a profile again and again, in both ways, with and without unpacking it, and compares each with the
/// reference.
fn change(input: &mut Input<'_>, mut packed: Vec<u8>, reference: &MemoryProfiles, user: &UserKey) {
    let (mut merger, mut room) = (Merger::default(), Vec::new());
    let mut seen = if packed.is_empty() { 1000 } else { codec_base(&packed) };
    while !input.is_empty() {
        let how = input.byte();
        seen = match how & 7 {
            0 => input.number(),
            7 => seen.saturating_sub(input.number()),
            later => seen.saturating_add(u32::from(later) - 1),
        };
        let now = Minute(seen);
        let operations: Vec<_> = (0..how >> 4).map(|_| operation(input, seen)).collect();
        let erased = ErasedSegments::Only(operations.iter().map(|operation| operation.segment).collect());
        let edit = match how & 8 {
            // Such a user is left out of the edits.
            0 if operations.is_empty() => continue,
            0 => Edit::Operations(&operations),
            _ if operations.is_empty() => Edit::Erase(&ErasedSegments::All),
            _ => Edit::Erase(&erased),
        };
        merger.read(&packed).expect("what was packed here");
        let applied = merger.merge(edit, now);
        let mut merged = Vec::new();
        if !merger.after.is_empty() {
            codec::pack(&merger.after, &mut merged);
        }
        check_profile(&merger.after);
        let expected = reference.apply(0, &record(now, user.clone(), edit)).expect("memory");
        assert_eq!(expected, applied);
        let visible = merger.after.iter().filter_map(|entry| entry.visible(now)).collect();
        assert_eq!(reference.get(user, now), Some(visible));
        let later: Vec<_> = merger.after.iter().filter_map(|entry| entry.later(now)).collect();
        assert_eq!(reference.load_later(user, now).expect("memory"), later);
        if let Edit::Operations(operations) = edit {
            let operations = sorted(operations, now).into_iter();
            let merged_bytes = merging::merge(&packed, operations, now, &mut room);
            if let Some((length, done)) = merged_bytes.expect("what was packed here") {
                assert_eq!(done, applied);
                assert_eq!(room[..length], merged, "both ways lead to the same bytes");
            }
        }
        packed = merged;
    }
}

fn codec_base(packed: &[u8]) -> u32 {
    varint::read_u32(&mut &*packed).expect("a packed profile begins with its base")
}

fn operation(input: &mut Input<'_>, seen: u32) -> Operation {
    let what = input.byte();
    let segment = SegmentId(if what & 1 == 0 { u32::from(what >> 4) + 1 } else { input.number().max(1) });
    let expires = match what >> 1 & 3 {
        0 => Expiry::Never,
        1 => Expiry::At(Minute(seen.saturating_add(60))),
        2 => Expiry::At(Minute(seen.saturating_add(input.number()))),
        _ => Expiry::At(Minute(input.number())),
    };
    let value = if what & 8 == 0 { 1 } else { input.number() };
    let change = match what & 0xf {
        0xf => Change::Remove,
        0xd => Change::AddLater { begins: Minute(seen.saturating_add(input.number())), expires, value },
        _ => Change::Add { expires, value },
    };
    Operation { segment, change }
}

/// A profile is read as it was written, and has one packed form.
fn check_profile(entries: &[Membership]) {
    assert!(entries.is_sorted_by(|one, next| one.segment < next.segment));
    if entries.is_empty() {
        return;
    }
    let mut packed = Vec::new();
    codec::pack(entries, &mut packed);
    let blob = [&[codec::version_of(&packed)], packed.as_slice()].concat();
    let mut again = Vec::new();
    codec::read_blob(&blob, Domain::Platform, &mut again).expect("what was packed here");
    assert_eq!(again, entries);
}

fn record(now: Minute, user: UserKey, edit: Edit<'_>) -> Record {
    let accepted_at_ms = now.unix_ms();
    match edit {
        Edit::Erase(segments) => {
            Record::Erase(Erase { accepted_at_ms, user, segments: segments.clone(), member: None })
        }
        Edit::Operations(operations) => {
            let mut batch = Batch::default();
            batch.push(user, operations.iter().copied());
            let (member, request_id, usage) = (MemberId(1), String::new(), Default::default());
            Record::Ingest(Box::new(Ingest { accepted_at_ms, member, request_id, batch, usage, file: None }))
        }
    }
}

/// A record that the page should hold.
struct Known {
    key: UserKey,
    tag: u8,
    state: u16,
    content: Vec<u8>,
}

/// Calls on a page, compared with a list of its records.
pub fn page(input: &[u8]) {
    let mut input = Input(input);
    let mut slot = vec![0; 1 << 18];
    slot[..page::HEAD_BYTES].copy_from_slice(&page::empty(7));
    let mut known: Vec<Known> = Vec::new();
    while !input.is_empty() && known.len() < 60 {
        let (what, user) = (input.byte(), input.byte());
        let key = match (user & 1, user >> 5) {
            (0, 0) => UserKey::external(MemberId(7), &"x".repeat(usize::from(user) + 1)).expect("not empty"),
            (0, _) => UserKey::platform(u64::from(user) + 1).expect("not 0"),
            _ => UserKey::parse(Domain::Idfa, &format!("{user:032x}")).expect("32 digits"),
        };
        // Many users share a tag.
        let tag = user & 3;
        let place = page::find(&slot, tag, key.as_bytes());
        let index = known.iter().position(|record| record.key == key);
        assert_eq!(place.map(page::Place::index), index);
        let state = u16::from(what >> 4) << 12;
        let length = usize::from(input.byte()) << (what >> 2 & 3);
        let content = vec![input.byte(); length];
        match (what & 3, place, index) {
            (3, Some(place), Some(index)) => {
                page::remove(&mut slot, place);
                known.remove(index);
            }
            (2, Some(place), Some(index)) => {
                page::set_state(&mut slot, place, state);
                let record = &mut known[index];
                record.state = (record.state & page::LARGE) | (state & !page::LARGE);
            }
            (2.., ..) => {
                let mut selected = Vec::new();
                page::select(&slot, 9, |place| place.index() % 2 == usize::from(user & 1), &mut selected);
                let kept = known.iter().enumerate().filter(|(index, _)| index % 2 == usize::from(user & 1));
                check_page(&selected, 9, kept.map(|(_, record)| record));
            }
            (_, Some(place), Some(index)) => {
                page::replace(&mut slot, place, state, key.as_bytes().len(), &content);
                (known[index].state, known[index].content) = (state, content);
            }
            _ => {
                page::insert(&mut slot, tag, state, key.as_bytes(), &content);
                known.push(Known { key, tag, state, content });
            }
        }
        check_page(&slot, 7, known.iter());
    }
}

fn check_page<'a>(page: &[u8], number: usize, known: impl Iterator<Item = &'a Known>) {
    assert_eq!(page::number(page), number);
    let mut used = page::HEAD_BYTES;
    let mut places = page::places(page);
    for record in known {
        let place = places.next().expect("a record");
        let (key, content) = page::split(place.record(page));
        assert_eq!(key, record.key.as_bytes());
        assert_eq!(content, record.content);
        assert_eq!(place.state(), record.state);
        let found = page::find(page, record.tag, key).expect("it is there");
        assert_eq!((found.index(), found.len()), (place.index(), place.len()));
        assert!(page::find_tag(page, record.tag) < page::used(page));
        used += page::ENTRY_BYTES + place.len();
    }
    assert!(places.next().is_none());
    assert_eq!(page::used(page), used);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::fuzz::replay;

    #[test]
    fn kept_inputs_hold() {
        replay("profile", profile);
        replay("page", page);
    }
}
