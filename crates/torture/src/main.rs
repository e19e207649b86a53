//! Torments the real server from outside: kills it, cuts its power, breaks and fills its disk, stops it, and holds
//! it to a journal that a client in a process of its own has kept on another file system.

mod audit;
mod cli;
mod client;
mod dice;
mod figure;
mod findings;
mod ground;
mod journal;
mod kill;
mod model;
mod operation;
mod run;
mod server;

fn main() -> std::process::ExitCode {
    cli::main()
}
