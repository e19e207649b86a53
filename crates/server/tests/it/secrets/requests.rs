//! The requests: each route, with a secret in each of its fields.

mod http2;
mod services;

pub(super) use http2::over_http2;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ia_testkit::ServerProcess;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A platform id that is put into a segment.
pub(super) const USER_ID: &str = "9191919191919191001";

/// Not a platform id; the report repeats it.
pub(super) const INVALID_ID: &str = "IDCANARY-not-an-id";

/// The prefixes of the made-up secrets, by which they are found.
const MARKS: [&str; 3] = ["PWCANARY", "TKCANARY", "PKCANARY"];

/// The secrets that were sent and must not be found.
#[derive(Default)]
pub(super) struct Canaries {
    made: usize,
    /// The password of the login `canary`.
    pub(super) real_password: String,
    /// Issued tokens.
    pub(super) tokens: Vec<String>,
    /// Ids of jobs of files: who knows one may upload. The data directory and answers to their member have them.
    pub(super) jobs: Vec<String>,
    /// Encoded `Basic` credentials, which contain neither of the prefixes.
    encoded: Vec<String>,
}

impl Canaries {
    /// A new valid password.
    pub(super) fn password(&mut self) -> String {
        self.made += 1;
        format!("PWCANARY-{}x!", self.made)
    }

    /// A text like a token.
    fn token(&mut self) -> String {
        self.made += 1;
        format!("hbapi:7:TKCANARY{:035}:ia1", self.made)
    }

    fn basic(&mut self) -> String {
        // "canary:PWCANARY!" in base64; encoding more than one value is not worth a dependency.
        self.made += 1;
        let encoded = "Y2FuYXJ5OlBXQ0FOQVJZIQ==".to_owned();
        self.encoded.push(encoded.clone());
        encoded
    }

    /// How many secrets were sent.
    pub(super) fn sent(&self) -> usize {
        self.made + self.tokens.len() + self.ids().len()
    }

    /// Texts that must be nowhere: the prefixes of made-up secrets, and the random parts of real tokens.
    pub(super) fn secrets(&self) -> Vec<String> {
        let random = self.tokens.iter().map(|token| token.split(':').nth(2).unwrap().to_owned());
        let mut all: Vec<String> = MARKS.iter().map(|mark| (*mark).to_owned()).chain(random).collect();
        all.extend(self.encoded.iter().cloned());
        all
    }

    /// Texts that only their sender may get back.
    pub(super) fn ids(&self) -> Vec<String> {
        vec![USER_ID.to_owned(), "IDCANARY".to_owned(), "dec0de00".to_owned(), "DEC0DE00".to_owned()]
    }
}

/// A request on the wire.
pub(super) struct Request {
    pub(super) about: String,
    pub(super) bytes: Vec<u8>,
    /// Whether the request asks the server to close the connection.
    pub(super) is_last: bool,
    /// Whether the answer repeats sent ids, by contract.
    pub(super) is_echoed: bool,
}

/// Builds requests, each for both ways of HTTP.
struct Builder {
    all: Vec<Request>,
    token: String,
}

impl Builder {
    /// Adds the request twice: in a form that the fast path may serve, and in one that it never serves.
    fn add(&mut self, method: &str, target: &str, headers: &str, body: &[u8], is_echoed: bool) {
        for is_last in [false, true] {
            let close = if is_last { "Connection: close\r\n" } else { "" };
            let host = if headers.contains("Host:") { "" } else { "Host: x\r\n" };
            let length = match body.len() {
                0 if method == "GET" => String::new(),
                length => format!("Content-Length: {length}\r\n"),
            };
            let head = format!("{method} {target} HTTP/1.1\r\n{host}{headers}{close}{length}\r\n");
            let bytes = [head.as_bytes(), body].concat();
            let about = format!("the answer to {method} {target} {}", String::from_utf8_lossy(body));
            let about = about.chars().take(160).collect();
            self.all.push(Request { about, bytes, is_last, is_echoed });
        }
    }

