//! What a command needs: the server's binary, a folder for its data, another file system for the journal, chance.

use crate::figure::progress;
use anyhow::{Context, bail};
use clap::Args;
use ia_testkit::{Dice, find_binary};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What all commands take.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestbedArgs {
    /// The server's binary; by default the release build beside this program, else that of the workspace
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Where to make the folder for the data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to make the folder for the journal: on another file system than the data
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub journal_dir: PathBuf,
    /// Repeats the choices of an earlier run; the machine adds its own
    #[arg(long)]
    pub seed: Option<u64>,
    /// The long form
    #[arg(long)]
    pub long: bool,
}

/// The arguments, made real. The folders go when this is dropped.
#[derive(Debug)]
pub(crate) struct Testbed {
    /// The server's binary.
    pub binary: PathBuf,
    /// For data.
    pub data: TempDir,
    /// For the journal, and for all else that must not lie on the disk under test.
    pub journal: TempDir,
    /// Decides what is posted and when something happens.
    pub dice: Dice,
    /// The long form.
    pub long: bool,
}

impl TestbedArgs {
    /// Finds the binary and makes the folders.
    pub(crate) fn prepare(&self) -> anyhow::Result<Testbed> {
        let binary = find_binary(self.server.as_deref())?;
        let seed = self.seed.unwrap_or_else(|| std::process::id().into());
        progress(format_args!("{} with --seed {seed}", binary.display()));
        let folder = |parent: &Path| {
            let made = tempfile::Builder::new().prefix("ia-torture-").tempdir_in(parent);
            made.with_context(|| format!("cannot make a folder in {}", parent.display()))
        };
        let data = folder(self.data_dir.as_deref().unwrap_or(&std::env::temp_dir()))?;
        let journal = folder(&self.journal_dir)?;
        Ok(Testbed { binary, data, journal, dice: Dice::new(seed), long: self.long })
    }
}

impl Testbed {
    /// Fails if the journal is on the file system under test.
    pub(crate) fn check_apart(&self, data: &Path) -> anyhow::Result<()> {
        let device = |path: &Path| {
            std::fs::metadata(path)
                .map(|found| found.dev())
                .with_context(|| format!("cannot look at {}", path.display()))
        };
        if device(data)? == device(self.journal.path())? {
            bail!(
                "the journal in {} is on the file system of the data in {}: what that loses, the journal loses \
                 too. Name another with --journal-dir or --data-dir",
                self.journal.path().display(),
                data.display()
            );
        }
        Ok(())
    }

    /// A number by the form: short or long.
    pub(crate) fn of_form<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }
}
