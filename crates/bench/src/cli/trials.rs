//! The command line of `trials`.

use super::{RunArgs, save};
use crate::error::Error;
use crate::server::Installation;
use crate::trials;
use clap::Args;

/// `trials`
#[derive(Debug, Args)]
pub(super) struct TrialsArgs {
    #[command(flatten)]
    plan: trials::Plan,
    #[command(flatten)]
    run: RunArgs,
}

impl TrialsArgs {
    /// Runs them, prints what they report, and says whether that is good.
    pub(super) fn execute(&self) -> Result<bool, Error> {
        let report = self.run.execute_at(async |server, folder| {
            let installation = Installation::create(server, folder)?;
            trials::run(&installation, &self.plan).await
        })?;
        save(&report, self.plan.out.as_deref())?;
        self.run.print(&report)?;
        Ok(report.is_good())
    }
}
