//! Targets, and whether a figure meets them.

use serde::Serialize;
use std::fmt;

/// Which side of a bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    AtMost,
    AtLeast,
}

/// A figure beside its target, and beside the better one that is aimed at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Aim {
    what: String,
    /// `None` where it could not be measured: that meets nothing.
    figure: Option<f64>,
    unit: &'static str,
    side: Side,
    target: f64,
    aim: Option<f64>,
    met: bool,
}

impl Aim {
    /// The figure should be this or less.
    pub(crate) fn at_most(
        what: impl Into<String>,
        figure: Option<f64>,
        unit: &'static str,
        target: f64,
        aim: Option<f64>,
    ) -> Aim {
        Aim::new(what.into(), figure, unit, Side::AtMost, target, aim)
    }

    /// The figure should be this or more.
    pub(crate) fn at_least(
        what: impl Into<String>,
        figure: Option<f64>,
        unit: &'static str,
        target: f64,
        aim: Option<f64>,
    ) -> Aim {
        Aim::new(what.into(), figure, unit, Side::AtLeast, target, aim)
    }

    fn new(
        what: String,
        figure: Option<f64>,
        unit: &'static str,
        side: Side,
        target: f64,
        aim: Option<f64>,
    ) -> Aim {
        let met = figure.is_some_and(|figure| side.holds(figure, target));
        Aim { what, figure, unit, side, target, aim, met }
    }
}

impl Side {
    fn holds(self, figure: f64, bound: f64) -> bool {
        match self {
            Side::AtMost => figure <= bound,
            Side::AtLeast => figure >= bound,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aim { what, figure, unit, side, target, aim, met } = self;
        let sign = match side {
            Side::AtMost => "<=",
            Side::AtLeast => ">=",
        };
        let figure_text = figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"));
        let word = if *met { "met" } else { "MISSED" };
        write!(f, "  {what:<46}{figure_text:>9} {unit:<3} target {sign} {target} {unit}: {word}")?;
        if let Some(aim) = aim {
            let word = if figure.is_some_and(|figure| side.holds(figure, *aim)) { "met" } else { "missed" };
            write!(f, "; aim {sign} {aim} {unit}: {word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_on_the_good_side() {
        assert!(Aim::at_most("x", Some(20.0), "ms", 20.0, None).met);
        assert!(!Aim::at_most("x", Some(20.1), "ms", 20.0, None).met);
        assert!(Aim::at_least("x", Some(0.7), "", 0.7, None).met);
        assert!(!Aim::at_least("x", Some(0.69), "", 0.7, None).met);
        assert!(!Aim::at_most("x", None, "", 0.7, None).met);
        assert!(!Aim::at_most("x", Some(f64::NAN), "", 0.7, None).met);
    }

    #[test]
    fn target_and_aim_are_told_apart() {
        let text = Aim::at_most("p99", Some(12.345), "ms", 20.0, Some(5.0)).to_string();
        assert!(text.contains("12.35 ms") && text.contains("<= 20 ms: met; aim <= 5 ms: missed"), "{text}");
        assert!(Aim::at_least("r", None, "", 0.7, None).to_string().ends_with("MISSED"));
    }
}
