//! The same memberships as a text file, as an Avro file, as POSTs, and in Redis: each into an empty server of its own, round
//! by round, in an order that rotates.

use super::Plan;
use super::avro;
use super::crowd::{Crowd, catalog, username};
use super::job::Job;
use crate::aim::Aim;
use crate::client::{Connection, Target};
use crate::drive::{Failure, Lane};
use crate::error::Error;
use crate::meter::{Counted, Moment};
use crate::progress::Progress;
use crate::redis::{self, Redis};
use crate::report::Page;
use crate::site::Site;
use crate::statistics::Spread;
use crate::table::Table;
use crate::workload::Prepared;
use bytes::Bytes;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections of the POSTs, as those of the workload `bulk10`.
const CONNECTIONS: usize = 8;

/// How often it is asked how far a file is.
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Text,
    Posts,
    Redis,
    Avro,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub(super) struct Contest {
    users: u64,
    memberships: u64,
    rounds: u32,
    rows: Vec<Row>,
    text_per_posts: Spread,
    text_per_redis: Option<Spread>,
    avro_per_text: Option<Spread>,
    /// Of the server's processor time, which tells more on a busy machine.
    text_per_posts_cpu: Spread,
    /// What could not be measured, and why.
    skipped: Vec<String>,
}

/// The outcome of a side.
#[derive(Debug, Serialize)]
struct Row {
    side: &'static str,
    /// Of what is sent.
    bytes: usize,
    memberships_per_second: Spread,
    /// From the first byte of the upload on.
    memberships_per_second_with_upload: Spread,
    cpu_microseconds_per_membership: Spread,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    upload_seconds: f64,
    cpu_seconds: f64,
}

/// What is sent by each side, made before the clock starts.
struct Sent {
    crowd: Crowd,
    text: Bytes,
    avro: Bytes,
    bodies: Arc<[Prepared]>,
    /// The server, the file of commands, and its length.
    redis: Option<(PathBuf, PathBuf, usize)>,
}

impl Contest {
    pub(super) async fn measure(site: &Site, plan: &Plan, progress: &Progress) -> Result<Contest, Error> {
        progress.show("files: preparing");
        let (sent, mut skipped) = Sent::prepare(site, plan)?;
        let mut sides = vec![Side::Text, Side::Posts];
        sides.extend(sent.redis.is_some().then_some(Side::Redis));
        if let Some(reason) = sent.refusal_of_avro(site).await? {
            skipped.push(format!("Avro: the server refuses it: {reason}"));
        } else {
            sides.push(Side::Avro);
        }
        let mut samples: Vec<(Side, Vec<Sample>)> = sides.iter().map(|&side| (side, Vec::new())).collect();
        for round in 0..plan.rounds {
            let count = samples.len();
            samples.rotate_left(usize::from(round > 0).min(count));
            for (side, of_side) in &mut samples {
                let text = format!("files: round {} of {}, {}", round + 1, plan.rounds, side.name());
                let name = format!("rates-{round}-{}", side.name());
                of_side.push(progress.during(sent.measure(*side, site, &name), || text.clone()).await?);
            }
        }
        let memberships = sent.crowd.memberships_count();
        let rates = |side: Side| -> Option<Vec<f64>> {
            let (_, of_side) = samples.iter().find(|(other, _)| *other == side)?;
            Some(of_side.iter().map(|sample| memberships as f64 / sample.seconds).collect())
        };
        let costs = |side: Side| -> Vec<f64> {
            let of_side = samples.iter().filter(|(other, _)| *other == side).flat_map(|(_, samples)| samples);
            of_side.map(|sample| sample.cpu_seconds).collect()
        };
        let ratio = |over, under| Some(Spread::of_quotients(&rates(over)?, &rates(under)?));
        let rows = sides.iter().map(|&side| {
            let (_, of_side) = samples.iter().find(|(other, _)| *other == side).expect("all are there");
            let spread = |of: &dyn Fn(&Sample) -> f64| Spread::of(of_side.iter().map(of));
            Row {
                side: side.name(),
                bytes: sent.bytes(side),
                memberships_per_second: spread(&|sample| memberships as f64 / sample.seconds),
                memberships_per_second_with_upload: spread(&|sample| {
                    memberships as f64 / (sample.seconds + sample.upload_seconds)
                }),
                cpu_microseconds_per_membership: spread(&|sample| {
                    sample.cpu_seconds * 1e6 / memberships as f64
                }),
            }
        });
        Ok(Contest {
            users: plan.users,
            memberships,
            rounds: plan.rounds,
            rows: rows.collect(),
            text_per_posts: ratio(Side::Text, Side::Posts).expect("both are always measured"),
            text_per_redis: ratio(Side::Text, Side::Redis),
            avro_per_text: ratio(Side::Avro, Side::Text),
            text_per_posts_cpu: Spread::of_quotients(&costs(Side::Text), &costs(Side::Posts)),
            skipped,
        })
    }

