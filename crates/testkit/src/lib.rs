//! What the tests of the product stand on: a real server in the process or as a process, a client, and
//! ways to make the machine under it fail.
//!
//! Everything here panics where something is not as a test needs it: a test has no use for an error.

mod client;
mod connection;
mod kit;
mod process;

pub use client::{Answer, Client, NoAnswer, send};
pub use connection::{Broken, Connection, request};
pub use kit::{Kit, KitBuilder, PASSWORD, START_MS};
pub use process::{NotReady, ServerProcess, prepare_data_dir, prepare_data_dir_of};

use std::time::{Duration, Instant};

/// How long a condition may take to come true; only a broken server takes it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `condition` again and again until it gives something, and returns that.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
