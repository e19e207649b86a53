//! What the query of a call says about consent.

use super::{BadPixel, TargetEncoding, redirect};
use ia_engine::consent::Signals;
use ia_engine::parameters::Parameters;
use std::borrow::Cow;

/// The parameters, in the order of their values.
const NAMES: [&str; 5] = ["us_privacy", "gdpr", "gdpr_consent", "gpp", "gpp_sid"];

/// Their values; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ConsentParameters([Option<String>; NAMES.len()]);

impl ConsentParameters {
    /// Reads the query of a call. Fails if a parameter that takes one value has different ones.
    pub(crate) fn of(query: &str) -> Result<ConsentParameters, BadPixel> {
        let parameters: Parameters<'_> = form_urlencoded::parse(query.as_bytes()).collect();
        let mut values = <[Option<String>; NAMES.len()]>::default();
        for (value, name) in values.iter_mut().zip(NAMES) {
            *value = match name {
                "gpp_sid" => parameters.list(name, ",").map(Cow::into_owned),
                _ => parameters.one(name)?.map(str::to_owned),
            };
        }
        Ok(ConsentParameters(values))
    }

    /// Reads a query that is the target of a redirect. The parameters are in the query of the target, or behind a target
    /// that has none.
    pub(crate) fn of_target(query: &str, encoding: TargetEncoding) -> Result<ConsentParameters, BadPixel> {
        let ConsentParameters(mut values) = match redirect::query_of(query, encoding) {
            Some(own) => ConsentParameters::of(&own)?,
            None => ConsentParameters::default(),
        };
        let ConsentParameters(outer) = ConsentParameters::of(query)?;
        for (value, outer) in values.iter_mut().zip(outer) {
            *value = value.take().or(outer);
        }
        Ok(ConsentParameters(values))
    }

    /// The signals of a call; `gpc` is the browser's Global Privacy Control.
    pub(crate) fn signals(&self, gpc: bool) -> Signals<'_> {
        let [us_privacy, gdpr, gdpr_consent, gpp, gpp_sid] = self.0.each_ref().map(Option::as_deref);
        Signals { gpc, us_privacy, gdpr, gdpr_consent, gpp, gpp_sid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values by the order of [`NAMES`].
    fn values(parameters: &ConsentParameters) -> [&str; 5] {
        parameters.0.each_ref().map(|value| value.as_deref().unwrap_or("-"))
    }

    #[test]
    fn parameters_are_found_in_any_query() {
        let of = |query: &str| ConsentParameters::of(query).unwrap();
        assert_eq!(values(&of("")), ["-"; 5]);
        assert_eq!(
            values(&of(
                "gpp_sid=2%2C7&gpp=DB~x&add=1&gdpr=1&gdpr_consent=CP.a&us_privacy=1YNN&us_privacy=1YNN"
            )),
            ["1YNN", "1", "CP.a", "DB~x", "2,7"]
        );
        assert_eq!(values(&of("gdpr=&gdpr=0&us_privacy")), ["-", "0", "-", "-", "-"]);
        assert_eq!(values(&of("gpp_sid=2&gpp_sid=7"))[4], "2,7", "it takes a list");
        let error = ConsentParameters::of("gdpr=0&add=1&gdpr=1").unwrap_err();
        assert!(error.0.contains("'gdpr'"), "{error}");
    }

    #[test]
    fn parameters_are_found_in_the_target_of_a_redirect() {
        use TargetEncoding::{AsIs, Encoded};
        const ALL: [&str; 5] = ["1YNN", "1", "CP.a", "DB~x", "2,7"];
        let plain =
            "https://a.example/?gdpr=1&gdpr_consent=CP.a&us_privacy=1YNN&gpp=DB~x&gpp_sid=2,7&id=$UID#x";
        let encoded: String = form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        for (query, encoding, expected) in [
            (plain, Encoded, ALL),
            (plain, AsIs, ALL),
            (&encoded, Encoded, ALL),
            (&encoded, AsIs, ALL),
            // Behind an encoded target, which has a query of its own or none.
            (
                "https%3A%2F%2Fa.example%2F%24UID&gdpr=1&us_privacy=1YYN",
                Encoded,
                ["1YYN", "1", "-", "-", "-"],
            ),
            (
                "https%3A%2F%2Fa.example%2F%3Fgdpr%3D1%26id%3D&gdpr_consent=x",
                Encoded,
                ["-", "1", "x", "-", "-"],
            ),
            ("https://a.example/", Encoded, ["-"; 5]),
            ("https://a.example/#gdpr=1", AsIs, ["-"; 5]),
            ("not a URL&gdpr=1", Encoded, ["-", "1", "-", "-", "-"]),
            ("https%3A%2F%2Fa.example%2F%E9&gdpr=1", Encoded, ["-", "1", "-", "-", "-"]),
        ] {
            assert_eq!(values(&ConsentParameters::of_target(query, encoding).unwrap()), expected, "{query}");
        }
        let twice = "https://a.example/?gpp=a&gpp=b";
        assert!(ConsentParameters::of_target(twice, Encoded).unwrap_err().0.contains("'gpp'"));
    }
}
