//! `ia-bench trials`: how the server behaves beside its peak rates.

mod activation;
mod aim;
mod growth;
mod mixed;
mod open_loop;
mod overload;
mod plan;
mod report;
mod sustained;
mod timeline;
mod units;

use crate::error::Error;
use crate::procfs;
use crate::progress::Progress;
use crate::server::Installation;
use plan::Trial;
use report::{Circumstances, Failure};
use std::time::Instant;

pub(crate) use plan::Plan;
pub(crate) use report::Report;

/// Runs the trials one after the other, each on a data folder of its own. One that fails does not keep the
/// others from running.
pub(crate) async fn run(installation: &Installation, plan: &Plan) -> Result<Report, Error> {
    let progress = Progress::new();
    let mut report = Report::new(installation);
    for trial in plan.trials() {
        let before = Meters::now()?;
        let outcome = run_one(trial, installation, plan, &progress, &mut report).await;
        if let Err(error) = outcome {
            report.failures.push(Failure { trial, error: error.chain() });
        }
        report.circumstances.push(before.until_now(trial)?);
    }
    Ok(report)
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

async fn run_one(
    trial: Trial,
    installation: &Installation,
    plan: &Plan,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), Error> {
    match trial {
        Trial::Activation => {
            let at = installation.another("activation")?;
            report.activation = Some(activation::run(&at, plan, progress).await?);
        }
        Trial::Mixed => {
            let at = installation.another("mixed")?;
            report.mixed = Some(mixed::run(&at, plan, progress).await?);
        }
        Trial::Growth => report.growth = Some(growth::run(installation, plan, progress).await?),
        Trial::Sustained => {
            let at = installation.another("sustained")?;
            report.sustained = Some(sustained::run(&at, plan, progress).await?);
        }
        Trial::Overload => {
            let at = installation.another("overload")?;
            report.overload = Some(overload::run(&at, plan, progress).await?);
        }
    }
    Ok(())
}
