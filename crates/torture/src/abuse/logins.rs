//! `ia-torture logins`: a crowd at the door, a guesser, and one with a stopwatch.
//!
//! Hundreds log in at once, rightly and wrongly: only who is right gets in, hashing keeps to its threads and its
//! memory, and an ordinary client is served meanwhile. A guesser is stopped by its address, and others are not.
//! And whether a name exists, or is switched off, cannot be told from how long a refusal takes.

use super::bystander::{Waits, watch};
use super::ranks::{quantile, z};
use crate::figure::{Figure, progress};
use crate::operation::PROVIDER;
use crate::requests::{install, log_in};
use crate::testbed::{Testbed, TestbedArgs};
use anyhow::{Context, bail};
use clap::Args;
use ia_testkit::{Answer, Connection, Dice, Installation, PASSWORD, ServerProcess, procfs, request};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;

/// Options of `logins`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoginsArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// Logins at once
    #[arg(long, default_value_t = 500)]
    pub at_once: usize,
    /// Timed refusals of each kind: 40, and 400 in the long form
    #[arg(long)]
    pub samples: Option<usize>,
}

/// Threads that hash, and what one hash takes.
const MAX_HASHING_THREADS: usize = 2;
const HASH_BYTES: u64 = 19 << 20;

/// What may change besides, when hundreds of connections come and go.
const SLACK_BYTES: u64 = 48 << 20;

/// Two series that come from one distribution lie beyond this once in a thousand times.
const MAX_Z: f64 = 3.3;

/// The waits beside the crowd, against those without it, from where they are more than noise.
const MAX_RATIO: f64 = 2.0;
const NOISE: Duration = Duration::from_millis(2);

/// As shipped: failed logins from one address, and under one name, in five minutes.
const FAILURES_PER_ADDRESS: usize = 100;

/// What waits longer has been forgotten by the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whom a wrong password is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Known,
    Unknown,
    Off,
}

impl Name {
    const ALL: [Name; 3] = [Name::Known, Name::Unknown, Name::Off];

    /// All of one length.
    fn text(self) -> &'static str {
        match self {
            Name::Known => "provider",
            Name::Unknown => "nonesuch",
            Name::Off => "disabled",
        }
    }
}

impl LoginsArgs {
    /// Whether the server has kept its promises; in the long form also in what was timed.
    pub(crate) async fn run(&self, mut testbed: Testbed) -> anyhow::Result<bool> {
        let data_dir = testbed.data.path().join("data");
        let installation = install(&testbed.binary, &data_dir, testbed.journal.path())?;
        add_login(&installation)?;
        let lifted = installation
            .clone()
            .with("LIMITS__FAILED_LOGINS_PER_USER_PER_FIVE_MINUTES", "0")
            .with("LIMITS__FAILED_LOGINS_PER_ADDRESS_PER_FIVE_MINUTES", "0");
        let server = lifted.start().await?;
        let crowd = crowd(&server, self.at_once, testbed.of_form(2, 20)).await?;
        let samples = self.samples.unwrap_or(testbed.of_form(40, 400));
        let timing = stopwatch(&server, samples, &mut testbed.dice).await?;
        lifted.stop(server).await?;
        let server = installation.start().await?;
        let guesser = guess(&server).await?;
        installation.stop(server).await?;

        let figure = Figure::new("logins").with("at_once", self.at_once);
        let figure = timing.write_to(guesser.write_to(crowd.write_to(figure)));
        figure.print();
        let is_right = crowd.is_right() && guesser.is_right();
        let is_timely = crowd.is_quick() && timing.is_even();
        Ok(is_right && (!testbed.long || is_timely))
    }
}

/// A login that is switched off, with the password of all.
fn add_login(installation: &Installation) -> anyhow::Result<()> {
    let user = json!({"username": Name::Off.text(), "password": PASSWORD, "member_id": 958, "user_type": "member",
                      "state": "inactive"});
    Ok(installation.apply(&json!({"users": [user]}).to_string())?)
}

fn credentials(api: SocketAddr, name: &str, password: &str) -> Vec<u8> {
    let body = json!({"auth": {"username": name, "password": password}}).to_string();
    request("POST", "/auth", api, &[], Some(body.as_bytes()))
}

