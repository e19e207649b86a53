//! Reads one uploaded file into the log: a thread of its own, at a low priority, part by part.
//!
//! A part is submitted when the one before it is durable, so the log has a job's parts in their order and without gaps. A
//! start that finds a job unfinished reads its file anew, passes over the entries that the log has, and goes on.

use super::Shared;
use super::part::{Part, PartBuilder, PartRules};
use super::read::open::{check, open};
use super::read::text::TextLayout;
use super::read::{EntrySink, FileBlock, FileFault, FileReader, FileUser};
use crate::ingest::resolve::Context;
use crate::opt_outs::InForce;
use crate::threads::Urgency;
use crate::write::commit::{CommitError, Encoded, Submitted};
use ia_catalog::BatchFiles;
use ia_catalog::file_jobs::{FileJob, Phase};
use ia_model::{Ingest, Record, UserKey};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

/// A part has about this many entries and pairs at the most: some milliseconds of the applier's time.
const ENTRIES_PER_PART: usize = 2048;
const PAIRS_PER_PART: usize = 16_384;

/// How many entries are read before the size of the part is looked at, and other threads run.
const ENTRIES_PER_TURN: usize = 64;

/// How many parts wait to be applied. More would delay requests, which wait behind them.
const PARTS_IN_FLIGHT: usize = 2;

/// Percentages at which the phases begin.
pub(super) const UPLOADED_PERCENT: u8 = 30;
const VALIDATED_PERCENT: u8 = 40;
const LAST_PERCENT: u8 = 99;

/// Why a file is not read to its end.
pub(super) enum Stopped {
    /// The job is given up, for this reason.
    GivenUp(&'static str),
    /// The server stops, or the log takes nothing until a restart. The next start goes on.
    Later,
}

/// Reads the file of a job to its end. The job is in a final phase then, or has to be tried again.
pub(super) fn read_file(shared: &Shared, job: &FileJob) {
    Urgency::Low.set_for_this_thread();
    match Reading::of(shared, job).and_then(|reading| reading.run()) {
        Ok(()) | Err(Stopped::Later) => {}
        Err(Stopped::GivenUp(error_code)) => shared.jobs.fail(job.id, error_code),
    }
}

struct Reading<'s> {
    shared: &'s Shared,
    job: FileJob,
    set_up: BatchFiles,
    /// Bytes of the spooled file that were read.
    read_bytes: Arc<AtomicU64>,
    in_flight: VecDeque<Submitted>,
    /// Tells that the last submitted part is durable; disconnected without a message if it is refused.
    durable: Option<mpsc::Receiver<()>>,
}

