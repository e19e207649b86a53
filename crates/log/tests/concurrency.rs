//! The log under a scheduler that tries interleavings of its thread with those of its callers:
//!
//! ```text
//! cargo test -p ia-log --features shuttle --test concurrency
//! ```
//!
//! No record is acknowledged before its flush, answers come in the order of the log, each append gets exactly one
//! answer, and no caller waits for ever, which the scheduler sees as a deadlock. A failure prints its schedule,
//! which `shuttle::replay` runs again.

use ia_log::faults::simulated::{Dice, SimulatedDisk};
use ia_log::faults::{Call, Errno, FaultyDisk};
use ia_log::{AppendError, Disk, DiskLog, Log, LogOptions, LogState};
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::mpsc::{Sender, channel};
use shuttle::sync::{Arc, Mutex};
use shuttle::{Config, Runner, thread};
use std::time::Duration;

const DIR: &str = "/data/log";

/// The changes of priority of the second scheduler.
const DEPTH: usize = 3;

fn is_long() -> bool {
    std::env::var("IA_TORTURE").is_ok_and(|form| form == "long")
}

/// Runs a scenario under many schedules.
#[expect(clippy::print_stdout, reason = "the figure of these tests")]
fn explore(name: &str, scenario: fn()) {
    let (schedules, patience) =
        if is_long() { (50_000, Duration::from_secs(90)) } else { (250, Duration::from_secs(20)) };
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config.max_time = Some(patience);
        config.silence_warnings = true;
        Runner::new(scheduler, config).run(scenario)
    };
    let ran =
        run(Box::new(RandomScheduler::new(schedules))) + run(Box::new(PctScheduler::new(DEPTH, schedules)));
    println!("figure: concurrency: scenario={name} schedules={ran} violations=0");
}

fn options() -> LogOptions {
    // Few records a file, so that the file changes meanwhile.
    LogOptions { segment_bytes: 200, max_queue_bytes: 64 << 20, ..LogOptions::default() }
}

/// A log with the answers to its callers.
#[derive(Clone)]
struct Testbed {
    log: Arc<DiskLog>,
    disk: SimulatedDisk,
    /// In the order in which completions ran.
    answers: Arc<Mutex<Vec<Answer>>>,
}

/// The answer of a completion.
#[derive(Debug, Clone)]
struct Answer {
    payload: Vec<u8>,
    result: Result<u64, AppendError>,
}

impl Testbed {
    fn new() -> Testbed {
        let disk = SimulatedDisk::default();
        Testbed::over(disk.clone(), Arc::new(disk))
    }

    fn over(disk: SimulatedDisk, seen: Arc<dyn Disk>) -> Testbed {
        let (log, _) = DiskLog::open(DIR, options(), seen, Arc::new(())).unwrap();
        Testbed { log: Arc::new(log), disk, answers: Arc::default() }
    }

    /// Appends, with checks in the completion, which then sends to `done`.
    fn append(&self, payload: Vec<u8>, done: Option<Sender<()>>) -> Result<(), AppendError> {
        let (disk, answers, log) = (self.disk.clone(), Arc::clone(&self.answers), Arc::downgrade(&self.log));
        let sent = payload.clone();
        let completion = Box::new(move |result: Result<u64, AppendError>| {
            if let Ok(position) = result {
                assert!(is_durable(&disk, &sent), "OK before the flush");
                // Without a lock that would order the two: a reader that starts now sees the record.
                if let Some(log) = log.upgrade() {
                    assert!(log.next_position() > position, "OK before the record can be read");
                }
            }
            answers.lock().unwrap().push(Answer { payload: sent, result });
            if let Some(done) = done {
                let _ = done.send(());
            }
        });
        self.log.append(payload, completion)
    }

    fn append_and_wait(&self, payload: Vec<u8>) {
        let (done, is_done) = channel();
        self.append(payload, Some(done)).unwrap();
        is_done.recv().expect("an answer");
    }

