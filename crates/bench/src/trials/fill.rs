//! The known users: loaded, and found again.

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

/// How many connections load.
const CONNECTIONS: usize = 8;

/// How many users are read back and compared, at the most.
const CHECKED_USERS: u64 = 100_000;

fn known(users: u64) -> Bodies {
    Bodies { population: Population::new(KNOWN, users), segments: KNOWN_SEGMENTS }
}

/// Loads that many known users and checks some; returns how long the load took.
pub(super) async fn fill(target: &Target, users: u64, progress: &Progress) -> Result<Duration, Error> {
    let load = Load::new(known(users));
    let started = Instant::now();
    progress.during(load.run_to_the_end(target, CONNECTIONS), || load.progress()).await?;
    let took = started.elapsed();
    let findings = check(target, users).await?;
    match findings.first_fault {
        None => Ok(took),
        Some(fault) => Err(Error::Broken(format!("what was just loaded cannot be read: {fault}"))),
    }
}

/// Reads back the first of the known users, and compares every membership.
pub(super) async fn check(target: &Target, users: u64) -> Result<Findings, Error> {
    let bodies = known(users.min(CHECKED_USERS));
    verify(target, bodies, vec![Fate::Acknowledged; bodies.count()], CONNECTIONS, Arc::default()).await
}
