//! How soon small files are done, what reads notice of large ones, and whether files of several members share.

use super::Plan;
use super::crowd::{Crowd, catalog, username};
use super::job::Job;
use crate::aim::Aim;
use crate::client::{Call, Connection, Target};
use crate::drive::Measured;
use crate::error::Error;
use crate::latencies::Micros;
use crate::open_loop::OpenLoop;
use crate::progress::Progress;
use crate::report::{Page, percent};
use crate::site::Site;
use crate::statistics::Spread;
use crate::table::Table;
use crate::workload::{Pool, Prepared};
use bytes::Bytes;
use ia_testkit::ServerProcess;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Lines of a small file.
const SMALL_LINES: u64 = 1000;

/// How often it is asked how far a large file is.
const POLL: Duration = Duration::from_millis(20);

/// The most users that reads ask for.
const READ_USERS: u64 = 100_000;

/// The outcome.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    users: u64,
    reads_per_second: u32,
    /// From the first byte of the upload until a poll shows `completed`; the upload's answer alone.
    small_files: u32,
    small_completed_ms: Spread,
    small_answered_ms: Spread,
    members: u32,
    rounds: Vec<Round>,
    p99_beside_one: Spread,
    p99_beside_all: Spread,
}

/// Reads from the moment that each was due.
#[derive(Debug, Serialize)]
struct Round {
    quiet: Micros,
    beside_one: Micros,
    /// Beside a file of each member at once.
    beside_all: Micros,
    /// For how much of the time of the reads a file was being read.
    busy_share_one: f64,
    busy_share_all: f64,
    /// Seconds from the last upload's answer until each member's file is completed, the first to end first.
    ends: Vec<f64>,
}

struct Clients {
    targets: Vec<Target>,
    /// A file of each member; all are of the same size.
    files: Vec<(Crowd, Bytes)>,
    reads: OpenLoop,
    duration: Duration,
}

/// A file of each of some members on its way.
struct Running {
    /// Seconds from the beginning until each is completed.
    ends: JoinSet<Result<f64, Error>>,
}

impl Beside {
    pub(super) async fn measure(site: &Site, plan: &Plan, progress: &Progress) -> Result<Beside, Error> {
        progress.show("files: preparing");
        let installation = site.install_with("beside", &catalog(plan.members))?;
        let server = installation.start().await?;
        let clients = Clients::prepare(plan, &server).await?;
        // The rounds refresh what is there then: each finds profiles as large as the one before it.
        progress.during(clients.load(), || "files: loading".to_owned()).await?;
        let small = progress.during(clients.small(plan), || "files: small files".to_owned()).await?;
        let mut rounds = Vec::new();
        for number in 1..=plan.rounds {
            let text = || format!("files: reads beside files, round {number} of {}", plan.rounds);
            rounds.push(progress.during(clients.round(), text).await?);
        }
        installation.stop(server).await?;
        let ratio = |of: fn(&Round) -> Micros| {
            let p99 = |micros: Micros| micros.p99 as f64;
            Spread::of(rounds.iter().map(|round| p99(of(round)) / p99(round.quiet)))
        };
        let (completed, answered): (Vec<f64>, Vec<f64>) = small.into_iter().unzip();
        Ok(Beside {
            users: plan.users,
            reads_per_second: plan.reads_per_second,
            small_files: plan.small_files,
            small_completed_ms: Spread::of(completed),
            small_answered_ms: Spread::of(answered),
            members: plan.members,
            p99_beside_one: ratio(|round| round.beside_one),
            p99_beside_all: ratio(|round| round.beside_all),
            rounds,
        })
    }

    pub(super) fn aims(&self) -> Vec<Aim> {
        let read = |what: String, spread: Spread| Aim::at_most(what, Some(spread.median), "x", 2.0, None);
        let completed = Some(self.small_completed_ms.median);
        vec![
            Aim::at_most("a file of 1,000 lines completed", completed, "ms", 100.0, Some(20.0)),
            read("read p99 beside a file / quiet".to_owned(), self.p99_beside_one),
            read(format!("read p99 beside {} files / quiet", self.members), self.p99_beside_all),
        ]
    }

