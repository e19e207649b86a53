//! The state that appenders, readers and the log's thread share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::format::FRAME_HEADER_BYTES;
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError};
use crate::{AppendError, Completion, LogOptions, LogState, LogStats};

/// The distance between the indexed positions of a file: the most that a reader has to skip.
pub(crate) const INDEX_SPACING_BYTES: u64 = 64 << 10;

/// A queued record.
pub(crate) struct Pending {
    pub(crate) payload: Vec<u8>,
    pub(crate) done: Completion,
}

impl Pending {
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }
}

/// A file of the log.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) first_position: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Positions with the offsets of their frames, some [`INDEX_SPACING_BYTES`] apart.
    pub(crate) index: Vec<(u64, u64)>,
}

/// The state behind the lock. The lock is never held over a call to the disk or to a completion.
pub(crate) struct Inner {
    queue: VecDeque<Pending>,
    /// The callers who wait for the end of the newest file.
    seals: Vec<Completion>,
    /// The queue length at which the log's thread is woken.
    wake_at: usize,
    /// Of the queue and of the batch that is being written.
    queued_bytes: usize,
    queued_records: usize,
    closed: bool,
    state: LogState,
    pub(crate) next_position: u64,
    pub(crate) segments: VecDeque<Segment>,
}

/// The next work of the log's thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Records wait; with the bytes of the first one's frame.
    Records(usize),
    /// The newest file is to be ended.
    Seal,
    /// The disk was full a while ago, and is tried again.
    Probe,
    /// The log is closed and the queue is empty.
    Stop,
}

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    wake: Condvar,
    max_queue_bytes: usize,
    max_payload_bytes: usize,
}

