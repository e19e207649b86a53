//! What several rounds say together.

use serde::Serialize;

/// A middle and how far rounds lie from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of the rounds have more.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of some values; of none, all is 0.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Spread { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Spread { median, min, max }
    }

    /// Of the quotients of two measurements of the same round.
    pub(crate) fn of_quotients(over: &[f64], under: &[f64]) -> Spread {
        Spread::of(over.iter().zip(under).map(|(over, under)| over / under))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(Spread::of([]).median, 0.0);
    }

    #[test]
    fn quotients_are_made_round_by_round() {
        // A machine that slows down by half in every round changes no ratio.
        let spread = Spread::of_quotients(&[8.0, 4.0, 2.0], &[4.0, 2.0, 1.0]);
        assert_eq!(spread, Spread { median: 2.0, min: 2.0, max: 2.0 });
        assert_eq!(Spread::of_quotients(&[1.0, 9.0, 4.0], &[1.0, 3.0, 2.0]).median, 2.0);
    }
}
