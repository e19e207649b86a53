//! Where a browser may be sent on to. Whoever can choose the target of a redirect can make a link to this server that
//! leads to a page of his: so there is a list, and what could be read in two ways is refused.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

/// The longest target.
pub(crate) const MAX_TARGET_BYTES: usize = 2048;

/// What stands for the browser's id in a target.
const MACRO: &str = "$UID";
/// The same where the target is kept encoded.
const ENCODED_MACRO: &str = "%24UID";

/// A host to which redirects may go, or all hosts below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectHost {
    /// As a parsed URL has it.
    host: String,
    /// `None` for the scheme's own.
    port: Option<u16>,
    is_suffix: bool,
}

/// A target to which no browser is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// Nothing to go to.
    #[error("the URL is missing")]
    Missing,
    /// Over the limit.
    #[error("the URL is longer than {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// It is no URL of the web, or one that some would read in another way.
    #[error("it must be a plain http or https URL")]
    NotPlain,
    /// The operator has not named its host.
    #[error("redirects to this host are not allowed")]
    Foreign,
}

/// How the target of a redirect is written in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// With one layer of percent-encoding, or none, over all of it.
    Encoded,
    /// As it is: what is encoded in it stays so. Where not even its `://` can be read, it has a layer over it.
    AsIs,
}

impl RedirectHost {
    /// Reads `host`, `*.host`, either with `:port`.
    pub(crate) fn parse(text: &str) -> Option<RedirectHost> {
        let (is_suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        // The parser forgives much; an operator should get what is written.
        let is_alone = authority(url.as_str()).is_some_and(|parsed| parsed.eq_ignore_ascii_case(name))
            || name.eq_ignore_ascii_case(&format!("{}:443", url.host_str()?));
        let host = url.host_str()?.to_owned();
        (is_alone && !name.contains('@') && !name.contains('*')).then_some(RedirectHost {
            host,
            port: url.port(),
            is_suffix,
        })
    }

    fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_host = match self.is_suffix {
            false => host == self.host,
            true => {
                host.strip_suffix(&self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
        };
        is_host && url.port() == self.port
    }
}

/// The URL to which `text` sends the browser of that id: `$UID` stands for the id, which is appended where it does
/// not stand. The result is the URL as the parser wrote it, so that a browser has nothing to make out.
pub(crate) fn target(
    text: &str,
    written: Written,
    uid: u64,
    allowed: &[RedirectHost],
) -> Result<String, BadTarget> {
    let text = decode(text, written)?;
    if text.is_empty() {
        return Err(BadTarget::Missing);
    }
    let filled = fill(&text, written, uid);
    if filled.len() > MAX_TARGET_BYTES {
        return Err(BadTarget::TooLong);
    }
    checked(&filled, allowed)
}

/// The same without an id in it.
pub(crate) fn plain_target(text: &str, allowed: &[RedirectHost]) -> Result<String, BadTarget> {
    if text.len() > MAX_TARGET_BYTES {
        return Err(BadTarget::TooLong);
    }
    checked(text, allowed)
}

fn decode(text: &str, written: Written) -> Result<Cow<'_, str>, BadTarget> {
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let is_open = begins("https://") || begins("http://");
    match written {
        Written::AsIs if is_open => Ok(text.into()),
        Written::AsIs | Written::Encoded => {
            percent_decode_str(text).decode_utf8().map_err(|_| BadTarget::NotPlain)
        }
    }
}

fn fill(text: &str, written: Written, uid: u64) -> String {
    let uid = uid.to_string();
    let mut filled = text.replace(MACRO, &uid);
    if written == Written::AsIs {
        filled = filled.replace(ENCODED_MACRO, &uid);
    }
    if filled == text {
        filled.push_str(&uid);
    }
    filled
}

/// Refuses all that a browser, or what stands between, could take for another host than the parser does: the host
/// must stand there as the parser has it, with nothing but a port.
fn checked(text: &str, allowed: &[RedirectHost]) -> Result<String, BadTarget> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(is_odd) {
        return Err(BadTarget::NotPlain);
    }
    let url = Url::parse(text).map_err(|_| BadTarget::NotPlain)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadTarget::NotPlain);
    }
    let written = authority(text).ok_or(BadTarget::NotPlain)?;
    let host = url.host_str().ok_or(BadTarget::NotPlain)?;
    let with_port = format!("{host}:{}", url.port_or_known_default().ok_or(BadTarget::NotPlain)?);
    let is_plain = (written.eq_ignore_ascii_case(host) && url.port().is_none())
        || written.eq_ignore_ascii_case(&with_port);
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err(BadTarget::NotPlain);
    }
    if !allowed.iter().any(|host| host.allows(&url)) {
        return Err(BadTarget::Foreign);
    }
    let written = String::from(url);
    if written.len() > MAX_TARGET_BYTES { Err(BadTarget::TooLong) } else { Ok(written) }
}