    /// Closes the log, and compares the answers with the records after a start.
    fn check(self, accepted: usize) {
        self.log.close();
        let answers = self.answers.lock().unwrap().clone();
        assert_eq!(answers.len(), accepted, "one answer to each append, before the close is done");
        assert_eq!(self.log.stats().queued_records, 0);
        assert_eq!(self.log.stats().queued_bytes, 0);
        let answered: Vec<&Answer> = answers.iter().filter(|answer| answer.result.is_ok()).collect();
        let positions: Vec<u64> = answered.iter().map(|answer| *answer.result.as_ref().unwrap()).collect();
        assert_eq!(positions, (1..=answered.len() as u64).collect::<Vec<_>>(), "in the order of the log");
        let payloads: Vec<Vec<u8>> = answered.iter().map(|answer| answer.payload.clone()).collect();
        let Testbed { log, disk, .. } = self;
        drop(log);
        disk.restart(&mut Dice::new(1));
        let (log, _) = DiskLog::open(DIR, options(), Arc::new(disk), Arc::new(())).unwrap();
        let held = read(&log);
        assert!(held.len() >= payloads.len(), "an answered record is lost");
        assert_eq!(held[..payloads.len()], payloads, "the log is what was answered, in that order");
    }
}

fn is_durable(disk: &SimulatedDisk, payload: &[u8]) -> bool {
    let contents = disk.durable_contents();
    contents.values().any(|content| content.windows(payload.len()).any(|window| window == payload))
}

fn read(log: &DiskLog) -> Vec<Vec<u8>> {
    log.read_from(1).unwrap().map(|entry| entry.unwrap().payload).collect()
}

fn payload(thread: usize, number: usize) -> Vec<u8> {
    format!("record {number} of thread {thread}").into_bytes()
}

/// Threads that append, some records each without waiting.
fn spawn_appenders(bed: &Testbed, threads: usize, records: usize) -> Vec<thread::JoinHandle<usize>> {
    let spawn = |number| {
        let bed = bed.clone();
        thread::spawn(move || {
            let appended = (0..records).map(|record| bed.append(payload(number, record), None));
            appended.filter(Result::is_ok).count()
        })
    };
    (0..threads).map(spawn).collect()
}

fn join(threads: Vec<thread::JoinHandle<usize>>) -> usize {
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

#[test]
fn appends_of_many_threads() {
    explore("appends", || {
        let bed = Testbed::new();
        let accepted = join(spawn_appenders(&bed, 3, 3));
        assert_eq!(accepted, 9);
        let answers = Arc::clone(&bed.answers);
        bed.check(accepted);
        for thread in 0..3 {
            let answers = answers.lock().unwrap();
            let own = answers
                .iter()
                .filter(|answer| answer.payload.ends_with(format!("thread {thread}").as_bytes()));
            let own: Vec<_> = own.map(|answer| answer.payload.clone()).collect();
            assert_eq!(own, (0..3).map(|record| payload(thread, record)).collect::<Vec<_>>());
        }
    });
}

/// Callers send again after an answer: the log waits for them a little, and not for ever.
#[test]
fn callers_that_wait_for_their_answers() {
    explore("answers", || {
        let bed = Testbed::new();
        let callers = (0..3).map(|number| {
            let bed = bed.clone();
            // Different numbers of records: at the end fewer callers send than had an answer.
            thread::spawn(move || {
                (0..=number).for_each(|record| bed.append_and_wait(payload(number, record)));
            })
        });
        callers.collect::<Vec<_>>().into_iter().for_each(|caller| caller.join().unwrap());
        bed.check(6);
    });
}

#[test]
fn a_close_among_appends() {
    explore("close", || {
        let bed = Testbed::new();
        let appenders = spawn_appenders(&bed, 2, 3);
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let log = Arc::clone(&bed.log);
                thread::spawn(move || log.close())
            })
            .collect();
        let accepted = join(appenders);
        closers.into_iter().for_each(|closer| closer.join().unwrap());
        assert!(matches!(bed.append(vec![1], None), Err(AppendError::Closed)));
        bed.check(accepted);
    });
}

