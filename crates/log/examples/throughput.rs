//! Measures the log on the disk under a directory: records a second and bytes a second.
//!
//! `cargo run --release -p ia-log --example throughput -- DIR THREADS PAYLOAD_BYTES SECONDS IN_FLIGHT`
//!
//! Every thread keeps `IN_FLIGHT` appends in flight; the log is trimmed as it grows.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ia_log::{DiskLog, Log, LogOptions, Observer, RealDisk};

#[derive(Default)]
struct Sums {
    flushes: AtomicU64,
    write_ns: AtomicU64,
    flush_ns: AtomicU64,
}

impl Observer for Sums {
    fn flushed(&self, _: usize, _: usize, write: Duration, flush: Duration) {
        self.flushes.fetch_add(1, Relaxed);
        self.write_ns.fetch_add(write.as_nanos() as u64, Relaxed);
        self.flush_ns.fetch_add(flush.as_nanos() as u64, Relaxed);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, threads, payload_bytes, seconds, in_flight] = arguments.as_slice() else {
        return Err("usage: throughput DIR THREADS PAYLOAD_BYTES SECONDS IN_FLIGHT".into());
    };
    let (threads, payload_bytes): (usize, usize) = (threads.parse()?, payload_bytes.parse()?);
    let (seconds, in_flight): (u64, usize) = (seconds.parse()?, in_flight.parse()?);

    let sums = Arc::new(Sums::default());
    let (log, recovery) = DiskLog::open(dir, LogOptions::default(), Arc::new(RealDisk), sums.clone())?;
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| append_until(&log, until, payload_bytes, in_flight));
        }
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            let trimmed = log.trim_before(log.next_position());
            trimmed.expect("the benchmark's own files can be removed");
        }
    });
    let took = started.elapsed().as_secs_f64();
    let records = (log.next_position() - recovery.next_position) as f64;
    let flushes = sums.flushes.load(Relaxed) as f64;
    writeln!(
        std::io::stdout(),
        "{:.0} records/s, {:.1} MB/s, {:.0} flushes/s, {:.1} records a flush, write {:.0} us, flush {:.0} us",
        records / took,
        records * payload_bytes as f64 / took / 1e6,
        flushes / took,
        records / flushes,
        sums.write_ns.load(Relaxed) as f64 / flushes / 1e3,
        sums.flush_ns.load(Relaxed) as f64 / flushes / 1e3,
    )?;
    Ok(())
}

fn append_until(log: &DiskLog, until: Instant, payload_bytes: usize, in_flight: usize) {
    let (sender, receiver) = channel();
    let append = || {
        let sender = sender.clone();
        let done = Box::new(move |result: Result<u64, _>| drop(sender.send(result)));
        log.append(vec![0x5a; payload_bytes], done).expect("room in the queue");
    };
    (0..in_flight).for_each(|_| append());
    let mut under_way = in_flight;
    while under_way > 0 {
        receiver.recv().expect("the log answers").expect("the log is writable");
        under_way -= 1;
        if Instant::now() < until {
            append();
            under_way += 1;
        }
    }
}
