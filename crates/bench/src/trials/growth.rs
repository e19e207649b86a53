//! The same work with more and more users: rates, memory, and how long a start takes.

use super::aim::Aim;
use super::plan::Plan;
use super::units::{Faults, Micros, mib, ms};
use crate::client::Target;
use crate::disk;
use crate::distribution::Distribution;
use crate::drive::Driver;
use crate::error::Error;
use crate::fill::{check, fill, find};
use crate::procfs;
use crate::progress::Progress;
use crate::script::Script;
use crate::server::Installation;
use crate::verify::Findings;
use crate::workload::{KNOWN_SEGMENTS, Pool, Workload, Written};
use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};

/// What is measured at each size.
const WORKLOADS: [&str; 3] = ["bulk10", "small", "read"];

/// The size that others are held against.
const BASE_USERS: u64 = 1_000_000;

/// Starts are held to a time from this size on.
const LARGE_USERS: u64 = 10_000_000;

/// A warm-up that takes longer is not waited for.
const WARM_PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked how far a warm-up is.
const WARM_POLL: Duration = Duration::from_millis(50);

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    sizes: Vec<Size>,
    aims: Vec<Aim>,
}

/// What was found with so many users.
#[derive(Debug, Serialize)]
struct Size {
    users: u64,
    memberships: u64,
    /// Memberships a second while they were loaded, all of them new. The clients make the bodies meanwhile,
    /// which takes a good part of a core: no peak rate.
    load_rate: f64,
    /// Right after the load.
    server_resident_bytes: u64,
    profiles_resident_bytes: u64,
    disk_bytes: u64,
    rates: Vec<Rate>,
    seconds_to_stop: f64,
    after_stop: Start,
    after_kill: Start,
    faults: Faults,
}

#[derive(Debug, Serialize)]
struct Rate {
    workload: &'static str,
    items_per_second: f64,
    latency: Micros,
}

/// A start, and whether what was acknowledged is there.
#[derive(Debug, Serialize)]
struct Start {
    seconds_to_ready: f64,
    /// Until all profiles were in memory; `None` when they did not come there.
    seconds_to_warm: Option<f64>,
    log_bytes: u64,
    found: Findings,
}

pub(super) async fn run(
    installation: &Installation,
    plan: &Plan,
    progress: &Progress,
) -> Result<Report, Error> {
    let mut sizes = Vec::new();
    for &users in &plan.sizes {
        let at = installation.another(&format!("growth-{users}"))?;
        sizes.push(measure(&at, users, plan, progress).await?);
        // Ten million users are gigabytes; what was measured is told, and the next size needs the room.
        std::fs::remove_dir_all(at.data_dir()).map_err(Error::io("remove the data of a size"))?;
    }
    let aims = aims(&sizes);
    Ok(Report { sizes, aims })
}

async fn measure(at: &Installation, users: u64, plan: &Plan, progress: &Progress) -> Result<Size, Error> {
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    let memberships = users * u64::from(KNOWN_SEGMENTS);
    let took = fill(&target, users, progress).await?;
    check(&target, users).await?;
    let server_resident_bytes = procfs::usage(target.pid)?.resident_bytes;
    let profiles_resident_bytes = target.metrics().await?.get("profiles_resident_bytes")?;
    let disk_bytes = disk::usage(&at.data_dir())?.total;

    let mut faults = Faults::default();
    let mut rates = Vec::new();
    let workloads = Workload::all(plan.connections.into());
    for workload in workloads.iter().filter(|workload| WORKLOADS.contains(&workload.name)) {
        progress.show(&format!("growth: {} with {users} users", workload.name));
        let pool = refreshing(workload, users, plan.pool_bytes());
        rates.push(rate(&target, workload, &pool, plan.seconds, &mut faults).await?);
    }

    progress.show(&format!("growth: stopping and starting with {users} users"));
    let seconds_to_stop = at.stop(server).await?.as_secs_f64();
    let (server, after_stop) = start(at, users).await?;

    progress.show(&format!("growth: killing and starting with {users} users"));
    let target = Target::log_in(&server).await?;
    let bulk = Workload::named("bulk10", plan.connections.into());
    let pool = refreshing(&bulk, users, plan.pool_bytes() / 4);
    let driver = Driver::new(&target, &pool);
    tokio::select! {
        // The workers are dropped with it, and their broken connections tell nobody.
        _ = driver.run(bulk.connections, 2 * plan.seconds) => {}
        () = tokio::time::sleep(plan.seconds) => {}
    }
    server.kill()?;
    let (server, after_kill) = start(at, users).await?;
    at.stop(server).await?;
    Ok(Size {
        users,
        memberships,
        load_rate: memberships as f64 / took.as_secs_f64(),
        server_resident_bytes,
        profiles_resident_bytes,
        disk_bytes,
        rates,
        seconds_to_stop,
        after_stop,
        after_kill,
        faults,
    })
}

