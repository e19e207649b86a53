//! The write path: records go into the log, onto stable storage, into the views; only then does the caller get an answer.

pub(crate) mod commit;
#[cfg(all(test, feature = "shuttle"))]
mod concurrency;
pub(crate) mod replay;
