//! Workloads against the real server: the release binary, in its own process, over loopback HTTP.
//!
//! The bench speaks the wire contract alone and links nothing of the server. It starts the server itself,
//! on free ports and a data folder of its own, and ends only the processes that it started, also when it
//! fails or is interrupted (only a SIGKILL of the bench itself leaves the server running). Build the server
//! first:
//!
//! ```text
//! cargo build --release -p instant-audience
//! cargo run --release -p ia-bench -- rates
//! cargo run --release -p ia-bench -- crash
//! cargo run --release -p ia-bench -- compare
//! cargo run --release -p ia-bench -- trials
//! cargo run --release -p ia-bench -- shapes
//! cargo run --release -p ia-bench -- files
//! cargo run --release -p ia-bench -- wide
//! cargo run --release -p ia-bench -- cold
//! cargo run --release -p ia-bench -- many
//! ```
//!
//! - `rates` measures throughput, latency and the server's CPU time and memory for bulk and small writes,
//!   single reads and bulk reads. Any answer that is not OK fails the run.
//! - `crash` kills the server with SIGKILL while it loads, starts it again, and reads back every membership
//!   that was acknowledged. One that is missing fails the run. `crash --users 20000` takes seconds.
//! - `compare` puts the same memberships into the server, into a Redis that it starts, and into the HTTP
//!   stack that parses them and does nothing more, round by round, and prints the ratios. A wrong answer of
//!   any of them fails the run; a ratio never does.
//! - `trials` shows how the server behaves beside its peak rates: how soon a write is seen at half load,
//!   reads beside ingest, many users, minutes of ingest, more writes than the disk takes. A target that is
//!   missed is reported and fails nothing; lost or wrong data does.
//! - `shapes` sends the same memberships in every form in which clients write bodies, and prints what a
//!   membership of each costs the server, over the cost of the compact form.
//! - `files` uploads files of memberships: how fast they are read beside the same as POSTs and in Redis, how
//!   soon small ones are done, what reads notice of large ones, and how much memory an upload takes.
//! - `wide` writes and reads users with 10 to 1,000 memberships each, beside Redis.
//! - `cold` writes and reads users of whom a quarter fit into the memory that the server may use, beside a server
//!   that has room for all.
//! - `many` loads a hundred million users, and holds the server to what it did with a million.
//!
//! A SIGKILL is a crash of the process, not of the machine: what the server had handed to the kernel
//! survives it, flushed or not. That an answered write survives a power cut is for other tests to show.
//!
//! The clients are a closed loop, except where a trial says otherwise: each connection sends its next
//! request when it has the answer to the last. On a small machine they take a good part of the processors, so
//! every row also says how many cores the server, the clients and the rest of the machine used. Variables
//! `INSTANT_AUDIENCE__…` of the environment reach the server; the rates and sizes that it limits are lifted in
//! any case.

mod aim;
mod arguments;
mod body;
mod calls;
mod ceiling;
mod cli;
mod client;
mod cold;
mod compare;
mod crash;
mod disk;
mod distribution;
mod drive;
mod error;
mod files;
mod fill;
mod halted;
mod journal;
mod laps;
mod latencies;
mod load;
mod many;
mod meter;
mod open_loop;
mod population;
mod progress;
mod rates;
mod redis;
mod report;
mod script;
mod shapes;
mod site;
mod statistics;
mod table;
mod trials;
mod verify;
mod wide;
mod workload;
mod writing;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(&cli::Cli::parse())
}