/// A file whose bytes are counted as they are read.
struct Counted {
    file: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl<'s> Reading<'s> {
    fn of(shared: &'s Shared, job: &FileJob) -> Result<Reading<'s>, Stopped> {
        let accounts = &shared.catalog.accounts;
        let set_up = loop {
            match shared.runtime.block_on(accounts.batch_files(job.member)) {
                Ok(set_up) => break set_up,
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(job = job.id, error = cause, "the set-up of a file cannot be read");
                    shared.pause()?;
                }
            }
        };
        Ok(Reading {
            shared,
            job: job.clone(),
            set_up,
            read_bytes: Arc::default(),
            in_flight: VecDeque::new(),
            durable: None,
        })
    }

    /// All parts that were handed to the log are applied, or refused, on return.
    fn run(mut self) -> Result<(), Stopped> {
        let result = self.read_all();
        while let Some(submitted) = self.in_flight.pop_front() {
            let _ = self.shared.runtime.block_on(submitted.done());
        }
        result
    }

    fn read_all(&mut self) -> Result<(), Stopped> {
        if self.job.validated_ms.is_none() {
            self.validate()?;
        }
        self.read_bytes.store(0, Ordering::Relaxed);
        let mut reader = self.open()?;
        self.pass_over(&mut *reader)?;
        loop {
            let (part, opt_outs, is_last) = self.next_part(&mut *reader)?;
            let is_given_up = part.is_given_up;
            self.submit(part.ingest, opt_outs)?;
            if is_given_up || is_last {
                self.wait_for_all()?;
                return if is_given_up { Err(Stopped::GivenUp("too-many-invalid-lines")) } else { Ok(()) };
            }
            self.show_progress(VALIDATED_PERCENT, LAST_PERCENT);
        }
    }

    fn input(&self) -> Result<Box<dyn Read + Send>, Stopped> {
        match self.shared.spool.open(self.job.id) {
            Ok(file) => Ok(Box::new(Counted { file, bytes: Arc::clone(&self.read_bytes) })),
            Err(error) => Err(self.fault(FileFault::Io(error))),
        }
    }

    fn open(&self) -> Result<Box<dyn FileReader>, Stopped> {
        let layout = TextLayout::new(&self.set_up, self.job.member).map_err(|fault| self.fault(fault))?;
        open(self.input()?, &layout, self.shared.rules.read_limits()).map_err(|fault| self.fault(fault))
    }

    /// What becomes of the job when its file cannot be read.
    fn fault(&self, fault: FileFault) -> Stopped {
        let job = self.job.id;
        match fault {
            FileFault::Io(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::error!(job, error = cause, "a spooled file cannot be read");
                Stopped::GivenUp("spool-error")
            }
            FileFault::Damaged { code, detail } => {
                tracing::info!(job, code, detail, "a file cannot be read");
                Stopped::GivenUp(code)
            }
            FileFault::TooLarge => Stopped::GivenUp("FILESIZE_LIMIT_EXCEEDED"),
        }
    }

    /// Finds out whether the file can be read to its end, before any of it is applied.
    fn validate(&mut self) -> Result<(), Stopped> {
        let checked = match self.shared.early.take(self.job.id) {
            Some(checked) => checked,
            None => check(self.input()?, self.shared.rules.read_limits()),
        };
        let summary = checked.map_err(|fault| self.fault(fault))?;
        self.shared.check_lines(&self.job, &self.set_up, summary.entries).map_err(Stopped::GivenUp)?;
        let now_ms = self.shared.clock.now_ms();
        self.job.validated_ms = Some(now_ms);
        self.shared.jobs.change(self.job.id, |job| {
            job.phase = Phase::Processing;
            job.validated_ms = Some(now_ms);
            job.percent = VALIDATED_PERCENT;
        });
        Ok(())
    }

    /// Passes over what the log has already.
    fn pass_over(&mut self, reader: &mut dyn FileReader) -> Result<(), Stopped> {
        let mut left = self.job.progress.entries;
        while left > 0 {
            self.shared.go_on()?;
            let turn = usize::try_from(left).unwrap_or(usize::MAX).min(ENTRIES_PER_TURN);
            let read = reader.read(turn, &mut Nowhere).map_err(|fault| self.fault(fault))?;
            if read == 0 {
                tracing::error!(job = self.job.id, "a spooled file is shorter than what the log has of it");
                return Err(Stopped::GivenUp("spool-error"));
            }
            left -= read as u64;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// The next part, the opt-outs that it was resolved with, and whether the file ends with it.
    fn next_part(&mut self, reader: &mut dyn FileReader) -> Result<(Part, InForce, bool), Stopped> {
        let opt_outs = self.shared.opt_outs.in_force();
        let snapshot = self.shared.catalog.snapshot_to_keep();
        let context = Context {
            snapshot: &snapshot,
            member: self.job.member,
            now_ms: self.shared.clock.now_ms(),
            expiration: self.shared.rules.expiration,
            opt_outs: &opt_outs,
            known: &self.shared.known,
            nobody: &self.shared.nobody,
        };
        let max_error_lines = self.shared.rules.error_lines(&self.set_up);
        let refused_before_error = self.shared.rules.refused_before_error(&self.set_up);
        let rules = PartRules {
            context,
            job: &self.job,
            deletions: &self.shared.deletions,
            max_error_lines,
            refused_before_error,
        };
        let mut on_replacing = |_: &UserKey| {};
        let mut builder = PartBuilder::new(ENTRIES_PER_PART, rules, &mut on_replacing);
        let (mut entries, mut is_last) = (0, false);
        while entries < ENTRIES_PER_PART && builder.blocks_seen() < PAIRS_PER_PART && !builder.is_given_up() {
            match reader.read(ENTRIES_PER_TURN, &mut builder) {
                Ok(0) => is_last = true,
                Ok(read) => entries += read,
                Err(fault) => return Err(self.fault(fault)),
            }
            if is_last {
                break;
            }
            std::thread::yield_now();
        }
        let mut part = builder.finish();
        let chunk = part.ingest.file.as_mut().expect("the builder makes parts of files");
        chunk.number = self.job.progress.parts;
        chunk.entries = self.job.progress.entries + entries as u64;
        chunk.is_last = is_last && !part.is_given_up;
        // What the next part is numbered and counted by. The job itself follows the log.
        self.job.progress.parts += 1;
        self.job.progress.entries = chunk.entries;
        self.job.progress.counts += chunk.counts;
        Ok((part, opt_outs, is_last))
    }

    /// Hands a part to the log, after the one before it is durable.
    fn submit(&mut self, part: Ingest, opt_outs: InForce) -> Result<(), Stopped> {
        self.wait_for_durable()?;
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            let oldest = self.in_flight.pop_front().expect("there is one");
            self.settled(self.shared.runtime.block_on(oldest.done()))?;
        }
        let record = Encoded::new(Record::Ingest(Box::new(part))).resolved_with(opt_outs);
        let room = loop {
            match self.shared.committer.reserve_exactly(record.bytes()) {
                Ok(room) => break room,
                // Requests come first.
                Err(_) => self.shared.pause()?,
            }
        };
        let (is_durable, durable) = mpsc::channel();
        let submitted = self.shared.committer.submit(record, room, move || {
            // Nobody waits for the last one.
            let _ = is_durable.send(());
        });
        self.in_flight.push_back(submitted.map_err(|error| self.refused(&error))?);
        self.durable = Some(durable);
        Ok(())
    }

    fn wait_for_durable(&mut self) -> Result<(), Stopped> {
        let Some(durable) = self.durable.take() else { return Ok(()) };
        if durable.recv().is_ok() {
            return Ok(());
        }
        // It was refused; the answer says why.
        self.wait_for_all()
    }

    fn wait_for_all(&mut self) -> Result<(), Stopped> {
        while let Some(oldest) = self.in_flight.pop_front() {
            self.settled(self.shared.runtime.block_on(oldest.done()))?;
        }
        Ok(())
    }

    fn settled(&self, done: Result<u64, CommitError>) -> Result<(), Stopped> {
        done.map(drop).map_err(|error| self.refused(&error))
    }

    /// The log takes no more of the file now. Everything that it has taken is counted, so the file can be read again
    /// from there.
    fn refused(&self, error: &CommitError) -> Stopped {
        let cause = error as &dyn std::error::Error;
        tracing::warn!(job = self.job.id, error = cause, "a file has to wait");
        Stopped::Later
    }

    /// Shows how far the spooled file is read, between two percentages.
    fn show_progress(&self, from: u8, to: u8) {
        let read = self.read_bytes.load(Ordering::Relaxed).min(self.job.sent_bytes);
        let share = u64::from(to - from) * read / self.job.sent_bytes.max(1);
        let percent = from + u8::try_from(share).unwrap_or_default();
        let is_news = |job: &FileJob| job.percent < percent;
        if self.shared.jobs.get(self.job.id).is_some_and(|job| is_news(&job)) {
            self.shared.jobs.change(self.job.id, |job| job.percent = job.percent.max(percent));
        }
    }
}

/// Takes entries that are in the log already.
struct Nowhere;

impl EntrySink for Nowhere {
    fn user(&mut self, _: FileUser<'_>, _: &[FileBlock<'_>], _: &dyn fmt::Display) {}

    fn format_fault(&mut self, _: &'static str, _: &dyn fmt::Display) {}
}
