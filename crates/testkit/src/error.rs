//! Why a server cannot be found, started, asked or stopped.

use std::path::PathBuf;
use std::process::ExitStatus;

/// What those who drive the binary from outside get to see. Tests of the product panic in its place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server binary to run.
    #[error(
        "there is no server at {}; build it with `cargo build --release -p instant-audience`, or name it with --server",
        list(.tried)
    )]
    NoServer {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The folder given for the data holds something already, which a run would mix with its own.
    #[error("{} is not empty; a run starts from nothing", .0.display())]
    FolderInUse(PathBuf),
    /// The machine refused something.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program failed, or ended before its time.
    #[error("{what} ended with {status}; its last words:\n{log}")]
    Ended {
        /// Which program.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        log: String,
    },
    /// Something is not as it is documented.
    #[error("{0}")]
    Broken(String),
    /// A signal asked this process to end.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on IO: says what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" or ")
}