    pub(super) fn aims(&self) -> Vec<Aim> {
        let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
        let mut aims = vec![Aim::at_least(
            "text file / bulk10 POSTs",
            Some(self.text_per_posts.median),
            "x",
            1.0,
            Some(1.5),
        )];
        let redis = median(self.text_per_redis);
        aims.extend(redis.map(|_| Aim::at_least("text file / redis-cli --pipe", redis, "x", 3.0, Some(5.0))));
        let avro = median(self.avro_per_text);
        aims.extend(avro.map(|_| Aim::at_least("Avro file / text file", avro, "x", 0.5, Some(1.0))));
        aims
    }

    pub(super) fn write(&self, page: &mut Page) {
        page.line(format_args!(
            "rates: {} users x 10 into empty servers, {} rounds; memberships a second from the end of the upload",
            self.users, self.rounds
        ));
        let mut table = Table::default();
        table.row(["", "MiB sent", "memberships/s", "min-max", "with upload", "CPU us / membership"]);
        for row in &self.rows {
            let rate = row.memberships_per_second;
            table.row([
                row.side.to_owned(),
                crate::report::mib(row.bytes as u64),
                format!("{:.0}", rate.median),
                format!("{:.0}-{:.0}", rate.min, rate.max),
                format!("{:.0}", row.memberships_per_second_with_upload.median),
                format!("{:.3}", row.cpu_microseconds_per_membership.median),
            ]);
        }
        page.indented(&table);
        let mut ratio = |what: &str, spread: Option<Spread>| {
            if let Some(Spread { median, min, max }) = spread {
                page.line(format_args!("  {what}: {median:.2} ({min:.2}-{max:.2})"));
            }
        };
        ratio("text / POSTs", Some(self.text_per_posts));
        ratio("text / Redis", self.text_per_redis);
        ratio("Avro / text", self.avro_per_text);
        ratio("processor time of the server, text / POSTs", Some(self.text_per_posts_cpu));
        self.skipped.iter().for_each(|line| page.line(format_args!("  skipped: {line}")));
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Text => "text",
            Side::Posts => "POSTs",
            Side::Redis => "Redis",
            Side::Avro => "Avro",
        }
    }
}

impl Sent {
    fn prepare(site: &Site, plan: &Plan) -> Result<(Sent, Vec<String>), Error> {
        let crowd = Crowd::new(1, plan.users);
        let making = || Error::io("make a file");
        let text = crowd.gzip().map_err(making())?.into();
        let avro = avro::deflated(&crowd).map_err(making())?.into();
        let mut skipped = Vec::new();
        let found = match redis::find(plan.redis.clone()) {
            Ok(server) => Some(server),
            Err(error) if plan.redis.is_none() => {
                skipped.push(format!("Redis: {error}"));
                None
            }
            Err(error) => return Err(error),
        };
        let redis = match found {
            None => None,
            Some(server) => {
                let users = 0..crowd.users();
                let commands = redis::hashes(users.map(|user| (crowd.id(user), crowd.memberships(user))));
                let path = site.folder().join("commands.resp");
                std::fs::write(&path, &commands).map_err(Error::io("write the commands for Redis"))?;
                Some((server, path, commands.len()))
            }
        };
        Ok((Sent { crowd, text, avro, bodies: crowd.bodies(), redis }, skipped))
    }

