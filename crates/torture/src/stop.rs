//! `ia-torture stop`: SIGTERM under load.
//!
//! A request is *taken* if it was sent well before the signal, if it has any effect, or if any byte of its answer
//! comes. Each request that is taken is answered in full. Of one that comes too late, the connection is closed
//! without a byte, and nothing of it is there: its sender may send it again. The process ends with 0.

use crate::figure::{Figure, progress};
use crate::journal::now_ms;
use crate::operation::Shape;
use crate::oracle::{Break, Refusal, Rules};
use crate::run::{Load, Run};
use crate::testbed::{Testbed, TestbedArgs};
use clap::Args;
use std::time::{Duration, Instant};

/// Options of `stop`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// How often the server is stopped: 10, and 100 in the long form
    #[arg(long)]
    pub cycles: Option<u32>,
}

const LOAD: Load = Load {
    writers: 16,
    posts: 0,
    pause_ms: 0,
    shape: Shape { users_per_post: 20, users_per_writer: 100, delete_every: 30 },
};

/// How long before the signal a request has to be sent to be taken whatever happens. A client sends its second
/// part up to 20 milliseconds later; the rest is for a busy machine.
const IN_TIME_MS: u64 = 500;

/// The moment of a stop after the client's start, in milliseconds.
const EARLIEST_MS: u64 = 50;
const LATEST_MS: u64 = 1200;

impl StopArgs {
    /// Stops, restarts and checks; whether all went in order.
    pub(crate) async fn run(&self, mut testbed: Testbed) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let cycles = self.cycles.unwrap_or(testbed.of_form(10, 100));
        let data_dir = testbed.data.path().join("data");
        let mut run = Run::create(&testbed, &data_dir, LOAD)?;
        testbed.check_apart(&data_dir)?;
        let mut slowest = Duration::ZERO;
        let mut server = run.start().await?;
        for cycle in 1..=cycles {
            let client = run.load(&server, &mut testbed).await?;
            let moment = EARLIEST_MS + testbed.dice.below(LATEST_MS - EARLIEST_MS);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let (asked, unless_sent_before_ms) = (Instant::now(), now_ms() - IN_TIME_MS);
            run.installation.stop(server).await?;
            slowest = slowest.max(asked.elapsed());
            client.end().await?;
            server = run.start().await?;
            let on_break = Break::LeavesNothing { unless_sent_before_ms };
            let found = run.audit(&server, Rules { refusal: Refusal::LeavesNothing, on_break }).await?;
            progress(format_args!("stop {cycle} of {cycles}: {found}"));
            if !found.is_sound() {
                break;
            }
        }
        run.end(server).await?;
        let figure = Figure::new("stop").with("cycles", cycles);
        let figure = run.findings.write_to(figure).with("slowest_stop_ms", slowest.as_millis());
        figure.with("seconds", begun.elapsed().as_secs()).print();
        Ok(run.findings.is_sound() && run.findings.acknowledged > 0)
    }
}
