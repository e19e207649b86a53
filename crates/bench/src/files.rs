//! `ia-bench files`: how fast files are read, beside POSTs of the same memberships and Redis, and what others notice of it.

mod avro;
mod beside;
mod contest;
mod crowd;
mod job;
mod memory;

use crate::aim::Aim;
use crate::arguments::seconds;
use crate::error::Error;
use crate::progress::Progress;
use crate::report::{Page, Report, Setup};
use crate::site::Site;
use beside::Beside;
use clap::{Args, ValueEnum};
use contest::Contest;
use memory::Memory;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Memberships a second of text, of Avro, of POSTs and of Redis.
    Rates,
    /// Small files, reads beside files, and files of several members at once.
    Beside,
    /// Memory beside a large upload.
    Memory,
}

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Measure only this [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<What>,
    /// Users of a file; each is in 10 segments of 200.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    users: u64,
    /// Rounds; ratios are medians of them.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// beside: seconds for which reads are timed.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// beside: reads a second, over one connection.
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    reads_per_second: u32,
    /// beside: members with a file at once.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(2..=64))]
    members: u32,
    /// beside: files of 1,000 lines, one after the other.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    small_files: u32,
    /// memory: the size of the upload, in MiB.
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u64).range(1..=512))]
    upload_mib: u64,
    /// rates: the redis-server to compare with; redis-cli lies beside it [default: that on the PATH, if there is one].
    #[arg(long, value_name = "FILE")]
    redis: Option<PathBuf>,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Files {
    #[serde(flatten)]
    setup: Setup,
    rates: Option<Contest>,
    beside: Option<Beside>,
    memory: Option<Memory>,
    aims: Vec<Aim>,
}

/// Measures one thing after the other, each against servers of its own.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Files, Error> {
    let progress = Progress::new();
    let is_wanted = |what: What| plan.only.is_empty() || plan.only.contains(&what);
    let (mut rates, mut beside, mut memory) = (None, None, None);
    if is_wanted(What::Rates) {
        rates = Some(Contest::measure(site, plan, &progress).await?);
    }
    if is_wanted(What::Beside) {
        beside = Some(Beside::measure(site, plan, &progress).await?);
    }
    if is_wanted(What::Memory) {
        memory = Some(Memory::measure(site, plan, &progress).await?);
    }
    let aims = [
        rates.as_ref().map(Contest::aims).unwrap_or_default(),
        beside.as_ref().map(Beside::aims).unwrap_or_default(),
        memory.as_ref().map(Memory::aims).unwrap_or_default(),
    ];
    Ok(Files { setup: Setup::of(site), rates, beside, memory, aims: aims.concat() })
}

impl Report for Files {
    /// What is wrong or missing ends the run with an error.
    fn is_good(&self) -> bool {
        true
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        if let Some(rates) = &self.rates {
            rates.write(page);
        }
        if let Some(beside) = &self.beside {
            beside.write(page);
        }
        if let Some(memory) = &self.memory {
            memory.write(page);
        }
        self.aims.iter().for_each(|aim| page.line(aim));
    }
}
