//! Reads one uploaded file into the log: a thread of its own, at a low priority, part by part.
//!
//! A part is submitted when the one before it is durable, so the log has a job's parts in their order and without gaps. A
//! start that finds a job unfinished reads its file anew, passes over the entries that the log has, and goes on.

use super::Shared;
use super::part::{Part, PartBuilder, PartRules};
use super::read::open::{check, open};
use super::read::text::TextLayout;
use super::read::{EntrySink, FileBlock, FileFault, FileReader, FileUser};
use super::replace::{ReplaceFault, Replacing, max_users_bytes};
use crate::ingest::resolve::Context;
use crate::opt_outs::InForce;
use crate::threads::Urgency;
use crate::write::commit::{CommitError, Encoded, Submitted};
use ia_catalog::BatchFiles;
use ia_catalog::file_jobs::{FileJob, FileProgress, Phase};
use ia_model::record::{FileChunk, Usage};
use ia_model::{Ingest, Record, SegmentId, UserKey};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::Ordering;
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
pub(super) fn read_file(shared: &Arc<Shared>, job: &FileJob) {
    Urgency::Low.set_for_this_thread();
    match Reading::of(shared, job).and_then(|reading| reading.run()) {
        Ok(()) | Err(Stopped::Later) => {}
        Err(Stopped::GivenUp(error_code)) => shared.jobs.fail(job.id, error_code),
    }
}

struct Reading<'s> {
    shared: &'s Arc<Shared>,
    job: FileJob,
    set_up: BatchFiles,
    /// Who goes out of the segment that the file replaces.
    replacing: Option<Replacing>,
    in_flight: VecDeque<Submitted>,
    /// Tells that the last submitted part is durable; disconnected without a message if it is refused.
    durable: Option<mpsc::Receiver<()>>,
}

/// After this many bytes of a spooled file the progress is shown anew.
const SHOWN_BYTES: u64 = 64 << 10;

/// A spooled file that shows how far it is read, and ends when the server stops.
struct Watched {
    file: Box<dyn Read + Send>,
    shared: Arc<Shared>,
    job: u64,
    whole_bytes: u64,
    /// The percentages at its beginning and its end.
    percent: Range<u8>,
    read_bytes: u64,
    shown_bytes: u64,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(io::Error::other("the server stops"));
        }
        let bytes = self.file.read(buffer)?;
        self.read_bytes += bytes as u64;
        if self.read_bytes >= self.shown_bytes + SHOWN_BYTES {
            self.shown_bytes = self.read_bytes;
            let span = u64::from(self.percent.end - self.percent.start);
            let share = span * self.read_bytes.min(self.whole_bytes) / self.whole_bytes.max(1);
            let percent = self.percent.start + u8::try_from(share).unwrap_or_default();
            self.shared.jobs.change(self.job, |job| job.percent = job.percent.max(percent));
        }
        Ok(bytes)
    }
}

