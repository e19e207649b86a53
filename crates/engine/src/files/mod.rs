//! Files of memberships: jobs, uploads, and reading what was uploaded into the log.

#[allow(dead_code, reason = "the readers come first")]
pub(crate) mod read;
#[allow(dead_code, reason = "what it is for comes later")]
pub(crate) mod replace;
