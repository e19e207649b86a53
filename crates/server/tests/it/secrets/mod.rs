//! Sends passwords, tokens and user ids (canaries) to the real binary, through every field and header of every route,
//! well formed and malformed. Then searches for them in everything that the server has written or answered.
//!
//! | | logs at info | logs at debug, trace | metrics, health | answers | data directory, `inspect` |
//! |---|---|---|---|---|---|
//! | passwords, tokens | never | never | never | never, but a warning repeats what was sent as an id | never |
//! | ids of jobs of files | never | never | never | to their member | yes |
//! | user ids as sent | never | may be | never | to their sender | yes |

mod requests;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use ia_testkit::{Answer, PASSWORD, ServerProcess, eventually, send};
use requests::Canaries;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");

/// How long an answer may take; only a broken server takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that are sent at the same time.
const AT_ONCE: usize = 16;

/// The results of all searches, and the number of searched places.
#[derive(Default)]
struct Search {
    places: usize,
    found: Vec<String>,
}

impl Search {
    /// Searches the bytes of `place` for `forbidden`.
    fn look(&mut self, place: &str, bytes: &[u8], forbidden: &[String]) {
        self.places += 1;
        for secret in forbidden {
            if let Some(at) = memchr::memmem::find(bytes, secret.as_bytes()) {
                let around = &bytes[at.saturating_sub(120)..bytes.len().min(at + 120)];
                let around = String::from_utf8_lossy(around);
                self.found.push(format!("{place}: {secret} in {around}"));
            }
        }
    }
}

/// Sends raw bytes and reads until the server closes the connection. Unless `is_last`, the client closes its side after
/// the bytes.
async fn talk(server: &ServerProcess, bytes: &[u8], is_last: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.api).await.unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    if !is_last {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "no end of the answer to {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
    );
    answer
}

fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(dir).stdin(Stdio::null()).envs(environment.iter().copied());
    command.output().unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn catalog(password: &str) -> String {
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [
            {"username": "canary", "password": password, "member_id": 958, "user_type": "member"},
            {"username": "provider", "password": PASSWORD, "member_id": 958, "user_type": "admin"},
        ],
        "segments": [{"id": 12, "member_id": 958, "code": "cars"}],
    })
    .to_string()
}

