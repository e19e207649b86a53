//! The PROXY protocol, version 2.

use super::*;
use crate::tls::{self, SelfSigned};
use tokio::io::AsyncWrite;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header for a client with this IPv4 address. `parts` follow the addresses.
fn header(client: [u8; 4], parts: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + parts.len()).unwrap().to_be_bytes();
    let ports = [0x12, 0x34, 0, 80];
    [SIGNATURE, &[0x21, 0x11], &length, &client, &[127, 0, 0, 1], &ports, parts].concat()
}

/// A health check of the proxy itself.
fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// The part that says that the client came over TLS.
const SSL: [u8; 8] = [0x20, 0, 5, 1, 0, 0, 0, 0];

async fn start(settings: &[(&str, &str)]) -> Behind {
    let settings = [&[("HTTP__PROXY_PROTOCOL", "true")], settings].concat();
    Behind::start(&settings).await
}

async fn after(server: &Behind, header: &[u8], request: &str) -> String {
    exchange(connect_from(PROXY, server.api()).await, &[header, request.as_bytes()].concat()).await
}

#[tokio::test]
async fn failed_logins_count_for_the_client_in_the_header() {
    let server = start(&[]).await;
    let wrong = |lines: &str| login("Wrong-horse-1", lines);
    for (client, lines, expected) in [
        ([192, 0, 2, 1], "", "401"),
        // It is no proxy, so its headers are its own.
        ([192, 0, 2, 1], "X-Forwarded-For: 192.0.2.9\r\n", "401"),
        ([192, 0, 2, 1], "X-Forwarded-For: 192.0.2.8\r\n", "429"),
        ([192, 0, 2, 2], "", "401"),
        ([192, 0, 2, 9], "", "401"),
        // Two proxies, one after the other.
        ([10, 0, 0, 1], "X-Forwarded-For: 192.0.2.1\r\n", "429"),
        ([10, 0, 0, 1], "X-Forwarded-For: 192.0.2.3\r\n", "401"),
    ] {
        let answer = after(&server, &header(client, &[]), &wrong(lines)).await;
        assert_eq!(status(&answer), expected, "{client:?} {lines}");
    }
    server.wait_for_log("client=192.0.2.1").await;

    // The proxy for itself, and a client at a socket of the proxy's machine: the proxy's address counts.
    let unix = [SIGNATURE, &[0x21, 0x31, 0, 216], &[b'/'; 216]].concat();
    for (header, expected) in [(local(), "401"), (unix, "401"), (local(), "429")] {
        assert_eq!(status(&after(&server, &header, &wrong("")).await), expected);
    }
    server.wait_for_log("client=127.0.0.1").await;
    for cause in ["untrusted", "no_header", "bad_header"] {
        assert_eq!(server.faults(cause).await, 0.0, "{cause}");
    }
    server.server.kill().await;
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let server = start(&[]).await;
    let mut stream = connect_from(PROXY, server.api()).await;
    stream.set_nodelay(true).unwrap();
    let sent = [
        &header([192, 0, 2, 77], &[4, 0, 3, 0, 0, 0])[..],
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ];
    for byte in sent.concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&rest(&mut stream).await), "404");
    server.wait_for_log("client=192.0.2.77").await;
    server.server.kill().await;
}

#[tokio::test]
async fn what_has_no_header_from_a_trusted_proxy_is_closed() {
    let server = start(&[("HTTP__HEADER_TIMEOUT_SECONDS", "1")]).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let good = [&header([192, 0, 2, 1], &[])[..], request].concat();
    assert_eq!(status(&exchange(connect_from(PROXY, server.api()).await, &good).await), "404");

    assert_eq!(exchange(connect_from(STRANGER, server.api()).await, &good).await, "");
    server.wait_for_fault("untrusted").await;
    server.wait_for_log("its address is not in http.trusted_proxies").await;

    let version_1 = [b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", &request[..]].concat();
    for (count, bytes) in
        [&request[..], &version_1, b"\x16\x03\x01\x00\xa5", &good[3..]].into_iter().enumerate()
    {
        assert_eq!(exchange(connect_from(PROXY, server.api()).await, bytes).await, "", "{bytes:?}");
        assert_eq!(server.faults("no_header").await, (count + 1) as f64);
    }
    server.wait_for_log("does not begin with a header of version 2").await;

    let mut bad = good.clone();
    bad[13] = 0x41;
    assert_eq!(exchange(connect_from(PROXY, server.api()).await, &bad).await, "");
    server.wait_for_fault("bad_header").await;

    // One that comes too slowly, and one that does not come at all.
    let before = server.faults("no_header").await;
    for bytes in [&good[..20], b""] {
        assert_eq!(exchange(connect_from(PROXY, server.api()).await, bytes).await, "", "{bytes:?}");
    }
    assert_eq!(server.faults("no_header").await, before + 2.0);

    // A look whether the port is open is no fault.
    let mut look = connect_from(PROXY, server.api()).await;
    look.shutdown().await.unwrap();
    assert_eq!(rest(&mut look).await, "");
    assert_eq!(server.faults("no_header").await, before + 2.0);
    assert_eq!(status(&exchange(connect_from(PROXY, server.api()).await, &good).await), "404", "it goes on");
    server.server.kill().await;
}

#[tokio::test]
async fn tls_at_the_proxy_makes_cookies_secure() {
    let server = start(&[]).await;
    for (parts, is_secure) in [(&[][..], false), (&SSL, true), (&[0x20, 0, 5, 0, 0, 0, 0, 0], false)] {
        let answer = after(&server, &header([192, 0, 2, 1], parts), &login(ia_testkit::PASSWORD, "")).await;
        assert_eq!(status(&answer), "200");
        assert_eq!(answer.contains("; Secure\r\n"), is_secure, "{answer}");
    }
    server.server.kill().await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let certificate = SelfSigned::new();
    let files = TempDir::new().unwrap();
    certificate.write(files.path());
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let server = start(&[("TLS__CERT", &file("cert.pem")), ("TLS__KEY", &file("key.pem"))]).await;
    let connect = async |client: [u8; 4], alpn: &str| {
        let mut stream = connect_from(PROXY, server.api()).await;
        stream.write_all(&header(client, &[])).await.unwrap();
        tls::connect(stream, &[&certificate], alpn).await.unwrap()
    };
    let mut stream = connect([192, 0, 2, 1], "http/1.1").await;
    stream.write_all(login(ia_testkit::PASSWORD, "").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(status(&answer) == "200" && answer.contains("; Secure\r\n"), "{answer}");

    let stream = connect([192, 0, 2, 2], "h2").await;
    assert_eq!(over_http2(stream).await, 404);
    server.wait_for_log("client=192.0.2.2").await;
    server.server.kill().await;
}

/// The status of a GET of something that does not exist.
async fn over_http2(stream: impl tokio::io::AsyncRead + AsyncWrite + Unpin + Send + 'static) -> u16 {
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://localhost/nothing");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap().status().as_u16()
}
