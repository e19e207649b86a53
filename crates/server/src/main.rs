//! The `instant-audience` program.

use clap::Parser;
use instant_audience::cli::{self, Cli};
use std::process::ExitCode;

/// Small requests are mostly allocations, made on one thread and freed on another, which glibc is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
