//! The same work with more and more users: rates, memory, and how long a start takes.

use super::faults::Faults;
use super::plan::Plan;
use crate::aim::Aim;
use crate::client::Target;
use crate::disk;
use crate::distribution::Distribution;
use crate::drive::Driver;
use crate::error::Error;
use crate::fill::{check, fill, find};
use crate::latencies::Micros;
use crate::progress::Progress;
use crate::report::{Page, Report, mib, or_dash};
use crate::script::Script;
use crate::site::Site;
use crate::table::Table;
use crate::verify::Findings;
use crate::workload::{KNOWN_SEGMENTS, Pool, Workload, Written};
use ia_testkit::{Installation, ServerProcess, procfs};
use serde::Serialize;
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
pub(crate) struct Growth {
    sizes: Vec<Size>,
    aims: Vec<Aim>,
}

/// The outcome of one number of users.
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

pub(super) async fn run(site: &Site, plan: &Plan, progress: &Progress) -> Result<Growth, Error> {
    let mut sizes = Vec::new();
    for &users in &plan.sizes {
        let at = site.install(&format!("growth-{users}"))?;
        sizes.push(measure(&at, users, plan, progress).await?);
        // Ten million users take gigabytes, and the next size needs the room.
        std::fs::remove_dir_all(at.data_dir()).map_err(Error::io("remove the data of a size"))?;
    }
    let aims = aims(&sizes);
    Ok(Growth { sizes, aims })
}

async fn measure(at: &Installation, users: u64, plan: &Plan, progress: &Progress) -> Result<Size, Error> {
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    let memberships = users * u64::from(KNOWN_SEGMENTS);
    let took = fill(&target, users, progress).await?;
    check(&target, users).await?;
    let server_resident_bytes = procfs::usage(target.pid)?.resident_bytes;
    let profiles_resident_bytes = target.metrics().await?.get("profiles_resident_bytes")?;
    let disk_bytes = disk::usage(at.data_dir())?.total;

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
    server.kill().await;
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
        latency: measured.latencies.micros(),
    })
}

/// Starts the server, waits until all profiles are in memory, and checks some.
async fn start(at: &Installation, users: u64) -> Result<(ServerProcess, Start), Error> {
    let log_bytes = disk::usage(at.data_dir())?.log;
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

impl Growth {
    fn rates(&self) -> Table {
        let mut table = Table::default();
        table.row([
            "users",
            "load/s",
            "RSS MiB",
            "profiles MiB",
            "B/membership",
            "bulk10/s",
            "small/s",
            "read/s",
        ]);
        for size in &self.sizes {
            let per_membership = size.profiles_resident_bytes as f64 / size.memberships as f64;
            let mut cells = vec![
                size.users.to_string(),
                format!("{:.0}", size.load_rate),
                mib(size.server_resident_bytes),
                mib(size.profiles_resident_bytes),
                format!("{per_membership:.2}"),
            ];
            cells.extend(size.rates.iter().map(|rate| format!("{:.0}", rate.items_per_second)));
            table.row(cells);
        }
        table
    }

    fn starts(&self) -> Table {
        let mut table = Table::default();
        table.row([
            "users",
            "disk MiB",
            "stop s",
            "after stop: ready, warm",
            "after kill: ready, warm",
            "kill: log MiB",
        ]);
        for size in &self.sizes {
            let start = |start: &Start| {
                let warm = or_dash(start.seconds_to_warm.map(|seconds| format!("{seconds:.2}")));
                format!("{:.2} s, {warm} s", start.seconds_to_ready)
            };
            table.row([
                size.users.to_string(),
                mib(size.disk_bytes),
                format!("{:.2}", size.seconds_to_stop),
                start(&size.after_stop),
                start(&size.after_kill),
                mib(size.after_kill.log_bytes),
            ]);
        }
        table
    }

    fn times(&self) -> Table {
        let mut table = Table::default();
        table.row(["users", "workload", "p50 ms", "p99 ms"]);
        for size in &self.sizes {
            for rate in &size.rates {
                let [p50, p99, ..] = rate.latency.cells();
                table.row([size.users.to_string(), rate.workload.to_owned(), p50, p99]);
            }
        }
        table
    }
}

impl Report for Growth {
    /// Whether every answer was right, and what was acknowledged was there after each start.
    fn is_good(&self) -> bool {
        self.sizes.iter().all(|size| {
            let starts = [&size.after_stop, &size.after_kill];
            size.faults.none() && starts.iter().all(|start| start.found.is_sound())
        })
    }

    fn write(&self, page: &mut Page) {
        page.line("growth: users in 10 segments each; bulk10 and small refresh what they have");
        [self.rates(), self.starts(), self.times()].iter().for_each(|table| page.indented(table));
        self.aims.iter().for_each(|aim| page.line(aim));
        for size in &self.sizes {
            for start in [&size.after_stop, &size.after_kill] {
                if let Some(fault) = &start.found.first_fault {
                    page.line(format_args!("  LOST with {} users: {fault}", size.users));
                }
            }
            size.faults.write(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latencies::Latencies;

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
            latency: Latencies::new().micros(),
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
    fn every_size_is_told_and_a_loss_too() {
        let mut report =
            Growth { sizes: vec![size(100_000, 4e6), size(10_000_000, 2.4e6)], aims: Vec::new() };
        assert!(report.is_good());
        let text = report.text();
        assert!(text.contains("2400000") && text.contains("8.00") && text.contains("4.00 s, - s"), "{text}");
        let found = &mut report.sizes[1].after_kill.found;
        (found.lost, found.first_fault) = (1, Some("user 7 is gone".to_owned()));
        assert!(!report.is_good());
        assert!(report.text().contains("LOST with 10000000 users: user 7 is gone"));
    }
}
