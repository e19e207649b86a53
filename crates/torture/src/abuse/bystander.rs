//! An ordinary client, which measures how long it waits.

use super::ranks::quantile;
use anyhow::{Context, bail};
use ia_testkit::{Connection, request};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that it has at once.
const LANES: u64 = 4;

/// Its pause between two requests.
const PAUSE: Duration = Duration::from_millis(4);

/// One of this many requests is a POST, or goes over a new connection.
const POST_EVERY: u64 = 8;
const CONNECT_EVERY: u64 = 25;

/// What waits longer has been forgotten by the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it waited.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    reads: Vec<Duration>,
    posts: Vec<Duration>,
}

impl Waits {
    /// Takes others' in.
    pub(crate) fn add(&mut self, others: Waits) {
        self.reads.extend(others.reads);
        self.posts.extend(others.posts);
    }

    /// Requests answered.
    pub(crate) fn count(&self) -> usize {
        self.reads.len() + self.posts.len()
    }

    /// Median and 99th percentile of reads.
    pub(crate) fn reads(&mut self) -> (Duration, Duration) {
        (quantile(&mut self.reads, 0.5), quantile(&mut self.reads, 0.99))
    }

    /// Median and 99th percentile of POSTs.
    pub(crate) fn posts(&mut self) -> (Duration, Duration) {
        (quantile(&mut self.posts, 0.5), quantile(&mut self.posts, 0.99))
    }
}

/// Reads and writes for that long; each request must be answered with OK.
pub(crate) async fn watch(api: SocketAddr, token: &str, time: Duration) -> anyhow::Result<Waits> {
    let until = Instant::now() + time;
    let lanes: Vec<_> =
        (0..LANES).map(|lane| tokio::spawn(watch_lane(api, token.to_owned(), lane, until))).collect();
    let mut waits = Waits::default();
    for lane in lanes {
        waits.add(lane.await.context("a lane panicked")??);
    }
    Ok(waits)
}

async fn watch_lane(api: SocketAddr, token: String, lane: u64, until: Instant) -> anyhow::Result<Waits> {
    let mut waits = Waits::default();
    let mut connection = connect(api).await?;
    let mut count = 0_u64;
    while Instant::now() < until {
        count += 1;
        if count.is_multiple_of(CONNECT_EVERY) {
            connection = connect(api).await?;
        }
        let user = 500_000_000 + lane * 1000 + count % 100;
        let is_post = count.is_multiple_of(POST_EVERY);
        let bytes = if is_post {
            let body =
                format!(r#"{{"rt_segment": [{{"user_id": "{user}", "seg_block": [{{"seg_id": 10001}}]}}]}}"#);
            request("POST", "/rt-segment", api, &[("authorization", &token)], Some(body.as_bytes()))
        } else {
            request("GET", &format!("/user-segment?user_id={user}"), api, &[("authorization", &token)], None)
        };
        let begun = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, connection.exchange(&bytes));
        let answer = answered.await.context("an ordinary client waits in vain")?;
        let answer = answer.map_err(|broken| broken.error).context("an ordinary client is cut off")?;
        if answer.status != 200 {
            bail!("an ordinary client is refused with {}", answer.status);
        }
        if is_post { &mut waits.posts } else { &mut waits.reads }.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(waits)
}

async fn connect(api: SocketAddr) -> anyhow::Result<Connection> {
    let connecting = tokio::time::timeout(PATIENCE, Connection::open(api));
    connecting.await.context("no connection in time")?.context("cannot connect")
}
