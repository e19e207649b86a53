//! Waiting for a condition.

use crate::Error;
use std::time::{Duration, Instant};

/// How long a condition of a test may take to come true; only a broken server takes it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Asks `condition` again and again until it gives something, and returns that. For tests: panics in the end.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = until(what, PATIENCE, async || Ok::<_, Error>(condition().await));
    asking.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Asks `condition` until it gives something, for no longer than `patience`.
pub async fn until<T, E: From<Error>>(
    what: &str,
    patience: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            return Err(Error::Broken(format!("waited in vain for {what}")).into());
        }
        tokio::time::sleep(POLL).await;
    }
}