/// A pool whose writes refresh what the users have, so that there are as many memberships after it as before.
fn refreshing(workload: &Workload, users: u64, pool_bytes: u64) -> Pool {
    Script::new(workload, Written::Known, users, Distribution::Uniform, pool_bytes).http()
}

async fn rate(
    target: &Target,
    workload: &Workload,
    pool: &Pool,
    duration: Duration,
    faults: &mut Faults,
) -> Result<Rate, Error> {
    let driver = Driver::new(target, pool);
    driver.run(workload.connections, duration.mul_f64(0.1)).await?;
    let measured = driver.run(workload.connections, duration).await?;
    faults.add(&measured);
    let items = measured.answered * pool.items_per_call;
    Ok(Rate {
        workload: workload.name,
        items_per_second: items as f64 / measured.elapsed.as_secs_f64(),
        latency: Micros::of(&measured.latencies),
    })
}

/// Starts the server, waits until all profiles are in memory, and checks some.
async fn start(at: &Installation, users: u64) -> Result<(crate::server::Server, Start), Error> {
    let log_bytes = disk::usage(&at.data_dir())?.log;
    let begun = Instant::now();
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    let mut seconds_to_warm = None;
    while begun.elapsed() < WARM_PATIENCE {
        if target.metrics().await?.get("profiles_resident")? >= users {
            seconds_to_warm = Some(begun.elapsed().as_secs_f64());
            break;
        }
        tokio::time::sleep(WARM_POLL).await;
    }
    let found = find(&target, users).await?;
    let seconds_to_ready = server.time_to_ready.as_secs_f64();
    Ok((server, Start { seconds_to_ready, seconds_to_warm, log_bytes, found }))
}

/// Rates of every larger size to those of the base, and the starts of the large ones.
fn aims(sizes: &[Size]) -> Vec<Aim> {
    let mut aims = Vec::new();
    let base = sizes.iter().find(|size| size.users == BASE_USERS).or(sizes.first());
    for size in sizes {
        for (name, ratio) in base
            .filter(|base| base.users < size.users)
            .into_iter()
            .flat_map(|base| size.rates.iter().map(|rate| (rate.workload, rate.ratio_to(base))))
        {
            let what =
                format!("{name} with {} users / with {}", size.users, base.map_or(0, |base| base.users));
            aims.push(Aim::at_least(what, ratio, "x", 0.7, Some(0.9)));
        }
        if size.users >= LARGE_USERS {
            for (how, start) in [("a stop", &size.after_stop), ("a kill", &size.after_kill)] {
                let what = format!("to ready after {how} with {} users", size.users);
                aims.push(Aim::at_most(what, Some(start.seconds_to_ready), "s", 10.0, Some(3.0)));
            }
        }
    }
    aims
}

impl Rate {
    fn ratio_to(&self, base: &Size) -> Option<f64> {
        let base = base.rates.iter().find(|rate| rate.workload == self.workload)?;
        (base.items_per_second > 0.0).then(|| self.items_per_second / base.items_per_second)
    }
}

