//! One workload, round by round on each side.

use super::report::{Row, SideReport};
use super::targets::Targets;
use super::testbed::{Side, Testbed};
use super::{Plan, redis_connections};
use crate::client::{Connection, Target};
use crate::drive::{Driver, Lane, Measured};
use crate::error::Error;
use crate::meter::{Counted, Moment, Spent};
use crate::progress::Progress;
use crate::redis::{self, RedisLane};
use crate::script::Script;
use crate::statistics::Spread;
use crate::workload::{Workload, Written};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Which share of the time that is measured is spent before it, to warm up.
const WARM_UP_SHARE: f64 = 0.1;

/// One measurement of one side.
#[derive(Debug)]
struct Sample {
    measured: Measured,
    spent: Spent,
    /// Of the memberships that were written, those that were new.
    began: u64,
}

/// A workload on its way to all three: the same calls in the same order for each, and each goes on where it
/// stopped.
struct Contest<'a> {
    testbed: &'a Testbed,
    workload: &'a Workload,
    items_per_call: u64,
    duration: Duration,
    ours: Driver<Connection>,
    redis: Driver<RedisLane>,
    ceiling: Driver<Connection>,
}

/// All rounds of a workload.
pub(super) async fn run(
    testbed: &Testbed,
    plan: &Plan,
    workload: &Workload,
    progress: &Progress,
) -> Result<Row, Error> {
    progress.show(&format!("{}: preparing", workload.name));
    let script = Script::new(
        workload,
        Written::NewSegments,
        plan.choice.users,
        plan.distribution(),
        plan.pool_mib << 20,
    );
    let pool = script.http();
    let contest = Contest {
        testbed,
        workload,
        items_per_call: pool.items_per_call,
        duration: plan.seconds,
        ours: Driver::new(&testbed.target, &pool),
        redis: Driver::to(testbed.redis.target(), redis::pool(&script)),
        ceiling: Driver::new(&testbed.ceiling.target(), &pool.for_ceiling()),
    };
    drop(script);
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for round in 0..plan.rounds {
        for side in Side::order(round) {
            let text = || {
                let sent = contest.sent(side);
                let (name, side) = (workload.name, side.name());
                format!("{name}: round {} of {}, {side}: {sent} requests", round + 1, plan.rounds)
            };
            samples[side as usize].push(progress.during(contest.measure(side), text).await?);
        }
    }
    Ok(contest.row(&samples))
}

impl Contest<'_> {
    fn sent(&self, side: Side) -> usize {
        match side {
            Side::Ours => self.ours.sent(),
            Side::Redis => self.redis.sent(),
            Side::Ceiling => self.ceiling.sent(),
        }
    }

    fn connections(&self, side: Side) -> usize {
        match side {
            Side::Redis => redis_connections(self.workload),
            Side::Ours | Side::Ceiling => self.workload.connections,
        }
    }

    async fn measure(&self, side: Side) -> Result<Sample, Error> {
        let _others = self.testbed.leave_to(side)?;
        match side {
            Side::Ours => self.measure_ours(&self.testbed.target).await,
            Side::Redis => {
                let began = || self.testbed.redis.target().began.load(Ordering::Relaxed);
                self.warm_up(side, &self.redis).await?;
                let before = began();
                let (measured, spent) = self.drive(side, &self.redis).await?;
                Ok(Sample { measured, spent, began: began() - before })
            }
            Side::Ceiling => {
                self.warm_up(side, &self.ceiling).await?;
                let (measured, spent) = self.drive(side, &self.ceiling).await?;
                Ok(Sample { measured, spent, began: 0 })
            }
        }
    }

    async fn measure_ours(&self, target: &Target) -> Result<Sample, Error> {
        self.warm_up(Side::Ours, &self.ours).await?;
        let before = Counted::now(target).await?;
        let (measured, spent) = self.drive(Side::Ours, &self.ours).await?;
        let counted = Counted::now(target).await?.since(before);
        let acknowledged = if self.workload.reads() { 0 } else { measured.answered * self.items_per_call };
        counted.must_be(acknowledged, self.workload.name)?;
        Ok(Sample { measured, spent, began: counted.added })
    }

    async fn warm_up<L: Lane>(&self, side: Side, driver: &Driver<L>) -> Result<(), Error> {
        let duration = self.duration.mul_f64(WARM_UP_SHARE);
        faultless(driver.run(self.connections(side), duration).await?, side).map(drop)
    }

    async fn drive<L: Lane>(&self, side: Side, driver: &Driver<L>) -> Result<(Measured, Spent), Error> {
        let pid = self.testbed.process(side).id();
        let before = Moment::now(pid)?;
        let measured = driver.run(self.connections(side), self.duration).await?;
        let spent = Moment::now(pid)?.since(&before);
        Ok((faultless(measured, side)?, spent))
    }

    fn row(&self, samples: &[Vec<Sample>; 3]) -> Row {
        let rates = |side: Side| -> Vec<f64> {
            samples[side as usize].iter().map(|sample| sample.rate(self.items_per_call)).collect()
        };
        let report = |side: Side| {
            let writes = !self.workload.reads();
            SideReport::new(self.connections(side), writes, self.items_per_call, &samples[side as usize])
        };
        let [ours_by_round, by_redis, by_ceiling] = Side::ALL.map(rates);
        let [ours, redis, ceiling] = Side::ALL.map(report);
        Row {
            workload: self.workload.name,
            unit: self.workload.unit(),
            ours,
            redis,
            ceiling,
            per_redis: Spread::of_quotients(&ours_by_round, &by_redis),
            per_ceiling: Spread::of_quotients(&ours_by_round, &by_ceiling),
            targets: Targets::of(self.workload.name),
            ours_by_round,
        }
    }
}

