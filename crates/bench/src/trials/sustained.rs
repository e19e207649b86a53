//! Minutes of ingest as fast as it goes, while checkpoints run: does the rate hold, and does it ever stall?

use super::faults::Faults;
use super::plan::Plan;
use super::timeline::{Course, Timeline};
use crate::aim::Aim;
use crate::client::{Connection, Target};
use crate::disk;
use crate::drive::{Failure, Lane, Measured};
use crate::error::Error;
use crate::latencies::Micros;
use crate::meter::Counted;
use crate::progress::Progress;
use crate::report::{Page, Report, mib, ms, percent};
use crate::script::Script;
use crate::table::Table;
use crate::workload::{Pool, Prepared, Workload};
use ia_testkit::{Installation, procfs};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The fewest samples of a run, and the longest time between two.
const SAMPLES: u32 = 6;
const LONGEST_SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Sustained {
    seconds: f64,
    connections: usize,
    users: u64,
    memberships_per_body: u64,
    /// How many different bodies there are; they are sent again and again.
    bodies: usize,
    /// In bodies.
    course: Course,
    latency: Micros,
    checkpoints: u64,
    checkpoint_failures: u64,
    /// Of all memberships, those that began.
    new_share: f64,
    samples: Vec<Sample>,
    /// What the server counted and what it acknowledged differ: it said OK to something that it dropped.
    is_miscounted: bool,
    aims: Vec<Aim>,
    faults: Faults,
}

/// The meters at a moment.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    at_seconds: f64,
    #[serde(flatten)]
    counted: Counted,
    checkpoints: u64,
    checkpoint_failures: u64,
    log_bytes: u64,
    profile_bytes: u64,
    server_resident_bytes: u64,
    profiles_resident_bytes: u64,
}

/// What a connection saw.
struct Seen {
    measured: Measured,
    /// When answers came, from the start.
    answers: Vec<Duration>,
}

pub(super) async fn run(at: &Installation, plan: &Plan, progress: &Progress) -> Result<Sustained, Error> {
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    progress.show("sustained: preparing");
    let workload = Workload::named("bulk10", plan.connections.into());
    let pool = Script::prepare(&workload, plan.users, plan.pool_bytes());

    let (seen, samples) =
        drive(&target, &pool, workload.connections, plan.sustain_seconds, at.data_dir().to_owned(), progress)
            .await?;
    at.stop(server).await?;

    let course = Timeline::new(seen.answers).course(plan.sustain_seconds);
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let counted = last.counted.since(first.counted);
    let measured = seen.measured;
    let mut faults = Faults::default();
    faults.add(&measured);
    let aims = vec![
        Aim::at_most("longest stall", Some(course.longest_stall_ms), "ms", 250.0, None),
        Aim::at_least(
            "rate at the end / at the start",
            Some(course.last_edge / course.first_edge),
            "x",
            0.7,
            None,
        ),
        Aim::at_least(
            "lowest window / the start",
            Some(course.lowest_window / course.first_edge),
            "x",
            0.7,
            None,
        ),
    ];
    Ok(Sustained {
        seconds: measured.elapsed.as_secs_f64(),
        connections: workload.connections,
        users: plan.users,
        memberships_per_body: pool.items_per_call,
        bodies: pool.calls.len(),
        course,
        latency: measured.latencies.micros(),
        checkpoints: last.checkpoints - first.checkpoints,
        checkpoint_failures: last.checkpoint_failures,
        new_share: counted.added as f64 / counted.written() as f64,
        is_miscounted: measured.errors == 0 && counted.written() != measured.answered * pool.items_per_call,
        samples,
        aims,
        faults,
    })
}

/// Keeps the connections busy for that long, and reads the meters meanwhile.
async fn drive(
    target: &Target,
    pool: &Pool,
    connections: usize,
    duration: Duration,
    data_dir: PathBuf,
    progress: &Progress,
) -> Result<(Seen, Vec<Sample>), Error> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(target).await?);
    }
    let mut samples = vec![sample(target, &data_dir, Duration::ZERO).await?];
    let sent = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for connection in open {
        workers.spawn(work(connection, Arc::clone(&pool.calls), Arc::clone(&sent), started, duration));
    }
    let interval = LONGEST_SAMPLE_INTERVAL.min(duration / SAMPLES);
    let mut ticks = tokio::time::interval_at((started + interval).into(), interval);
    let mut all = Seen { measured: Measured::nothing(), answers: Vec::new() };
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                None => break,
                Some(ended) => {
                    let seen = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                    all.measured.add(seen.measured);
                    all.answers.extend(seen.answers);
                }
            },
            _ = ticks.tick() => {
                let at = started.elapsed();
                samples.push(sample(target, &data_dir, at).await?);
                let (now, sent) = (at.as_secs(), sent.load(Ordering::Relaxed));
                progress.show(&format!("sustained: {now} of {} s, {sent} bodies", duration.as_secs()));
            }
        }
    }
    all.measured.elapsed = started.elapsed();
    samples.push(sample(target, &data_dir, all.measured.elapsed).await?);
    Ok((all, samples))
}

