//! `ia-torture stop`: SIGTERM under load.
//!
//! A request was *taken* if it has any effect, or if any byte of its answer was sent. Each request that was taken
//! is answered in full. Of one that came too late, the connection is closed without a byte, and nothing of it is
//! there: whoever sent it may send it again. The process ends with 0.

use crate::figure::{Figure, progress};
use crate::ground::{Ground, GroundArgs};
use crate::model::{Break, Refusal, Rules};
use crate::operation::Shape;
use crate::run::{Load, Run};
use clap::Args;
use std::time::{Duration, Instant};

/// Options of `stop`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub ground: GroundArgs,
    /// How often the server is stopped: 10, and 100 in the long form
    #[arg(long)]
    pub cycles: Option<u32>,
}

const LOAD: Load =
    Load { writers: 16, posts: 0, pause_ms: 0, shape: Shape { users_per_post: 20, users_per_writer: 1000 } };

const RULES: Rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::LeavesNothing };

/// The moment of a stop after the client's start, in milliseconds.
const EARLIEST_MS: u64 = 50;
const LATEST_MS: u64 = 800;

impl StopArgs {
    /// Stops, restarts and checks; whether all went in order.
    pub(crate) async fn run(&self, mut ground: Ground) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let cycles = self.cycles.unwrap_or(ground.of_form(10, 100));
        let data_dir = ground.data.path().join("data");
        let mut run = Run::create(&ground, &data_dir, LOAD).await?;
        ground.check_apart(&data_dir)?;
        let mut slowest = Duration::ZERO;
        for cycle in 1..=cycles {
            let server = run.start().await?;
            let client = run.load(&server, &mut ground).await?;
            let moment = EARLIEST_MS + ground.dice.below(LATEST_MS - EARLIEST_MS);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let asked = Instant::now();
            run.installation.stop(server).await?;
            slowest = slowest.max(asked.elapsed());
            client.end().await?;
            let server = run.start().await?;
            let found = run.audit(&server, RULES).await?;
            run.installation.stop(server).await?;
            progress(format_args!("stop {cycle} of {cycles}: {found}"));
            if !found.is_sound() {
                break;
            }
        }
        let figure = Figure::new("stop").with("cycles", cycles);
        let figure = run.findings.write_to(figure).with("slowest_stop_ms", slowest.as_millis());
        figure.with("seconds", begun.elapsed().as_secs()).print();
        Ok(run.findings.is_sound() && run.findings.acknowledged > 0)
    }
}