/// One login on a connection of its own.
async fn attempt(api: SocketAddr, name: &str, password: &str) -> anyhow::Result<Answer> {
    let asking = async {
        let mut connection = Connection::open(api).await.context("cannot connect")?;
        let answered = connection.exchange(&credentials(api, name, password)).await;
        answered.map_err(|broken| broken.error).context("no answer to a login")
    };
    tokio::time::timeout(PATIENCE, asking).await.context("a login waits in vain")?
}

/// What a crowd was answered, and what it took.
#[derive(Debug, Default)]
struct CrowdFound {
    let_in: usize,
    refused: usize,
    sent_away: usize,
    wrong: usize,
    threads: usize,
    growth: u64,
    peak_growth: u64,
    /// Median and 99th percentile of reads, alone and beside.
    reads: [(Duration, Duration); 2],
}

/// How long the ordinary client measures at a time.
const ROUND: Duration = Duration::from_secs(3);

/// By turns, so that what else the machine does falls on both: the ordinary client alone, and beside a crowd.
async fn crowd(server: &ServerProcess, at_once: usize, rounds: usize) -> anyhow::Result<CrowdFound> {
    let token = log_in(server, PROVIDER).await?;
    watch(server.api, &token, Duration::from_secs(1)).await?;
    let before = procfs::usage(server.id())?;
    let mut found = CrowdFound::default();
    let (mut alone, mut beside) = (Waits::default(), Waits::default());
    for round in 1..=rounds {
        progress(format_args!("{at_once} logins at once, again and again, round {round} of {rounds}"));
        alone.add(watch(server.api, &token, ROUND).await?);
        let watching = tokio::spawn({
            let (api, token) = (server.api, token.clone());
            async move { watch(api, &token, ROUND).await }
        });
        while !watching.is_finished() {
            found.wave(server, at_once).await?;
        }
        beside.add(watching.await.context("the ordinary client panicked")??);
    }
    found.reads = [alone.reads(), beside.reads()];
    let after = procfs::usage(server.id())?;
    found.growth = after.resident_bytes.saturating_sub(before.resident_bytes);
    found.peak_growth = after.peak_resident_bytes.saturating_sub(before.resident_bytes);
    Ok(found)
}

impl CrowdFound {
    /// All at once.
    async fn wave(&mut self, server: &ServerProcess, at_once: usize) -> anyhow::Result<()> {
        let api = server.api;
        let attempts: Vec<_> = (0..at_once)
            .map(|index| {
                let (name, password) = match index % 4 {
                    0 | 1 => ("provider", PASSWORD),
                    2 => ("provider", "Wrong-horse-22"),
                    _ => ("nonesuch", PASSWORD),
                };
                (index % 4 < 2, tokio::spawn(attempt(api, name, password)))
            })
            .collect();
        let threads = procfs::threads(server.id())?;
        let hashing = threads.iter().filter(|(_, name)| name.starts_with("ia-hash")).count();
        self.threads = self.threads.max(hashing);
        for (is_good, attempt) in attempts {
            let answer = attempt.await.context("an attempt panicked")??;
            match (answer.status.as_u16(), is_good) {
                (200, true) => self.let_in += 1,
                (401, false) => self.refused += 1,
                (429, _) if answer.header("retry-after").is_some() => self.sent_away += 1,
                _ => self.wrong += 1,
            }
        }
        Ok(())
    }

    fn is_right(&self) -> bool {
        let bound = MAX_HASHING_THREADS as u64 * HASH_BYTES + SLACK_BYTES;
        self.wrong == 0
            && self.let_in > 0
            && self.refused > 0
            && (1..=MAX_HASHING_THREADS).contains(&self.threads)
            && self.peak_growth <= bound
    }

    fn ratio(&self) -> f64 {
        self.reads[1].1.as_secs_f64() / self.reads[0].1.max(NOISE).as_secs_f64()
    }

    fn is_quick(&self) -> bool {
        self.ratio() <= MAX_RATIO
    }

    fn write_to(&self, figure: Figure) -> Figure {
        let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        figure
            .with("let_in", self.let_in)
            .with("refused", self.refused)
            .with("sent_away", self.sent_away)
            .with("wrong", self.wrong)
            .with("hashing_threads", self.threads)
            .with("growth_mib", self.growth >> 20)
            .with("peak_growth_mib", self.peak_growth >> 20)
            .with("read_p50_ms", format!("{}/{}", millis(self.reads[0].0), millis(self.reads[1].0)))
            .with("read_p99_ms", format!("{}/{}", millis(self.reads[0].1), millis(self.reads[1].1)))
            .with("p99_ratio", format!("{:.2}", self.ratio()))
    }
}

