//! The write path: into the log, onto stable storage, into the views, and only then an answer.

pub(crate) mod commit;
#[cfg(all(test, feature = "shuttle"))]
mod concurrency;
pub(crate) mod replay;