    fn bytes(&self, side: Side) -> usize {
        match side {
            Side::Text => self.text.len(),
            Side::Avro => self.avro.len(),
            Side::Posts => self.bodies.iter().map(|prepared| prepared.call.body.len()).sum(),
            Side::Redis => self.redis.as_ref().map_or(0, |(.., length)| *length),
        }
    }

    /// Why the server takes no Avro file, if it takes none.
    async fn refusal_of_avro(&self, site: &Site) -> Result<Option<String>, Error> {
        let installation = site.install_with("avro", &catalog(1))?;
        let server = installation.start().await?;
        let target = Target::log_in_as(&server, &username(1)).await?;
        let mut connection = Connection::open(&target).await?;
        let small = avro::deflated(&Crowd::new(1, 10)).map_err(Error::io("make a file"))?;
        let job = Job::create(&mut connection).await?;
        job.upload(&mut connection, &small.into()).await?;
        let ended = job.end(&mut connection, POLL).await?;
        installation.stop(server).await?;
        match ended.error_code {
            Some(code) if code == "unsupported-format" => Ok(Some(code)),
            _ => ended.must_have(10, 100).map(|()| None),
        }
    }

    async fn measure(&self, side: Side, site: &Site, name: &str) -> Result<Sample, Error> {
        if side == Side::Redis {
            return self.measure_redis(site).await;
        }
        let installation = site.install_with(name, &catalog(1))?;
        let server = installation.start().await?;
        let target = Target::log_in_as(&server, &username(1)).await?;
        let counted = Counted::now(&target).await?;
        let before = Moment::now(target.pid)?;
        let (upload_seconds, seconds) = match side {
            Side::Posts => (0.0, self.post(&target).await?),
            Side::Avro => self.upload(&target, &self.avro).await?,
            Side::Text | Side::Redis => self.upload(&target, &self.text).await?,
        };
        let spent = Moment::now(target.pid)?.since(&before);
        let memberships = self.crowd.memberships_count();
        Counted::now(&target).await?.since(counted).must_be(memberships, side.name())?;
        installation.stop(server).await?;
        // Gigabytes by the end of a run.
        let folder = site.folder().join(name);
        std::fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
        Ok(Sample { seconds, upload_seconds, cpu_seconds: spent.server_cpu_seconds })
    }

    /// Seconds of the upload, and from its answer until the job is completed.
    async fn upload(&self, target: &Target, file: &Bytes) -> Result<(f64, f64), Error> {
        let mut connection = Connection::open(target).await?;
        let job = Job::create(&mut connection).await?;
        let started = Instant::now();
        job.upload(&mut connection, file).await?;
        let uploaded = Instant::now();
        let ended = job.end(&mut connection, POLL).await?;
        let seconds = uploaded.elapsed().as_secs_f64();
        ended.must_have(self.crowd.users(), self.crowd.memberships_count())?;
        Ok(((uploaded - started).as_secs_f64(), seconds))
    }

    /// Seconds until every body is answered.
    async fn post(&self, target: &Target) -> Result<f64, Error> {
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            open.push(Connection::open(target).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let mut workers = JoinSet::new();
        for mut connection in open {
            let (bodies, next) = (Arc::clone(&self.bodies), Arc::clone(&next));
            workers.spawn(async move {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    connection.ask(body).await.map_err(Failure::into_error)?;
                }
                Ok::<(), Error>(())
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        }
        Ok(started.elapsed().as_secs_f64())
    }

    async fn measure_redis(&self, site: &Site) -> Result<Sample, Error> {
        let (server, commands, _) = self.redis.as_ref().expect("it is asked for where it was found");
        let redis = Redis::start(server, site.folder()).await?;
        let before = Moment::now(redis.pid())?;
        let started = Instant::now();
        let answered = redis::pipe(server, &redis, commands).await?;
        let seconds = started.elapsed().as_secs_f64();
        let spent = Moment::now(redis.pid())?.since(&before);
        if answered != self.crowd.users() {
            return Err(Error::broken(format!(
                "Redis answered {answered} of {} commands",
                self.crowd.users()
            )));
        }
        Ok(Sample { seconds, upload_seconds: 0.0, cpu_seconds: spent.server_cpu_seconds })
    }
}
