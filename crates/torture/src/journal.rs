//! The journal: what was sent and what was answered, a line of JSON each, in the order in which it happened.
//!
//! The line of an operation is written before its first byte is sent, and the line of its answer after the last byte of
//! it has come. So if the answer to one comes before the sending of another, the server must have put them in
//! this order too.

use crate::operation::Operation;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// An operation is about to be sent.
    Sent {
        /// The operation.
        operation: Operation,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// An operation has its answer, or will never have one.
    Ended {
        /// Its number.
        id: u32,
        /// How.
        end: End,
    },
    /// Somebody read what was acknowledged a moment ago; what was wrong, if anything.
    Read {
        /// `None` when all was there.
        fault: Option<String>,
    },
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// OK, with the right counts, or with what was asked for.
    Acknowledged,
    /// Another status.
    Refused {
        /// The status.
        status: u16,
        /// Whether the answer says when to try again.
        says_retry_after: bool,
    },
    /// An answer that makes no sense.
    Nonsense(String),
    /// No whole answer.
    Broken {
        /// How much of one.
        received_bytes: usize,
        /// What the connection ended with.
        error: String,
    },
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since.as_millis() as u64
}

/// Where a client writes.
#[derive(Debug)]
pub(crate) struct JournalWriter(Mutex<File>);

impl JournalWriter {
    /// Goes on behind what is there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<JournalWriter> {
        let file = File::options().create(true).append(true).open(path);
        Ok(JournalWriter(Mutex::new(file.with_context(|| format!("cannot open {}", path.display()))?)))
    }

    /// Writes a line, with one call: a client that dies leaves none in part.
    pub(crate) fn note(&self, entry: &Entry) {
        let mut line = serde_json::to_vec(entry).expect("an entry is JSON");
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A client without its journal must not send anything more.
        file.write_all(&line).expect("the journal can be written");
    }
}

/// An operation of the journal, with the lines at which it was sent and ended.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What was sent.
    pub operation: Operation,
    /// The line before its sending.
    pub sent_at: usize,
    /// When that was, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// The line after its answer, and the answer.
    pub ended: Option<(usize, End)>,
}

/// What the journal says since it was last read.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// In the order in which they were sent.
    pub cases: Vec<Case>,
    /// How many reads found what they should.
    pub good_reads: u64,
    /// What was wrong with the others.
    pub bad_reads: Vec<String>,
}

impl Session {
    /// Puts lines together.
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>) -> anyhow::Result<Session> {
        let mut session = Session::default();
        let mut open = HashMap::new();
        for (line, entry) in entries.into_iter().enumerate() {
            match entry {
                Entry::Sent { operation, at_ms } => {
                    open.insert(operation.id(), session.cases.len());
                    session.cases.push(Case { operation, sent_at: line, sent_at_ms: at_ms, ended: None });
                }
                Entry::Ended { id, end } => {
                    let case = open.remove(&id).context("the journal has an answer to nothing")?;
                    session.cases[case].ended = Some((line, end));
                }
                Entry::Read { fault: None } => session.good_reads += 1,
                Entry::Read { fault: Some(fault) } => session.bad_reads.push(fault),
            }
        }
        Ok(session)
    }
}

/// Reads a journal bit by bit.
#[derive(Debug)]
pub(crate) struct JournalReader {
    path: PathBuf,
    offset: u64,
}

impl JournalReader {
    /// Starts at the front.
    pub(crate) fn new(path: PathBuf) -> JournalReader {
        JournalReader { path, offset: 0 }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written since the last call. No client may be at work.
    pub(crate) fn next_session(&mut self) -> anyhow::Result<Session> {
        let (entries, offset) = self.read()?;
        self.offset = offset;
        Session::of(entries)
    }

    /// The same, and the next call gives it again. A line that a client is writing is left out.
    pub(crate) fn peek_session(&self) -> anyhow::Result<Session> {
        Session::of(self.read()?.0)
    }

    fn read(&self) -> anyhow::Result<(Vec<Entry>, u64)> {
        let context = || format!("cannot read the journal {}", self.path.display());
        let mut file = File::open(&self.path).with_context(context)?;
        file.seek(SeekFrom::Start(self.offset)).with_context(context)?;
        let mut reader = BufReader::new(file);
        let (mut entries, mut offset) = (Vec::new(), self.offset);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).with_context(context)? > 0 && line.ends_with(b"\n") {
            entries.push(serde_json::from_slice(&line).context("a line of the journal is no entry")?);
            offset += line.len() as u64;
            line.clear();
        }
        Ok((entries, offset))
    }
}
