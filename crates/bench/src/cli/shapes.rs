//! The command line of `shapes`.

use super::{RunArgs, save};
use crate::arguments::seconds;
use crate::body::Form;
use crate::error::Error;
use crate::server::Installation;
use crate::shapes;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `shapes`
#[derive(Debug, Args)]
pub(super) struct ShapesArgs {
    /// Seconds that each shape is measured in a round.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Rounds; costs and ratios are medians of them.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Users to draw from.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    users: u64,
    /// Different bodies of each shape, of 1,000 users with 10 segments each. They are sent again and again.
    #[arg(long, default_value = "32", value_parser = clap::value_parser!(u64).range(16..=1024))]
    bodies: u64,
    /// Connections.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Measure only these, beside the compact form.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SHAPES")]
    only: Vec<Form>,
    /// Write the outcome as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

impl ShapesArgs {
    /// Runs it, prints what it reports, and says whether that is good.
    pub(super) fn execute(&self) -> Result<bool, Error> {
        let plan = shapes::Plan {
            duration: self.seconds,
            rounds: self.rounds,
            users: self.users,
            bodies: self.bodies,
            connections: self.connections.into(),
            only: self.only.clone(),
        };
        let report = self.run.execute_at(async |server, folder| {
            shapes::run(&Installation::create(server, folder)?, &plan).await
        })?;
        save(&report, self.out.as_deref())?;
        self.run.print(&report)?;
        Ok(report.is_good())
    }
}
