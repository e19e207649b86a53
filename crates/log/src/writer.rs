//! The log's thread: takes the queued records, writes them, flushes once, runs their completions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use crate::format::{self, FILE_HEADER_BYTES, MARK_BYTES};
use crate::segment::{Active, Failure};
use crate::shared::{INDEX_SPACING_BYTES, Pending, Shared, Work};
use crate::sync::{Arc, Instant};
use crate::{AppendError, Completion, Disk, LogOptions, LogState, Observer};

/// The most bytes that one flush covers, unless a single record is larger. More would delay the records of
/// a batch by more time than it saves.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// The longest wait of a record for others before it is written, and at most a quarter of a flush.
const MAX_GATHERING: Duration = Duration::from_millis(1);

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) active: Active,
    /// The offset in the last entry of the active file's index.
    pub(crate) last_indexed_offset: u64,
    /// The size of the frame that did not fit the disk; a probe asks for the same.
    pub(crate) blocked_frame_bytes: usize,
    /// The number of records of the last flush.
    pub(crate) last_batch: usize,
    /// The recent average time of a flush.
    pub(crate) flush_time: Duration,
    /// The frames of a batch; kept for its allocation.
    pub(crate) buffer: Vec<u8>,
}

/// The result of encoding a batch, beside its bytes.
struct Encoded {
    next_position: u64,
    previous: u32,
    index: Vec<(u64, u64)>,
}

