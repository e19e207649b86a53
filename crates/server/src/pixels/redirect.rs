//! Targets of redirects. Somebody who can choose the target can make a link to this server that leads to their own
//! page. So the hosts are on a list, and a target that could be read in two ways is refused.

use ia_catalog::RedirectHost;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

/// The longest target, in bytes.
pub(crate) const MAX_TARGET_BYTES: usize = 2048;

/// The placeholder for the browser's id in a target.
const MACRO: &str = "$UID";
/// The same placeholder, percent-encoded.
const ENCODED_MACRO: &str = "%24UID";

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// There is no URL.
    #[error("the URL is missing")]
    Missing,
    /// It is longer than [`MAX_TARGET_BYTES`].
    #[error("the URL is longer than {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// It is not an http or https URL, or some programs would read it in another way.
    #[error("it must be a plain http or https URL")]
    NotPlain,
    /// Its host is on no list.
    #[error("redirects to this host are not allowed")]
    HostNotListed,
}

/// How a query holds the target of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetEncoding {
    /// With at most one layer of percent-encoding, which is removed.
    Encoded,
    /// Unchanged: encoded parts stay encoded. If even its `://` is encoded, one layer is removed.
    AsIs,
}

/// The URL of a redirect: `text` with the id `uid` in place of `$UID`, or at the end if there is no `$UID`. The result
/// is the URL as the parser writes it, so that browsers cannot read it in another way.
pub(crate) fn target(
    text: &str,
    encoding: TargetEncoding,
    uid: u64,
    allowed: &[RedirectHost],
) -> Result<String, BadTarget> {
    let text = decode(text, encoding)?;
    if text.is_empty() {
        return Err(BadTarget::Missing);
    }
    let filled = fill(&text, encoding, uid);
    if filled.len() > MAX_TARGET_BYTES {
        return Err(BadTarget::TooLong);
    }
    checked(&filled, &[allowed])
}

/// The query of a target, as it is in its URL; `None` if there is none, or no URL.
pub(super) fn query_of(text: &str, encoding: TargetEncoding) -> Option<String> {
    let url = Url::parse(&decode(text, encoding).ok()?).ok()?;
    url.query().map(str::to_owned)
}

/// The URL of a redirect without an id, to a host on one of the lists.
pub(crate) fn plain_target(text: &str, allowed: &[&[RedirectHost]]) -> Result<String, BadTarget> {
    if text.len() > MAX_TARGET_BYTES {
        return Err(BadTarget::TooLong);
    }
    checked(text, allowed)
}

fn decode(text: &str, encoding: TargetEncoding) -> Result<Cow<'_, str>, BadTarget> {
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let is_decoded = begins("https://") || begins("http://");
    match encoding {
        TargetEncoding::AsIs if is_decoded => Ok(text.into()),
        TargetEncoding::AsIs | TargetEncoding::Encoded => {
            percent_decode_str(text).decode_utf8().map_err(|_| BadTarget::NotPlain)
        }
    }
}

fn fill(text: &str, encoding: TargetEncoding, uid: u64) -> String {
    let uid = uid.to_string();
    let mut filled = text.replace(MACRO, &uid);
    if encoding == TargetEncoding::AsIs {
        filled = filled.replace(ENCODED_MACRO, &uid);
    }
    if filled == text {
        filled.push_str(&uid);
    }
    filled
}

/// Refuses a URL in which a browser or a proxy could see another host than the parser: the text must hold the parser's
/// host exactly, followed by a port at most.
fn checked(text: &str, allowed: &[&[RedirectHost]]) -> Result<String, BadTarget> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(is_odd) {
        return Err(BadTarget::NotPlain);
    }
    let url = Url::parse(text).map_err(|_| BadTarget::NotPlain)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadTarget::NotPlain);
    }
    let sent_host = authority(text).ok_or(BadTarget::NotPlain)?;
    let host = url.host_str().ok_or(BadTarget::NotPlain)?;
    let with_port = format!("{host}:{}", url.port_or_known_default().ok_or(BadTarget::NotPlain)?);
    let is_plain = (sent_host.eq_ignore_ascii_case(host) && url.port().is_none())
        || sent_host.eq_ignore_ascii_case(&with_port);
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err(BadTarget::NotPlain);
    }
    if !allowed.iter().copied().flatten().any(|host| host.allows(&url)) {
        return Err(BadTarget::HostNotListed);
    }
    let url = String::from(url);
    if url.len() > MAX_TARGET_BYTES { Err(BadTarget::TooLong) } else { Ok(url) }
}