    /// A request with a valid token.
    fn authorized(&mut self, method: &str, target: &str, headers: &str, body: &[u8], is_echoed: bool) {
        let headers = format!("Authorization: {}\r\n{headers}", self.token);
        self.add(method, target, &headers, body, is_echoed);
    }

    fn raw(&mut self, about: &str, bytes: Vec<u8>) {
        self.all.push(Request { about: about.to_owned(), bytes, is_last: false, is_echoed: false });
    }
}

/// Method and path of each route, from the OpenAPI document, and one that does not exist.
pub(super) fn routes(document: &serde_json::Value) -> Vec<(String, String)> {
    let mut routes = vec![("GET".to_owned(), "/nothing".to_owned())];
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{member_id}", "958");
        routes.extend(
            item.as_object().expect("operations").keys().map(|method| (method.to_uppercase(), path.clone())),
        );
    }
    routes
}

/// All requests, with new canaries.
pub(super) fn all(canaries: &mut Canaries, routes: &[(String, String)]) -> Vec<Request> {
    let token = canaries.tokens.last().expect("somebody has logged in").clone();
    let mut builder = Builder { all: Vec::new(), token };
    for (method, route) in routes {
        in_headers(&mut builder, canaries, method, route);
        in_targets(&mut builder, canaries, method, route);
    }
    logins(&mut builder, canaries);
    services::private_keys(&mut builder, canaries);
    services::new_passwords(&mut builder, canaries);
    services::every_field(&mut builder, canaries);
    bodies(&mut builder, canaries);
    ids(&mut builder, canaries);
    malformed(&mut builder, canaries);
    builder.all
}

fn in_headers(builder: &mut Builder, canaries: &mut Canaries, method: &str, route: &str) {
    let real = builder.token.clone();
    for token in [canaries.token(), canaries.password(), real] {
        for header in [
            format!("Authorization: {token}"),
            format!("Authorization: Bearer {token}"),
            format!("Authorization: Token token={token}"),
            format!("Cookie: ia_token={token}"),
            format!("Cookie: {token}"),
            format!("Content-Type: {token}"),
            format!("User-Agent: {token}"),
            format!("Referer: https://x/?access_token={token}"),
            format!("Content-Encoding: {token}"),
            format!("X-Api-Key: {token}"),
            format!("{}: x", token.replace([':', '='], "-")),
            format!("Host: {token}"),
            format!("X-Forwarded-For: {}", token.repeat(300)),
            format!("X-Forwarded-For: {token}"),
            format!("X-Forwarded-Proto: {token}"),
            format!("Forwarded: for={token};proto={token}"),
            format!("X-Huge: {}", token.repeat(2000)),
        ] {
            let wants_token = !header.starts_with("Authorization") && !header.starts_with("Cookie");
            let headers = format!("{header}\r\n");
            if wants_token {
                // The URL for an upload is on the host that its sender names.
                let is_host = header.starts_with("Host") && (method, route) == ("POST", "/batch-segment");
                builder.authorized(method, route, &headers, b"", is_host);
            } else {
                builder.add(method, route, &headers, b"{}", false);
            }
        }
    }
    builder.add(method, route, &format!("Authorization: Basic {}\r\n", canaries.basic()), b"", false);
    // A token is not accepted as a request id. A password is, unless it has characters that ids do not have.
    for id in [canaries.token(), canaries.password(), builder.token.clone()] {
        builder.authorized(method, route, &format!("X-Request-Id: {id}\r\n"), b"", false);
    }
}

fn in_targets(builder: &mut Builder, canaries: &mut Canaries, method: &str, route: &str) {
    for secret in [canaries.token(), canaries.password(), builder.token.clone()] {
        let escaped = secret.replace(':', "%3A").replace('!', "%21");
        for target in [
            format!("{route}?access_token={secret}"),
            format!("{route}?access_token={escaped}&user_id=x"),
            format!("{route}?password={secret}"),
            format!("{route}/{secret}"),
            format!("/{secret}"),
            format!("{route}?{secret}"),
            format!("http://canary:{secret}@x{route}"),
        ] {
            builder.add(method, &target, "", b"", false);
        }
        for name in ["user_id", "domain", "member_id", "format", "verbose", "agg", "start", "end"] {
            builder.authorized(method, &format!("{route}?user_id=7&{name}={escaped}"), "", b"", false);
        }
        builder.authorized(&secret.replace(':', "-"), route, "", b"", false);
    }
    let id = format!("{route}?user_id={USER_ID}");
    // The answer to a read contains the user's id.
    builder.authorized(method, &id, "", b"", route == "/user-segment" && method == "GET");
    builder.add(method, &id, "", b"", false);
}

