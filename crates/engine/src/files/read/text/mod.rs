//! Reads files of lines, `UID:SEG,EXP,VAL;SEG,EXP,VAL#SEG^DOMAIN` with the separators and fields of a layout.

mod layout;
mod line;
mod lines;
mod repeated;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzz"))]
pub(super) use layout::Field;
pub(crate) use layout::TextLayout;
#[cfg(any(test, feature = "fuzz"))]
pub(super) use lines::MAX_LINE_BYTES;

use super::input::Input;
use super::{EntrySink, FileBlock, FileFault, FileReader};
use crate::decode::BYTE_ORDER_MARK;
use lines::{Line, Lines};
use repeated::Repeated;
use std::borrow::Cow;
use std::fmt;

/// Reads the lines of a file. Its memory is bounded, whatever the file has in it.
pub(super) struct TextReader {
    lines: Lines,
    layout: TextLayout,
    repeated: Repeated,
    /// Empty; kept for its room.
    blocks: Vec<FileBlock<'static>>,
}

impl TextReader {
    /// Reads `start` and what follows in `input`.
    pub(super) fn new(input: Input, start: &[u8], layout: TextLayout) -> TextReader {
        TextReader {
            lines: Lines::new(input, start),
            layout,
            repeated: Repeated::default(),
            blocks: Vec::new(),
        }
    }
}

impl FileReader for TextReader {
    fn read(&mut self, max_entries: usize, sink: &mut dyn EntrySink) -> Result<usize, FileFault> {
        let mut entries = 0;
        while entries < max_entries {
            let Some(line) = self.lines.next()? else { break };
            match line {
                Line::Whole(line) => {
                    // Files that were put together out of others have it in front of any line.
                    let line = line.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(line);
                    if line.iter().all(|&byte| byte == b' ' || byte == b'\t') {
                        continue;
                    }
                    let blocks = empty_of(std::mem::take(&mut self.blocks));
                    self.blocks = entry(line, &self.layout, &mut self.repeated, blocks, sink);
                }
                Line::TooLong(start) => sink.format_fault("failed with more than 64 KiB", &Shown(start)),
            }
            entries += 1;
        }
        Ok(entries)
    }
}

/// Passes a line on; gives back the room of `blocks`.
fn entry<'l>(
    line: &'l [u8],
    layout: &TextLayout,
    repeated: &mut Repeated,
    mut blocks: Vec<FileBlock<'l>>,
    sink: &mut dyn EntrySink,
) -> Vec<FileBlock<'static>> {
    // What is no UTF-8 has a meaning as Latin-1, in which every byte is a letter.
    let Ok(text) = std::str::from_utf8(line) else {
        let text: String = line.iter().copied().map(char::from).collect();
        read_entry(line, &text, layout, repeated, &mut Vec::new(), sink);
        return empty_of(blocks);
    };
    read_entry(line, text, layout, repeated, &mut blocks, sink);
    empty_of(blocks)
}

fn read_entry<'l>(
    line: &[u8],
    text: &'l str,
    layout: &TextLayout,
    repeated: &mut Repeated,
    blocks: &mut Vec<FileBlock<'l>>,
    sink: &mut dyn EntrySink,
) {
    let shown = Shown(line);
    match layout.read_line(text, blocks) {
        Err(reason) => sink.format_fault(reason, &shown),
        Ok(_) if repeated.is_repeated(line) => sink.format_fault("failed as a repeated line", &shown),
        Ok(user) => sink.user(user, blocks, &shown),
    }
}

/// An empty vector in the same memory: the standard library collects in place what has the same layout.
fn empty_of<'to>(mut blocks: Vec<FileBlock<'_>>) -> Vec<FileBlock<'to>> {
    blocks.clear();
    blocks.into_iter().map(|_| unreachable!("it is empty")).collect()
}

/// How many bytes of a line are shown.
const MAX_SHOWN_BYTES: usize = 256;

/// A line as it is shown in a list of errors: on one line, and not too long.
struct Shown<'l>(&'l [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.0[..self.0.len().min(MAX_SHOWN_BYTES)];
        let text = match std::str::from_utf8(start) {
            Ok(text) => Cow::Borrowed(text),
            // A letter that the cut goes through.
            Err(error) if error.error_len().is_none() && start.len() < self.0.len() => {
                String::from_utf8_lossy(&start[..error.valid_up_to()])
            }
            Err(_) => start.iter().copied().map(char::from).collect(),
        };
        for letter in text.chars() {
            if letter.is_control() && letter != '\t' {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        if start.len() < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}