impl Writer {
    /// Works until the log is closed and the queue is empty.
    pub(crate) fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        if worked.is_err() {
            // A bug. To wait for a thread that has ended would be worse than an error.
            self.latch("the log's thread panicked".into(), Vec::new());
        }
    }

    fn work(&mut self) {
        loop {
            match self.shared.wait(self.options.full_probe_interval) {
                Work::Records(first_frame_bytes) => {
                    self.shared.gather(self.last_batch, (self.flush_time / 4).min(MAX_GATHERING));
                    self.commit(first_frame_bytes);
                }
                Work::Seal => self.seal(),
                Work::Probe => self.probe(),
                Work::Stop => break,
            }
        }
        if !matches!(self.shared.state(), LogState::Latched { .. }) {
            // Only for the mark: all records are flushed.
            if let Err(error) = self.active.flush() {
                tracing::warn!(error = error.chain(), "the last flush of the log failed");
            }
        }
    }

    /// Makes the next batch durable, or refuses it.
    fn commit(&mut self, first_frame_bytes: usize) {
        if let Err(failure) = self.make_room(first_frame_bytes) {
            self.blocked_frame_bytes = first_frame_bytes;
            let batch = self.shared.take_batch(MAX_BATCH_BYTES);
            return self.refuse(batch, failure);
        }
        let room = usize::try_from(self.active.room_bytes()).unwrap_or(usize::MAX);
        let batch = self.shared.take_batch(room.min(MAX_BATCH_BYTES));
        let encoded = self.encode(&batch);

        let started = Instant::now();
        if let Err(failure) = self.active.write(&self.buffer) {
            self.blocked_frame_bytes = first_frame_bytes;
            return self.refuse(batch, failure);
        }
        let written = Instant::now();
        if let Err(error) = self.active.flush() {
            return self.refuse(batch, Failure::Fatal(error));
        }
        let bytes = self.buffer.len();
        let flush_time = written.elapsed();
        self.observer.flushed(batch.len(), bytes, written - started, flush_time);
        self.last_batch = batch.len();
        self.flush_time = (self.flush_time * 7 + flush_time) / 8;

        self.active.tail += bytes as u64;
        self.active.previous = encoded.previous;
        let marked = self.active.mark(encoded.next_position);
        let first_position = encoded.next_position - batch.len() as u64;
        self.shared.publish(encoded.next_position, self.active.allocated, &encoded.index);
        self.set_writable();
        self.complete(batch, |index| Ok(first_position + index as u64));
        if let Err(Failure::Fatal(error)) = marked {
            self.latch(error.chain().into(), Vec::new());
        }
    }

    /// Fills the buffer with the frames of a batch.
    fn encode(&mut self, batch: &[Pending]) -> Encoded {
        let mut position = self.shared.lock().next_position;
        let mut previous = self.active.previous;
        let mut index = Vec::new();
        self.buffer.clear();
        self.buffer.shrink_to(2 * MAX_BATCH_BYTES);
        for (index_in_batch, pending) in batch.iter().enumerate() {
            let offset = self.active.tail + self.buffer.len() as u64;
            if offset - self.last_indexed_offset >= INDEX_SPACING_BYTES {
                index.push((position, offset));
                self.last_indexed_offset = offset;
            }
            previous = format::encode_record(
                &mut self.buffer,
                self.active.seed,
                previous,
                position,
                index_in_batch as u32,
                &pending.payload,
            );
            position += 1;
        }
        Encoded { next_position: position, previous, index }
    }

    /// Makes sure that a frame fits the active file, and begins a new one if needed.
    fn make_room(&mut self, frame_bytes: usize) -> Result<(), Failure> {
        let frame_bytes = frame_bytes as u64;
        if frame_bytes > self.active.room_bytes() {
            if !self.active.is_empty() {
                return self.rotate(frame_bytes);
            }
            self.active.capacity = self.active.tail + frame_bytes + MARK_BYTES;
        }
        self.active.allocate()
    }

    fn rotate(&mut self, frame_bytes: u64) -> Result<(), Failure> {
        let next_position = self.shared.lock().next_position;
        let capacity = self.options.segment_bytes.max(FILE_HEADER_BYTES + frame_bytes + MARK_BYTES);
        let fresh = Active::create(&*self.disk, &self.dir, next_position, capacity)?;
        // Only now: a start takes a sealed file without a successor as a lost successor. Where there is no room for
        // the seal, the next try replaces this successor by another empty one.
        self.active.seal(next_position)?;
        self.shared.rotated(self.active.allocated, fresh.new_segment(next_position));
        self.active = fresh;
        self.last_indexed_offset = 0;
        Ok(())
    }

    /// Ends the active file for the callers of `seal`. A file without records stays: it holds nothing to trim.
    fn seal(&mut self) {
        let waiting = self.shared.take_seals();
        let sealed = if self.active.is_empty() { Ok(()) } else { self.rotate(0) };
        let result = match sealed {
            Ok(()) => Ok(self.shared.lock().next_position),
            Err(Failure::Full(error)) => {
                tracing::warn!(error = error.chain(), "there is no room for a new file of the log");
                Err(AppendError::DiskFull)
            }
            Err(Failure::Fatal(error)) => {
                let reason: Arc<str> = error.chain().into();
                self.latch(reason.clone(), Vec::new());
                Err(AppendError::Latched { reason })
            }
        };
        for done in waiting {
            run_completion(done, result.clone());
        }
    }

    /// Looks whether a full disk has room again.
    fn probe(&mut self) {
        match self.make_room(self.blocked_frame_bytes) {
            Ok(()) => self.set_writable(),
            Err(Failure::Full(_)) => {}
            Err(Failure::Fatal(error)) => self.latch(error.chain().into(), Vec::new()),
        }
    }

    fn set_writable(&mut self) {
        if self.shared.set_state(LogState::Writable) == LogState::Full {
            tracing::info!("the log's disk has room again");
        }
    }

    /// Tells a batch that it is not in the log.
    fn refuse(&mut self, batch: Vec<Pending>, failure: Failure) {
        self.last_indexed_offset = self.last_indexed_offset.min(self.active.tail);
        match failure {
            Failure::Full(error) => {
                if self.shared.set_state(LogState::Full) != LogState::Full {
                    tracing::warn!(error = error.chain(), "the log's disk is full");
                }
                self.complete(batch, |_| Err(AppendError::DiskFull));
            }
            Failure::Fatal(error) => {
                // The kernel may keep unwritten pages as clean. Dropping them keeps a later start from serving
                // records that the disk does not hold. Nothing depends on it.
                if let Err(Failure::Full(error) | Failure::Fatal(error)) = self.active.cut() {
                    tracing::warn!(error = error.chain(), "the unflushed end of the log could not be cut");
                }
                self.latch(error.chain().into(), batch);
            }
        }
    }

    fn latch(&mut self, reason: Arc<str>, mut batch: Vec<Pending>) {
        tracing::error!(reason = &*reason, "the log takes no more records until it is opened anew");
        batch.extend(self.shared.latch(&reason));
        self.complete(batch, |_| Err(AppendError::Latched { reason: reason.clone() }));
        for done in self.shared.take_seals() {
            run_completion(done, Err(AppendError::Latched { reason: reason.clone() }));
        }
    }

    fn complete(&self, batch: Vec<Pending>, result: impl Fn(usize) -> Result<u64, AppendError>) {
        let records = batch.len();
        let bytes = batch.iter().map(Pending::frame_bytes).sum();
        for (index, pending) in batch.into_iter().enumerate() {
            run_completion(pending.done, result(index));
        }
        self.shared.release(records, bytes);
    }
}

/// A completion that panics must not take the others with it.
pub(crate) fn run_completion(done: Completion, result: Result<u64, AppendError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("a completion of the log panicked");
    }
}
