//! Loading the users that reads find.

use crate::calls::Bodies;
use crate::client::Target;
use crate::error::Error;
use crate::journal::Fate;
use crate::load::Load;
use crate::population::{KNOWN, Population};
use crate::progress::Progress;
use crate::verify::verify;
use crate::workload::KNOWN_SEGMENTS;
use std::sync::Arc;

/// How many connections load.
const CONNECTIONS: usize = 8;

/// How many of the users are decoded and checked before reads are measured.
const CHECKED_USERS: u64 = 10_000;

/// The known users in bodies.
pub(crate) fn known(users: u64) -> Bodies {
    Bodies { population: Population::new(KNOWN, users), segments: KNOWN_SEGMENTS }
}

/// Loads them.
pub(crate) async fn fill(target: &Target, users: u64, progress: &Progress) -> Result<(), Error> {
    let load = Load::new(known(users));
    progress.during(load.run_to_the_end(target, CONNECTIONS), || load.progress()).await
}

/// Makes sure that they are found.
pub(crate) async fn check(target: &Target, users: u64) -> Result<(), Error> {
    let checked = Bodies { population: Population::new(KNOWN, users.min(CHECKED_USERS)), ..known(users) };
    let fates = vec![Fate::Acknowledged; checked.count()];
    let findings = verify(target, checked, fates, 1, Arc::default()).await?;
    match findings.first_fault {
        None => Ok(()),
        Some(fault) => Err(Error::Broken(format!("what was just loaded cannot be read: {fault}"))),
    }
}
