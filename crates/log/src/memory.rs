//! The log in memory: the reference for the behaviour of a log, without the durability.

use std::collections::VecDeque;
use std::time::Duration;

use crate::shared::{Shared, Work};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::writer::run_completion;
use crate::{AppendError, Completion, Entries, Entry, Log, LogError, LogOptions, LogState, LogStats};

/// A log that forgets everything when it is dropped.
///
/// Its "files" are groups of records of [`LogOptions::segment_bytes`], so that trimming works as on a disk.
/// It reports the bytes of the payloads.
pub struct MemoryLog {
    shared: Arc<Shared>,
    segments: Arc<Mutex<VecDeque<MemorySegment>>>,
    thread: Option<JoinHandle<()>>,
}

struct MemorySegment {
    first_position: u64,
    bytes: u64,
    payloads: Vec<Arc<[u8]>>,
}

impl MemorySegment {
    fn new(first_position: u64) -> MemorySegment {
        MemorySegment { first_position, bytes: 0, payloads: Vec::new() }
    }

    fn next_position(&self) -> u64 {
        self.first_position + self.payloads.len() as u64
    }
}

type Segments = Mutex<VecDeque<MemorySegment>>;

impl MemoryLog {
    /// An empty log. It fails with [`LogError::InvalidOptions`], or when no thread can be started.
    pub fn new(options: LogOptions) -> Result<MemoryLog, LogError> {
        options.check()?;
        let shared = Arc::new(Shared::new(&options, 1, VecDeque::new()));
        let segments = Arc::new(Mutex::new(VecDeque::from([MemorySegment::new(1)])));
        let work = {
            let (shared, segments) = (shared.clone(), segments.clone());
            move || run(&shared, &segments, options.segment_bytes)
        };
        let thread = thread::Builder::new()
            .name("memory-log".into())
            .spawn(work)
            .map_err(LogError::io("start the thread of", "the log in memory"))?;
        Ok(MemoryLog { shared, segments, thread: Some(thread) })
    }
}

fn lock(segments: &Segments) -> MutexGuard<'_, VecDeque<MemorySegment>> {
    segments.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(shared: &Shared, segments: &Segments, segment_bytes: u64) {
    // Never full, so never probed.
    loop {
        match shared.wait(Duration::MAX) {
            Work::Records(_) => {}
            Work::Seal => {
                let next_position = seal(&mut lock(segments));
                shared.take_seals().into_iter().for_each(|done| run_completion(done, Ok(next_position)));
                continue;
            }
            Work::Probe | Work::Stop => return,
        }
        for pending in shared.take_batch(usize::MAX) {
            let frame_bytes = pending.frame_bytes();
            let position = store(&mut lock(segments), &pending.payload, segment_bytes);
            run_completion(pending.done, Ok(position));
            shared.release(1, frame_bytes);
        }
    }
}

/// Begins a new file, unless the newest is empty, and returns its first position.
fn seal(segments: &mut VecDeque<MemorySegment>) -> u64 {
    let newest = segments.back().expect("the newest segment always stays");
    let next_position = newest.next_position();
    if !newest.payloads.is_empty() {
        segments.push_back(MemorySegment::new(next_position));
    }
    next_position
}

fn store(segments: &mut VecDeque<MemorySegment>, payload: &[u8], segment_bytes: u64) -> u64 {
    let newest = segments.back().expect("the newest segment always stays");
    if !newest.payloads.is_empty() && newest.bytes + payload.len() as u64 > segment_bytes {
        segments.push_back(MemorySegment::new(newest.next_position()));
    }
    let newest = segments.back_mut().expect("the newest segment always stays");
    newest.bytes += payload.len() as u64;
    newest.payloads.push(payload.into());
    newest.next_position() - 1
}

impl Log for MemoryLog {
    fn append(&self, payload: Vec<u8>, done: Completion) -> Result<(), AppendError> {
        self.shared.append(payload, done)
    }

    fn read_from(&self, position: u64) -> Result<Entries, LogError> {
        let (first, next) = (self.first_position(), self.next_position());
        LogError::check_position(position, first, next)?;
        let entries: Vec<Entry> = lock(&self.segments)
            .iter()
            .flat_map(|segment| (segment.first_position..).zip(&segment.payloads))
            .filter(|&(at, _)| at >= position && at < next)
            .map(|(position, payload)| Entry { position, payload: payload.to_vec() })
            .collect();
        Ok(Box::new(entries.into_iter().map(Ok)))
    }

    fn next_position(&self) -> u64 {
        lock(&self.segments).back().map_or(1, MemorySegment::next_position)
    }

    fn first_position(&self) -> u64 {
        lock(&self.segments).front().map_or(1, |segment| segment.first_position)
    }

    fn trim_before(&self, position: u64) -> Result<u64, LogError> {
        let mut segments = lock(&self.segments);
        let mut removed = 0;
        while segments.get(1).is_some_and(|second| second.first_position <= position) {
            segments.pop_front();
            removed += 1;
        }
        Ok(removed)
    }

    fn seal(&self, done: Completion) -> Result<(), AppendError> {
        self.shared.seal(done)
    }

    fn state(&self) -> LogState {
        self.shared.state()
    }

    fn stats(&self) -> LogStats {
        let queue = self.shared.stats();
        let segments = lock(&self.segments);
        LogStats {
            queued_records: queue.queued_records,
            queued_bytes: queue.queued_bytes,
            files: segments.len(),
            bytes_on_disk: segments.iter().map(|segment| segment.bytes).sum(),
            first_position: segments.front().map_or(1, |segment| segment.first_position),
            next_position: segments.back().map_or(1, MemorySegment::next_position),
        }
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the log in memory panicked");
        }
    }
}
