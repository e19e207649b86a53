//! The texts of minutes. The calendar is asked once for each day: a membership has two times, and a wide user has
//! hundreds, most of them of the same few weeks.

use ia_model::Minute;
use ia_model::time::{UTC_BYTES, utc_text};

const MINUTES_OF_DAY: u32 = 24 * 60;

/// From this day on, [`utc_text`] comes to the last time that it can show: the second last day of the year 9999.
const LAST_DAYS: u32 = 2_932_895;

/// Where hour and minute stand in the text of a time.
const HOUR: usize = "YYYY-MM-DD ".len();
const MINUTE: usize = "YYYY-MM-DD HH:".len();

/// How many days are remembered: about a month.
const DAYS: usize = 32;

/// Writes one kind of time of a user's memberships.
pub(super) struct TimeText {
    /// The last minute, which the next membership often has too.
    minute: Option<Minute>,
    text: [u8; UTC_BYTES],
    /// The texts of the first minutes of some days, each at the place that its day comes to.
    days: [(u32, [u8; UTC_BYTES]); DAYS],
}

impl Default for TimeText {
    fn default() -> TimeText {
        // No minute is of the day `u32::MAX`.
        TimeText { minute: None, text: [0; UTC_BYTES], days: [(u32::MAX, [0; UTC_BYTES]); DAYS] }
    }
}

impl TimeText {
    /// What [`utc_text`] says of the start of a minute.
    #[inline]
    pub(super) fn of(&mut self, minute: Minute) -> &[u8; UTC_BYTES] {
        if self.minute != Some(minute) {
            self.text = self.changed(minute);
            self.minute = Some(minute);
        }
        &self.text
    }

    fn changed(&mut self, minute: Minute) -> [u8; UTC_BYTES] {
        let (day, of_day) = (minute.0 / MINUTES_OF_DAY, minute.0 % MINUTES_OF_DAY);
        if day >= LAST_DAYS {
            return utc_text(minute.unix_ms());
        }
        let (known, text) = &mut self.days[day as usize % DAYS];
        if *known != day {
            *text = utc_text(Minute(day * MINUTES_OF_DAY).unix_ms());
            *known = day;
        }
        let mut text = *text;
        for (place, number) in [(HOUR, of_day / 60), (MINUTE, of_day % 60)] {
            // Both have two digits, which are 0 at the start of the day.
            text[place] += (number / 10) as u8;
            text[place + 1] += (number % 10) as u8;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_texts(minutes: impl IntoIterator<Item = u32>) {
        let mut text = TimeText::default();
        for minute in minutes.into_iter().map(Minute) {
            assert_eq!(*text.of(minute), utc_text(minute.unix_ms()), "{minute:?}");
        }
    }

    proptest! {
        #[test]
        fn times_are_those_of_the_calendar(
            minutes in proptest::collection::vec(any::<u32>(), 50),
            near in proptest::collection::vec(0u32..100_000, 300),
            first in 0..u32::MAX - 100_000,
        ) {
            assert_texts(minutes);
            assert_texts(near.into_iter().map(|minute| first + minute));
        }
    }

    #[test]
    fn the_last_times_are_those_of_the_calendar() {
        let last = LAST_DAYS * MINUTES_OF_DAY;
        assert_texts((last - 3000..last + 6000).chain([u32::MAX - 1, u32::MAX, 0]));
    }
}
