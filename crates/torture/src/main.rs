//! Tests the real server under the worst conditions, from outside: kills it, cuts its power, breaks and fills its disk, stops it, and holds
//! it to a journal that a client in a process of its own has kept on another file system.

mod abuse;
mod audit;
mod cli;
mod client;
mod compaction;
mod crash_points;
mod failing_disk;
mod figure;
mod findings;
mod full_disk;
mod journal;
mod kill;
mod mount;
mod operation;
mod opt_outs;
mod oracle;
mod power_cut;
mod requests;
mod run;
mod stop;
mod strace;
mod testbed;
mod traces;
mod views;

fn main() -> std::process::ExitCode {
    cli::main()
}
