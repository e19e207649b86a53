//! Why a run failed.

/// Every failure of the bench. None is tried again: a run that had to be helped measures nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server could not be found, started or stopped, or the machine refused something.
    #[error(transparent)]
    Rig(#[from] ia_testkit::Error),
    /// There is no Redis to compare with.
    #[error(
        "there is no redis-server {place}; install it with scripts/install-bench-tools, or name it with --redis"
    )]
    NoRedis {
        /// Where it was looked for.
        place: String,
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
    /// One side of a comparison did not answer as it must.
    #[error("{side} did not answer as it must")]
    Side {
        /// Which.
        side: &'static str,
        /// What went wrong there.
        source: Box<Error>,
    },
}

impl Error {
    /// For `map_err` on IO: says what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let wrapped = ia_testkit::Error::io(what);
        move |source| wrapped(source).into()
    }

    /// Something is not as the contract says.
    pub(crate) fn broken(what: impl Into<String>) -> Error {
        ia_testkit::Error::Broken(what.into()).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told() {
        let source = std::io::Error::other("the disk is on fire");
        assert_eq!(Error::io("open the log")(source).chain(), "cannot open the log: the disk is on fire");
    }
}
