//! Measurements of users that are met anew: each lap has calls of its own, which are sent once.
//!
//! A pool that is sent again and again is about the same few users, and a server keeps these in memory, however many
//! others it holds. So the calls are drawn anew for every lap. That takes processors, and servers stand still meanwhile
//! (SIGSTOP): they get no time for what they do behind their answers.

use crate::client::Target;
use crate::distribution::Distribution;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::halted::Halted;
use crate::script::Script;
use crate::workload::{Pool, Workload, Written};
use ia_testkit::Process;
use std::time::Duration;

/// A lap is not longer, so that sides take turns.
const LONGEST: Duration = Duration::from_secs(3);

/// When less than this share of the time is left, it is over.
const REST_SHARE: f64 = 0.02;

/// The laps of a workload.
#[derive(Debug)]
pub(crate) struct Laps {
    pub(crate) workload: Workload,
    users: u64,
    pool_bytes: u64,
    next: u64,
}

/// A server on its way through them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) target: &'a Target,
    pub(crate) process: &'a Process,
}

impl Laps {
    /// Of known users, whose memberships writes refresh: they are as many afterwards as before.
    pub(crate) fn new(workload: Workload, users: u64, pool_bytes: u64) -> Laps {
        Laps { workload, users, pool_bytes, next: 0 }
    }

    fn prepare(&mut self) -> Pool {
        let lap = self.next;
        self.next += 1;
        let distribution = Distribution::Uniform;
        Script::of_lap(&self.workload, Written::Known, self.users, distribution, self.pool_bytes, lap).http()
    }

    /// One lap of each, which does not count.
    pub(crate) async fn warm_up(&mut self, runners: &[Runner<'_>], duration: Duration) -> Result<(), Error> {
        self.lap(runners, &vec![duration.min(LONGEST); runners.len()]).await.map(drop)
    }

    /// Laps until each was measured for that long. Each gets the same calls, as many as it comes to. `seen` hears after
    /// each lap of a runner which it was.
    pub(crate) async fn measure(
        &mut self,
        runners: &[Runner<'_>],
        duration: Duration,
        mut seen: impl FnMut(usize) -> Result<(), Error>,
    ) -> Result<Vec<Laid>, Error> {
        let mut laid: Vec<Laid> =
            runners.iter().map(|_| Laid { items: 0, measured: Measured::nothing() }).collect();
        let rest = duration.mul_f64(REST_SHARE);
        loop {
            let left = laid.iter().map(|laid| duration.saturating_sub(laid.measured.elapsed));
            let left: Vec<Duration> =
                left.map(|left| if left <= rest { Duration::ZERO } else { left.min(LONGEST) }).collect();
            if left.iter().all(Duration::is_zero) {
                return Ok(laid);
            }
            for (at, lap) in self.lap(runners, &left).await?.into_iter().enumerate() {
                if let Some(lap) = lap {
                    laid[at].items += lap.items;
                    laid[at].measured.count(&lap.measured);
                    seen(at)?;
                }
            }
        }
    }

    /// One lap of those that have time for it, each alone on the machine.
    async fn lap(&mut self, runners: &[Runner<'_>], left: &[Duration]) -> Result<Vec<Option<Laid>>, Error> {
        let pool = {
            let _all = Halted::all(runners.iter().map(|runner| runner.process))?;
            self.prepare()
        };
        let mut laps: Vec<Option<Laid>> = runners.iter().map(|_| None).collect();
        // Each comes first in turn.
        for turn in 0..runners.len() {
            let at = (turn + self.next as usize) % runners.len();
            if left[at].is_zero() {
                continue;
            }
            let others = runners.iter().enumerate().filter(|(other, _)| *other != at);
            let _others = Halted::all(others.map(|(_, runner)| runner.process))?;
            let driver = Driver::new(runners[at].target, &pool);
            let mut measured = driver.run_once(self.workload.connections, left[at]).await?;
            if let Some(error) = measured.first_error.take() {
                return Err(error);
            }
            laps[at] = Some(Laid { items: measured.answered * pool.items_per_call, measured });
        }
        Ok(laps)
    }
}

/// What a runner did.
#[derive(Debug)]
pub(crate) struct Laid {
    /// Memberships written, or users read.
    pub(crate) items: u64,
    pub(crate) measured: Measured,
}

impl Laid {
    /// Items a second.
    pub(crate) fn rate(&self) -> f64 {
        self.items as f64 / self.measured.elapsed.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_lap_draws_other_users() {
        let mut laps = Laps::new(Workload::named("read", 8), 1_000_000, 1 << 20);
        let mut asked = || -> HashSet<String> {
            laps.prepare().calls.iter().map(|prepared| prepared.call.uri.to_string()).collect()
        };
        let (first, second) = (asked(), asked());
        let again = first.intersection(&second).count();
        // A fifth of all users is drawn each time.
        assert!(again < first.len() / 4, "{again} of {}", first.len());
    }
}
