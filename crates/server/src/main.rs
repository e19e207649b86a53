//! The `instant-audience` program.

use clap::Parser;
use instant_audience::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
