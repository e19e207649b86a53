//! The opening of a log by the words of `docs/FORMAT.md`, as simple as can be. It shares no code with the real one.

use super::Records;

/// A frame that fits its file and whose checksum matches.
struct Frame<'a> {
    length: u32,
    position: u64,
    index: u32,
    link: u32,
    checksum: u32,
    payload: &'a [u8],
    bytes: usize,
}

const MARK: u32 = u32::MAX;
const SEALING_MARK: u32 = u32::MAX - 1;
const MAX_LENGTH: u32 = 0xffff_ff00;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn frame_at(content: &[u8], seed: u32, at: usize) -> Option<Frame<'_>> {
    let rest = content.get(at..)?;
    if rest.len() < 24 {
        return None;
    }
    let length = u32_at(rest, 4);
    let payload_bytes = match length {
        MARK | SEALING_MARK => 0,
        0..=MAX_LENGTH => length as usize,
        _ => return None,
    };
    let payload = rest.get(24..24 + payload_bytes)?;
    let checksum = u32_at(rest, 0);
    if crc32c::crc32c_append(seed, &rest[4..24 + payload_bytes]) != checksum {
        return None;
    }
    let (position, index, link) = (u64_at(rest, 8), u32_at(rest, 16), u32_at(rest, 20));
    Some(Frame { length, position, index, link, checksum, payload, bytes: 24 + payload_bytes })
}

/// The result of a walk over a file.
struct Walked {
    records: Records,
    stop: usize,
    next_position: u64,
    stopped_at: Option<u32>,
    seed: u32,
}

fn walk(name: u64, content: &[u8]) -> Result<Walked, &'static str> {
    let header = content.get(..32).ok_or("a header that is cut short")?;
    if header[..8] != *b"IA-LOG\r\n" || u32_at(header, 8) != 1 {
        return Err("no header of version 1");
    }
    let seed = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..32]);
    if u32_at(header, 12) != seed || u64_at(header, 16) != name {
        return Err("a header that is not valid here");
    }
    let mut walked = Walked { records: Vec::new(), stop: 32, next_position: name, stopped_at: None, seed };
    let mut link = seed;
    while let Some(frame) = frame_at(content, seed, walked.stop) {
        // A frame's header is never all zeros, even with a matching checksum.
        let is_zero = content[walked.stop..walked.stop + 24].iter().all(|&byte| byte == 0);
        if is_zero || frame.position != walked.next_position || frame.link != link {
            break;
        }
        if frame.length == MARK || frame.length == SEALING_MARK {
            walked.stopped_at = Some(frame.length);
            break;
        }
        walked.records.push((frame.position, frame.payload.to_vec()));
        link = frame.checksum;
        walked.stop += frame.bytes;
        walked.next_position += 1;
    }
    Ok(walked)
}

/// The records that an opening must serve, or the reason why it must refuse.
pub(super) fn open(files: &[(u64, Vec<u8>)]) -> Result<Records, &'static str> {
    let Some((newest, older)) = files.split_last() else { return Ok(Vec::new()) };
    let last = walk(newest.0, &newest.1);
    let mut records = Vec::new();
    for (index, (name, content)) in older.iter().enumerate() {
        let walked = walk(*name, content)?;
        let next_name = files[index + 1].0;
        if walked.next_position != next_name {
            return Err("an older file that does not reach up to the next");
        }
        let next_is_newest_and_empty =
            index + 1 == older.len() && last.as_ref().is_ok_and(|last| last.records.is_empty());
        if walked.stopped_at != Some(SEALING_MARK) && !next_is_newest_and_empty {
            return Err("an older file without a sealing mark");
        }
        records.extend(walked.records);
    }
    let last = last?;
    if last.stopped_at == Some(SEALING_MARK) {
        return Err("a newest file with a sealing mark");
    }
    let proves = |at| {
        let frame = frame_at(&newest.1, last.seed, at);
        frame.is_some_and(|frame| {
            // A mark proves all before its position; so does a record, but for those of its own write.
            frame.position.saturating_sub(u64::from(frame.index)) > last.next_position
                // No file holds more records than bytes.
                && frame.position <= last.next_position.saturating_add(newest.1.len() as u64)
        })
    };
    if (last.stop..newest.1.len()).any(proves) {
        return Err("a record that was flushed and is not there");
    }
    records.extend(last.records);
    Ok(records)
}
