//! The users that reads find: loaded, and found again.

use crate::calls::Bodies;
use crate::client::Target;
use crate::error::Error;
use crate::journal::Fate;
use crate::load::Load;
use crate::population::{KNOWN, Population};
use crate::progress::Progress;
use crate::verify::{Findings, verify};
use crate::workload::KNOWN_SEGMENTS;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many connections load and read back.
const CONNECTIONS: usize = 8;

/// The most users that are read back and compared.
const CHECKED_USERS: u64 = 100_000;

/// The known users in bodies.
pub(crate) fn known(users: u64) -> Bodies {
    Bodies::new(Population::new(KNOWN, users), KNOWN_SEGMENTS)
}

/// Loads them; returns how long that took.
pub(crate) async fn fill(target: &Target, users: u64, progress: &Progress) -> Result<Duration, Error> {
    let load = Load::new(known(users));
    let started = Instant::now();
    progress.during(load.run_to_the_end(target, CONNECTIONS), || load.progress()).await?;
    Ok(started.elapsed())
}

/// Reads back the first of them, and compares every membership.
pub(crate) async fn find(target: &Target, users: u64) -> Result<Findings, Error> {
    let bodies = known(users.min(CHECKED_USERS));
    verify(target, bodies, vec![Fate::Acknowledged; bodies.count()], CONNECTIONS, Arc::default()).await
}

/// Makes sure, after a load, that they are found.
pub(crate) async fn check(target: &Target, users: u64) -> Result<(), Error> {
    match find(target, users).await?.first_fault {
        None => Ok(()),
        Some(fault) => Err(Error::broken(format!("what was just loaded cannot be read: {fault}"))),
    }
}
