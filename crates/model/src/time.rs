//! Time: an injected clock, minutes as the unit of memberships, and the text forms of the wire.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time in whole minutes since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Minute(pub u32);

impl Minute {
    /// The minute of `unix_ms`.
    pub fn containing(unix_ms: u64) -> Minute {
        Minute(u32::try_from(unix_ms / 60_000).unwrap_or(u32::MAX))
    }

    /// The first minute that starts at or after `unix_ms`.
    pub fn not_before(unix_ms: u64) -> Minute {
        Minute(u32::try_from(unix_ms.div_ceil(60_000)).unwrap_or(u32::MAX))
    }

    /// Its start as milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        u64::from(self.0) * 60_000
    }
}

/// The clock of the product; tests replace it by a [`ManualClock`].
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `unix_ms`.
    pub fn at(unix_ms: u64) -> ManualClock {
        ManualClock(AtomicU64::new(unix_ms))
    }

    /// Moves it on by `ms` milliseconds.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The size of a time's wire form.
pub const UTC_BYTES: usize = "YYYY-MM-DD HH:MM:SS".len();

/// `YYYY-MM-DD HH:MM:SS` in UTC, the form of every time on the wire. Later times than the year 9999 are shown
/// as its last representable second.
pub fn utc_text(unix_ms: u64) -> [u8; UTC_BYTES] {
    let timestamp = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX);
    let at = Offset::UTC.to_datetime(timestamp);
    let mut text = *b"0000-00-00 00:00:00";
    // Every part of a time since 1970 is small and not negative.
    let (century, year) = (at.year() / 100, at.year() % 100);
    for (place, number) in [(0, century as i8), (2, year as i8), (5, at.month()), (8, at.day())]
        .into_iter()
        .chain([(11, at.hour()), (14, at.minute()), (17, at.second())])
    {
        let number = number.unsigned_abs();
        text[place] = b'0' + number / 10;
        text[place + 1] = b'0' + number % 10;
    }
    text
}

/// [`utc_text`] as a string.
pub fn format_utc(unix_ms: u64) -> String {
    utc_text(unix_ms).map(char::from).iter().collect()
}

/// Reads `YYYY-MM-DD HH:MM:SS`, with a `T` for the space, or without the time; as languages print it also with a fraction
/// of a second, and with `Z` or another offset from UTC. Milliseconds since 1970.
///
/// `None` when `text` has another form or is before 1970.
pub fn parse_utc(text: &str) -> Option<u64> {
    let text = text.trim();
    let with_offset = || text.parse::<Timestamp>().ok();
    let without_offset = || {
        let date_time = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text)
            .or_else(|_| DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", text))
            .or_else(|_| Date::strptime("%Y-%m-%d", text).map(|date| date.at(0, 0, 0, 0)));
        Offset::UTC.to_timestamp(date_time.ok()?).ok()
    };
    let timestamp = without_offset().or_else(with_offset)?;
    u64::try_from(timestamp.as_millisecond()).ok()
}

/// The start of the hour of `unix_ms`.
pub fn start_of_hour(unix_ms: u64) -> u64 {
    unix_ms - unix_ms % 3_600_000
}

/// The time `days` days before `unix_ms`, not before 1970.
pub fn days_before(unix_ms: u64, days: u32) -> u64 {
    unix_ms.saturating_sub(u64::from(days) * 24 * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_goes_both_ways() {
        let ms = parse_utc("2023-11-30 12:34:56").unwrap();
        assert_eq!(format_utc(ms), "2023-11-30 12:34:56");
        assert_eq!(parse_utc("2023-11-30T12:34:56"), Some(ms));
        for text in [
            "2023-11-30T12:34:56Z",
            "2023-11-30T12:34:56+00:00",
            "2023-11-30 13:34:56+01:00",
            "2023-11-30T12:34:56-00:00",
            " 2023-11-30 12:34:56 ",
        ] {
            assert_eq!(parse_utc(text), Some(ms), "{text}");
        }
        assert_eq!(parse_utc("2023-11-30T12:34:56.789123"), Some(ms + 789));
        assert_eq!(parse_utc("2023-11-30T12:34:56.789Z"), Some(ms + 789));
        assert_eq!(parse_utc("2023-11-30"), parse_utc("2023-11-30 00:00:00"));
        assert_eq!(format_utc(0), "1970-01-01 00:00:00");
        assert_eq!(format_utc(u64::MAX), "9999-12-30 22:00:00");
    }

    #[test]
    fn other_texts_and_dates_are_refused() {
        for text in [
            "",
            "yesterday",
            "2023-13-01",
            "2023-02-30",
            "2023-11-30 25:00:00",
            "1960-01-01",
            "1701347696",
            "2023-11-30T12:34:56 01:00",
            "30.11.2023",
            "11/30/2023",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
    }

    #[test]
    fn a_membership_never_expires_early() {
        assert_eq!(Minute::not_before(60_001), Minute(2));
        assert_eq!(Minute::not_before(60_000), Minute(1));
        assert_eq!(Minute::containing(119_999), Minute(1));
    }
}
