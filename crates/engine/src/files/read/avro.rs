//! Avro object container files.
//!
//! The schema in the head of a file becomes a plan once: which of its values are asked for, and which are passed over.
//! Records are then read by the plan, straight from the bytes of a block. The format is that of the Apache Avro
//! specification 1.12; what a record means is in `docs/API.md`.

mod container;
mod cursor;
mod entry;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod plan;
mod schema;
mod skip;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "fuzz"))]
mod writer;

use super::{EntrySink, FileBlock, FileFault, FileReader, FileUser};
use container::{Container, Head};
use cursor::Cursor;
use entry::{Entries, Shown};
use plan::Plan;
use schema::Schema;
use std::fmt;
use std::io::BufRead;

/// The first bytes of a file.
pub(super) const MAGIC: [u8; 4] = container::MAGIC;

/// What a file may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In all blocks together, unpacked.
    pub(crate) max_decoded_bytes: u64,
    /// In a block, unpacked. A reader keeps up to three times as many in memory.
    pub(crate) max_block_bytes: usize,
    /// In an entry; one with more is a format fault.
    pub(crate) max_segments: usize,
}

impl Limits {
    /// Libraries write blocks of 16 KB to 1 MB unless they are told otherwise.
    pub(crate) const MAX_BLOCK_BYTES: usize = 16 << 20;
}

/// A reader of the file, behind its head.
///
/// # Errors
///
/// Where the head cannot be read, the codec is not supported, or the schema has no users with segments.
pub(crate) fn open(input: Box<dyn BufRead + Send>, limits: Limits) -> Result<Box<dyn FileReader>, FileFault> {
    Ok(Box::new(AvroReader::open(input, limits)?))
}

/// Reads the file to its end. Returns how many entries it has.
///
/// # Errors
///
/// Where a reader of it would fail.
pub(crate) fn check(input: Box<dyn BufRead + Send>, limits: Limits) -> Result<u64, FileFault> {
    let mut reader = AvroReader::open(input, limits)?;
    let mut entries = 0;
    loop {
        match reader.read(usize::MAX, &mut Nowhere)? {
            0 => return Ok(entries),
            read => entries += read as u64,
        }
    }
}

struct Nowhere;

impl EntrySink for Nowhere {
    fn user(&mut self, _: FileUser<'_>, _: &[FileBlock<'_>], _: &dyn fmt::Display) {}

    fn format_fault(&mut self, _: &'static str, _: &dyn fmt::Display) {}
}

struct AvroReader {
    container: Container,
    schema: Schema,
    plan: Plan,
    max_segments: usize,
    /// How many records of the block are still to be read.
    left: u64,
    /// Where in the block they begin.
    at: usize,
    /// Whether a fault was found, which is told once.
    fault: Option<FileFault>,
    is_over: bool,
}

impl AvroReader {
    fn open(input: Box<dyn BufRead + Send>, limits: Limits) -> Result<AvroReader, FileFault> {
        let Head { container, schema } = Container::open(input, limits)?;
        let unusable =
            |detail: &str| FileFault::Damaged { code: "avro-schema-error", detail: detail.to_owned() };
        let schema = Schema::parse(&schema).map_err(|fault| unusable(fault.0))?;
        let plan = Plan::of(&schema).map_err(|fault| unusable(fault.0))?;
        let max_segments = limits.max_segments;
        Ok(AvroReader { container, schema, plan, max_segments, left: 0, at: 0, fault: None, is_over: false })
    }

    /// Reads up to `max_entries` from the block.
    fn read_block(&mut self, max_entries: usize, sink: &mut dyn EntrySink) -> (usize, Result<(), FileFault>) {
        let entries = Entries { schema: &self.schema, plan: &self.plan, max_segments: self.max_segments };
        let block = self.container.block();
        let mut cursor = Cursor::new(&block[self.at..]);
        let mut blocks = Vec::new();
        let mut read = 0;
        while read < max_entries && self.left > 0 {
            let entry = match entries.read(&mut cursor, &mut blocks) {
                Ok(entry) => entry,
                Err(broken) => return (read, Err(self.container.damaged(broken.0))),
            };
            let shown = Shown { id: &entry.id, blocks: &blocks };
            match entry.fault {
                Some(reason) => sink.format_fault(reason, &shown),
                None => sink.user(entry.id.user(&mut itoa::Buffer::new()), &blocks, &shown),
            }
            self.left -= 1;
            read += 1;
        }
        self.at = block.len() - cursor.left();
        if self.left == 0 && cursor.left() > 0 {
            return (read, Err(self.container.damaged("bytes follow its records")));
        }
        (read, Ok(()))
    }
}

impl FileReader for AvroReader {
    fn read(&mut self, max_entries: usize, sink: &mut dyn EntrySink) -> Result<usize, FileFault> {
        let mut read = 0;
        while read < max_entries && !self.is_over {
            let outcome = if self.left == 0 {
                self.at = 0;
                self.container.next_block().map(|count| {
                    self.left = count;
                    self.is_over = count == 0;
                })
            } else {
                let (more, outcome) = self.read_block(max_entries - read, sink);
                read += more;
                outcome
            };
            if let Err(fault) = outcome {
                self.is_over = true;
                self.fault = Some(fault);
            }
        }
        // What was read before a fault counts, so the fault waits for the next call.
        match self.fault.take() {
            Some(fault) if read == 0 => Err(fault),
            fault => {
                self.fault = fault;
                Ok(read)
            }
        }
    }
}
