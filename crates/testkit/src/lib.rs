//! The test rig of the product, of the bench and of the torture: a real server in the process or as a process, clients, and what the
//! kernel says of it.
//!
//! What tests use panics where something is not as a test needs it; what drives the binary from outside returns an
//! [`Error`].

mod binary;
mod client;
mod connection;
mod dice;
mod error;
mod eventually;
mod installation;
#[cfg(feature = "kit")]
mod kit;
mod metrics;
mod process;
pub mod procfs;
mod server_process;
mod signals;

pub use binary::find_binary;
pub use client::{Answer, Client, NoAnswer, send};
pub use connection::{Broken, Connection, Reply, request};
pub use dice::{Dice, mix};
pub use error::Error;
pub use eventually::{eventually, until, until_still};
pub use installation::{Installation, data_folder};
#[cfg(feature = "kit")]
pub use kit::{Kit, KitBuilder, START_MS};
pub use metrics::Metrics;
pub use process::{Output, Process, log_tail};
pub use server_process::{NotReady, ServerProcess, prepare_data_dir, prepare_data_dir_of};
pub use signals::until_a_signal;

/// The password of every login of a test's catalog.
pub const PASSWORD: &str = "Correct-horse-1";
