//! Origins whose pages may read an answer to a request with the browser's cookie.

use url::Url;

/// An origin as browsers write it, for example `https://www.example.com` or `http://localhost:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// Reads an http or https origin; `None` if browsers would write it in another way.
    pub(crate) fn parse(text: &str) -> Option<Origin> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        (url.origin().ascii_serialization() == text && !text.contains('*')).then(|| Origin(text.to_owned()))
    }

    /// Whether a browser sent this origin.
    pub(crate) fn is(&self, sent: &str) -> bool {
        self.0 == sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_would_send() {
        for text in ["https://www.example.com", "http://localhost:8080", "http://[::1]:1"] {
            assert!(Origin::parse(text).unwrap().is(text));
        }
        for text in [
            "",
            "null",
            "*",
            "https://*",
            "www.example.com",
            "https://www.example.com/",
            "https://a.example:443",
            "https://A.example",
            "https://u@a.example",
            "file:///x",
            "https://a.example\n",
            "https://\u{e9}.example",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }
}