/// An answer that is not right fails the run: what it would be compared with is another thing.
fn faultless(measured: Measured, side: Side) -> Result<Measured, Error> {
    match measured.first_error {
        None => Ok(measured),
        Some(error) => Err(Error::Side { side: side.name(), source: Box::new(error) }),
    }
}

impl Sample {
    /// Items a second.
    fn rate(&self, items_per_call: u64) -> f64 {
        (self.measured.answered * items_per_call) as f64 / self.measured.elapsed.as_secs_f64()
    }
}

impl SideReport {
    /// Of all rounds of a side.
    fn new(connections: usize, writes: bool, items_per_call: u64, samples: &[Sample]) -> SideReport {
        let mut all = Measured::nothing();
        for sample in samples {
            all.count(&sample.measured);
        }
        let sum = |part: fn(&Sample) -> f64| samples.iter().map(part).sum::<f64>();
        let seconds = all.elapsed.as_secs_f64();
        let items = (all.answered * items_per_call) as f64;
        let server = sum(|sample| sample.spent.server_cpu_seconds);
        let written_bytes = sum(|sample| sample.spent.written_bytes as f64);
        let began = sum(|sample| sample.began as f64);
        SideReport {
            connections,
            calls: all.answered,
            items_per_second: Spread::of(samples.iter().map(|sample| sample.rate(items_per_call))),
            latency_micros: all.latencies.micros(),
            server_cpu_seconds_per_million: server * 1e6 / items,
            server_cores: server / seconds,
            client_cores: sum(|sample| sample.spent.client_cpu_seconds) / seconds,
            other_cores: sum(|sample| sample.spent.other_cpu_seconds) / seconds,
            new_share: writes.then_some(began / items),
            written_bytes_per_item: writes.then_some(written_bytes / items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(calls: u64, seconds: f64, server_cpu_seconds: f64, began: u64) -> Sample {
        let mut measured = Measured::nothing();
        measured.answered = calls;
        measured.elapsed = Duration::from_secs_f64(seconds);
        (0..calls).for_each(|_| measured.latencies.record(Duration::from_millis(2)));
        let spent =
            Spent { server_cpu_seconds, client_cpu_seconds: 0.5, written_bytes: 3000, ..Spent::default() };
        Sample { measured, spent, began }
    }

    #[test]
    fn rates_are_of_each_round_and_costs_of_all_together() {
        // The second round is twice as long and half as fast.
        let samples = [sample(100, 1.0, 0.8, 1000), sample(100, 2.0, 1.2, 500), sample(50, 1.0, 1.0, 0)];
        let side = SideReport::new(8, true, 10, &samples);
        assert_eq!((side.connections, side.calls, side.latency_micros.count), (8, 250, 250));
        assert_eq!(side.items_per_second, Spread { median: 500.0, min: 500.0, max: 1000.0 });
        // 3 processor seconds for 2,500 items in 4 seconds.
        assert!((side.server_cpu_seconds_per_million - 1200.0).abs() < 1e-9);
        assert!((side.server_cores - 0.75).abs() < 1e-9 && (side.client_cores - 0.375).abs() < 1e-9);
        assert_eq!(side.new_share, Some(0.6));
        assert_eq!(side.written_bytes_per_item, Some(3.6));
    }

    #[test]
    fn reads_write_nothing() {
        let side = SideReport::new(8, false, 1, &[sample(100, 1.0, 0.8, 0)]);
        assert_eq!((side.new_share, side.written_bytes_per_item), (None, None));
    }

    #[test]
    fn a_wrong_answer_names_its_side() {
        let mut measured = Measured::nothing();
        measured.fail(Error::broken("no OK"));
        let error = faultless(measured, Side::Redis).unwrap_err().chain();
        assert!(error.contains("Redis") && error.ends_with("no OK"), "{error}");
    }
}