fn logins(builder: &mut Builder, canaries: &mut Canaries) {
    let (right, wrong, token) = (canaries.real_password.clone(), canaries.password(), canaries.token());
    let bodies = [
        format!(r#"{{"auth": {{"username": "canary", "password": "{wrong}"}}}}"#),
        format!(r#"{{"auth": {{"username": "{wrong}", "password": "x"}}}}"#),
        format!(r#"{{"auth": {{"username": "{token}", "password": "{token}"}}}}"#),
        format!(r#"{{"auth": {{"username": "canary", "password": "{right}""#),
        format!(r#"{{"auth": {{"username": "canary", "password": "{right}" "{right}"}}}}"#),
        format!(r#"{{"auth": {{"username": "canary", "password": ["{right}"]}}}}"#),
        format!(r#"{{"auth": {{"username": "canary", "password": {right}}}}}"#),
        format!(r#"{{"auth": {{"username": ["canary"], "password": "{right}"}}}}"#),
        format!(r#"{{"auth": "{right}"}}"#),
        format!(r#"{{"username": "canary", "password": "{right}"}}"#),
        format!(r#"{{"auth": {{"username": "canary", "{right}": 5}}}}"#),
        format!(r#"["{right}"]"#),
        format!("username=canary&password={right}"),
        right.clone(),
        format!("{{\"auth\": {{\"username\": \"canary\", \"password\": \"{right}\n\"}}}}"),
        format!("{{\"auth\": {}\"{right}\"", "[".repeat(200)),
        format!(r#"{{"auth": {{"username": "canary", "password": "{}"}}}}"#, right.repeat(100)),
        format!(r#"{{"auth": {{"username": "{}", "password": "{right}"}}}}"#, wrong.repeat(100)),
        format!(r#"{{"auth": {{"password": "{}"}}}}"#, right.repeat(6000)),
    ];
    for body in &bodies {
        builder.add("POST", "/auth", "", body.as_bytes(), false);
        builder.add("POST", "/auth", "Content-Encoding: gzip\r\n", body.as_bytes(), false);
        builder.add("POST", "/auth", "Content-Encoding: gzip\r\n", &gzip(body), false);
        // To the wrong route.
        builder.authorized("POST", "/user-segment", "", body.as_bytes(), false);
        builder.authorized("POST", "/rt-segment", "", body.as_bytes(), false);
        builder.add("POST", "/rt-segment", "", body.as_bytes(), false);
    }
}

/// Secrets in the fields of the other routes. Warnings repeat blocks and users to their sender.
fn bodies(builder: &mut Builder, canaries: &mut Canaries) {
    for secret in [canaries.token(), builder.token.clone()] {
        let users = [
            format!(r#"{{"user_id": "{secret}", "seg_block": [{{"seg_id": 12}}]}}"#),
            format!(r#"{{"user_id": "7", "seg_block": [{{"seg_id": "{secret}"}}, {{"seg_id": 12}}]}}"#),
            format!(r#"{{"user_id": "7", "seg_block": [{{"seg_code": "{secret}", "member_id": 958}}]}}"#),
            format!(r#"{{"user_id": "7", "seg_block": [{{"seg_code": "{secret}", "member_id": 77}}]}}"#),
            format!(r#"{{"user_id": "7", "seg_block": [{{"seg_id": 12, "value": "{secret}"}}]}}"#),
            format!(r#"{{"user_id": "7", "domain": "{secret}", "seg_block": [{{"seg_id": 12}}]}}"#),
            format!(r#"{{"user_id": "7", "domain": "idfa", "seg_block": "{secret}"}}"#),
            format!(r#"{{"user_id": "{secret}", "domain": "idfa", "seg_block": [{{"seg_id": 12}}]}}"#),
            format!(
                r#"{{"user_id": "{secret}", "domain": "eid:a.example", "seg_block": [{{"seg_id": 12}}]}}"#
            ),
            format!(r#"{{"user_id": "7", "domain": "eid:{secret}", "seg_block": [{{"seg_id": 12}}]}}"#),
            format!(r#"{{"eids": [{{"source": "a.example", "uids": [{{"id": "{secret}"}}]}}]}}"#),
            format!(r#"{{"{secret}": "{secret}"}}"#),
            format!("\"{secret}\""),
        ];
        for user in &users {
            let body = format!(r#"{{"rt_segment": [{user}]}}"#);
            for target in ["/rt-segment", "/rt-segment?verbose=true"] {
                builder.authorized("POST", target, "", body.as_bytes(), true);
            }
            builder.authorized("POST", "/rt-segment", "", &body.as_bytes()[..body.len() - 2], false);
            builder.authorized(
                "POST",
                "/user-segment",
                "",
                format!(r#"{{"users": [{user}]}}"#).as_bytes(),
                false,
            );
        }
        for (name, value) in [
            ("identifier", secret.as_str()),
            ("identifier_type", &secret),
            ("request_type", &secret),
            (&secret, "x"),
        ] {
            let mut body =
                serde_json::json!({"identifier": "7", "identifier_type": "uuid2", "request_type": "access"});
            body[name] = value.into();
            builder.authorized("POST", "/privacy/consumer-request", "", body.to_string().as_bytes(), false);
        }
        for field in [
            format!(r#""code": "{secret}""#),
            format!(r#""state": "{secret}""#),
            format!(r#""expire_minutes": "{secret}""#),
            format!(r#""piggyback_pixels": ["{secret}"]"#),
            format!(r#""{secret}": 1, "state": 5"#),
        ] {
            builder.authorized(
                "POST",
                "/segment",
                "",
                format!(r#"{{"segment": {{{field}}}}}"#).as_bytes(),
                false,
            );
        }
        for name in ["min_", "like_", "not_", "sort=", "fields=", "id=", "member_id=", "num_elements="] {
            builder.authorized("GET", &format!("/segment?{name}{secret}"), "", b"", false);
        }
        // Everybody who may read the report gets the ids in it, but never a token.
        builder.authorized("GET", "/rt-segment-processed", "X-Look: 1\r\n", b"", true);
    }
}

fn ids(builder: &mut Builder, canaries: &mut Canaries) {
    let uuid = "DEC0DE00-03ee-455a-b3c4-e57283966239";
    let add = format!(
        r#"{{"rt_segment": [{{"user_id": "{USER_ID}", "seg_block": [{{"seg_id": 12}}, {{"seg_id": 4711}}]}},
            {{"user_id": "{uuid}", "domain": "idfa", "seg_block": [{{"seg_id": 12}}]}},
            {{"user_id": "{INVALID_ID}", "seg_block": [{{"seg_id": 12}}]}},
            {{"user_id": "IDCANARY", "domain": "IDCANARY", "seg_block": [{{"seg_code": "IDCANARY", "member_id": 77}}, {{}}]}},
            {{"user_id": "IDCANARY"}}]}}"#
    );
    for target in ["/rt-segment", "/rt-segment?verbose=true"] {
        builder.authorized("POST", target, "", add.as_bytes(), true);
        builder.authorized("POST", target, "", &add.as_bytes()[..add.len() - 1], false);
        builder.add("POST", target, "", add.as_bytes(), false);
        let authorization = format!("Authorization: {}\r\nContent-Encoding: gzip\r\n", builder.token);
        builder.add("POST", target, &authorization, &gzip(&add), true);
    }
    for (id, identifier_type) in
        [(USER_ID, "uuid2"), (uuid, "maid"), (INVALID_ID, "uuid2"), (USER_ID, "maid")]
    {
        for request_type in ["access", "opt_out", "opt_in"] {
            // An opt-out would delete the ids that are searched in the data directory.
            let request_type =
                if request_type == "opt_out" && id == USER_ID { "delete it" } else { request_type };
            let body = format!(
                r#"{{"identifier": "{id}", "identifier_type": "{identifier_type}", "request_type": "{request_type}"}}"#
            );
            // A success repeats the id to its sender.
            builder.authorized("POST", "/privacy/consumer-request", "", body.as_bytes(), true);
            builder.authorized(
                "POST",
                "/privacy/consumer-request",
                "",
                &body.as_bytes()[..body.len() - 1],
                false,
            );
        }
    }
    for format in ["", "&format=openrtb"] {
        builder.authorized(
            "GET",
            &format!("/user-segment?user_id={uuid}&domain=idfa{format}"),
            "",
            b"",
            true,
        );
    }
    for id in [USER_ID, INVALID_ID, uuid] {
        let body = format!(r#"{{"users": [{{"user_id": "{id}"}}]}}"#);
        builder.authorized("POST", "/user-segment", "", body.as_bytes(), id == USER_ID);
        builder.authorized("GET", &format!("/user-segment?user_id={id}&domain=nothing"), "", b"", false);
        builder.authorized("GET", &format!("/user-segment?user_id={id}&format=codes"), "", b"", false);
    }
    let cookie = format!("Cookie: uuid2={USER_ID}\r\n");
    for (target, is_echoed) in [
        // An answer renews the cookie with the browser's id.
        ("/seg?add=12&member=958", true),
        ("/seg?add=4711&add_code=IDCANARY&member=958", true),
        ("/seg?add=IDCANARY", false),
        ("/mapuid?member=958&user=IDCANARY;IDCANARY-2&seg=12", true),
        ("/mapuid?member=958&eid=a.example:IDCANARY;b.example:IDCANARY-2", true),
        ("/mapuid?member=958&eid=IDCANARY", false),
        ("/mapuid?member=IDCANARY&user=IDCANARY", false),
        ("/getuidp?callback=IDCANARY()", false),
        ("/getuid?https://IDCANARY.example/", false),
        ("/optout", false),
        ("/getuidj", true),
        ("/getuidp?callback=f", true),
        ("/getuid?https://ok.example.com/", true),
    ] {
        builder.add("GET", target, &cookie, b"", is_echoed);
    }
    // The last request with canaries of this kind; it has no effect on later ones.
    builder.authorized("GET", "/rt-segment-processed", "", b"", true);
    let _ = canaries;
}

/// Bytes that are not HTTP, or that end too early.
fn malformed(builder: &mut Builder, canaries: &mut Canaries) {
    for secret in [canaries.password(), canaries.token(), builder.token.clone()] {
        for text in [
            format!("{secret}\r\n\r\n"),
            format!("GET {secret} HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET /user-segment?access_token={secret} with a space HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET / {secret}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{secret} {secret}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {secret}\x01\r\n\r\n"),
            format!("GET / HTTP/1.0\r\nAuthorization: {secret}\r\n\r\n"),
            format!("POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: {secret}\r\n\r\n"),
            format!("POST /auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {secret}\r\n\r\n"),
            format!("POST /auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n"),
            format!(
                "POST /auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;{secret}\r\n{secret}\r\n"
            ),
            format!("POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{\"auth\": \"{secret}"),
            format!("POST /auth HTTP/1.1\r\nHost: x\r\nExpect: {secret}\r\nContent-Length: 2\r\n\r\n{{}}"),
            format!("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: {secret}\r\nConnection: upgrade\r\n\r\n"),
            format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", secret.repeat(2500)),
        ] {
            builder.raw(&text[..text.len().min(80)], text.clone().into_bytes());
        }
        let spoiled =
            [format!("{{\"auth\": {{\"password\": \"{secret}").as_bytes(), b"\xff\xfe\"}}"].concat();
        builder.add("POST", "/auth", "", &spoiled, false);
        builder.authorized("POST", "/rt-segment", "", &spoiled, false);
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