/// Applies catalogs with a password in them, of which only the last is valid, and searches the output.
fn apply_catalogs(dir: &Path, canaries: &mut Canaries, search: &mut Search) {
    let password = canaries.password();
    let right = catalog(&password);
    let users = |user: &str| format!(r#"{{"users": [{user}]}}"#);
    let weak = canaries.password().replace(|c: char| c.is_ascii_digit(), "x");
    let mut texts = vec![
        right[..right.find(&password).unwrap() + password.len()].to_owned(),
        right.replace(&format!("\"{password}\""), &format!("[\"{password}\"]")),
        right.replace(&format!("\"{password}\""), &format!("\"{password}\" \"{password}\"")),
        right.replace(&password, &weak),
        right
            .replace("958,\"name\"", &format!("\"{password}\",\"name\""))
            .replace("\"password\"", "\"username\""),
        users(&format!(r#"{{"username": "x", "member_id": 958, "password": "{password}"}}, 5"#)),
        users(&format!(r#"{{"username": "x", "member_id": 4711, "password": "{password}"}}"#)),
        users(&format!("\"{password}\"")),
    ];
    for field in ["member_id", "user_type", "read_only", "state"] {
        texts.push(users(&format!(
            r#"{{"username": "x", "password": "{password}", "{field}": "{password}"}}"#
        )));
    }
    for text in &texts {
        std::fs::write(dir.join("catalog.json"), text).unwrap();
        let output = run(dir, &["apply", "catalog.json"], &[]);
        assert!(!output.status.success(), "{text}");
        search.look("apply of a bad file", &[output.stdout, output.stderr].concat(), &canaries.secrets());
    }
    std::fs::write(dir.join("catalog.json"), &right).unwrap();
    let output = run(dir, &["apply", "catalog.json"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    search.look("apply", &[output.stdout, output.stderr].concat(), &canaries.secrets());
    std::fs::remove_file(dir.join("catalog.json")).unwrap();
    canaries.real_password = password;
}

/// Logs in with real passwords; the tokens are secrets from now on. Only the answers to the logins may contain them.
async fn log_in(server: &ServerProcess, canaries: &mut Canaries) {
    for (username, password) in
        [("canary", canaries.real_password.clone()), ("provider", PASSWORD.to_owned())]
    {
        let body = json!({"auth": {"username": username, "password": password}}).to_string();
        let answer = send(server.api, Method::POST, "/auth", &[], Bytes::from(body)).await.ok();
        canaries.tokens.push(answer["token"].as_str().unwrap().to_owned());
    }
}

/// Uploads files by the paths of their jobs, well and badly. No log line and no metric may have such a path.
async fn upload_files(server: &ServerProcess, canaries: &mut Canaries, search: &mut Search) {
    let forbidden = [canaries.secrets(), canaries.ids()].concat();
    let token = canaries.tokens.last().unwrap().clone();
    let with_token = [("authorization", token.as_str())];
    let ask = async |method: Method, target: &str| {
        send(server.api, method, target, &with_token, Bytes::new()).await
    };
    let file = format!("{}:12,0,0\n{}:12,0,0\n{0}:4711,0,0\n", requests::USER_ID, requests::INVALID_ID);
    let length = file.len() + 1;
    for request in [
        format!("POST {{path}} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{file}", file.len()),
        format!("PUT {{path}}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{file}"),
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nPK\x03\x04".to_owned(),
        "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_owned(),
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n1:12,0,0".to_owned(),
        "DELETE {path}?x=y HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET {path}%00 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET {path}\0 HTTP/1.1\r\n\r\n".to_owned(),
        "POST {path} HTTP/1.1\r\nHost: x\r\nReferer: {path}\r\nX-Request-Id: {path}\r\nContent-Length: 1\r\n\r\n1".to_owned(),
    ] {
        let made = ask(Method::POST, "/batch-segment").await.ok();
        let job_id = made["batch_segment_upload_job"]["job_id"].as_str().unwrap().to_owned();
        let request = request.replace("{path}", &format!("/segment-upload/{job_id}"));
        for _ in 0..2 {
            search.look("the answer to an upload", &talk(server, request.as_bytes(), false).await, &forbidden);
        }
        ask(Method::GET, &format!("/batch-segment?job_id={job_id}")).await.ok();
        ask(Method::GET, &format!("/batch-segment?job_id=x{job_id}")).await;
        ask(Method::GET, &format!("/batch-segment?sort={job_id}&num_elements={job_id}")).await;
        canaries.jobs.push(job_id);
    }
}

async fn ops(server: &ServerProcess, path: &str) -> Answer {
    send(server.ops, Method::GET, path, &[], Bytes::new()).await
}

/// One run of the server at a log level, in a format.
async fn examine(level: &str, format: &str, canaries: &mut Canaries, search: &mut Search) {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    apply_catalogs(path, canaries, search);
    let log_path = path.join("server.log");
    let log = std::fs::File::create(&log_path).unwrap();
    let environment = [
        ("INSTANT_AUDIENCE__SERVER__LOG_LEVEL", level),
        ("INSTANT_AUDIENCE__SERVER__LOG_FORMAT", format),
        ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
        ("INSTANT_AUDIENCE__LIMITS__API_READS_PER_MINUTE", "0"),
        ("INSTANT_AUDIENCE__LIMITS__API_WRITES_PER_MINUTE", "0"),
        ("INSTANT_AUDIENCE__FILES__WAITING_JOBS_PER_MEMBER", "1000000"),
        ("INSTANT_AUDIENCE__PIXELS__ENABLED", "true"),
        // So that what this test sends in X-Forwarded-For and Forwarded is looked at.
        ("INSTANT_AUDIENCE__HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("INSTANT_AUDIENCE__PIXELS__REDIRECT_HOSTS", "ok.example.com"),
        ("INSTANT_AUDIENCE__PIXELS__REQUESTS_PER_SECOND", "0"),
        ("INSTANT_AUDIENCE__PIXELS__REQUESTS_PER_SECOND_PER_ADDRESS", "0"),
        ("INSTANT_AUDIENCE__PIXELS__WRITES_PER_SECOND_PER_MEMBER", "0"),
        ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
        ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
        ("INSTANT_AUDIENCE__LIMITS__FAILED_LOGINS_PER_USER_PER_FIVE_MINUTES", "0"),
        ("INSTANT_AUDIENCE__LIMITS__FAILED_LOGINS_PER_ADDRESS_PER_FIVE_MINUTES", "0"),
    ];
    let data_dir = path.join("data");
    let server = ServerProcess::serve_with_log(Path::new(BINARY), &data_dir, &environment, log.into()).await;
    log_in(&server, canaries).await;

    let document = send(server.api, Method::GET, "/openapi.json", &[], Bytes::new()).await.json();
    let routes = requests::routes(&document);
    assert!(routes.len() > 40, "{routes:?}");
    let requests = requests::all(canaries, &routes);
    let forbidden = [canaries.secrets(), canaries.ids()].concat();
    for some in requests.chunks(AT_ONCE) {
        let answers = some.iter().map(|request| talk(&server, &request.bytes, request.is_last));
        for (request, answer) in some.iter().zip(join_all(answers).await) {
            search.look(&request.about, &answer, if request.is_echoed { &[] } else { &forbidden });
        }
    }
    requests::over_http2(&server, canaries).await;
    upload_files(&server, canaries, search).await;
    let forbidden = [canaries.secrets(), canaries.ids(), canaries.jobs.clone()].concat();
    for route in ["/healthz", "/readyz", "/metrics"] {
        search.look(route, &ops(&server, route).await.body, &forbidden);
    }
    eventually("the requests to be counted", async || {
        let text = String::from_utf8(ops(&server, "/metrics").await.body.to_vec()).unwrap();
        text.contains("status=\"401\"").then_some(())
    })
    .await;
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().await.code(), Some(0));

    let log = std::fs::read(&log_path).unwrap();
    let text = String::from_utf8_lossy(&log);
    let is_there = |words: &str| text.contains(words);
    assert!(is_there("refused") && is_there("stopped"), "the log is that of this run");
    assert_eq!(is_there("answered"), level != "info", "the level is the one that was asked for");
    let forbidden =
        if level == "info" { forbidden } else { [canaries.secrets(), canaries.jobs.clone()].concat() };
    search.look(&format!("log at {level} as {format}"), &log, &forbidden);
    search_what_is_kept(path, &data_dir, &environment, canaries, search);
}

/// Searches the files of a stopped server, and the output of the other commands.
fn search_what_is_kept(
    dir: &Path,
    data_dir: &Path,
    environment: &[(&str, &str)],
    canaries: &Canaries,
    search: &mut Search,
) {
    let mut bytes_of_all = Vec::new();
    for file in files(data_dir) {
        let bytes = std::fs::read(&file).unwrap();
        search.look(&format!("{}", file.display()), &bytes, &canaries.secrets());
        bytes_of_all.extend(bytes);
    }
    assert!(String::from_utf8_lossy(&bytes_of_all).contains(requests::INVALID_ID), "these are the files");
    for args in [
        &["inspect", "log"][..],
        &["inspect", "checkpoint"],
        &["inspect", "profile", requests::USER_ID],
        &["check-config"],
    ] {
        let output = run(dir, args, environment);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        search.look(&args.join(" "), &[output.stdout, output.stderr].concat(), &canaries.secrets());
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the test")]
async fn no_secret_gets_out() {
    let (mut canaries, mut search) = (Canaries::default(), Search::default());
    let short = [("info", "json"), ("trace,h2::server=trace,h2::codec=trace", "text")];
    let long = [("info", "text"), ("debug", "json"), ("debug", "text"), ("trace", "json")];
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    for (level, format) in short.into_iter().chain(long.into_iter().filter(|_| is_long)) {
        examine(level, format, &mut canaries, &mut search).await;
    }
    println!(
        "figure: secrets: canaries={} places={} found={}",
        canaries.sent(),
        search.places,
        search.found.len()
    );
    assert!(search.found.is_empty(), "{:#?}", search.found);
}
