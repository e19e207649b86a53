//! Torments the real server from outside: kills it, cuts its power, breaks and fills its disk, stops it, and holds
//! it to a journal that a client in a process of its own has kept on another file system.

mod abuse;
mod audit;
mod cli;
mod client;
mod crash_points;
mod dice;
mod failing_disk;
mod figure;
mod findings;
mod full_disk;
mod ground;
mod journal;
mod kill;
mod model;
mod mount;
mod operation;
mod power_cut;
mod run;
mod server;
mod stop;
mod strace;
mod traces;

fn main() -> std::process::ExitCode {
    cli::main()
}
