//! The log under a scheduler that tries interleavings of its thread with those of its callers:
//!
//! ```text
//! cargo test -p ia-log --features shuttle --test concurrency
//! ```
//!
//! Nothing is answered OK before its flush, answers come in the order of the log, each append has exactly one
//! answer, and nobody waits for ever, which the scheduler sees as a deadlock. A failure prints its schedule, which
//! `shuttle::replay` runs again.

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

/// How many changes of priority the second scheduler makes.
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
    // Some records a file, so that files change under way.
    LogOptions { segment_bytes: 200, max_queue_bytes: 64 << 20, ..LogOptions::default() }
}

/// A log with what its callers were told.
#[derive(Clone)]
struct Bed {
    log: Arc<DiskLog>,
    disk: SimulatedDisk,
    told: Arc<Mutex<Vec<Told>>>,
}

/// What a completion said, in the order in which completions ran.
#[derive(Debug, Clone)]
struct Told {
    payload: Vec<u8>,
    result: Result<u64, AppendError>,
}

impl Bed {
    fn new() -> Bed {
        let disk = SimulatedDisk::default();
        Bed::over(disk.clone(), Arc::new(disk))
    }

    fn over(disk: SimulatedDisk, seen: Arc<dyn Disk>) -> Bed {
        let (log, _) = DiskLog::open(DIR, options(), seen, Arc::new(())).unwrap();
        Bed { log: Arc::new(log), disk, told: Arc::default() }
    }

    /// Appends, and checks on the completion. The receiver of `done` is told, if there is one.
    fn append(&self, payload: Vec<u8>, done: Option<Sender<()>>) -> Result<(), AppendError> {
        let (disk, told, log) = (self.disk.clone(), Arc::clone(&self.told), Arc::downgrade(&self.log));
        let sent = payload.clone();
        let completion = Box::new(move |result: Result<u64, AppendError>| {
            if let Ok(position) = result {
                assert!(is_durable(&disk, &sent), "OK before the flush");
                // Read without a lock that could order it: a reader that starts now sees the record.
                if let Some(log) = log.upgrade() {
                    assert!(log.next_position() > position, "OK before the record can be read");
                }
            }
            told.lock().unwrap().push(Told { payload: sent, result });
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

    /// Closes the log, and checks what was told against what a start finds.
    fn check(self, accepted: usize) {
        self.log.close();
        let told = self.told.lock().unwrap().clone();
        assert_eq!(told.len(), accepted, "one answer to each append, before the close is done");
        assert_eq!(self.log.stats().queued_records, 0);
        assert_eq!(self.log.stats().queued_bytes, 0);
        let answered: Vec<&Told> = told.iter().filter(|told| told.result.is_ok()).collect();
        let positions: Vec<u64> = answered.iter().map(|told| *told.result.as_ref().unwrap()).collect();
        assert_eq!(positions, (1..=answered.len() as u64).collect::<Vec<_>>(), "in the order of the log");
        let payloads: Vec<Vec<u8>> = answered.iter().map(|told| told.payload.clone()).collect();
        let Bed { log, disk, .. } = self;
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
fn spawn_appenders(bed: &Bed, threads: usize, records: usize) -> Vec<thread::JoinHandle<usize>> {
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
        let bed = Bed::new();
        let accepted = join(spawn_appenders(&bed, 3, 3));
        assert_eq!(accepted, 9);
        let told = Arc::clone(&bed.told);
        bed.check(accepted);
        for thread in 0..3 {
            let told = told.lock().unwrap();
            let own =
                told.iter().filter(|told| told.payload.ends_with(format!("thread {thread}").as_bytes()));
            let own: Vec<_> = own.map(|told| told.payload.clone()).collect();
            assert_eq!(own, (0..3).map(|record| payload(thread, record)).collect::<Vec<_>>());
        }
    });
}

/// Who was answered sends again: the log waits for them a little, and not for ever.
#[test]
fn callers_that_wait_for_their_answers() {
    explore("answers", || {
        let bed = Bed::new();
        let callers = (0..3).map(|number| {
            let bed = bed.clone();
            // Of different lengths: at last fewer send than were answered.
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
        let bed = Bed::new();
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
        let bed = Bed::new();
        bed.disk.cut_power_after(shuttle::rand::thread_rng().gen_range(0..12));
        let accepted = join(spawn_appenders(&bed, 3, 3));
        bed.log.close();
        {
            let told = bed.told.lock().unwrap();
            let failed = told.iter().position(|told| told.result.is_err()).unwrap_or(told.len());
            for told in &told[failed..] {
                assert!(matches!(told.result, Err(AppendError::Latched { .. })), "after a latch: {told:?}");
            }
        }
        bed.check(accepted);
    });
}

/// A full disk refuses, and takes records again when there is room, also without one that tries.
#[test]
fn a_full_disk_among_appends() {
    explore("full", || {
        let disk = SimulatedDisk::default();
        let faulty = FaultyDisk::new(disk.clone());
        let bed = Bed::over(disk, faulty.as_disk());
        let appenders = spawn_appenders(&bed, 2, 4);
        let filler = thread::spawn(move || {
            // Room is reserved by the file, so this is where a full disk shows.
            faulty.fail_always(Call::Allocate, Errno::NOSPC);
            thread::yield_now();
            faulty.heal();
        });
        let mut accepted = join(appenders);
        filler.join().unwrap();
        while bed.log.state() == LogState::Full {
            thread::yield_now();
        }
        // A refusal that was under way may take one more with it, and no second one.
        let mut last = None;
        for record in 0..2 {
            bed.append_and_wait(payload(9, record));
            accepted += 1;
            last = bed.told.lock().unwrap().last().cloned();
            if last.as_ref().is_some_and(|told| told.result.is_ok()) {
                break;
            }
        }
        assert!(last.as_ref().is_some_and(|told| told.result.is_ok()), "{last:?}");
        bed.check(accepted);
    });
}

#[test]
fn reads_and_trims_among_appends() {
    explore("reads", || {
        let bed = Bed::new();
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
        let Bed { log, disk, .. } = Bed::new();
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
