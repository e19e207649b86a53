//! The promises before and after a flush, with a full disk and with a broken one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

use ia_log::faults::{Call, Errno};
use ia_log::{AppendError, DiskLog, Log, LogError, LogOptions, LogState, Observer};

use crate::support::{Answer, LogExt, PATIENCE, Testbed, files, small};

fn is_latched(result: &Result<u64, AppendError>) -> bool {
    matches!(result, Err(AppendError::Latched { .. }))
}

/// Writes the payloads in one batch, behind a record of its own.
fn put_as_one_batch(bed: &Testbed, log: &DiskLog, payloads: &[&[u8]]) -> Vec<Answer> {
    let first = bed.submit_held(log, "keeps the log busy");
    let answers = payloads.iter().map(|payload| log.submit(*payload)).collect();
    bed.disk.release();
    assert!(first.wait().is_ok());
    answers
}

#[test]
fn nothing_is_answered_or_readable_before_the_flush() {
    let bed = Testbed::new();
    let log = bed.open();
    log.put("one").unwrap();
    let two = bed.submit_held(&log, "two");
    assert_eq!(two.now(), None);
    assert_eq!(log.next_position(), 2);
    assert_eq!(log.payloads(), [b"one"]);
    assert!(matches!(log.read_from(3).err(), Some(LogError::BeyondEnd { .. })));
    bed.disk.release();
    assert_eq!(two.wait(), Ok(2));
    assert_eq!(log.payloads(), [b"one", b"two"]);
}

#[test]
fn queued_records_share_a_flush() {
    #[derive(Default)]
    struct Counts(AtomicUsize, AtomicUsize);
    impl Observer for Counts {
        fn flushed(&self, records: usize, bytes: usize, _: Duration, _: Duration) {
            self.0.fetch_add(records, SeqCst);
            self.1.fetch_add(bytes, SeqCst);
        }
    }
    let bed = Testbed { options: LogOptions { segment_bytes: 1 << 20, ..small() }, ..Testbed::new() };
    let counts = Arc::new(Counts::default());
    let (log, _) =
        DiskLog::open(bed.path(), bed.options.clone(), bed.disk.as_disk(), counts.clone()).unwrap();
    let (flushes, writes) = (bed.disk.calls(Call::Flush), bed.disk.calls(Call::Write));
    let first = bed.submit_held(&log, "x");
    let rest: Vec<Answer> = (0..500).map(|_| log.submit("x")).collect();
    bed.disk.release();
    assert_eq!(first.wait(), Ok(1));
    for (index, answer) in rest.iter().enumerate() {
        assert_eq!(answer.wait(), Ok(index as u64 + 2));
    }
    assert_eq!(bed.disk.calls(Call::Flush) - flushes, 2);
    assert_eq!(bed.disk.calls(Call::Write) - writes, 4, "the frames and a mark, twice");
    assert_eq!(counts.0.load(SeqCst), 501);
    assert_eq!(counts.1.load(SeqCst), 501 * 25);
}

#[test]
fn a_failed_flush_latches_and_is_not_tried_again() {
    let bed = Testbed::new();
    let log = bed.open();
    log.put("durable").unwrap();
    bed.disk.fail_next(Call::Flush, Errno::IO);
    let failing = bed.submit_held(&log, "failing");
    let waiting = log.submit("waiting");
    let flushes = bed.disk.calls(Call::Flush);
    bed.disk.release();
    assert!(is_latched(&failing.wait()));
    assert!(is_latched(&waiting.wait()));

    let refused = log.append(b"later".to_vec(), Box::new(|_| unreachable!("it was refused")));
    assert!(matches!(refused, Err(AppendError::Latched { .. })));
    let LogState::Latched { reason } = log.state() else { panic!("{:?}", log.state()) };
    assert!(reason.contains("flush") && reason.contains("os error 5"), "{reason}");
    assert_eq!(log.payloads(), [b"durable"], "reads go on, up to what was durable");
    log.close();
    assert_eq!(bed.disk.calls(Call::Flush), flushes, "the disk was healed, and is not asked again");

    drop(log);
    let log = bed.open();
    assert_eq!(log.payloads(), [b"durable"]);
    assert_eq!(log.put("after"), Ok(2));
}

#[test]
fn after_a_latch_that_could_not_cut_a_refused_record_may_return_but_only_durable() {
    let bed = Testbed::new();
    let log = bed.open();
    bed.disk.fail_next(Call::Flush, Errno::IO);
    bed.disk.fail_next(Call::SetSize, Errno::IO);
    assert!(is_latched(&log.put("unknown")));
    assert_eq!(log.payloads(), [] as [&[u8]; 0]);
    drop(log);

    // The kernel would take the pages for clean now, so a flush alone would not reach the disk.
    let writes = bed.disk.calls(Call::Write);
    let (log, recovery) = bed.try_open().unwrap();
    assert_eq!(recovery.rewritten_bytes, 24 + 7);
    assert!(bed.disk.calls(Call::Write) > writes);
    assert_eq!(log.payloads(), [b"unknown"]);
}

