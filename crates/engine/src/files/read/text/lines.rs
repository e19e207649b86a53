//! Splits a file into lines.

use super::super::FileFault;
use super::super::input::Input;
use super::MAX_SHOWN_BYTES;
use memchr::memchr2;

/// The longest line, without its end.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 10;

/// Room for a line of [`MAX_LINE_BYTES`], and as much again to read into. Larger ones leave the cache of a core.
const BUFFER_BYTES: usize = 2 * MAX_LINE_BYTES;

/// A line without its end. It is never empty.
pub(super) enum Line<'l> {
    Whole(&'l [u8]),
    /// The start of a line of more than [`MAX_LINE_BYTES`], with a byte more than is shown.
    TooLong(&'l [u8]),
}

/// Splits what it reads at LF, CR and both, in a buffer of one size.
pub(super) struct Lines {
    input: Input,
    buffer: Box<[u8]>,
    /// The first byte that was not given yet.
    start: usize,
    /// No line ends in front of it.
    scanned: usize,
    /// The end of what was read.
    end: usize,
    is_at_end: bool,
    /// The start of a line that is too long.
    long: Vec<u8>,
}

impl Lines {
    /// `start` is the first part of the file, which was read from `input` already.
    pub(super) fn new(input: Input, start: &[u8]) -> Lines {
        let mut buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        buffer[..start.len()].copy_from_slice(start);
        Lines { input, buffer, start: 0, scanned: 0, end: start.len(), is_at_end: false, long: Vec::new() }
    }

    /// The next line that is not empty; `None` at the end of the file.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, FileFault> {
        let line = loop {
            if let Some(offset) = memchr2(b'\n', b'\r', &self.buffer[self.scanned..self.end]) {
                let line = self.start..self.scanned + offset;
                self.start = line.end + 1;
                self.scanned = self.start;
                // Also between CR and LF.
                if line.is_empty() {
                    continue;
                }
                break line;
            }
            self.scanned = self.end;
            if self.end - self.start > MAX_LINE_BYTES {
                self.skip_long()?;
                return Ok(Some(Line::TooLong(&self.long)));
            }
            if self.is_at_end {
                let line = self.start..self.end;
                self.start = self.end;
                if line.is_empty() {
                    return Ok(None);
                }
                break line;
            }
            self.fill()?;
        };
        let line = &self.buffer[line];
        Ok(Some(if line.len() > MAX_LINE_BYTES {
            Line::TooLong(&line[..=MAX_SHOWN_BYTES])
        } else {
            Line::Whole(line)
        }))
    }

    /// Reads to the end of a line without keeping more than its start.
    #[cold]
    fn skip_long(&mut self) -> Result<(), FileFault> {
        self.long.clear();
        self.long.extend_from_slice(&self.buffer[self.start..][..=MAX_SHOWN_BYTES]);
        loop {
            self.start = self.end;
            self.scanned = self.end;
            if self.is_at_end {
                return Ok(());
            }
            self.fill()?;
            if let Some(offset) = memchr2(b'\n', b'\r', &self.buffer[self.start..self.end]) {
                self.start += offset + 1;
                self.scanned = self.start;
                return Ok(());
            }
        }
    }

    /// Reads on behind what is there, which is at most a line that is not too long.
    fn fill(&mut self) -> Result<(), FileFault> {
        if self.start == self.end || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        let read = self.input.next(&mut self.buffer[self.end..])?;
        self.end += read;
        self.is_at_end = read == 0;
        Ok(())
    }
}
