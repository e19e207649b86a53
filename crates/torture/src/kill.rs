//! `ia-torture kill`: SIGKILL at random moments under concurrent load.
//!
//! The page cache outlives a killed process, so this says nothing about flushes (`power-cut` does). It shows that
//! at no moment the files, taken as they are, are in a state from which a start does not come back with all that
//! was acknowledged.

use crate::figure::{Figure, progress};
use crate::operation::Shape;
use crate::oracle::{Break, Refusal, Rules};
use crate::run::{Load, Run};
use crate::testbed::{Testbed, TestbedArgs};
use clap::Args;
use std::time::{Duration, Instant};

/// Options of `kill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// How often the server is killed: 20, and 200 in the long form
    #[arg(long)]
    pub cycles: Option<u32>,
}

/// In the long form there are users enough that not all of them fit into memory.
fn load(testbed: &Testbed) -> Load {
    let shape = Shape { users_per_post: 5, users_per_writer: testbed.of_form(250, 1500), delete_every: 30 };
    Load { writers: 8, posts: 0, pause_ms: 0, shape }
}

const RULES: Rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::IsOpen };

/// The moment of a kill after the client's start, in milliseconds. Checkpoints and the writing of statistics come
/// every second at the latest.
const EARLIEST_MS: u64 = 50;
const LATEST_MS: u64 = 1500;

impl KillArgs {
    /// Kills, restarts and checks; whether all was there.
    pub(crate) async fn run(&self, mut testbed: Testbed) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let cycles = self.cycles.unwrap_or(testbed.of_form(20, 200));
        let data_dir = testbed.data.path().join("data");
        let mut run = Run::create(&testbed, &data_dir, load(&testbed))?;
        testbed.check_apart(&data_dir)?;
        let mut server = run.start().await?;
        for cycle in 1..=cycles {
            let client = run.load(&server, &mut testbed).await?;
            let moment = EARLIEST_MS + testbed.dice.below(LATEST_MS - EARLIEST_MS);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            server.kill().await;
            client.end().await?;
            server = run.start().await?;
            let found = run.audit(&server, RULES).await?;
            progress(format_args!("kill {cycle} of {cycles}: {found}"));
            if !found.is_sound() {
                break;
            }
        }
        run.end(server).await?;
        let figure = Figure::new("kill").with("cycles", cycles);
        run.findings.write_to(figure).with("seconds", begun.elapsed().as_secs()).print();
        Ok(run.findings.is_sound() && run.findings.acknowledged > 0)
    }
}
