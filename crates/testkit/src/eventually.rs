//! Waiting for a condition.

use crate::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long a condition of a test may take to come true; only a broken server takes it up, however busy the machine
/// is.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Asks `look` again and again until it gives something. As long as what it says of how things stand changes, it is
/// asked on: gives up when it has said the same for `patience`, and then tells it.
///
/// For what takes as long as the machine needs. Only what a working server moves may be in what `look` says.
pub async fn until_still<T, E: From<Error>>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<ControlFlow<T, String>, E>,
) -> Result<T, E> {
    let mut last = String::new();
    let mut since = Instant::now();
    loop {
        let standing = match look().await? {
            ControlFlow::Break(value) => return Ok(value),
            ControlFlow::Continue(standing) => standing,
        };
        if standing != last {
            (last, since) = (standing, Instant::now());
        } else if since.elapsed() > patience {
            let text = format!("waited in vain for {what}; for {} s: {last}", since.elapsed().as_secs());
            return Err(Error::Broken(text).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn what_moves_is_waited_for_however_long_it_takes() {
        let begun = Instant::now();
        let mut looks = 0;
        let waited = until_still("the end", SHORT, async || {
            looks += 1;
            let is_over = begun.elapsed() > 5 * SHORT;
            Ok::<_, Error>(if is_over {
                ControlFlow::Break("there")
            } else {
                ControlFlow::Continue(looks.to_string())
            })
        });
        assert_eq!(waited.await.unwrap(), "there");
    }

    #[tokio::test]
    async fn what_stands_still_is_given_up_and_told() {
        let waited = until_still("the end", SHORT, async || {
            Ok::<_, Error>(ControlFlow::<(), _>::Continue("1 of 2".to_owned()))
        });
        let error = waited.await.unwrap_err().to_string();
        assert_eq!(error, "waited in vain for the end; for 0 s: 1 of 2");
    }
}
