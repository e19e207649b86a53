//! `ia-bench trials`: how the server behaves beside its peak rates.

mod activation;
mod faults;
mod growth;
mod mixed;
mod outcome;
mod overload;
mod plan;
mod sustained;
mod timeline;

use crate::error::Error;
use crate::progress::Progress;
use crate::report::Setup;
use crate::site::Site;
use ia_testkit::procfs;
use outcome::{Circumstances, Failure, Outcome, Part};
use plan::Trial;
use std::collections::BTreeMap;
use std::time::Instant;

pub(crate) use plan::Plan;

/// Runs the trials one after the other, each on a data folder of its own. One that fails does not keep the
/// others from running.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Outcome, Error> {
    let progress = Progress::new();
    let (mut parts, mut circumstances, mut failures) = (BTreeMap::new(), Vec::new(), Vec::new());
    for trial in plan.trials() {
        let before = Meters::now()?;
        match run_one(trial, site, plan, &progress).await {
            Ok(part) => drop(parts.insert(trial, part)),
            Err(error) => failures.push(Failure { trial, error: error.chain() }),
        }
        circumstances.push(before.until_now(trial)?);
    }
    Ok(Outcome { setup: Setup::of(site), parts, circumstances, failures })
}

async fn run_one(trial: Trial, site: &Site, plan: &Plan, progress: &Progress) -> Result<Part, Error> {
    if trial == Trial::Growth {
        return growth::run(site, plan, progress).await.map(|report| Part::of(&report));
    }
    let at = &site.install(&trial.name())?;
    Ok(match trial {
        Trial::Activation => Part::of(&activation::run(at, plan, progress).await?),
        Trial::Mixed => Part::of(&mixed::run(at, plan, progress).await?),
        Trial::Sustained => Part::of(&sustained::run(at, plan, progress).await?),
        Trial::Overload => Part::of(&overload::run(at, plan, progress).await?),
        Trial::Growth => unreachable!("it has a folder for each of its sizes"),
    })
}

/// Clocks, of the wall and of processors, at one moment.
struct Meters {
    at: Instant,
    machine_cpu_seconds: f64,
    own_cpu_seconds: f64,
}

impl Meters {
    fn now() -> Result<Meters, Error> {
        Ok(Meters {
            at: Instant::now(),
            machine_cpu_seconds: procfs::machine_cpu_seconds()?,
            own_cpu_seconds: procfs::own_cpu_seconds()?,
        })
    }

    /// Every server of a trial has ended by its end, so that all that it used counts as our own.
    fn until_now(&self, trial: Trial) -> Result<Circumstances, Error> {
        let now = Meters::now()?;
        let seconds = (now.at - self.at).as_secs_f64();
        let machine = now.machine_cpu_seconds - self.machine_cpu_seconds;
        let own = now.own_cpu_seconds - self.own_cpu_seconds;
        // Clock ticks are coarse: what is left can come out below nothing.
        Ok(Circumstances { trial, seconds, other_cores: ((machine - own) / seconds).max(0.0) })
    }
}