impl Shared {
    pub(crate) fn new(options: &LogOptions, next_position: u64, segments: VecDeque<Segment>) -> Shared {
        let inner = Inner {
            queue: VecDeque::new(),
            seals: Vec::new(),
            wake_at: 1,
            queued_bytes: 0,
            queued_records: 0,
            closed: false,
            state: LogState::Writable,
            next_position,
            segments,
        };
        Shared {
            inner: Mutex::new(inner),
            wake: Condvar::new(),
            max_queue_bytes: options.max_queue_bytes,
            max_payload_bytes: options.max_payload_bytes,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock with the state half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, payload: Vec<u8>, done: Completion) -> Result<(), AppendError> {
        if payload.len() > self.max_payload_bytes {
            return Err(AppendError::TooLarge { bytes: payload.len(), max_bytes: self.max_payload_bytes });
        }
        let pending = Pending { payload, done };
        let frame_bytes = pending.frame_bytes();
        let mut inner = self.lock();
        inner.check_open()?;
        if inner.queued_bytes + frame_bytes > self.max_queue_bytes {
            return Err(AppendError::QueueFull);
        }
        inner.queued_bytes += frame_bytes;
        inner.queued_records += 1;
        inner.queue.push_back(pending);
        let is_awaited = inner.queue.len() == inner.wake_at;
        drop(inner);
        if is_awaited {
            self.wake.notify_one();
        }
        Ok(())
    }

    pub(crate) fn seal(&self, done: Completion) -> Result<(), AppendError> {
        let mut inner = self.lock();
        inner.check_open()?;
        inner.seals.push(done);
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes the callers who wait for the end of the newest file.
    pub(crate) fn take_seals(&self) -> Vec<Completion> {
        std::mem::take(&mut self.lock().seals)
    }

    /// Waits for something to do.
    pub(crate) fn wait(&self, full_probe_interval: Duration) -> Work {
        let mut inner = self.lock();
        loop {
            if !inner.seals.is_empty() {
                return Work::Seal;
            }
            if let Some(first) = inner.queue.front() {
                return Work::Records(first.frame_bytes());
            }
            if inner.closed {
                return Work::Stop;
            }
            if inner.state == LogState::Full {
                let (guard, timeout) = self
                    .wake
                    .wait_timeout(inner, full_probe_interval)
                    .unwrap_or_else(PoisonError::into_inner);
                inner = guard;
                if timeout.timed_out() && inner.queue.is_empty() && inner.seals.is_empty() && !inner.closed {
                    return Work::Probe;
                }
            } else {
                inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits while few records are queued compared with the `last_batch` that was just completed: many of its
    /// clients send again at once, and a flush for the first of them makes the others wait. Ends when half of
    /// both are queued, or after `patience`.
    pub(crate) fn gather(&self, last_batch: usize, patience: Duration) {
        let mut inner = self.lock();
        let wanted = (last_batch + inner.queue.len()) / 2;
        let deadline = Instant::now() + patience;
        while inner.queue.len() < wanted && !inner.closed {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            inner.wake_at = wanted;
            (inner, _) = self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner);
        }
        inner.wake_at = 1;
    }

    /// Takes the first record, and the next ones while all fit `max_bytes`.
    pub(crate) fn take_batch(&self, max_bytes: usize) -> Vec<Pending> {
        let mut inner = self.lock();
        let mut bytes = 0;
        let fitting = inner.queue.iter().take_while(|pending| {
            bytes += pending.frame_bytes();
            bytes <= max_bytes
        });
        let count = fitting.count().max(1).min(inner.queue.len());
        inner.queue.drain(..count).collect()
    }

    /// Gives back the room of a completed batch.
    pub(crate) fn release(&self, records: usize, bytes: usize) {
        let mut inner = self.lock();
        inner.queued_records -= records;
        inner.queued_bytes -= bytes;
    }

    /// Makes a durable batch visible.
    pub(crate) fn publish(&self, next_position: u64, bytes: u64, index: &[(u64, u64)]) {
        let mut inner = self.lock();
        inner.next_position = next_position;
        if let Some(segment) = inner.segments.back_mut() {
            segment.bytes = bytes;
            segment.index.extend_from_slice(index);
        }
    }

    /// Adds a new file behind one that is now `sealed_bytes` long.
    pub(crate) fn rotated(&self, sealed_bytes: u64, segment: Segment) {
        let mut inner = self.lock();
        if let Some(sealed) = inner.segments.back_mut() {
            sealed.bytes = sealed_bytes;
        }
        inner.segments.push_back(segment);
    }

    /// Sets the state and returns the one before. A latch is for ever.
    pub(crate) fn set_state(&self, state: LogState) -> LogState {
        let mut inner = self.lock();
        match inner.state {
            LogState::Latched { .. } => inner.state.clone(),
            _ => std::mem::replace(&mut inner.state, state),
        }
    }

    /// Latches, and returns the queued records.
    pub(crate) fn latch(&self, reason: &Arc<str>) -> Vec<Pending> {
        self.set_state(LogState::Latched { reason: reason.clone() });
        self.lock().queue.drain(..).collect()
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn state(&self) -> LogState {
        self.lock().state.clone()
    }

    pub(crate) fn stats(&self) -> LogStats {
        let inner = self.lock();
        LogStats {
            queued_records: inner.queued_records,
            queued_bytes: inner.queued_bytes,
            files: inner.segments.len(),
            bytes_on_disk: inner.segments.iter().map(|segment| segment.bytes).sum(),
            first_position: inner.first_position(),
            next_position: inner.next_position,
        }
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), AppendError> {
        match &self.state {
            _ if self.closed => Err(AppendError::Closed),
            LogState::Latched { reason } => Err(AppendError::Latched { reason: reason.clone() }),
            LogState::Writable | LogState::Full => Ok(()),
        }
    }

    pub(crate) fn first_position(&self) -> u64 {
        self.segments.front().map_or(self.next_position, |segment| segment.first_position)
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::thread;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    fn shared(records: usize) -> Arc<Shared> {
        let shared = Arc::new(Shared::new(&LogOptions::default(), 1, VecDeque::new()));
        for _ in 0..records {
            append(&shared);
        }
        shared
    }

    fn append(shared: &Shared) {
        shared.append(vec![1], Box::new(|_| {})).unwrap();
    }

    #[test]
    fn a_lone_record_and_one_among_enough_others_do_not_wait() {
        for (waiting, last_batch) in [(1, 0), (1, 1), (1, 2), (5, 5), (9, 1)] {
            shared(waiting).gather(last_batch, FOR_EVER);
        }
    }

    #[test]
    fn a_record_waits_until_half_are_there_and_later_ones_wake_again() {
        let shared = shared(1);
        let appender = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                // Half of the 1 in the queue and the 7 before it.
                while shared.lock().wake_at != 4 {
                    thread::yield_now();
                }
                (0..3).for_each(|_| append(&shared));
            }
        });
        shared.gather(7, FOR_EVER);
        appender.join().unwrap();
        assert_eq!(shared.take_batch(usize::MAX).len(), 4);
        let appender = thread::spawn({
            let shared = Arc::clone(&shared);
            move || append(&shared)
        });
        assert!(matches!(shared.wait(FOR_EVER), Work::Records(_)));
        appender.join().unwrap();
    }

    #[test]
    fn patience_and_a_close_end_it() {
        shared(1).gather(100, Duration::from_millis(1));
        let shared = shared(1);
        let closer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.close()
        });
        shared.gather(100, FOR_EVER);
        closer.join().unwrap();
    }
}
