//! The behaviour of a log, tested on every implementation.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::sync::{Barrier, Mutex};

use ia_log::{AppendError, DiskLog, Log, LogError, LogOptions, LogState, MemoryLog, RealDisk};
use tempfile::TempDir;

use crate::support::{LogExt, PATIENCE, small};

/// Makes logs, each new and empty.
type Factory = dyn Fn(LogOptions) -> Arc<dyn Log>;

fn conforms(make: &Factory) {
    starts_empty(&*make(small()));
    answers_with_positions(&*make(small()));
    reads_back_what_was_appended(&*make(small()));
    refuses_positions_it_does_not_have(&*make(small()));
    answers_in_order_under_many_threads(&make(small()));
    shows_a_record_to_its_own_completion(&make(small()));
    survives_a_completion_that_panics(&*make(small()));
    trims_whole_files_only(&*make(small()));
    gives_up_all_that_is_sealed(&*make(small()));
    bounds_payloads_and_queue(make);
}

#[test]
fn the_log_in_memory_conforms() {
    conforms(&|options| Arc::new(MemoryLog::new(options).unwrap()));
}

#[test]
fn the_log_on_a_disk_conforms() {
    let dir = TempDir::new().unwrap();
    let count = Mutex::new(0);
    conforms(&move |options| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let dir = dir.path().join(count.to_string());
        Arc::new(DiskLog::open(dir, options, Arc::new(RealDisk), Arc::new(())).unwrap().0)
    });
}

fn starts_empty(log: &dyn Log) {
    assert_eq!((log.first_position(), log.next_position()), (1, 1));
    assert_eq!(log.state(), LogState::Writable);
    assert_eq!(log.entries_from(1).unwrap(), []);
    assert_eq!(log.stats().queued_bytes, 0);
}

fn answers_with_positions(log: &dyn Log) {
    for position in 1..=20 {
        assert_eq!(log.put(format!("record {position}")), Ok(position));
        assert_eq!(log.next_position(), position + 1);
    }
}

fn reads_back_what_was_appended(log: &dyn Log) {
    // Empty ones, zeros, and some that need a file of their own.
    let payloads: Vec<Vec<u8>> =
        (0..60).map(|n: usize| vec![(n % 3) as u8; [0, 1, 24, 700, 5000, 9000][n % 6]]).collect();
    let mut reader = None;
    for (index, payload) in payloads.iter().enumerate() {
        log.put(payload.clone()).unwrap();
        if index == 29 {
            reader = Some(log.read_from(11).unwrap());
        }
    }
    assert_eq!(log.payloads(), payloads);
    for from in 1..=61 {
        let entries = log.entries_from(from).unwrap();
        assert_eq!(entries.len() as u64, 61 - from);
        assert!(entries.first().is_none_or(|entry| entry.position == from));
    }
    let seen: Vec<u64> = reader.unwrap().map(|entry| entry.unwrap().position).collect();
    assert_eq!(seen, (11..=30).collect::<Vec<_>>(), "a reader ends where the log ended when it began");
}

fn refuses_positions_it_does_not_have(log: &dyn Log) {
    log.put("one").unwrap();
    assert!(log.read_from(2).unwrap().next().is_none());
    assert!(matches!(log.read_from(3).err(), Some(LogError::BeyondEnd { position: 3, next: 2 })));
    assert!(matches!(log.read_from(0).err(), Some(LogError::Trimmed { position: 0, first: 1 })));
}

fn answers_in_order_under_many_threads(log: &Arc<dyn Log>) {
    const THREADS: usize = 8;
    const EACH: usize = 100;
    let (sender, receiver) = channel();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, sender, barrier) = (log.clone(), sender.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..EACH {
                    let payload = format!("{thread} {n}").into_bytes();
                    let (sender, sent) = (sender.clone(), payload.clone());
                    let done = Box::new(move |result| sender.send((result, sent)).unwrap());
                    log.append(payload, done).unwrap();
                }
            });
        }
    });
    let answers: Vec<(Result<u64, AppendError>, Vec<u8>)> =
        (0..THREADS * EACH).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
    let positions: Vec<u64> = answers.iter().map(|(result, _)| *result.as_ref().unwrap()).collect();
    assert_eq!(positions, (1..=(THREADS * EACH) as u64).collect::<Vec<_>>());
    let sent: Vec<Vec<u8>> = answers.into_iter().map(|(_, sent)| sent).collect();
    assert_eq!(log.payloads(), sent);
    for thread in 0..THREADS {
        let own = |payload: &&Vec<u8>| payload.starts_with(format!("{thread} ").as_bytes());
        let expected: Vec<Vec<u8>> = (0..EACH).map(|n| format!("{thread} {n}").into_bytes()).collect();
        assert!(sent.iter().filter(own).eq(&expected), "a thread's records keep their order");
    }
}