    pub(super) fn write(&self, page: &mut Page) {
        let Spread { median, min, max } = self.small_completed_ms;
        page.line(format_args!(
            "small: {} files of 1,000 lines, one after the other, from the first byte: completed after {median:.1} ms ({min:.1}-{max:.1}), the upload answered after {:.1} ms",
            self.small_files, self.small_answered_ms.median
        ));
        page.line(format_args!(
            "beside: {} reads/s over one connection, beside files of {} users x 10",
            self.reads_per_second, self.users
        ));
        let mut table = Table::default();
        table.row(
            ["reads, ms"].into_iter().chain(Micros::HEADING).chain(["files ran, %", "files ended after, s"]),
        );
        for (number, round) in (1..).zip(&self.rounds) {
            let mut row = |what: &str, reads: &Micros, rest: [String; 2]| {
                let mut cells = vec![format!("round {number} {what}")];
                cells.extend(reads.cells());
                cells.extend(rest);
                table.row(cells);
            };
            row("quiet", &round.quiet, Default::default());
            row("beside 1", &round.beside_one, [percent(round.busy_share_one), String::new()]);
            let ends: Vec<String> = round.ends.iter().map(|seconds| format!("{seconds:.1}")).collect();
            let all = format!("beside {}", self.members);
            row(&all, &round.beside_all, [percent(round.busy_share_all), ends.join(" ")]);
        }
        page.indented(&table);
    }
}

impl Clients {
    async fn prepare(plan: &Plan, server: &ServerProcess) -> Result<Clients, Error> {
        let (mut targets, mut files) = (Vec::new(), Vec::new());
        for member in 1..=plan.members {
            let crowd = Crowd::new(member, plan.users);
            targets.push(Target::log_in_as(server, &username(member)).await?);
            files.push((crowd, crowd.gzip().map_err(Error::io("make a file"))?.into()));
        }
        // Reads are of the first member's users.
        let (crowd, _): (Crowd, Bytes) = files[0].clone();
        let step = (plan.users / READ_USERS).max(1);
        let calls = (0..plan.users / step).map(|number| Prepared {
            call: Call::get_user(crowd.id(number * step)),
            mark: r#""segments":[{"#.into(),
        });
        let pool = Pool { calls: calls.collect(), items_per_call: 1 };
        let reads = OpenLoop::new(&targets[0], &pool, plan.reads_per_second.into(), 1);
        Ok(Clients { targets, files, reads, duration: plan.seconds })
    }

    /// Loads all files once.
    async fn load(&self) -> Result<(), Error> {
        let mut running = self.begin(self.files.len()).await?;
        while running.next().await?.is_some() {}
        Ok(())
    }

    /// Milliseconds from the first byte until a small file is completed, and until its upload is answered.
    async fn small(&self, plan: &Plan) -> Result<Vec<(f64, f64)>, Error> {
        let crowd = Crowd::new(1, SMALL_LINES);
        let file: Bytes = crowd.gzip().map_err(Error::io("make a file"))?.into();
        let mut connection = Connection::open(&self.targets[0]).await?;
        let mut times = Vec::new();
        for _ in 0..plan.small_files {
            let job = Job::create(&mut connection).await?;
            let started = Instant::now();
            job.upload(&mut connection, &file).await?;
            let answered = started.elapsed();
            let ended = job.end(&mut connection, Duration::ZERO).await?;
            let completed = started.elapsed();
            ended.must_have(crowd.users(), crowd.memberships_count())?;
            times.push((completed.as_secs_f64() * 1e3, answered.as_secs_f64() * 1e3));
        }
        Ok(times)
    }