/// What stands between `://` and the path.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?', '#']).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed() -> Vec<RedirectHost> {
        let hosts = ["ok.example.com", "*.pub.example", "localhost:8443", "127.0.0.1", "[::1]:99"];
        hosts.map(|host| RedirectHost::parse(host).unwrap()).to_vec()
    }

    fn sent(text: &str, written: Written) -> Result<String, BadTarget> {
        target(text, written, 42, &allowed())
    }

    #[test]
    fn the_id_gets_to_where_it_belongs() {
        use Written::{AsIs, Encoded};
        for (text, written, expected) in [
            ("https://ok.example.com/x?id=$UID", Encoded, "https://ok.example.com/x?id=42"),
            ("https%3A%2F%2Fok.example.com%2Fx%3Fid%3D%24UID", Encoded, "https://ok.example.com/x?id=42"),
            ("https%3a%2f%2fok.example.com%2fx%3fid%3d", Encoded, "https://ok.example.com/x?id=42"),
            ("https://ok.example.com/x?id=", Encoded, "https://ok.example.com/x?id=42"),
            ("https://ok.example.com/$UID/x?a=$UID", Encoded, "https://ok.example.com/42/x?a=42"),
            ("HTTP://OK.example.com:80/x?id=", Encoded, "http://ok.example.com/x?id=42"),
            // Decoded, the inner address falls apart: what `getuidu` is for.
            (
                "https://ok.example.com/?u=https%3A%2F%2Fb%2F%3Fa%26b&i=$UID",
                Encoded,
                "https://ok.example.com/?u=https://b/?a&b&i=42",
            ),
            (
                "https://ok.example.com/?u=https%3A%2F%2Fb%2F%3Fa%26b&i=%24UID",
                AsIs,
                "https://ok.example.com/?u=https%3A%2F%2Fb%2F%3Fa%26b&i=42",
            ),
            (
                "https%3A%2F%2Fok.example.com%2F%3Fu%3Dhttps%253A%252F%252Fb%26i%3D%24UID",
                AsIs,
                "https://ok.example.com/?u=https%3A%2F%2Fb&i=42",
            ),
            ("https://a.b.pub.example/", Encoded, "https://a.b.pub.example/42"),
            ("https://$UID.pub.example/", Encoded, "https://42.pub.example/"),
            ("http://localhost:8443/", Encoded, "http://localhost:8443/42"),
            ("http://[::1]:99/", Encoded, "http://[::1]:99/42"),
            ("https://ok.example.com/?q=%C3%A9&i=$UID", Encoded, "https://ok.example.com/?q=%C3%A9&i=42"),
            (
                "https://ok.example.com/?a=//evil.example&i=$UID",
                Encoded,
                "https://ok.example.com/?a=//evil.example&i=42",
            ),
        ] {
            assert_eq!(sent(text, written).as_deref(), Ok(expected), "{text}");
        }
    }

    const HOSTILE: &[&str] = &[
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "evil.example",
        "ok.example.com",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example/",
        "https:\\\\evil.example/",
        "https:ok.example.com/",
        "https:/ok.example.com/",
        "https:///ok.example.com/",
        "https:////ok.example.com/",
        "https://ok.example.com@evil.example/",
        "https://evil.example@ok.example.com/",
        "https://@ok.example.com/",
        "https://:@ok.example.com/",
        "https://user:pass@ok.example.com/",
        "https://ok.example.com:443@evil.example/",
        "https://evil.example\\@ok.example.com/",
        "https://evil.example#@ok.example.com/",
        "https://evil.example?@ok.example.com/",
        "https://evil.example/https://ok.example.com/",
        "https://ok.example.com.evil.example/",
        "https://ok.example.com.",
        "https://ok.example.com./",
        "https://evilok.example.com/",
        "https://xok.example.com/",
        "https://pub.example/",
        "https://.pub.example/",
        "https://evilpub.example/",
        "https://a.pub.example.evil.example/",
        // Without a path the id would become part of the host, or of the port.
        "https://ok.example.com",
        "https://ok.example.com:",
        "https://ok.example.com$UID",
        "https://ok.example.com:8443/",
        "https://ok.example.com:80/",
        "http://ok.example.com:443/",
        "http://localhost/",
        "http://localhost:08443/",
        "http://localhost:8443x/",
        "http://localhost:99999/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1.nip.io/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:0:0:1]:99/",
        "https://ok\u{3002}example\u{3002}com/",
        "https://\u{ff4f}\u{ff4b}.example.com/",
        "https://ok.ex\u{0430}mple.com/",
        "https://ok.example\u{ff0f}.com/",
        "https://ok%2eexample%2ecom/",
        "https://ok.example.com%2f@evil.example/",
        "https://ok.example.com%00.evil.example/",
        "https://ok.example.com\u{ad}/",
        "javascript:alert(1)//",
        "javascript://ok.example.com/%0aalert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://ok.example.com/",
        "ws://ok.example.com/",
        "blob:https://ok.example.com/x",
        "view-source:https://ok.example.com/",
        "https://ok.example.com/\r\nSet-Cookie: a=b",
        "https://ok.example.com/\nx",
        "https://ok.example.com/\tx",
        "ht\ntps://ok.example.com/",
        "https://ok.exa\tmple.com/",
        " https://ok.example.com/",
        "https://ok.example.com/ x",
        "https://ok.example.com/\u{a0}",
        "https://ok.example.com/\u{2028}",
        "https://ok.example.com/\u{0}",
        "https://ok.example.com/\u{7f}",
        "https://ok.example.com/\\..",
        "",
        "$UID",
        "https://",
        "https://?ok.example.com/",
    ];

    #[test]
    fn what_is_hostile_or_strange_leads_nowhere() {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        for text in HOSTILE {
            for (form, written) in [
                (encode(text), Written::Encoded),
                (encode(text), Written::AsIs),
                ((*text).to_owned(), Written::AsIs),
            ] {
                assert!(sent(&form, written).is_err(), "{form:?} {written:?}: {:?}", sent(&form, written));
            }
            assert!(plain_target(text, &allowed()).is_err() || *text == "https://ok.example.com", "{text:?}");
        }
        let long = format!("https://ok.example.com/{}", "x".repeat(MAX_TARGET_BYTES));
        assert_eq!(sent(&long, Written::Encoded), Err(BadTarget::TooLong));
        // Grows when it is written: each of these letters takes six bytes.
        let growing = format!("https://ok.example.com/{}", "\u{e9}".repeat(1000));
        assert_eq!(sent(&growing, Written::AsIs), Err(BadTarget::TooLong));
        assert_eq!(target("https://ok.example.com/", Written::Encoded, 1, &[]), Err(BadTarget::Foreign));
        assert_eq!(sent("https://ok.example.com/%FF", Written::Encoded), Err(BadTarget::NotPlain));
    }

    proptest! {
        /// Whatever is thrown at it: what comes out is a URL of one line whose host is on the list.
        #[test]
        fn no_way_around_the_list(
            parts in prop::collection::vec(prop::sample::select(vec![
                "http", "https", ":", "/", "//", "\\", "@", "#", "?", "ok.example.com", "evil.example", "pub.example", ".", "$UID",
                "%24UID", "%2f", "%40", "%0d%0a", "%5c", "\r\n", "\t", " ", "[", "]", "::1", "127.0.0.1", ":8443", "localhost", "443",
                "javascript", "\u{3002}", "\u{ff0f}", "%", "\u{0}",
            ]), 0..9),
            start in prop::sample::select(vec!["https://", "http://", ""]),
            written in prop::sample::select(vec![Written::Encoded, Written::AsIs]),
        ) {
            let text = format!("{start}{}", parts.concat());
            if let Ok(target) = sent(&text, written) {
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
                let again = Url::parse(&target).unwrap();
                prop_assert_eq!(again.as_str(), &target);
                let host = again.host_str().unwrap();
                let known = ["ok.example.com", "localhost", "127.0.0.1", "[::1]"];
                prop_assert!(known.contains(&host) || host.ends_with(".pub.example"), "{}", target);
            }
        }
    }

    #[test]
    fn hosts_are_read_as_they_are_written() {
        for text in [
            "",
            "*",
            "*.",
            "http://a.example",
            "a.example/",
            "a.example/x",
            "user@a.example",
            "a.*.example",
            "*.*.example",
            "a.example:",
            "a.example:0x1",
            "a.example:99999",
            "a b",
            "\u{e9}.example",
            "a%2eb",
            "127.1",
            "a.example?x",
            "a#b",
        ] {
            assert_eq!(RedirectHost::parse(text), None, "{text:?}");
        }
        assert_eq!(RedirectHost::parse("A.example:443").unwrap(), RedirectHost::parse("a.example").unwrap());
    }
}
