//! How numbers on the command line are read.

use std::time::Duration;

/// Seconds, also fractions.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = number(text, |seconds| (0.01..=86_400.0).contains(&seconds), "from 0.01 to 86400")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// A share: neither nothing nor all.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, |share| share > 0.0 && share < 1.0, "above 0 and below 1")
}

/// An exponent of a Zipf distribution.
pub(crate) fn exponent(text: &str) -> Result<f64, String> {
    number(text, |exponent| exponent > 0.0 && exponent <= 10.0, "above 0 and at most 10")
}

fn number(text: &str, is_allowed: impl FnOnce(f64) -> bool, allowed: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    if is_allowed(number) { Ok(number) } else { Err(format!("must be {allowed}")) }
}