fn shows_a_record_to_its_own_completion(log: &Arc<dyn Log>) {
    let (sender, receiver) = channel();
    let inner = log.clone();
    let done = Box::new(move |result: Result<u64, AppendError>| {
        let seen = inner.entries_from(result.unwrap()).unwrap();
        let again = inner.submit("from a completion");
        sender.send((seen, again)).unwrap();
    });
    log.append(b"first".to_vec(), done).unwrap();
    let (seen, again) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(seen[0].payload, b"first");
    assert_eq!(again.wait(), Ok(2));
}

fn survives_a_completion_that_panics(log: &dyn Log) {
    log.append(b"one".to_vec(), Box::new(|_| panic!("a panic that the test wants"))).unwrap();
    assert_eq!(log.put("two"), Ok(2));
}

fn trims_whole_files_only(log: &dyn Log) {
    for _ in 0..40 {
        log.put(vec![7; 1000]).unwrap();
    }
    let files = log.stats().files;
    assert!(files > 5, "{files} files");
    assert_eq!(log.trim_before(1).unwrap(), 0);
    let removed = log.trim_before(20).unwrap();
    assert!(removed > 0);
    assert_eq!(log.stats().files as u64, files as u64 - removed);
    let first = log.first_position();
    assert!(first > 1 && first <= 20, "{first}");
    assert_eq!(log.stats().first_position, first);
    assert_eq!(log.payloads().len() as u64, 41 - first);
    assert!(matches!(log.read_from(first - 1).err(), Some(LogError::Trimmed { .. })));

    log.trim_before(u64::MAX).unwrap();
    assert_eq!(log.stats().files, 1, "the newest file stays");
    assert_eq!(log.next_position(), 41);
    assert_eq!(log.put("next"), Ok(41));
}

fn gives_up_all_that_is_sealed(log: &dyn Log) {
    assert_eq!(log.sealed(), Ok(1));
    assert_eq!(log.stats().files, 1, "an empty file is not ended");
    log.put("one").unwrap();
    log.put("two").unwrap();
    assert_eq!(log.trim_before(3).unwrap(), 0, "the newest file stays");
    assert_eq!(log.sealed(), Ok(3));
    assert_eq!(log.trim_before(2).unwrap(), 0, "a follower still needs the second");
    assert_eq!(log.trim_before(3).unwrap(), 1);
    assert_eq!((log.first_position(), log.next_position()), (3, 3));
    assert_eq!(log.put("three"), Ok(3));
    assert_eq!(log.payloads(), [b"three"]);
}

fn bounds_payloads_and_queue(make: &Factory) {
    let log = make(LogOptions { max_payload_bytes: 100, max_queue_bytes: 300, ..small() });
    let too_large = log.append(vec![0; 101], Box::new(|_| unreachable!("it was refused")));
    assert_eq!(too_large, Err(AppendError::TooLarge { bytes: 101, max_bytes: 100 }));

    // A completion that waits keeps the log's thread busy, so that the queue fills.
    let (started, has_started) = channel();
    let (go, gone) = channel();
    let done = Box::new(move |_| {
        started.send(()).unwrap();
        gone.recv_timeout(PATIENCE).unwrap();
    });
    log.append(vec![0; 100], done).unwrap();
    has_started.recv_timeout(PATIENCE).unwrap();
    let second = log.submit(vec![0; 100]);
    assert_eq!(log.append(vec![0; 100], Box::new(|_| unreachable!("refused"))), Err(AppendError::QueueFull));
    assert_eq!(log.stats().queued_records, 2);
    assert_eq!(log.stats().queued_bytes, 248);
    go.send(()).unwrap();
    assert_eq!(second.wait(), Ok(2));
    assert!(log.put("room again").is_ok());
}
