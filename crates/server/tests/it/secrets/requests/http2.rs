//! The same requests over HTTP/2.

use super::*;

/// Secrets over HTTP/2: in valid requests, and in a target that no server can read.
pub(in super::super) async fn over_http2(server: &ServerProcess, canaries: &mut Canaries) {
    let stream = TcpStream::connect(server.api).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for token in [canaries.token(), canaries.tokens[0].clone()] {
        let target = format!("http://x/user-segment?user_id={USER_ID}&access_token={token}");
        let request = hyper::Request::builder()
            .uri(target)
            .header("authorization", token.clone())
            .header("cookie", format!("ia_token={token}"))
            .body(Full::<Bytes>::default())
            .unwrap();
        sender.send_request(request).await.unwrap();
    }
    drop(sender);
    let _ = connection.await;
    let token = canaries.token();
    for (authority, path) in [
        ("x", format!("/user-segment?access_token={token} and a space")),
        ("x", format!("/\u{7f}{token}")),
        (&*format!("a b {token}"), "/".to_owned()),
    ] {
        let mut stream = TcpStream::connect(server.api).await.unwrap();
        stream.write_all(&raw_http2_request(authority, &path)).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// The preface, empty settings, and one HEADERS frame with its fields written out.
fn raw_http2_request(authority: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
    {
        // A literal that is not indexed, with a new name; both are shorter than 127 bytes.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|&length| length < 127).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&[0, 0, u8::try_from(block.len()).expect("short")]);
    // HEADERS, with the end of the stream and of the headers, on stream 1.
    bytes.extend_from_slice(&[1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    bytes
}