impl<'s> Reading<'s> {
    fn of(shared: &'s Arc<Shared>, job: &FileJob) -> Result<Reading<'s>, Stopped> {
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
            replacing: None,
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
        if let Some(segment) = self.job.replaced {
            self.replacing = Some(self.begin_replacing(segment)?);
        }
        let mut reader = self.open()?;
        self.pass_over(&mut *reader)?;
        loop {
            let entries_before = self.job.progress.entries;
            let (part, opt_outs, is_last) = self.next_part(&mut *reader)?;
            let entries = self.job.progress.entries - entries_before;
            let is_given_up = part.is_given_up;
            self.submit(part.ingest, opt_outs)?;
            self.shared.metrics.file_read(entries);
            if is_given_up {
                self.wait_for_all()?;
                return Err(Stopped::GivenUp("too-many-invalid-lines"));
            }
            if is_last {
                return self.replace_rest();
            }
        }
    }

    fn input(&self, percent: Range<u8>) -> Result<Box<dyn Read + Send>, Stopped> {
        let file = self.shared.spool.open(self.job.id).map_err(|error| self.fault(FileFault::Io(error)))?;
        Ok(Box::new(Watched {
            file,
            shared: Arc::clone(self.shared),
            job: self.job.id,
            whole_bytes: self.job.sent_bytes,
            percent,
            read_bytes: 0,
            shown_bytes: 0,
        }))
    }

    fn open(&self) -> Result<Box<dyn FileReader>, Stopped> {
        let layout = TextLayout::new(&self.set_up, self.job.member).map_err(|fault| self.fault(fault))?;
        open(self.input(VALIDATED_PERCENT..LAST_PERCENT)?, &layout, self.shared.rules.read_limits())
            .map_err(|fault| self.fault(fault))
    }

    /// What becomes of the job when its file cannot be read.
    fn fault(&self, fault: FileFault) -> Stopped {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Stopped::Later;
        }
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
            None => check(self.input(UPLOADED_PERCENT..VALIDATED_PERCENT)?, self.shared.rules.read_limits()),
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

    /// Reads who is in the segment that the file replaces, before any of the file is applied.
    fn begin_replacing(&self, segment: SegmentId) -> Result<Replacing, Stopped> {
        let shared = self.shared;
        let members = shared.spool.beside(self.job.id, "members");
        if self.job.progress.parts > 0 && !members.exists() {
            tracing::error!(job = self.job.id, "the file with the members before the job is gone");
            return Err(Stopped::GivenUp("spool-error"));
        }
        let (profiles, stop) = (&*shared.profiles, &shared.stopping);
        Replacing::begin(&members, profiles, segment, shared.now(), max_users_bytes(), stop)
            .map_err(|fault| self.replace_fault(&fault))
    }

    /// Takes those out of the segment who are not in the file, if it replaces one; this completes the job.
    fn replace_rest(&mut self) -> Result<(), Stopped> {
        self.wait_for_all()?;
        let Some(replacing) = &self.replacing else { return Ok(()) };
        let shared = self.shared;
        let opt_outs = shared.opt_outs.in_force();
        let batch = replacing
            .rest(&*shared.profiles, shared.now(), &shared.stopping)
            .map_err(|fault| self.replace_fault(&fault))?;
        let FileProgress { parts, entries, .. } = self.job.progress;
        let chunk = FileChunk {
            job: self.job.id,
            number: parts,
            entries,
            is_last: true,
            replaced: self.job.replaced,
            ..FileChunk::default()
        };
        let part = Ingest {
            accepted_at_ms: shared.clock.now_ms(),
            member: self.job.member,
            request_id: self.job.job_id.clone(),
            batch,
            usage: Usage::default(),
            file: Some(Box::new(chunk)),
        };
        self.submit(part, opt_outs)?;
        self.wait_for_all()
    }

    fn replace_fault(&self, fault: &ReplaceFault) -> Stopped {
        let (job, cause) = (self.job.id, fault as &dyn std::error::Error);
        match fault {
            ReplaceFault::Stopped => return Stopped::Later,
            ReplaceFault::TooManyMembers { .. } => {
                tracing::info!(job, error = cause, "a segment cannot be replaced");
                return Stopped::GivenUp("replaced-segment-too-large");
            }
            ReplaceFault::Io { .. } | ReplaceFault::Damaged(_) | ReplaceFault::Profiles(_) => {}
        }
        tracing::error!(job, error = cause, "a segment cannot be replaced");
        Stopped::GivenUp("spool-error")
    }

    /// Passes over what the log has already. A segment that is replaced keeps whom the file has named.
    fn pass_over(&mut self, reader: &mut dyn FileReader) -> Result<(), Stopped> {
        let mut left = self.job.progress.entries;
        while left > 0 {
            self.shared.go_on()?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(ENTRIES_PER_PART);
            let read = match self.replacing {
                None => reader.read(most, &mut Nowhere).map_err(|fault| self.fault(fault))?,
                Some(_) => self.resolve(reader, most)?.entries,
            };
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
        let ResolvedPart { mut part, opt_outs, entries, is_end } = self.resolve(reader, ENTRIES_PER_PART)?;
        let chunk = part.ingest.file.as_mut().expect("the builder makes parts of files");
        chunk.number = self.job.progress.parts;
        chunk.entries = self.job.progress.entries + entries as u64;
        chunk.is_last = is_end && !part.is_given_up && self.replacing.is_none();
        // What the next part is numbered and counted by. The job itself follows the log.
        self.job.progress.parts += 1;
        self.job.progress.entries = chunk.entries;
        self.job.progress.counts += chunk.counts;
        Ok((part, opt_outs, is_end))
    }

    /// Reads and resolves up to `max_entries` entries.
    fn resolve(&mut self, reader: &mut dyn FileReader, max_entries: usize) -> Result<ResolvedPart, Stopped> {
        let opt_outs = self.shared.opt_outs.in_force();
        let snapshot = self.shared.catalog.snapshot_to_keep();
        if !snapshot.member(self.job.member).is_some_and(|member| member.active) {
            return Err(Stopped::GivenUp("member-inactive"));
        }
        let context = Context {
            snapshot: &snapshot,
            member: self.job.member,
            now_ms: self.shared.clock.now_ms(),
            expiration: self.shared.rules.expiration,
            opt_outs: &opt_outs,
            known: &self.shared.known,
            nobody: &self.shared.nobody,
        };
        let rules = PartRules {
            context,
            job: &self.job,
            deletions: &self.shared.deletions,
            max_error_lines: self.shared.rules.error_lines(&self.set_up),
            refused_before_error: self.shared.rules.refused_before_error(&self.set_up),
        };
        let replacing = &mut self.replacing;
        let mut on_replacing = |user: &UserKey| {
            if let Some(replacing) = replacing {
                replacing.note(user);
            }
        };
        let mut builder = PartBuilder::new(max_entries, rules, &mut on_replacing);
        let (mut entries, mut fault) = (0, None);
        let mut is_end = false;
        while !is_end
            && fault.is_none()
            && entries < max_entries
            && builder.blocks_seen() < PAIRS_PER_PART
            && !builder.is_given_up()
        {
            match reader.read(ENTRIES_PER_TURN.min(max_entries - entries), &mut builder) {
                Ok(0) => is_end = true,
                Ok(read) => entries += read,
                Err(unreadable) => fault = Some(unreadable),
            }
            std::thread::yield_now();
        }
        let part = builder.finish();
        match fault {
            Some(fault) => Err(self.fault(fault)),
            None => Ok(ResolvedPart { part, opt_outs, entries, is_end }),
        }
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
}

/// Entries that were read and resolved.
struct ResolvedPart {
    part: Part,
    /// With which it was resolved.
    opt_outs: InForce,
    /// How many they are.
    entries: usize,
    /// Whether the file ends behind them.
    is_end: bool,
}

/// Takes entries that are in the log already.
struct Nowhere;

impl EntrySink for Nowhere {
    fn user(&mut self, _: FileUser<'_>, _: &[FileBlock<'_>], _: &dyn fmt::Display) {}

    fn format_fault(&mut self, _: &'static str, _: &dyn fmt::Display) {}
}
