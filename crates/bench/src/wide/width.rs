//! A server and a Redis whose users have as many memberships each, and what was measured of them.

use super::Plan;
use super::asked::{Asked, CodesLane, codes, count_codes};
use super::report::{Row, Side};
use crate::calls::Bodies;
use crate::client::{Connection, Target};
use crate::distribution::Distribution;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::journal::Fate;
use crate::latencies::Latencies;
use crate::load::Load;
use crate::meter::Moment;
use crate::population::{KNOWN, Population};
use crate::progress::Progress;
use crate::redis::{self, Redis, RedisLane};
use crate::script::Script;
use crate::site::Site;
use crate::verify::verify;
use crate::workload::{Workload, Written};
use ia_testkit::{Installation, Process, ServerProcess};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How many connections fill a server and read it back.
const CONNECTIONS: usize = 8;

/// Users that are read back and compared, membership by membership.
const CHECKED_USERS: u64 = 1000;

/// Users that are asked for as codes, and counted.
const COUNTED_USERS: u64 = 20;

/// A server stands still most of the time, and its clock goes on. So only the log decides when it writes a checkpoint,
/// as it does at these rates in a server that nobody stops.
const SETTINGS: [(&str, &str); 2] = [
    ("PROFILES__CHECKPOINT_INTERVAL_SECONDS", "3600"),
    // A fill names all memberships of a user at once.
    ("LIMITS__SEGMENTS_PER_USER", "10000"),
];

/// One width.
pub(super) struct Width {
    pub(super) width: u32,
    users: u64,
    installation: Installation,
    server: ServerProcess,
    target: Target,
    redis: Redis,
    memberships_per_second_of_fill: f64,
    resident_bytes: u64,
    redis_bytes: u64,
    writes: Driver<Connection>,
    writes_of_redis: Driver<RedisLane>,
    reads: Driver<Connection>,
    reads_of_redis: Driver<RedisLane>,
    codes: Driver<CodesLane>,
    items_of_a_write: u64,
    connections: usize,
    samples: Vec<(Asked, Sample)>,
}

/// One measurement.
#[derive(Debug)]
pub(super) struct Sample {
    measured: Measured,
    server_cpu_seconds: f64,
}

impl Width {
    /// Starts and fills both, and prepares what is asked of them.
    pub(super) async fn fill(
        site: &Site,
        plan: &Plan,
        redis: &Path,
        width: u32,
        progress: &Progress,
    ) -> Result<Width, Error> {
        let installation = site.install(&format!("wide-{width}"))?.with_all(&SETTINGS);
        let server = installation.start().await?;
        let target = Target::log_in(&server).await?;
        let redis = Redis::start(redis, site.folder()).await?;
        let bodies = bodies(plan.users, width);
        let load = Load::new(bodies);
        let started = Instant::now();
        let text = || format!("wide: width {width}, {}", load.progress());
        progress.during(load.run_to_the_end(&target, CONNECTIONS), text).await?;
        let took = started.elapsed().as_secs_f64();
        check(&target, plan.users, width).await?;
        let resident_bytes = target.metrics().await?.get("profiles_resident_bytes")?;
        let empty = redis.used_memory_bytes().await?;
        let text = || format!("wide: width {width}, loading Redis");
        progress.during(redis.load(bodies, |_| ()), text).await?;
        let redis_bytes = redis.used_memory_bytes().await?.saturating_sub(empty);

        progress.show(&format!("wide: width {width}, preparing"));
        let script = |name| {
            let workload = Workload::named(name, plan.connections.into());
            let written = Written::SomeKnown { of: width };
            Script::new(&workload, written, plan.users, Distribution::Uniform, plan.pool_mib << 20)
        };
        let (writing, reading) = (script("bulk10"), script("read"));
        let pool = writing.http();
        Ok(Width {
            width,
            users: plan.users,
            memberships_per_second_of_fill: (plan.users * u64::from(width)) as f64 / took,
            resident_bytes,
            redis_bytes,
            items_of_a_write: pool.items_per_call,
            writes: Driver::new(&target, &pool),
            writes_of_redis: Driver::to(redis.target(), redis::pool(&writing)),
            reads: Driver::new(&target, &reading.http()),
            reads_of_redis: Driver::to(redis.target(), redis::pool(&reading)),
            codes: Driver::to(&target, codes(&reading)),
            connections: plan.connections.into(),
            samples: Vec::new(),
            installation,
            server,
            target,
            redis,
        })
    }

    /// Its processes, and whether each is Redis.
    pub(super) fn processes(&self) -> [(bool, &Process); 2] {
        [(false, self.server.process()), (true, self.redis.process())]
    }

    pub(super) fn redis_version(&self) -> String {
        self.redis.version.clone()
    }

