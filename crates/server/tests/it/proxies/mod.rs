//! The server behind a proxy: who is believed, and what then depends on the client that the proxy names. The proxy is
//! this test, on 127.0.0.1; 127.0.0.2 is somebody else.

mod headers;
mod protocol;

use ia_testkit::{Installation, Metrics, ServerProcess, eventually, send};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PROXY: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How many logins may fail from one address.
const MAX_FAILURES: u32 = 2;

/// The real binary behind a proxy.
struct Behind {
    server: ServerProcess,
    installation: Installation,
    _folder: TempDir,
}

impl Behind {
    async fn start(settings: &[(&str, &str)]) -> Behind {
        let folder = TempDir::new().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
        let installation =
            Installation::create(binary, &folder.path().join("data"), folder.path(), &catalog())
                .unwrap()
                .with_all(&[
                    ("HTTP__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
                    ("LIMITS__FAILED_LOGINS_PER_ADDRESS_PER_FIVE_MINUTES", &MAX_FAILURES.to_string()),
                    ("LIMITS__FAILED_LOGINS_PER_USER_PER_FIVE_MINUTES", "0"),
                    ("PIXELS__ENABLED", "true"),
                ])
                .with_all(settings);
        let server = installation.start().await.unwrap();
        Behind { server, installation, _folder: folder }
    }

    fn api(&self) -> SocketAddr {
        self.server.api
    }

    /// How often this fault was counted.
    async fn faults(&self, cause: &str) -> f64 {
        let answer = send(self.server.ops, hyper::Method::GET, "/metrics", &[], bytes::Bytes::new()).await;
        let metrics = Metrics(String::from_utf8(answer.body.to_vec()).unwrap());
        metrics.get(&format!("proxy_faults_total{{cause=\"{cause}\"}}")).unwrap_or(0.0)
    }

    async fn wait_for_fault(&self, cause: &str) {
        eventually(cause, async || (self.faults(cause).await > 0.0).then_some(())).await;
    }

    async fn wait_for_log(&self, words: &str) {
        eventually(words, async || self.installation.log_since(0).contains(words).then_some(())).await;
    }
}

fn catalog() -> String {
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [{"username": "provider", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "member"}],
    })
    .to_string()
}

/// A connection from one of the addresses of this machine.
async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends bytes and reads until the server closes.
async fn exchange(mut stream: TcpStream, bytes: &[u8]) -> String {
    // A server that closes at once may reset the connection before all is sent.
    let _ = stream.write_all(bytes).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A login with further header lines, of which each ends with CR LF.
fn login(password: &str, lines: &str) -> String {
    let body = json!({"auth": {"username": "provider", "password": password}}).to_string();
    format!(
        "POST /auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The status of an answer in HTTP/1.1.
fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}
