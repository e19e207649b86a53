//! Why a run failed.

use std::path::PathBuf;
use std::process::ExitStatus;

/// Every failure of the bench. None is tried again: a run that had to be helped measures nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no server binary to run.
    #[error(
        "there is no server at {}; build it with `cargo build --release -p instant-audience`, or name it with --server",
        list(.tried)
    )]
    NoServer {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// There is no Redis to compare with.
    #[error(
        "there is no redis-server {place}; install it with scripts/install-bench-tools, or name it with --redis"
    )]
    NoRedis {
        /// Where it was looked for.
        place: String,
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
    /// A connection broke.
    #[error("{what} failed")]
    Http {
        /// What was sent.
        what: String,
        /// How it broke.
        source: std::io::Error,
    },
    /// An answer was complete and not OK.
    #[error("{what} was answered with {status}: {body}")]
    Refused {
        /// What was sent.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// An answer was OK and is not what the contract promises.
    #[error("the answer to {what} cannot be read")]
    Answer {
        /// What was sent.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The server's command line failed, or the server ended before its time.
    #[error("{what} ended with {status}; its last words:\n{log}")]
    Ended {
        /// Which program.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        log: String,
    },
    /// The server did something else than the contract says.
    #[error("{0}")]
    Broken(String),
    /// One side of a comparison did not answer as it must.
    #[error("{side} did not answer as it must")]
    Side {
        /// Which.
        side: &'static str,
        /// What went wrong there.
        source: Box<Error>,
    },
    /// The person at the keyboard had enough.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on IO: says what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// For `map_err` on HTTP: says what was sent.
    pub(crate) fn http(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Http { what, source }
    }

    /// The message with those of its causes, on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_says_how_to_build_it() {
        let error = Error::NoServer { tried: vec!["/a/x".into(), "/b/x".into()] }.chain();
        assert!(error.contains("/a/x or /b/x"), "{error}");
        assert!(error.contains("cargo build --release -p instant-audience"), "{error}");
    }

    #[test]
    fn causes_are_told() {
        let source = std::io::Error::other("the disk is on fire");
        assert_eq!(Error::io("open the log")(source).chain(), "cannot open the log: the disk is on fire");
    }
}
