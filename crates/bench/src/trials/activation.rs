//! How soon a write is seen: a client posts a new user and asks for it until it is there, while the server
//! takes half of what it can.

use super::faults::Faults;
use super::outcome::table_of_times;
use super::plan::{Load, Plan};
use crate::aim::Aim;
use crate::body::Form;
use crate::client::{Call, Connection, Target, is_ok_with, refused};
use crate::drive::Driver;
use crate::error::Error;
use crate::latencies::{Latencies, Micros};
use crate::open_loop::{Arrivals, OpenLoop, apart};
use crate::population::{Membership, Population};
use crate::progress::Progress;
use crate::report::{Page, Report, ms};
use crate::script::Script;
use crate::workload::Workload;
use ia_testkit::Installation;
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The range of the users that are probed; no workload writes to it.
const PROBED: u64 = 101;

/// Probes that can be under way at once, so that a slow one does not put off the next.
const PROBES_AT_ONCE: usize = 8;

/// A write that is not seen by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Activation {
    load: Load,
    /// Of the closed loop, in bodies a second.
    highest_bodies_per_second: f64,
    highest_memberships_per_second: f64,
    /// What was offered meanwhile, and what of it was answered in that time.
    offered_bodies_per_second: f64,
    answered_bodies_per_second: f64,
    /// Of the bodies of the load, from the moment that each was due.
    load_answered: Micros,
    idle: Probed,
    loaded: Probed,
    aims: Vec<Aim>,
    faults: Faults,
}

/// Times of probes, from the moment that the first byte was due.
#[derive(Debug, Serialize)]
struct Probed {
    /// Until the first read that showed the membership was answered.
    seen: Micros,
    /// Until the POST was answered with OK.
    answered: Micros,
    polls: u64,
}

#[derive(Debug)]
struct Times {
    seen: Latencies,
    answered: Latencies,
    polls: u64,
}

pub(super) async fn run(at: &Installation, plan: &Plan, progress: &Progress) -> Result<Activation, Error> {
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    let name = plan.load.workload();
    let workload = Workload::named(name, plan.connections.into());
    progress.show("activation: preparing");
    let pool = Script::prepare(&workload, plan.users, plan.pool_bytes());
    let probes_per_second = 1e3 / f64::from(plan.probe_every_ms);

    progress.show("activation: probing an idle server");
    let idle = probe(&target, 0, probes_per_second, plan.seconds).await?;

    progress.show("activation: measuring the highest rate");
    let driver = Driver::new(&target, &pool);
    driver.run(workload.connections, plan.seconds.mul_f64(0.1)).await?;
    let highest = driver.run(workload.connections, plan.seconds).await?;
    let highest_rate = highest.answered as f64 / highest.elapsed.as_secs_f64();

    progress.show("activation: probing at half of it");
    let offered = highest_rate / 2.0;
    let background = OpenLoop::new(&target, &pool, offered, 2 * workload.connections);
    let (background, loaded) = tokio::join!(
        background.run(plan.seconds),
        probe(&target, idle.seen.count(), probes_per_second, plan.seconds),
    );
    let (background, loaded) = (background?, loaded?);
    at.stop(server).await?;

    let mut faults = Faults::default();
    faults.add(&highest);
    faults.add(&background);
    let loaded = Probed::of(&loaded);
    let aims =
        vec![Aim::at_most("activation p99 at half load", Some(ms(loaded.seen.p99)), "ms", 20.0, Some(5.0))];
    Ok(Activation {
        load: plan.load,
        highest_bodies_per_second: highest_rate,
        highest_memberships_per_second: highest_rate * pool.items_per_call as f64,
        offered_bodies_per_second: offered,
        answered_bodies_per_second: background.answered as f64 / background.elapsed.as_secs_f64(),
        load_answered: background.latencies.micros(),
        idle: Probed::of(&idle),
        loaded,
        aims,
        faults,
    })
}

