use super::*;
use tokio::net::TcpListener;

/// A server that takes one connection, reads that many bytes, and answers with those pieces. It gives back what it
/// read.
async fn played(
    pieces: Vec<&'static str>,
    request_bytes: usize,
) -> (Connection, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = vec![0; request_bytes];
        stream.read_exact(&mut request).await.unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        // What comes in unread would break the connection before the client has read it all.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        request
    });
    (Connection::open(address).await.unwrap(), server)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn answers_are_told_apart_wherever_they_are_cut() {
    let pieces = [
        "HTTP/1.1 200 OK\r\nContent-",
        "Length: 5\r\n\r\nab",
        "cdeHTTP/1.1 503 No\r\nRetry-",
        "After: 1\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nin part",
    ];
    let (mut connection, _server) = played(pieces.to_vec(), 10).await;
    let first = connection.exchange(GET).await.unwrap();
    assert_eq!(
        (first.status, &first.body[..], first.header("retry-after")),
        (StatusCode::OK, &b"abcde"[..], None)
    );
    let second = connection.ask(GET, b"", 256).await.unwrap();
    assert_eq!((second.status, &second.start[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"no"[..]));
    assert!(second.says_retry_after);
    let broken = connection.exchange(GET).await.unwrap_err();
    assert_eq!((broken.error.kind(), broken.received_bytes), (ErrorKind::UnexpectedEof, pieces[4].len()));
}

#[tokio::test]
async fn a_request_is_sent_whole_and_a_long_answer_is_not_kept() {
    let long: &'static str = "y".repeat(300_000).leak();
    for body_bytes in [0, 3 << 20] {
        let pieces = vec!["HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n", long];
        let body = vec![b'x'; body_bytes];
        let (mut connection, server) = played(pieces, GET.len() + body_bytes).await;
        assert_eq!(connection.ask(GET, &body, 256).await.unwrap().start.len(), 256);
        drop(connection);
        assert!(server.await.unwrap() == [GET, &body].concat(), "{body_bytes}");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_is_none() {
    for wrong in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "SMTP ready\r\n\r\n",
    ] {
        let (mut connection, _server) = played(vec![wrong], GET.len()).await;
        let error = connection.ask(GET, b"", 256).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{wrong}");
    }
}