    /// Warms up, and measures.
    pub(super) async fn measure(&self, asked: Asked, plan: &Plan) -> Result<Sample, Error> {
        let duration = match asked {
            Asked::Writes | Asked::WritesOfRedis => plan.seconds,
            Asked::Json | Asked::ReadsOfRedis | Asked::Codes => plan.seconds / 2,
        };
        self.drive(asked, duration / 10).await?;
        let pid = if asked.of_redis() { self.redis.pid() } else { self.target.pid };
        let before = Moment::now(pid)?;
        let measured = self.drive(asked, duration).await?;
        let server_cpu_seconds = Moment::now(pid)?.since(&before).server_cpu_seconds;
        Ok(Sample { measured, server_cpu_seconds })
    }

    async fn drive(&self, asked: Asked, duration: std::time::Duration) -> Result<Measured, Error> {
        let mut measured = match asked {
            Asked::Writes => self.writes.run(CONNECTIONS.min(self.connections), duration).await?,
            Asked::WritesOfRedis => self.writes_of_redis.run(1, duration).await?,
            Asked::Json => self.reads.run(self.connections, duration).await?,
            Asked::ReadsOfRedis => self.reads_of_redis.run(self.connections, duration).await?,
            Asked::Codes => self.codes.run(self.connections, duration).await?,
        };
        match measured.first_error.take() {
            Some(error) => Err(Error::Side { side: asked.name(), source: Box::new(error) }),
            None => Ok(measured),
        }
    }

    pub(super) fn keep(&mut self, asked: Asked, sample: Sample) {
        self.samples.push((asked, sample));
    }

    /// Ends both, after the writes are found again.
    pub(super) async fn close(self, progress: &Progress) -> Result<Row, Error> {
        progress.show(&format!("wide: width {}, reading back", self.width));
        let checkpoints = self.target.metrics().await?.get("checkpoint_seconds_count")?;
        self.find_writes().await?;
        let row = Row {
            width: self.width,
            memberships_per_second_of_fill: self.memberships_per_second_of_fill,
            bytes_per_membership: self.per_membership(self.resident_bytes),
            redis_bytes_per_membership: self.per_membership(self.redis_bytes),
            writes: self.side(Asked::Writes),
            writes_of_redis: self.side(Asked::WritesOfRedis),
            json: self.side(Asked::Json),
            reads_of_redis: self.side(Asked::ReadsOfRedis),
            codes: self.side(Asked::Codes),
            p99_per_narrow: None,
            checkpoints,
        };
        self.installation.stop(self.server).await?;
        Ok(row)
    }

    /// The users are as wide as they were; and what is written to some of them now, after all that was measured, is what
    /// they show.
    async fn find_writes(&self) -> Result<(), Error> {
        let population = Population::new(KNOWN, self.users);
        let mut connection = Connection::open(&self.target).await?;
        for user in 0..COUNTED_USERS.min(self.users) {
            let found = count_codes(&mut connection, population.id(user)).await?;
            if found != self.width as usize {
                let has = format!("a user of {} memberships has {found}", self.width);
                return Err(Error::broken(has));
            }
        }
        let load = Load::new(bodies(self.users.min(CHECKED_USERS), self.width));
        load.run_to_the_end(&self.target, CONNECTIONS).await?;
        check(&self.target, self.users, self.width).await
    }

    fn per_membership(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.users * u64::from(self.width)) as f64
    }

    fn side(&self, asked: Asked) -> Side {
        let items = match asked {
            Asked::Writes | Asked::WritesOfRedis => self.items_of_a_write,
            Asked::Json | Asked::ReadsOfRedis | Asked::Codes => 1,
        };
        let samples: Vec<&Sample> =
            self.samples.iter().filter(|(of, _)| *of == asked).map(|(_, sample)| sample).collect();
        let rate = |sample: &&Sample| {
            (sample.measured.answered * items) as f64 / sample.measured.elapsed.as_secs_f64()
        };
        let mut latencies = Latencies::new();
        samples.iter().for_each(|sample| latencies.add(&sample.measured.latencies));
        let cpu: f64 = samples.iter().map(|sample| sample.server_cpu_seconds).sum();
        let answered: u64 = samples.iter().map(|sample| sample.measured.answered * items).sum();
        Side {
            per_second: samples.iter().map(rate).collect(),
            p99_ms: samples.iter().map(|s| s.measured.latencies.micros().p99 as f64 / 1e3).collect(),
            latency_micros: latencies.micros(),
            cpu_microseconds: cpu * 1e6 / answered as f64,
        }
    }
}

fn bodies(users: u64, width: u32) -> Bodies {
    Bodies::of_wide_users(Population::new(KNOWN, users), width)
}

/// What a load wrote to the first users is there, membership by membership.
async fn check(target: &Target, users: u64, width: u32) -> Result<(), Error> {
    let bodies = bodies(users.min(CHECKED_USERS), width);
    let fates = vec![Fate::Acknowledged; bodies.count()];
    match verify(target, bodies, fates, CONNECTIONS, Arc::default()).await?.first_fault {
        None => Ok(()),
        Some(fault) => Err(Error::broken(format!("what was written cannot be read: {fault}"))),
    }
}
