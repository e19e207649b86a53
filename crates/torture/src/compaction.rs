//! A load under which the profile store compacts.
//!
//! Each checkpoint leaves a table. fjall's worker compacts when there are four. What follows a delete rewrites all
//! tables into one, so a load with deletes never gets there. Under this load nobody is deleted, and it goes on until
//! checkpoints enough have come, whatever time they take.

use crate::operation::Shape;
use crate::run::{Load, Run, until_still};
use crate::testbed::Testbed;
use crate::views::{STILL, Views};
use ia_testkit::ServerProcess;
use std::ops::ControlFlow;

/// The name of the threads that compact.
pub(crate) const THREADS: &str = "fjall:worker";

/// With four tables a compaction, so many checkpoints bring two, or one and nearly the next: the first of them may
/// follow a rewrite.
const CHECKPOINTS: u32 = 8;

/// A writer's pause: short enough that a checkpoint is due, by the amount of log, whenever the server looks.
const PAUSE_MS: u64 = 5;

/// Loads the server, by as many writers as `load` has, until `is_over`, or until there were compactions. The server may
/// die meanwhile.
pub(crate) async fn load_until(
    run: &mut Run,
    server: &mut ServerProcess,
    testbed: &mut Testbed,
    load: Load,
    mut is_over: impl FnMut(&mut ServerProcess) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let shape = Shape { delete_every: 0, ..load.shape };
    let load = Load { posts: 0, pause_ms: PAUSE_MS, shape, ..load };
    let client = run.load_with(server, testbed, load).await?;
    let mut last = Views::of(server).await.map_or(0, |views| views.checkpointed);
    let mut checkpoints = 0;
    until_still("checkpoints enough for a compaction", STILL, async || {
        if is_over(server)? || checkpoints == CHECKPOINTS {
            return Ok(ControlFlow::Break(()));
        }
        // A server that is dying gives no answer, and is over soon.
        match Views::of(server).await {
            Ok(views) if views.checkpointed > last => {
                last = views.checkpointed;
                checkpoints += 1;
            }
            Ok(_) => {}
            Err(error) => return Ok(ControlFlow::Continue(format!("{error:#}"))),
        }
        Ok(ControlFlow::Continue(format!("{checkpoints} of {CHECKPOINTS}")))
    })
    .await?;
    client.stop().await
}