async fn work(
    mut connection: Connection,
    calls: Arc<[Prepared]>,
    sent: Arc<AtomicUsize>,
    started: Instant,
    duration: Duration,
) -> Seen {
    let mut seen = Seen { measured: Measured::nothing(), answers: Vec::new() };
    let measured = &mut seen.measured;
    loop {
        let begun = Instant::now();
        if begun - started >= duration {
            return seen;
        }
        match connection.ask(&calls[sent.fetch_add(1, Ordering::Relaxed) % calls.len()]).await {
            Ok(()) => {
                let now = Instant::now();
                measured.answered += 1;
                measured.latencies.record(now - begun);
                seen.answers.push(now - started);
            }
            Err(Failure::Wrong(error)) => measured.fail(error),
            Err(Failure::Broken(error)) => {
                measured.fail(error);
                return seen;
            }
        }
    }
}

async fn sample(target: &Target, data_dir: &std::path::Path, at: Duration) -> Result<Sample, Error> {
    let metrics = target.metrics().await?;
    let disk = disk::usage(data_dir)?;
    Ok(Sample {
        at_seconds: at.as_secs_f64(),
        counted: Counted::of(&metrics)?,
        checkpoints: metrics.get("checkpoint_seconds_count")?,
        checkpoint_failures: metrics.get("checkpoint_failures_total")?,
        log_bytes: disk.log,
        profile_bytes: disk.profiles,
        server_resident_bytes: procfs::usage(target.pid)?.resident_bytes,
        profiles_resident_bytes: metrics.get("profiles_resident_bytes")?,
    })
}

impl Report for Sustained {
    /// Whether every answer was right and the server counted what it acknowledged.
    fn is_good(&self) -> bool {
        self.faults.none() && !self.is_miscounted && self.checkpoint_failures == 0 && self.latency.count > 0
    }

    fn write(&self, page: &mut Page) {
        let Sustained { course, latency, .. } = self;
        page.line(format_args!(
            "sustained: bulk10 over {} connections for {:.0} s, users drawn from {}, {} different bodies, {} % new",
            self.connections,
            self.seconds,
            self.users,
            self.bodies,
            percent(self.new_share)
        ));
        let (edge, window) = (course.edge_seconds, course.window_seconds);
        let mut table = Table::default();
        for (what, at, rate) in [
            (format!("the first {edge} s"), 0, course.first_edge),
            (format!("the last {edge} s"), course.per_second.len() - edge, course.last_edge),
            (format!("the lowest {window} s"), course.lowest_window_at, course.lowest_window),
        ] {
            let memberships = rate * self.memberships_per_body as f64;
            table.row([what, format!("from {at} s"), format!("{memberships:.0} memberships/s")]);
        }
        page.indented(&table);
        page.line(format_args!(
            "  body: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; longest stall {:.1} ms, at {:.1} s",
            ms(latency.p50),
            ms(latency.p99),
            ms(latency.max),
            course.longest_stall_ms,
            course.longest_stall_at_seconds
        ));
        let peak = |of: fn(&Sample) -> u64| mib(self.samples.iter().map(of).max().unwrap_or(0));
        page.line(format_args!(
            "  {} checkpoints, {} failed; at the most: log {} MiB, profiles on disk {} MiB, in memory {} MiB, RSS {} MiB",
            self.checkpoints,
            self.checkpoint_failures,
            peak(|sample| sample.log_bytes),
            peak(|sample| sample.profile_bytes),
            peak(|sample| sample.profiles_resident_bytes),
            peak(|sample| sample.server_resident_bytes),
        ));
        self.aims.iter().for_each(|aim| page.line(aim));
        if self.is_miscounted {
            page.line("  THE SERVER COUNTED OTHER MEMBERSHIPS THAN IT ACKNOWLEDGED");
        }
        self.faults.write(page);
    }
}