/// The part between `://` and the path.
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

    fn sent(text: &str, encoding: TargetEncoding) -> Result<String, BadTarget> {
        target(text, encoding, 42, &allowed())
    }

    #[test]
    fn the_id_is_inserted_or_appended() {
        use TargetEncoding::{AsIs, Encoded};
        for (text, encoding, expected) in [
            ("https://ok.example.com/x?id=$UID", Encoded, "https://ok.example.com/x?id=42"),
            ("https%3A%2F%2Fok.example.com%2Fx%3Fid%3D%24UID", Encoded, "https://ok.example.com/x?id=42"),
            ("https%3a%2f%2fok.example.com%2fx%3fid%3d", Encoded, "https://ok.example.com/x?id=42"),
            ("https://ok.example.com/x?id=", Encoded, "https://ok.example.com/x?id=42"),
            ("https://ok.example.com/$UID/x?a=$UID", Encoded, "https://ok.example.com/42/x?a=42"),
            ("HTTP://OK.example.com:80/x?id=", Encoded, "http://ok.example.com/x?id=42"),
            // Decoding breaks the inner URL; `getuidu` avoids that.
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
            assert_eq!(sent(text, encoding).as_deref(), Ok(expected), "{text}");
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
    fn hostile_and_strange_targets_are_refused() {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        for text in HOSTILE {
            for (form, encoding) in [
                (encode(text), TargetEncoding::Encoded),
                (encode(text), TargetEncoding::AsIs),
                ((*text).to_owned(), TargetEncoding::AsIs),
            ] {
                assert!(sent(&form, encoding).is_err(), "{form:?} {encoding:?}: {:?}", sent(&form, encoding));
            }
            assert!(
                plain_target(text, &[&allowed()]).is_err() || *text == "https://ok.example.com",
                "{text:?}"
            );
        }
        let long = format!("https://ok.example.com/{}", "x".repeat(MAX_TARGET_BYTES));
        assert_eq!(sent(&long, TargetEncoding::Encoded), Err(BadTarget::TooLong));
        // Too long only after parsing: each of these letters becomes six bytes.
        let growing = format!("https://ok.example.com/{}", "\u{e9}".repeat(1000));
        assert_eq!(sent(&growing, TargetEncoding::AsIs), Err(BadTarget::TooLong));
        assert_eq!(
            target("https://ok.example.com/", TargetEncoding::Encoded, 1, &[]),
            Err(BadTarget::HostNotListed)
        );
        assert_eq!(sent("https://ok.example.com/%FF", TargetEncoding::Encoded), Err(BadTarget::NotPlain));
    }

    proptest! {
        /// For any input, an accepted target is a URL of one line whose host is on the list.
        #[test]
        fn no_way_around_the_list(
            parts in prop::collection::vec(prop::sample::select(vec![
                "http", "https", ":", "/", "//", "\\", "@", "#", "?", "ok.example.com", "evil.example", "pub.example", ".", "$UID",
                "%24UID", "%2f", "%40", "%0d%0a", "%5c", "\r\n", "\t", " ", "[", "]", "::1", "127.0.0.1", ":8443", "localhost", "443",
                "javascript", "\u{3002}", "\u{ff0f}", "%", "\u{0}",
            ]), 0..9),
            start in prop::sample::select(vec!["https://", "http://", ""]),
            encoding in prop::sample::select(vec![TargetEncoding::Encoded, TargetEncoding::AsIs]),
        ) {
            let text = format!("{start}{}", parts.concat());
            if let Ok(target) = sent(&text, encoding) {
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
                let again = Url::parse(&target).unwrap();
                prop_assert_eq!(again.as_str(), &target);
                let host = again.host_str().unwrap();
                let known = ["ok.example.com", "localhost", "127.0.0.1", "[::1]"];
                prop_assert!(known.contains(&host) || host.ends_with(".pub.example"), "{}", target);
            }
        }
    }
}
