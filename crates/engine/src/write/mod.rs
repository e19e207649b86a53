//! The write path: records go into the log, onto stable storage and into the views, before the caller is answered.

pub(crate) mod commit;
#[cfg(all(test, feature = "shuttle"))]
mod concurrency;
pub(crate) mod replay;