impl Report {
    /// Whether every answer was right, and what was acknowledged was there after each start.
    pub(super) fn is_good(&self) -> bool {
        self.sizes.iter().all(|size| {
            let starts = [&size.after_stop, &size.after_kill];
            size.faults.none() && starts.iter().all(|start| start.found.is_sound())
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "growth: users in 10 segments each; bulk10 and small refresh what they have")?;
        writeln!(
            f,
            "  {:>9} {:>10} {:>9} {:>12} {:>9} {:>10} {:>10} {:>9}",
            "users", "load/s", "RSS MiB", "profiles MiB", "B/membs.", "bulk10/s", "small/s", "read/s"
        )?;
        for size in &self.sizes {
            write!(
                f,
                "  {:>9} {:>10.0} {:>9} {:>12} {:>9.2}",
                size.users,
                size.load_rate,
                mib(size.server_resident_bytes),
                mib(size.profiles_resident_bytes),
                size.profiles_resident_bytes as f64 / size.memberships as f64,
            )?;
            for (rate, width) in size.rates.iter().zip([10, 10, 9]) {
                write!(f, " {:>width$.0}", rate.items_per_second)?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "  {:>9} {:>8} {:>8} {:>23} {:>23} {:>15}",
            "users",
            "disk MiB",
            "stop s",
            "after stop: ready, warm",
            "after kill: ready, warm",
            "kill: log MiB"
        )?;
        for size in &self.sizes {
            let start = |start: &Start| {
                let warm = start.seconds_to_warm.map_or("-".to_owned(), |seconds| format!("{seconds:.2}"));
                format!("{:.2} s, {warm} s", start.seconds_to_ready)
            };
            writeln!(
                f,
                "  {:>9} {:>8} {:>8.2} {:>23} {:>23} {:>15}",
                size.users,
                mib(size.disk_bytes),
                size.seconds_to_stop,
                start(&size.after_stop),
                start(&size.after_kill),
                mib(size.after_kill.log_bytes),
            )?;
        }
        for size in &self.sizes {
            for rate in &size.rates {
                let (p50, p99) = (ms(rate.latency.p50), ms(rate.latency.p99));
                writeln!(f, "  {:>9} {:<7} p50 {p50:.2} ms, p99 {p99:.2} ms", size.users, rate.workload)?;
            }
        }
        self.aims.iter().try_for_each(|aim| writeln!(f, "{aim}"))?;
        for size in &self.sizes {
            for start in [&size.after_stop, &size.after_kill] {
                if let Some(fault) = &start.found.first_fault {
                    writeln!(f, "  LOST with {} users: {fault}", size.users)?;
                }
            }
            write!(f, "{}", size.faults)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Latencies;

    fn size(users: u64, rate: f64) -> Size {
        let start = || Start {
            seconds_to_ready: 4.0,
            seconds_to_warm: None,
            log_bytes: 0,
            found: Findings::default(),
        };
        let rates = WORKLOADS.map(|workload| Rate {
            workload,
            items_per_second: rate,
            latency: Micros::of(&Latencies::new()),
        });
        Size {
            users,
            memberships: 10 * users,
            load_rate: rate,
            server_resident_bytes: 1 << 30,
            profiles_resident_bytes: 8 * 10 * users,
            disk_bytes: 1 << 30,
            rates: rates.into(),
            seconds_to_stop: 1.0,
            after_stop: start(),
            after_kill: start(),
            faults: Faults::default(),
        }
    }

    #[test]
    fn larger_sizes_are_held_against_a_million() {
        let aims = aims(&[size(100_000, 4e6), size(1_000_000, 3e6), size(10_000_000, 2.4e6)]);
        let text: Vec<String> = aims.iter().map(Aim::to_string).collect();
        assert_eq!(text.len(), 3 + 2, "{text:?}");
        assert!(text[0].contains("10000000 users / with 1000000") && text[0].contains("0.80"), "{text:?}");
        assert!(text[3].contains("4.00 s") && text[3].contains(": met; aim <= 3 s: missed"), "{text:?}");
    }

    #[test]
    fn the_tables_line_up() {
        let sizes = vec![size(100_000, 4e6), size(10_000_000, 2.4e6)];
        let report = Report { sizes, aims: Vec::new() };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        for table in [&lines[..3], &lines[3..6]] {
            assert!(table.iter().all(|line| line.len() == table[0].len()), "{text}");
        }
    }
}