/// Probes new users, from number `first` on, at a fixed rate.
async fn probe(target: &Target, first: u64, per_second: f64, duration: Duration) -> Result<Times, Error> {
    let target = target.clone();
    // Apart from the load: see `OpenLoop::run_apart`.
    apart(async move || {
        let mut pairs = Vec::new();
        for _ in 0..PROBES_AT_ONCE {
            pairs.push((Connection::open(&target).await?, Connection::open(&target).await?));
        }
        let arrivals = Arrivals::begin(per_second, duration)?;
        let mut workers = JoinSet::new();
        for (post, get) in pairs {
            workers.spawn(probe_in_turn(post, get, first, Arc::clone(&arrivals)));
        }
        let mut times = Times::none();
        while let Some(ended) = workers.join_next().await {
            times.add(&ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?);
        }
        Ok(times)
    })
    .await?
}

async fn probe_in_turn(
    mut post: Connection,
    mut get: Connection,
    first: u64,
    arrivals: Arc<Arrivals>,
) -> Result<Times, Error> {
    let mut times = Times::none();
    while let Some(arrival) = arrivals.next().await {
        let user = first + arrival.number;
        let answered = OnceLock::new();
        let (posted, polls) =
            tokio::try_join!(post_one(&mut post, user, &answered), poll_one(&mut get, user, &answered),)?;
        times.answered.record(posted - arrival.due);
        times.seen.record(polls.seen - arrival.due);
        times.polls += polls.count;
    }
    Ok(times)
}

/// Adds the user to one segment; returns when that was answered.
async fn post_one(
    connection: &mut Connection,
    user: u64,
    answered: &OnceLock<Instant>,
) -> Result<Instant, Error> {
    let membership = Membership { segment: 1, value: 1, expiration: 0 };
    let body = Form::Documented.body(vec![(id(user), vec![membership])]);
    connection.call_ok(&Call::post("/rt-segment", body), r#""warnings":[]"#).await?;
    Ok(*answered.get_or_init(Instant::now))
}

struct Polls {
    seen: Instant,
    count: u64,
}

/// Asks for the user until it is there. A read that begins after the OK and does not show it is a broken
/// promise.
async fn poll_one(
    connection: &mut Connection,
    user: u64,
    answered: &OnceLock<Instant>,
) -> Result<Polls, Error> {
    let id = id(user);
    let call = Call::get_user(id);
    let begun = Instant::now();
    for count in 1.. {
        let was_answered = answered.get().is_some();
        let received = connection.call(&call).await.map_err(Error::http("GET /user-segment"))?;
        if is_ok_with(&received, r#""segments":[{"#) {
            return Ok(Polls { seen: Instant::now(), count });
        }
        if !is_ok_with(&received, r#""segments":[]"#) {
            return Err(refused(&received, "GET /user-segment"));
        }
        if was_answered {
            let what = format!("a read that began after the OK for user {id} did not show its membership");
            return Err(Error::broken(what));
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Err(Error::broken(format!("the membership of user {id} was not seen within {PATIENCE:?}")))
}

fn id(user: u64) -> u64 {
    Population::new(PROBED, 1 << 30).id(user)
}

impl Times {
    fn none() -> Times {
        Times { seen: Latencies::new(), answered: Latencies::new(), polls: 0 }
    }

    fn add(&mut self, other: &Times) {
        self.seen.add(&other.seen);
        self.answered.add(&other.answered);
        self.polls += other.polls;
    }
}

impl Probed {
    fn of(times: &Times) -> Probed {
        Probed { seen: times.seen.micros(), answered: times.answered.micros(), polls: times.polls }
    }
}

impl Report for Activation {
    /// Whether every answer was right; a read that came too late ends the trial with an error.
    fn is_good(&self) -> bool {
        self.faults.none() && self.loaded.seen.count > 0
    }

    fn write(&self, page: &mut Page) {
        let name = self.load.workload();
        page.line(format_args!(
            "activation: from the first byte of a POST, at half of the highest rate of {name} ({:.0} bodies/s, {:.0} memberships/s)",
            self.highest_bodies_per_second, self.highest_memberships_per_second
        ));
        page.indented(&table_of_times([
            ("idle: until a read shows it", &self.idle.seen),
            ("idle: until OK", &self.idle.answered),
            ("half load: until a read shows it", &self.loaded.seen),
            ("half load: until OK", &self.loaded.answered),
            ("the load's own bodies, until OK", &self.load_answered),
        ]));
        page.line(format_args!(
            "  load offered {:.1} bodies/s, answered {:.1} bodies/s",
            self.offered_bodies_per_second, self.answered_bodies_per_second
        ));
        self.aims.iter().for_each(|aim| page.line(aim));
        self.faults.write(page);
    }
}
