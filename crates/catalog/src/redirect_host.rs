//! Hosts to which pixels may redirect browsers: the lists of members, and by the same rules that of the server.

use std::fmt;
use std::sync::Arc;
use url::Url;

/// The most hosts of one member.
pub const MAX_REDIRECT_HOSTS: usize = 100;

/// What is no [`RedirectHost`], in the words of an error.
pub const NO_REDIRECT_HOST: &str = "is not a host, \"*.\" and a host, or one of these with a port";

/// A host to which redirects may go, or all hosts below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectHost {
    /// The host as in a parsed URL.
    host: String,
    /// `None` means the scheme's default port.
    port: Option<u16>,
    is_suffix: bool,
}

impl RedirectHost {
    /// Reads `host` or `*.host`, each optionally with `:port`.
    pub fn parse(text: &str) -> Option<RedirectHost> {
        let (is_suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        // The parser is lenient; the operator should get exactly the host that is written.
        let is_alone = authority(url.as_str()).is_some_and(|parsed| parsed.eq_ignore_ascii_case(name))
            || name.eq_ignore_ascii_case(&format!("{}:443", url.host_str()?));
        let host = url.host_str()?.to_owned();
        (is_alone && !name.contains('@') && !name.contains('*')).then_some(RedirectHost {
            host,
            port: url.port(),
            is_suffix,
        })
    }

    /// Whether the host of `url` is this one, or below it.
    pub fn allows(&self, url: &Url) -> bool {
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

/// As [`RedirectHost::parse`] reads it.
impl fmt::Display for RedirectHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedirectHost { host, port, is_suffix } = self;
        write!(f, "{}{host}", if *is_suffix { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The part between `://` and the path.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?', '#']).next()
}

/// Reads a member's hosts, each once, after those of `before`. The error has the index of the one at fault, where it is
/// one, and the reason.
pub(crate) fn read_hosts(
    before: &[RedirectHost],
    texts: &[String],
) -> Result<Arc<[RedirectHost]>, (Option<usize>, String)> {
    let mut hosts = before.to_vec();
    for (index, text) in texts.iter().enumerate() {
        let host = RedirectHost::parse(text).ok_or_else(|| (Some(index), NO_REDIRECT_HOST.to_owned()))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
        if hosts.len() > MAX_REDIRECT_HOSTS {
            return Err((None, format!("a member has at most {MAX_REDIRECT_HOSTS}")));
        }
    }
    Ok(hosts.into())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "a.example\n",
            " a.example",
            "a\0.example",
        ] {
            assert_eq!(RedirectHost::parse(text), None, "{text:?}");
        }
        assert_eq!(RedirectHost::parse("A.example:443").unwrap(), RedirectHost::parse("a.example").unwrap());
    }

    #[test]
    fn a_host_is_shown_as_it_is_read() {
        for (text, shown) in [
            ("a.example", "a.example"),
            ("*.A.example:8443", "*.a.example:8443"),
            ("a.example:443", "a.example"),
            ("[::1]:99", "[::1]:99"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            let host = RedirectHost::parse(text).unwrap();
            assert_eq!(host.to_string(), shown);
            assert_eq!(RedirectHost::parse(shown), Some(host));
        }
    }

    #[test]
    fn a_list_holds_each_once_and_not_too_many() {
        let hosts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let read = read_hosts(&[], &hosts(&["a.example", "A.example:443", "*.b.example"])).unwrap();
        assert_eq!(
            read.iter().map(RedirectHost::to_string).collect::<Vec<_>>(),
            ["a.example", "*.b.example"]
        );
        let more = read_hosts(&read, &hosts(&["*.B.example", "c.example"])).unwrap();
        assert_eq!(more.len(), 3);
        assert_eq!(read_hosts(&read, &hosts(&["d.example", "d/"])).unwrap_err().0, Some(1));
        let many: Vec<String> = (0..MAX_REDIRECT_HOSTS).map(|n| format!("h{n}.example")).collect();
        assert_eq!(read_hosts(&[], &many).unwrap().len(), MAX_REDIRECT_HOSTS);
        assert_eq!(read_hosts(&read, &many).unwrap_err().0, None);
    }
}
