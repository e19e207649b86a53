//! A renewed certificate is taken over by the running server.

use crate::tls::{self, SelfSigned};
use ia_testkit::{Installation, Metrics, ServerProcess, eventually, send};
use rustix::process::Signal;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_instant-audience"))
}

/// The real binary with TLS. Its files are in a folder that is a link, as Kubernetes mounts them.
struct Served {
    server: ServerProcess,
    installation: Installation,
    folder: TempDir,
}

impl Served {
    async fn start(first: &SelfSigned) -> Served {
        let folder = TempDir::new().unwrap();
        let link = folder.path().join("live");
        let file = |name: &str| link.join(name).to_str().unwrap().to_owned();
        let settings = [("TLS__CERT", file("cert.pem")), ("TLS__KEY", file("key.pem"))];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        put(folder.path(), "first", first);
        let data_dir = folder.path().join("data");
        let installation = Installation::create(binary(), &data_dir, folder.path(), "{}").unwrap();
        let installation = installation.with_all(&settings);
        let server = installation.start().await.unwrap();
        Served { server, installation, folder }
    }

    fn live(&self) -> PathBuf {
        self.folder.path().join("live")
    }

    /// Puts a pair into the place of the one before, in one step.
    fn renew(&self, name: &str, pair: &SelfSigned) {
        put(self.folder.path(), name, pair);
    }

    fn hang_up(&self) {
        hang_up(&self.server);
    }

    /// Waits until new connections get this certificate.
    async fn wait_for(&self, pair: &SelfSigned) {
        eventually("the new certificate", async || self.connect(pair).await.ok()).await;
    }

    async fn connect(
        &self,
        pair: &SelfSigned,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        tls::connect(TcpStream::connect(self.server.api).await.unwrap(), &[pair], "http/1.1").await
    }

    async fn metric(&self, name: &str) -> f64 {
        let answer = send(self.server.ops, hyper::Method::GET, "/metrics", &[], bytes::Bytes::new()).await;
        Metrics(String::from_utf8(answer.body.to_vec()).unwrap()).get(name).expect(name)
    }

    fn log(&self) -> String {
        self.installation.log_since(0)
    }
}

fn put(folder: &Path, name: &str, pair: &SelfSigned) {
    std::fs::create_dir(folder.join(name)).unwrap();
    pair.write(&folder.join(name));
    symlink(name, folder.join("next")).unwrap();
    std::fs::rename(folder.join("next"), folder.join("live")).unwrap();
}

fn hang_up(server: &ServerProcess) {
    server.process().signal(Signal::HUP).unwrap();
}

async fn request(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}}") {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

const EXPIRY: &str = "tls_certificate_expiration_timestamp_seconds";

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (first, second) = (SelfSigned::until(2090), SelfSigned::until(2091));
    let served = Served::start(&first).await;
    let mut old = served.connect(&first).await.unwrap();
    assert!(request(&mut old).await.starts_with("HTTP/1.1 404"));
    assert_eq!(served.metric(EXPIRY).await, 3_786_912_000.0, "2090-01-01");

    served.renew("second", &second);
    served.wait_for(&second).await;
    assert!(served.connect(&first).await.is_err(), "nobody gets the old one any more");
    assert!(request(&mut old).await.starts_with("HTTP/1.1 404"));
    eventually("the time of its expiry", async || {
        (served.metric(EXPIRY).await == 3_818_448_000.0).then_some(())
    })
    .await;
    assert_eq!(served.metric("tls_reload_failures_total").await, 0.0);
    assert!(served.log().contains("a new certificate is in force"), "{}", served.log());
    served.server.kill().await;
}

#[tokio::test]
async fn a_bad_new_pair_is_refused_and_the_old_one_stays() {
    let (first, second) = (SelfSigned::new(), SelfSigned::new());
    let served = Served::start(&first).await;
    // Half of a renewal: the key is still the old one.
    std::fs::write(served.live().join("cert.pem"), second.cert_pem()).unwrap();
    eventually("the refusal", async || {
        (served.metric("tls_reload_failures_total").await == 1.0).then_some(())
    })
    .await;
    assert!(served.log().contains("the new certificate is refused"), "{}", served.log());
    assert!(served.log().contains("do not go together"), "{}", served.log());
    served.connect(&first).await.expect("the old one");
    // On SIGHUP it is said again.
    served.hang_up();
    eventually("the refusal", async || {
        (served.metric("tls_reload_failures_total").await == 2.0).then_some(())
    })
    .await;
    served.connect(&first).await.expect("the old one");
    std::fs::write(served.live().join("key.pem"), second.key_pem()).unwrap();
    served.wait_for(&second).await;

    // A file that is gone, one that is no PEM, and one in which a key has lost its line ends.
    let one_line = SelfSigned::new().key_pem().replace('\n', "");
    let secret = one_line[40..60].to_owned();
    let remains = |what: &'static str| {
        let served = &served;
        let second = &second;
        async move {
            eventually(what, async || served.log().contains(what).then_some(())).await;
            served.connect(second).await.expect("the old one");
        }
    };
    std::fs::write(served.live().join("key.pem"), &one_line).unwrap();
    remains("a section does not end").await;
    std::fs::write(served.live().join("key.pem"), "").unwrap();
    remains("holds no valid private key in PEM: there is none in it").await;
    std::fs::remove_file(served.live().join("key.pem")).unwrap();
    remains("cannot read the private key").await;
    let key_bytes = format!("{:?}", &one_line.as_bytes()[40..60]);
    let log = served.log();
    assert!(!log.contains(&secret) && !log.contains(key_bytes.trim_matches(['[', ']'])), "{log}");

    // An expired one is the operator's own business, and said.
    let expired = SelfSigned::until(2001);
    expired.write(&served.live());
    eventually("the warning", async || served.log().contains("the certificate has expired").then_some(()))
        .await;
    served.server.kill().await;
}

#[tokio::test]
async fn on_sighup_the_files_are_looked_at_and_without_tls_it_does_nothing() {
    let first = SelfSigned::new();
    let served = Served::start(&first).await;
    served.hang_up();
    eventually("a word about it", async || {
        served.log().contains("the certificate in the files is the one in force").then_some(())
    })
    .await;
    served.connect(&first).await.unwrap();
    served.server.terminate();
    assert!(served.server.wait().await.success());

    let folder = TempDir::new().unwrap();
    let installation =
        Installation::create(binary(), &folder.path().join("data"), folder.path(), "{}").unwrap();
    let server = installation.start().await.unwrap();
    hang_up(&server);
    eventually("a word about it", async || {
        installation.log_since(0).contains("without a certificate there is nothing").then_some(())
    })
    .await;
    let answer = send(server.ops, hyper::Method::GET, "/readyz", &[], bytes::Bytes::new()).await;
    assert_eq!(answer.status, 200);
    server.terminate();
    assert!(server.wait().await.success());
}

#[test]
fn a_key_that_cannot_be_read_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let pair = SelfSigned::new();
    pair.write(folder.path());
    let one_line = pair.key_pem().replace('\n', "");
    std::fs::write(folder.path().join("key.pem"), &one_line).unwrap();
    std::fs::write(folder.path().join("ia.toml"), "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n").unwrap();
    let mut command = std::process::Command::new(binary());
    let output =
        command.args(["check-config", "--config", "ia.toml"]).current_dir(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("key.pem holds no valid private key"), "{error}");
    let key_bytes = format!("{:?}", &one_line.as_bytes()[40..60]);
    assert!(
        !error.contains(&one_line[40..60]) && !error.contains(key_bytes.trim_matches(['[', ']'])),
        "{error}"
    );
}
