//! Paths have one spelling here: no doubled slashes, and none at the end. Clients that join the address of a server and
//! a path send others, and mean the same.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Gives the target of a request the one spelling of its path. Its query stays as it is, byte for byte. All that reads
/// a path comes behind this.
pub(super) fn simplify(uri: &mut Uri) {
    let path = uri.path();
    if !(path.contains("//") || (path.len() > 1 && path.ends_with('/'))) {
        return;
    }
    let mut target = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        target.push('/');
        target.push_str(part);
    }
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    // What was a target is one with fewer slashes.
    let Ok(target) = PathAndQuery::try_from(target) else { return };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_that_mean_nothing_are_left_out() {
        for (sent, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/?a=b//", "/?a=b//"),
            ("/rt-segment", "/rt-segment"),
            ("/rt-segment/", "/rt-segment"),
            ("//rt-segment", "/rt-segment"),
            ("///segment//958//", "/segment/958"),
            ("/segment/%2F/x/", "/segment/%2F/x"),
            ("/getuid/?https://a.example//b/?c=%2f//&d#e", "/getuid?https://a.example//b/?c=%2f//&d"),
            ("/getuid?https://a.example//b/", "/getuid?https://a.example//b/"),
            ("/a/?", "/a?"),
            ("http://x.example//a/?b=//", "http://x.example/a?b=//"),
            ("http://x.example", "http://x.example/"),
            ("*", "*"),
            ("x.example:80", "x.example:80"),
        ] {
            let mut uri: Uri = sent.parse().unwrap();
            simplify(&mut uri);
            assert_eq!(uri.to_string(), expected, "{sent}");
        }
    }
}
