//! The cookie that holds a browser's id.

use std::fmt::Write;

/// Its name.
pub(crate) const ID_COOKIE: &str = "uuid2";

/// How the cookies of the pixels are set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CookieRules {
    /// How long a browser keeps its id after its last call.
    pub(crate) max_age_seconds: u32,
}

/// The state of a browser's id cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdCookie {
    /// There is no valid cookie.
    Absent,
    /// The browser has opted out of having an id.
    OptedOut,
    /// The browser's id, never 0.
    Id(u64),
}

impl IdCookie {
    /// Reads the `Cookie` headers of a request. If there are several cookies of this name, an opt-out counts before an
    /// id, and the first id before others.
    pub(crate) fn read<'h>(headers: impl Iterator<Item = &'h str>) -> IdCookie {
        let mut found = IdCookie::Absent;
        for value in values(headers, ID_COOKIE) {
            match id(value) {
                Some(0) => return IdCookie::OptedOut,
                Some(id) if found == IdCookie::Absent => found = IdCookie::Id(id),
                _ => {}
            }
        }
        found
    }
}

/// The values of the cookies with this name.
pub(crate) fn values<'h>(
    headers: impl Iterator<Item = &'h str>,
    name: &str,
) -> impl Iterator<Item = &'h str> {
    let pairs = headers.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter_map(move |(own, value)| (own == name).then_some(value))
}

/// The number in `text`, if this server would write it in the same way.
fn id(text: &str) -> Option<u64> {
    let is_number = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    text.parse().ok().filter(|_| is_number)
}

impl CookieRules {
    /// The `Set-Cookie` header that sets a browser's id; 0 opts it out. Calls come from pages of other sites, and
    /// browsers send only `Secure` cookies with those.
    pub(crate) fn set_id(self, id: u64, is_secure: bool) -> String {
        let same_site = if is_secure { "SameSite=None; Secure" } else { "SameSite=Lax" };
        format!("{ID_COOKIE}={id}; Path=/; Max-Age={}; HttpOnly; {same_site}", self.max_age_seconds)
    }

    /// The `Set-Cookie` header of a cookie that only this server's own pages below `path` send.
    pub(crate) fn set_own(self, name: &str, value: &str, path: &str, is_secure: bool) -> String {
        let mut cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict");
        if is_secure {
            write!(cookie, "; Secure").expect("writing to a String does not fail");
        }
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_an_id_or_nothing() {
        let read = |headers: &[&str]| IdCookie::read(headers.iter().copied());
        assert_eq!(read(&["a=b; uuid2=18446744073709551615;c=d"]), IdCookie::Id(u64::MAX));
        assert_eq!(read(&["uuid2=1", "uuid2=2; uuid2=x"]), IdCookie::Id(1));
        assert_eq!(read(&["uuid2=x", "uuid2=2"]), IdCookie::Id(2));
        assert_eq!(read(&["uuid2=5; uuid2=0"]), IdCookie::OptedOut);
        for cookies in [
            "",
            "uuid2",
            "uuid2=",
            "uuid2=-1",
            "uuid2=+1",
            "uuid2=01",
            "uuid2=00",
            "uuid2=1.0",
            "uuid2=18446744073709551616",
            "uuid2=\"1\"",
            "uuid2=1,2",
            "uuid2=<script>",
            "uuid=1",
            "xuuid2=1",
            "UUID2=1",
            "uuid2=\u{661}",
            "uuid2==1",
        ] {
            assert_eq!(read(&[cookies]), IdCookie::Absent, "{cookies}");
        }
    }

    #[test]
    fn pages_of_other_sites_need_an_encrypted_connection() {
        let rules = CookieRules { max_age_seconds: 60 };
        let secure = "uuid2=7; Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure";
        let open = "uuid2=7; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(rules.set_id(7, true), secure);
        assert_eq!(rules.set_id(7, false), open);
        assert_eq!(rules.set_own("a", "b", "/c", true), "a=b; Path=/c; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(rules.set_own("a", "b", "/c", false), "a=b; Path=/c; HttpOnly; SameSite=Strict");
    }
}
