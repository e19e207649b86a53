//! Makes log files from the bytes of an input: a small language, because random bytes never match a checksum.
//!
//! Each file is a header and a run of items: records and marks, sound or with one fault, zeros, and raw bytes.
//! Then bytes are flipped, and files cut.

/// Reads the input; after its end every byte is zero.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

/// A file that grows.
struct File {
    content: Vec<u8>,
    seed: u32,
    previous: u32,
    position: u64,
    index: u32,
}

/// The files by the first positions in their names, which rise.
pub(super) fn files(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut input = Input(input);
    let shape = input.byte();
    let mut files = Vec::new();
    let mut position = 1 + u64::from(shape >> 6);
    for salt in 0..=shape & 3 {
        let (name, content, next) = file(&mut input, position, salt, shape & 4 != 0);
        files.push((name, content));
        position = next;
    }
    files.sort();
    files.dedup_by_key(|(name, _)| *name);
    spoil(&mut input, &mut files);
    files
}

fn file(input: &mut Input<'_>, first: u64, salt: u8, has_odd_header: bool) -> (u64, Vec<u8>, u64) {
    let odd = if has_odd_header { input.byte() } else { 0 };
    let name = if odd & 1 == 1 { first + 1 } else { first };
    let version = if odd & 2 == 2 { u32::from(odd >> 4) } else { 1 };
    let mut content = b"IA-LOG\r\n".to_vec();
    content.extend(version.to_le_bytes());
    content.extend([0; 4]);
    content.extend(first.to_le_bytes());
    content.extend([salt; 8]);
    let seed = crc32c::crc32c_append(crc32c::crc32c(&content[..12]), &content[16..32]);
    content[12..16].copy_from_slice(&seed.to_le_bytes());
    let mut file = File { content, seed, previous: seed, position: first, index: 0 };
    while !input.is_empty() {
        let item = input.byte();
        let spoiled = item >> 4;
        match item & 15 {
            0..=5 => file.record(input, spoiled, item & 1 == 0),
            6 | 7 => file.frame(u32::MAX, &[], spoiled),
            8 | 9 => {
                file.frame(u32::MAX - 1, &[], spoiled);
                break;
            }
            10 | 11 => file.content.extend(vec![0; usize::from(input.byte())]),
            12 => {
                let length = usize::from(input.byte() & 63);
                file.content.extend(input.bytes(length));
            }
            // The next write overwrites the mark.
            13 => file.take_mark_back(),
            _ => break,
        }
    }
    (name, file.content, file.position)
}

impl File {
    fn record(&mut self, input: &mut Input<'_>, spoiled: u8, begins_a_write: bool) {
        self.index = if begins_a_write { 0 } else { self.index + 1 };
        let length = input.byte();
        let mut payload = input.bytes(usize::from(length & 15));
        payload.resize(usize::from(length), length);
        self.frame(u32::from(length), &payload, spoiled);
    }

    /// A frame; `spoiled` picks its fault.
    fn frame(&mut self, length: u32, payload: &[u8], spoiled: u8) {
        let is_record = length < u32::MAX - 1;
        let position = match spoiled {
            1 => self.position + 1,
            2 => self.position.saturating_sub(1),
            3 => self.position + 1000,
            _ => self.position,
        };
        let index = match (is_record, spoiled) {
            (_, 4) => self.index + 1,
            (_, 5) => u32::MAX,
            (true, _) => self.index,
            (false, _) => 0,
        };
        let link = if spoiled == 6 { self.previous ^ 1 } else { self.previous };
        let length = if spoiled == 7 { length ^ 0x1_0000 } else { length };
        let mut frame = vec![0; 4];
        frame.extend(length.to_le_bytes());
        frame.extend(position.to_le_bytes());
        frame.extend(index.to_le_bytes());
        frame.extend(link.to_le_bytes());
        frame.extend(payload);
        let checksum = crc32c::crc32c_append(self.seed, &frame[4..]) ^ u32::from(spoiled == 8);
        frame[..4].copy_from_slice(&checksum.to_le_bytes());
        self.content.extend(frame);
        if is_record {
            self.previous = checksum;
            self.position += 1;
        }
    }

    fn take_mark_back(&mut self) {
        let start = self.content.len().saturating_sub(24);
        if start >= 32 && self.content[start + 4..start + 8] == [0xff; 4] {
            self.content.truncate(start);
        }
    }
}

/// Flips bytes and cuts files, as the rest of the input says.
fn spoil(input: &mut Input<'_>, files: &mut [(u64, Vec<u8>)]) {
    let mut spoiled = 0;
    while !input.is_empty() && spoiled < 4 {
        spoiled += 1;
        let (which, how) = (input.byte(), input.byte());
        let at = usize::from(input.byte()) | usize::from(which >> 4) << 8;
        let file_count = files.len();
        let content = &mut files[usize::from(which & 3) % file_count].1;
        if content.is_empty() {
            continue;
        }
        let at = at % content.len();
        match how & 3 {
            0 => content.truncate(at),
            1 => content[at] ^= how | 4,
            2 => content[at..].fill(0),
            _ => {
                let end = content.len().min(at + usize::from(how >> 2));
                content[at..end].fill(0);
            }
        }
    }
}
