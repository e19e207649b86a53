//! How far the views of a server are: checkpoints and statistics.

use crate::requests::{PATIENCE, metrics};
use crate::run::until_still;
use anyhow::Context;
use ia_testkit::ServerProcess;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// A failed checkpoint is tried again after 5 seconds. What has not moved for as long as this will not.
pub(crate) const STILL: Duration = PATIENCE;

/// Threads that have made no call for so long, with nothing left to do that is due by the clock, have done all: it is
/// looked every 250 milliseconds whether a checkpoint is due.
const QUIET: Duration = Duration::from_millis(600);

/// Positions of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Views {
    applied: u64,
    /// What the last checkpoint covers.
    pub checkpointed: u64,
    /// What the statistics cover.
    counted: u64,
}

impl Views {
    /// Asks a server.
    pub(crate) async fn of(server: &ServerProcess) -> anyhow::Result<Views> {
        let metrics = metrics(server).await?;
        let number = |name: &str| {
            let value = metrics.get(name).with_context(|| format!("no metric {name}"))?;
            anyhow::Ok(value as u64)
        };
        Ok(Views {
            applied: number("applied_position")?,
            checkpointed: number("checkpointed_position")?,
            counted: number("usage_position")?,
        })
    }

    /// The statistics have all that was applied.
    pub(crate) fn all_is_counted(&self) -> bool {
        self.counted >= self.applied
    }

    /// So do they and the last checkpoint.
    pub(crate) fn have_all(&self) -> bool {
        self.all_is_counted() && self.checkpointed >= self.applied
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Views { applied, checkpointed, counted } = self;
        write!(f, "of {applied} applied records, checkpoints have {checkpointed} and statistics {counted}")
    }
}

/// Waits until checkpoints and statistics have all that was applied, or until `is_excused` says that they never will.
/// Returns whether they have.
pub(crate) async fn catch_up(
    server: &ServerProcess,
    is_excused: impl Fn(&Views) -> bool,
) -> anyhow::Result<bool> {
    until_still("checkpoints and statistics to catch up", STILL, async || {
        let views = Views::of(server).await?;
        Ok(if views.have_all() {
            ControlFlow::Break(true)
        } else if is_excused(&views) {
            ControlFlow::Break(false)
        } else {
            ControlFlow::Continue(views.to_string())
        })
    })
    .await
}

/// Waits until `is_over`, or until threads under strace have nothing more to do. Returns whether it is over.
///
/// `trace` is strace's output. The server may die meanwhile.
pub(crate) async fn until_quiet(
    server: &mut ServerProcess,
    trace: &Path,
    mut is_over: impl FnMut(&mut ServerProcess) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let mut quiet_since: Option<(u64, Instant)> = None;
    until_still("the call, or for all to be done", STILL, async || {
        if is_over(server)? {
            return Ok(ControlFlow::Break(true));
        }
        // A server that is dying gives no answer, and is over soon.
        let views = match Views::of(server).await {
            Ok(views) => views,
            Err(error) => return Ok(ControlFlow::Continue(format!("{error:#}"))),
        };
        let calls = std::fs::metadata(trace).context("cannot look at strace's output")?.len();
        if !views.have_all() {
            quiet_since = None;
        } else if let Some((_, since)) = quiet_since.filter(|&(then, _)| then == calls) {
            if since.elapsed() > QUIET {
                return Ok(ControlFlow::Break(false));
            }
        } else {
            quiet_since = Some((calls, Instant::now()));
        }
        Ok(ControlFlow::Continue(format!("{views}; {calls} bytes of calls")))
    })
    .await
}