#[test]
fn a_latch_among_appends() {
    explore("latch", || {
        let bed = Testbed::new();
        bed.disk.cut_power_after(shuttle::rand::thread_rng().gen_range(0..12));
        let accepted = join(spawn_appenders(&bed, 3, 3));
        bed.log.close();
        {
            let answers = bed.answers.lock().unwrap();
            let failed = answers.iter().position(|answer| answer.result.is_err()).unwrap_or(answers.len());
            for answer in &answers[failed..] {
                assert!(
                    matches!(answer.result, Err(AppendError::Latched { .. })),
                    "after a latch: {answer:?}"
                );
            }
        }
        bed.check(accepted);
    });
}

/// A full disk refuses records, and takes them again when there is room, even if none is appended meanwhile.
#[test]
fn a_full_disk_among_appends() {
    explore("full", || {
        let disk = SimulatedDisk::default();
        let faulty = FaultyDisk::new(disk.clone());
        let bed = Testbed::over(disk, faulty.as_disk());
        let appenders = spawn_appenders(&bed, 2, 4);
        let filler = thread::spawn(move || {
            // Files reserve their room, so a full disk shows here.
            faulty.fail_always(Call::Allocate, Errno::NOSPC);
            thread::yield_now();
            faulty.heal();
        });
        let mut accepted = join(appenders);
        filler.join().unwrap();
        while bed.log.state() == LogState::Full {
            thread::yield_now();
        }
        // A running refusal may include one more record, but not two.
        let mut last = None;
        for record in 0..2 {
            bed.append_and_wait(payload(9, record));
            accepted += 1;
            last = bed.answers.lock().unwrap().last().cloned();
            if last.as_ref().is_some_and(|answer| answer.result.is_ok()) {
                break;
            }
        }
        assert!(last.as_ref().is_some_and(|answer| answer.result.is_ok()), "{last:?}");
        bed.check(accepted);
    });
}

#[test]
fn reads_and_trims_among_appends() {
    explore("reads", || {
        let bed = Testbed::new();
        let appenders = spawn_appenders(&bed, 2, 4);
        let reader = thread::spawn({
            let bed = bed.clone();
            move || {
                for _ in 0..3 {
                    let held = read(&bed.log);
                    assert!(
                        held.iter().all(|payload| is_durable(&bed.disk, payload)),
                        "read before the flush"
                    );
                }
            }
        });
        let accepted = join(appenders);
        reader.join().unwrap();
        let trimmer = thread::spawn({
            let log = Arc::clone(&bed.log);
            move || log.trim_before(4).unwrap()
        });
        bed.append_and_wait(payload(9, 9));
        trimmer.join().unwrap();
        let first = bed.log.first_position();
        let held = bed.log.read_from(first).unwrap().map(|entry| entry.unwrap().position);
        assert_eq!(held.collect::<Vec<_>>(), (first..=accepted as u64 + 1).collect::<Vec<_>>());
    });
}

/// A completion may append, and drop the last handle of the log.
#[test]
fn completions_that_append_and_drop() {
    explore("completions", || {
        let Testbed { log, disk, .. } = Testbed::new();
        let (done, is_done) = channel();
        let again = Arc::clone(&log);
        let first = move |result: Result<u64, AppendError>| {
            assert_eq!(result, Ok(1));
            let last = move |result| {
                let _ = done.send(result);
            };
            again.append(b"the second".to_vec(), Box::new(last)).unwrap();
        };
        log.append(b"the first".to_vec(), Box::new(first)).unwrap();
        drop(log);
        assert_eq!(is_done.recv().unwrap(), Ok(2));
        assert!(is_durable(&disk, b"the second"));
    });
}