#[test]
fn every_other_failure_of_the_disk_latches() {
    // The failing call, and how many of these calls succeed before. The file is full after one record.
    let cases = [
        (Call::Write, 0, "small"),
        (Call::Write, 1, "small"),
        (Call::Create, 0, "large"),
        (Call::Allocate, 0, "large"),
        (Call::Write, 0, "large"),
        (Call::Flush, 0, "large"),
        (Call::Rename, 0, "large"),
        (Call::SyncDir, 0, "large"),
        (Call::Write, 1, "large"),
        (Call::SetSize, 0, "large"),
        (Call::Flush, 1, "large"),
    ];
    for (call, before, size) in cases {
        let case = format!("{call:?} {before} {size}");
        let bed = Testbed::new();
        let log = bed.open();
        log.put(vec![1; 3000]).unwrap();
        bed.disk.fail_nth(call, before + 1, Errno::IO);
        let result = log.put(vec![2; if size == "small" { 10 } else { 3000 }]);
        // The mark behind a small record is written after the record is durable.
        let mark = (call, before, size) == (Call::Write, 1, "small");
        assert_eq!(is_latched(&result), !mark, "{case}: {result:?}");
        log.wait_for_latch();
        let durable = 1 + usize::from(mark);
        assert_eq!(log.payloads().len(), durable, "{case}");
        let killed = bed.after_a_kill();
        drop(log);
        for bed in [killed, bed] {
            let log = bed.try_open().unwrap_or_else(|error| panic!("{case}: {error}")).0;
            assert_eq!(log.payloads().len(), durable, "{case}");
            assert_eq!(log.put("on"), Ok(durable as u64 + 1), "{case}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_then_carries_on() {
    for (call, errno) in
        [(Call::Write, Errno::NOSPC), (Call::Write, Errno::DQUOT), (Call::Allocate, Errno::NOSPC)]
    {
        let mut bed = Testbed::new();
        bed.options.full_probe_interval = Duration::from_secs(3600);
        let log = bed.open();
        log.put(vec![1; 3000]).unwrap();
        bed.disk.fail_always(call, errno);
        // The second needs a new file.
        for size in [10, 3000] {
            if call == Call::Allocate && size == 10 {
                continue;
            }
            assert_eq!(log.put(vec![2; size]), Err(AppendError::DiskFull), "{call:?}");
            assert_eq!(log.state(), LogState::Full);
            assert_eq!(log.payloads(), [[1; 3000]]);
        }
        assert!(files(&bed.path()).iter().all(|file| file.extension().unwrap() == "log"));
        bed.disk.heal();
        assert_eq!(log.put(vec![3; 3000]), Ok(2));
        assert_eq!(log.state(), LogState::Writable);
        drop(log);
        assert_eq!(bed.open().payloads(), [[1; 3000], [3; 3000]]);
    }
}

#[test]
fn a_disk_without_room_for_a_seal_is_full_and_no_more() {
    // Writes of a rotation: the header of the new file, then the seal of the old one, which is cut then.
    for (call, before) in [(Call::Write, 1), (Call::SetSize, 0)] {
        for torn in [0, 5, 24] {
            let mut bed = Testbed::new();
            bed.options.full_probe_interval = Duration::from_secs(3600);
            let log = bed.open();
            log.put(vec![1; 3000]).unwrap();
            bed.disk.tear_failing_writes_after(torn);
            bed.disk.fail_nth(call, before + 1, Errno::NOSPC);
            assert_eq!(log.put(vec![2; 3000]), Err(AppendError::DiskFull), "{call:?}");
            assert_eq!(log.state(), LogState::Full);
            let killed = bed.after_a_kill();
            assert_eq!(killed.open().put("behind a start"), Ok(2), "{call:?}");
            assert_eq!(killed.open().payloads().len(), 2);
            // It would fit the old file, but must go to the new one, which has its position.
            assert_eq!(log.put("small"), Ok(2), "{call:?}");
            assert_eq!(log.put("another"), Ok(3));
            assert_eq!(log.state(), LogState::Writable);
            drop(log);
            let expected = [vec![1; 3000], b"small".to_vec(), b"another".to_vec()];
            assert_eq!(bed.open().payloads(), expected, "{call:?}");
        }
    }
}

#[test]
fn a_full_disk_heals_without_traffic() {
    for (call, size) in [(Call::Write, 10), (Call::Allocate, 3000)] {
        let bed = Testbed::new();
        let log = bed.open();
        log.put(vec![1; 3000]).unwrap();
        bed.disk.fail_always(Call::Allocate, Errno::NOSPC);
        bed.disk.fail_always(call, Errno::NOSPC);
        assert_eq!(log.put(vec![2; size]), Err(AppendError::DiskFull));
        // The log tries again by itself.
        let tried = bed.disk.calls(Call::Allocate);
        bed.disk.wait_for_calls(Call::Allocate, tried + 2);
        assert_eq!(log.state(), LogState::Full);
        bed.disk.heal();
        log.wait_for_state(|state| *state == LogState::Writable);
        assert_eq!(log.put("again"), Ok(2));
    }
}

#[test]
fn a_log_is_readable_when_the_disk_is_full_at_the_start() {
    let bed = Testbed::new();
    bed.open().put("kept").unwrap();
    // A file that is too short needs room at the start.
    let file = &files(&bed.path())[0];
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(100).unwrap();
    bed.disk.fail_always(Call::Allocate, Errno::NOSPC);
    let log = bed.open();
    assert_eq!(log.state(), LogState::Full);
    assert_eq!(log.payloads(), [b"kept"]);
    assert_eq!(log.put("x"), Err(AppendError::DiskFull));
    bed.disk.heal();
    assert_eq!(log.put("y"), Ok(2));
}

#[test]
fn a_refused_batch_is_removed_before_the_failure_is_reported() {
    // 3 frames of 124 bytes, of which any part may reach the disk.
    for torn in (0..=372).step_by(31) {
        let bed = Testbed::new();
        let log = bed.open();
        bed.disk.tear_failing_writes_after(torn);
        // After the record that keeps the log busy and its mark.
        bed.disk.fail_nth(Call::Write, 3, Errno::NOSPC);
        let refused = put_as_one_batch(&bed, &log, &[&[b'a'; 100], &[b'b'; 100], &[b'c'; 100]]);
        for answer in refused {
            assert_eq!(answer.wait(), Err(AppendError::DiskFull));
        }
        let killed = bed.after_a_kill();
        let (log_after_kill, recovery) = killed.try_open().unwrap();
        assert_eq!(log_after_kill.payloads(), [b"keeps the log busy"], "torn after {torn}");
        assert_eq!(recovery.torn_bytes, 0, "the log itself had cut the file");

        // A record of the same size in the place of the first: the others would fit behind it.
        bed.disk.heal();
        assert_eq!(log.put([b'd'; 100]), Ok(2));
        let killed = bed.after_a_kill();
        let expected = [b"keeps the log busy".to_vec(), vec![b'd'; 100]];
        assert_eq!(killed.open().payloads(), expected, "torn after {torn}");
    }
}

#[test]
fn a_full_disk_that_cannot_be_cut_latches() {
    for call in [Call::SetSize, Call::Flush] {
        let bed = Testbed::new();
        let log = bed.open();
        log.put("durable").unwrap();
        bed.disk.fail_next(Call::Write, Errno::NOSPC);
        bed.disk.fail_next(call, Errno::IO);
        assert!(is_latched(&log.put("refused")), "{call:?}");
        assert_eq!(log.payloads(), [b"durable"]);
    }
}

#[test]
fn a_flush_that_finds_the_disk_full_latches() {
    // The kernel may have dropped the pages, as after any other failed flush.
    let bed = Testbed::new();
    let log = bed.open();
    bed.disk.fail_next(Call::Flush, Errno::NOSPC);
    assert!(is_latched(&log.put("x")));
}

#[test]
fn closing_flushes_queued_records() {
    let bed = Testbed::new();
    let log = bed.open();
    bed.disk.hold(Call::Flush);
    let answers: Vec<Answer> = (0..50).map(|n| log.submit(vec![n; 200])).collect();
    bed.disk.wait_until_held();
    bed.disk.release();
    log.close();
    assert!(answers.iter().all(|answer| answer.now().is_some_and(|result| result.is_ok())));
    assert_eq!(log.append(Vec::new(), Box::new(|_| unreachable!("closed"))), Err(AppendError::Closed));
    assert_eq!(log.payloads().len(), 50, "reads go on");
    log.close();
    drop(log);
    assert_eq!(bed.open().payloads().len(), 50);
}

#[test]
fn the_last_owner_may_be_a_completion() {
    let bed = Testbed::new();
    let log = Arc::new(bed.open());
    let (sender, receiver) = channel();
    let (owner, (go, gone)) = (log.clone(), channel());
    let done = Box::new(move |result| {
        gone.recv_timeout(PATIENCE).unwrap();
        drop(owner);
        sender.send(result).unwrap();
    });
    log.append(b"x".to_vec(), done).unwrap();
    drop(log);
    go.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), Ok(1));
}

#[test]
fn a_log_has_one_writer() {
    let bed = Testbed::new();
    let log = bed.open();
    assert!(matches!(bed.try_open(), Err(LogError::Locked { dir }) if dir == bed.path()));
    drop(log);
    bed.open();
}

#[test]
fn other_users_cannot_read_it() {
    let bed = Testbed::new();
    let _log = bed.open();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bed.path()), 0o700);
    assert_eq!(mode(&files(&bed.path())[0]), 0o600);
}

#[test]
fn options_that_cannot_work_are_refused() {
    let bad = [
        LogOptions { max_queue_bytes: small().max_payload_bytes + 23, ..small() },
        LogOptions { max_payload_bytes: usize::MAX, max_queue_bytes: usize::MAX, ..small() },
        LogOptions { segment_bytes: 55, ..small() },
    ];
    for options in bad {
        let bed = Testbed { options, ..Testbed::new() };
        assert!(matches!(bed.try_open(), Err(LogError::InvalidOptions(_))));
        assert!(!bed.path().exists());
    }
}