    async fn round(&self) -> Result<Round, Error> {
        let quiet = faultless(self.reads.run_apart(self.duration).await?)?;
        let (beside_one, mut one) = self.read_beside(1).await?;
        let (beside_all, all) = self.read_beside(self.files.len()).await?;
        one.truncate(1);
        let busy_share = |ends: &[f64]| {
            let last = ends.iter().copied().fold(0.0, f64::max);
            (last / self.duration.as_secs_f64()).min(1.0)
        };
        Ok(Round {
            quiet,
            beside_one,
            beside_all,
            busy_share_one: busy_share(&one),
            busy_share_all: busy_share(&all),
            ends: all,
        })
    }

    /// Reads while the files of the first members run, and seconds until each of these was completed.
    async fn read_beside(&self, members: usize) -> Result<(Micros, Vec<f64>), Error> {
        let mut running = self.begin(members).await?;
        let reads = faultless(self.reads.run_apart(self.duration).await?)?;
        let mut ends = Vec::new();
        while let Some(end) = running.next().await? {
            ends.push(end);
        }
        ends.sort_by(f64::total_cmp);
        Ok((reads, ends))
    }

    /// Uploads the files of the first members; returns when all uploads are answered.
    async fn begin(&self, members: usize) -> Result<Running, Error> {
        let mut uploads = JoinSet::new();
        for (target, (crowd, file)) in self.targets.iter().zip(&self.files).take(members) {
            let (target, crowd, file) = (target.clone(), *crowd, file.clone());
            uploads.spawn(async move {
                let mut connection = Connection::open(&target).await?;
                let job = Job::create(&mut connection).await?;
                job.upload(&mut connection, &file).await?;
                Ok::<_, Error>((connection, job, crowd))
            });
        }
        let mut uploaded = Vec::new();
        while let Some(upload) = uploads.join_next().await {
            uploaded.push(upload.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?);
        }
        let started = Instant::now();
        let mut ends = JoinSet::new();
        for (mut connection, job, crowd) in uploaded {
            ends.spawn(async move {
                let ended = job.end(&mut connection, POLL).await?;
                let seconds = started.elapsed().as_secs_f64();
                ended.must_have(crowd.users(), crowd.memberships_count())?;
                Ok(seconds)
            });
        }
        Ok(Running { ends })
    }
}

impl Running {
    /// The next to end; `None` after the last.
    async fn next(&mut self) -> Result<Option<f64>, Error> {
        match self.ends.join_next().await {
            Some(end) => end.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())).map(Some),
            None => Ok(None),
        }
    }
}

/// A read that fails ends the run.
fn faultless(measured: Measured) -> Result<Micros, Error> {
    match measured.first_error {
        None => Ok(measured.latencies.micros()),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Page;

    #[test]
    fn reads_beside_files_are_told_with_the_ends_of_the_files() {
        let micros = |p99| Micros { p50: 100, p99, p999: 2 * p99, max: 9_000, count: 1500 };
        let round = Round {
            quiet: micros(500),
            beside_one: micros(1000),
            beside_all: micros(1500),
            busy_share_one: 1.0,
            busy_share_all: 0.5,
            ends: vec![1.25, 2.5],
        };
        let spread = |figure| Spread { median: figure, min: figure, max: figure };
        let beside = Beside {
            users: 1000,
            reads_per_second: 500,
            small_files: 20,
            small_completed_ms: spread(15.0),
            small_answered_ms: spread(5.0),
            members: 2,
            rounds: vec![round],
            p99_beside_one: spread(2.0),
            p99_beside_all: spread(3.0),
        };
        let mut page = Page::default();
        beside.write(&mut page);
        let text = format!("{page:?}");
        assert!(text.contains("completed after 15.0 ms") && text.contains("50"), "{text}");
        let aims: Vec<String> = beside.aims().iter().map(ToString::to_string).collect();
        assert!(aims[0].contains("aim <= 20 ms: met") && aims[1].contains(": met"), "{aims:?}");
        assert!(aims[2].ends_with("MISSED"), "{aims:?}");
    }
}
