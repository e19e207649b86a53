//! `ia-torture slow-clients`: nearly as many slow connections as the server takes.
//!
//! An ordinary client measures its waits without them and beside them. Then as many come as there are places and
//! more: who comes now waits in the listen queue, as documented, and who has a connection goes on. At last the
//! slow ones fall silent, and the server has to be rid of all of them when its timers have run.

use super::bystander::watch;
use super::slow_connection::{Crowd, Slowness};
use crate::figure::{Figure, progress};
use crate::operation::PROVIDER;
use crate::requests::{PATIENCE, install, log_in};
use crate::run::{until, until_still};
use crate::testbed::{Testbed, TestbedArgs};
use anyhow::{Context, bail};
use clap::Args;
use ia_testkit::{Connection, ServerProcess, procfs, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Options of `slow-clients`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SlowClientsArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// The server's cap on connections: 1,000, and 5,000 in the long form
    #[arg(long)]
    pub cap: Option<usize>,
    /// How long the ordinary client measures each time: 12 seconds, and 60 in the long form; half of it alone
    #[arg(long)]
    pub seconds: Option<u64>,
}

/// Places that are left for the ordinary client.
const SPARE_PLACES: usize = 32;

/// How many of them fill up their sockets.
const STUFFED: usize = 8;

/// The server's timers, in seconds; a body has a few more until its connection is closed.
const HEADER_TIMEOUT: u64 = 5;
const BODY_TIMEOUT: u64 = 5;
const IDLE_TIMEOUT: u64 = 8;

/// A body that is late is answered, and for so long the rest of it is waited for.
const DRAIN: u64 = 5;

/// How late timers may be on a busy machine.
const LAG: u64 = 4;

/// By then every timer has run, whatever a connection was at when the slow ones fell silent.
const ALL_GONE: Duration = Duration::from_secs(2 * (HEADER_TIMEOUT + BODY_TIMEOUT + IDLE_TIMEOUT));

/// What a slow connection may take of the server's memory: its buffers, its timers and its task.
const MAX_BYTES_A_CONNECTION: u64 = 64 << 10;

/// What may change besides: caches that fill while the ordinary client is served.
const SLACK_BYTES: u64 = 48 << 20;

/// The waits beside the crowd, against those without it.
const MAX_RATIO: f64 = 2.0;

/// Shorter waits than this are noise of the machine.
const NOISE: Duration = Duration::from_millis(2);

impl SlowClientsArgs {
    /// Whether the server has kept its promises; in the long form also whether it was quick enough.
    pub(crate) async fn run(&self, testbed: Testbed) -> anyhow::Result<bool> {
        let cap = self.cap.unwrap_or(testbed.of_form(1_000, 5_000));
        let time = Duration::from_secs(self.seconds.unwrap_or(testbed.of_form(12, 60)));
        let slow = cap.checked_sub(SPARE_PLACES).filter(|&slow| slow > 0).context("the cap is too small")?;
        allow_open_files(2 * cap as u64 + 1_000)?;
        let data_dir = testbed.data.path().join("data");
        let mut installation = install(&testbed.binary, &data_dir, testbed.journal.path())?;
        for (name, value) in [
            ("HTTP__MAX_CONNECTIONS", cap.to_string()),
            ("HTTP__HEADER_TIMEOUT_SECONDS", HEADER_TIMEOUT.to_string()),
            ("HTTP__BODY_TIMEOUT_SECONDS", BODY_TIMEOUT.to_string()),
            ("HTTP__IDLE_TIMEOUT_SECONDS", IDLE_TIMEOUT.to_string()),
        ] {
            installation = installation.with(name, &value);
        }
        let server = installation.start().await?;
        // Before anybody connects: those who have just gone may be open for a moment longer.
        let listening = procfs::open_sockets(server.id())?;
        let token = log_in(&server, PROVIDER).await?;
        watch(server.api, &token, Duration::from_secs(2)).await?;
        let found = torment(&server, &token, listening, slow, time).await?;
        installation.stop(server).await?;
        Ok(found.print(cap, slow) && (!testbed.long || found.is_quick()))
    }
}