/// How long refusals took, by whom they were for.
#[derive(Debug)]
struct Timing {
    medians: [Duration; 3],
    /// Of each kind against the known name.
    unknown_z: f64,
    off_z: f64,
}

/// Refusals of all kinds in turn, in an order that chance decides, over one connection.
async fn stopwatch(server: &ServerProcess, samples: usize, dice: &mut Dice) -> anyhow::Result<Timing> {
    progress(format_args!("{samples} timed refusals of each kind"));
    let mut connection = Connection::open(server.api).await.context("cannot connect")?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..samples {
        for index in dice.distinct(3, 3) {
            let index = usize::try_from(index).context("an index")?;
            let bytes = credentials(server.api, Name::ALL[index].text(), "Wrong-horse-22");
            let begun = Instant::now();
            let answer = connection.exchange(&bytes).await.map_err(|broken| broken.error)?;
            times[index].push(begun.elapsed());
            let said = answer.response();
            if answer.status != 401 || said["error_id"] != "NOAUTH" {
                bail!("a wrong password for {} is answered with {said}", Name::ALL[index].text());
            }
        }
    }
    let (unknown_z, off_z) = (z(&times[0], &times[1]), z(&times[0], &times[2]));
    Ok(Timing { medians: times.map(|mut times| quantile(&mut times, 0.5)), unknown_z, off_z })
}

impl Timing {
    fn is_even(&self) -> bool {
        self.unknown_z.abs() <= MAX_Z && self.off_z.abs() <= MAX_Z
    }

    fn write_to(&self, figure: Figure) -> Figure {
        let micros = |index: usize| self.medians[index].as_micros();
        figure
            .with("median_us", format!("known:{},unknown:{},off:{}", micros(0), micros(1), micros(2)))
            .with("unknown_z", format!("{:.2}", self.unknown_z))
            .with("off_z", format!("{:.2}", self.off_z))
            .with("separable", !self.is_even())
    }
}

/// What a guesser came to.
#[derive(Debug)]
struct Guesser {
    guesses: usize,
    looked_at: usize,
    /// How the owner of a login fares at the same address, and at another.
    same_address: u16,
    other_address: u16,
}

/// Many names from one address, with the limits as shipped.
async fn guess(server: &ServerProcess) -> anyhow::Result<Guesser> {
    let guesses = 2 * FAILURES_PER_ADDRESS;
    progress(format_args!("{guesses} guesses under as many names from one address"));
    let mut looked_at = 0;
    for guess in 0..guesses {
        let answer = attempt(server.api, &format!("name-{guess}"), "Wrong-horse-22").await?;
        match answer.status.as_u16() {
            401 => looked_at += 1,
            429 => {}
            other => bail!("a guess is answered with {other}"),
        }
    }
    let same_address = attempt(server.api, "provider", PASSWORD).await?.status.as_u16();
    let other_address = attempt_from(Ipv4Addr::new(127, 0, 0, 2).into(), server.api).await?;
    Ok(Guesser { guesses, looked_at, same_address, other_address })
}

/// The status of a good login from another address of this machine.
async fn attempt_from(from: IpAddr, api: SocketAddr) -> anyhow::Result<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into()).context("cannot send from another address")?;
    let mut stream = socket.connect(api).await.context("cannot connect")?;
    stream.write_all(&credentials(api, "provider", PASSWORD)).await?;
    let mut start = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut start))
        .await
        .context("a login waits in vain")??;
    let status = std::str::from_utf8(&start[9..]).context("no status")?;
    status.parse().context("no status")
}

impl Guesser {
    fn is_right(&self) -> bool {
        self.looked_at == FAILURES_PER_ADDRESS && self.same_address == 429 && self.other_address == 200
    }

    fn write_to(&self, figure: Figure) -> Figure {
        figure
            .with("guesses", self.guesses)
            .with("guesses_looked_at", self.looked_at)
            .with("owner_same_address", self.same_address)
            .with("owner_other_address", self.other_address)
    }
}