/// What was found.
#[derive(Debug)]
struct Found {
    /// Median and 99th percentile of reads, then of POSTs: alone, and beside the slow ones.
    alone: [(Duration, Duration); 2],
    beside: [(Duration, Duration); 2],
    requests: usize,
    resident_before: u64,
    peak: u64,
    cut_off: usize,
    wrongly_answered: usize,
    /// How long headers, and bodies, were let go on, in seconds.
    longest: [u64; 2],
    /// Whether one without a place had to wait for one, and got it.
    surplus_waited: bool,
    surplus_served: bool,
    gone_after: Option<Duration>,
}

/// `listening` is how many sockets the server has open when nobody is connected.
async fn torment(
    server: &ServerProcess,
    token: &str,
    listening: usize,
    slow: usize,
    time: Duration,
) -> anyhow::Result<Found> {
    let resident_before = procfs::usage(server.id())?.resident_bytes;
    progress("an ordinary client alone");
    let mut alone = watch(server.api, token, time / 2).await?;
    progress(format_args!("the same beside {slow} slow connections"));
    let crowd = Arc::new(Crowd::default());
    let mut members = JoinSet::new();
    for index in 0..slow {
        // Not all at one moment: they would be cut off at one, too.
        let delay = Duration::from_secs(HEADER_TIMEOUT) * u32::try_from(index)? / u32::try_from(slow)?;
        join(&mut members, &crowd, server, token, kind_of(index), delay);
    }
    until_as_many("the crowd to come", slow * 9 / 10, || Ok(crowd.open.load(Ordering::Relaxed))).await?;
    let mut beside = watch(server.api, token, time).await?;

    let seconds = |longest: &AtomicU64| longest.load(Ordering::Relaxed).div_ceil(1000);
    let longest = [seconds(&crowd.longest_headers_ms), seconds(&crowd.longest_body_ms)];

    progress("more than there are places");
    // Of the slow ones a share is cut off each second; the queue must be longer than what that lets in meanwhile.
    for _ in 0..slow / 2 + SPARE_PLACES {
        join(&mut members, &crowd, server, token, Slowness::Headers, Duration::ZERO);
    }
    // Else the newcomer could be before them.
    let taken = || Ok(procfs::open_sockets(server.id())?.saturating_sub(listening));
    until_as_many("all connections to be taken", slow + SPARE_PLACES, taken).await?;
    // A connection that is cut off is replaced at once by one that waits.
    let newcomer = tokio::spawn(ask_anew(server.api, token.to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let surplus_waited = !newcomer.is_finished();
    let peak = procfs::usage(server.id())?.peak_resident_bytes;

    progress("silence");
    crowd.has_stopped.store(true, Ordering::Relaxed);
    let silent_since = Instant::now();
    let served = newcomer.await.context("the newcomer panicked")?;
    let is_gone = async || Ok((procfs::open_sockets(server.id())? <= listening).then_some(()));
    let gone = until("the crowd to be gone", ALL_GONE, is_gone).await;
    let gone_after = gone.is_ok().then(|| silent_since.elapsed());
    members.abort_all();
    Ok(Found {
        alone: [alone.reads(), alone.posts()],
        beside: [beside.reads(), beside.posts()],
        requests: alone.count() + beside.count(),
        resident_before,
        peak,
        cut_off: crowd.cut_off.load(Ordering::Relaxed),
        wrongly_answered: crowd.wrongly_answered.load(Ordering::Relaxed),
        longest,
        surplus_waited,
        surplus_served: served.is_ok(),
        gone_after,
    })
}

/// Waits until there are so many, for as long as there are now and then more than ever before.
async fn until_as_many(
    what: &str,
    wanted: usize,
    count: impl Fn() -> anyhow::Result<usize>,
) -> anyhow::Result<()> {
    let mut most = 0;
    until_still(what, PATIENCE, async || {
        most = most.max(count()?);
        Ok(if most >= wanted {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("{most} of {wanted}"))
        })
    })
    .await
}

/// A few of the costly kind, and equally many of the others.
fn kind_of(index: usize) -> Slowness {
    if index < STUFFED { Slowness::Stuffed } else { Slowness::COMMON[index % Slowness::COMMON.len()] }
}

fn join(
    members: &mut JoinSet<()>,
    crowd: &Arc<Crowd>,
    server: &ServerProcess,
    token: &str,
    slowness: Slowness,
    delay: Duration,
) {
    let (crowd, api, token) = (Arc::clone(crowd), server.api, token.to_owned());
    members.spawn(async move { crowd.keep_one(api, &token, slowness, delay).await });
}

/// Connects and asks; an answer comes when there is a place.
async fn ask_anew(api: std::net::SocketAddr, token: String) -> anyhow::Result<()> {
    let asking = async {
        let mut connection = Connection::open(api).await.context("cannot connect")?;
        let get = request("GET", "/user-segment?user_id=1", api, &[("authorization", &token)], None);
        let answer = connection.exchange(&get).await.map_err(|broken| broken.error)?;
        if answer.status != 200 {
            bail!("the newcomer is refused with {}", answer.status);
        }
        Ok(())
    };
    tokio::time::timeout(ALL_GONE, asking).await.context("the newcomer waits in vain")?
}

/// Lets this process, and what it starts, have that many files open.
fn allow_open_files(count: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = limit.maximum.map_or(count, |maximum| maximum.max(count));
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: Some(maximum) })
        .with_context(|| format!("{count} open files are needed: raise the limit (ulimit -n)"))
}

impl Found {
    /// The largest ratio of a wait beside the crowd to the same alone.
    fn ratio(&self) -> f64 {
        let reads = (self.alone[0].1.max(NOISE), self.beside[0].1);
        reads.1.as_secs_f64() / reads.0.as_secs_f64()
    }

    fn is_quick(&self) -> bool {
        self.ratio() <= MAX_RATIO
    }

    /// Prints the figure; whether all promises were kept, but for speed.
    fn print(&self, cap: usize, slow: usize) -> bool {
        let bound = slow as u64 * MAX_BYTES_A_CONNECTION + SLACK_BYTES;
        let growth = self.peak.saturating_sub(self.resident_before);
        let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let gone = self.gone_after.map_or("never".to_owned(), |time| time.as_secs().to_string());
        Figure::new("slow_clients")
            .with("cap", cap)
            .with("slow", slow)
            .with("cut_off", self.cut_off)
            .with("requests", self.requests)
            .with("read_p50_ms", format!("{}/{}", millis(self.alone[0].0), millis(self.beside[0].0)))
            .with("read_p99_ms", format!("{}/{}", millis(self.alone[0].1), millis(self.beside[0].1)))
            .with("post_p50_ms", format!("{}/{}", millis(self.alone[1].0), millis(self.beside[1].0)))
            .with("post_p99_ms", format!("{}/{}", millis(self.alone[1].1), millis(self.beside[1].1)))
            .with("p99_ratio", format!("{:.2}", self.ratio()))
            .with("within_2x", self.is_quick())
            .with("rss_mib", format!("{}/{}", self.resident_before >> 20, self.peak >> 20))
            .with("bound_mib", bound >> 20)
            .with("surplus_waited", self.surplus_waited)
            .with("surplus_served", self.surplus_served)
            .with("wrongly_answered", self.wrongly_answered)
            .with("longest_headers_s", self.longest[0])
            .with("longest_body_s", self.longest[1])
            .with("gone_after_s", gone)
            .print();
        growth <= bound
            && self.surplus_waited
            && self.surplus_served
            && self.wrongly_answered == 0
            && self.longest[0] <= HEADER_TIMEOUT + LAG
            && self.longest[1] <= BODY_TIMEOUT + DRAIN + LAG
            && self.gone_after.is_some()
    }
}
