use super::Refused;
use super::chunks::{BodyDecoder, Decoded};
use super::head::{Head, HeadScan, MAX_HEAD_BYTES};
use bytes::{Buf, BytesMut};
use proptest::prelude::*;

/// What is read of a connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Method, target and body.
    requests: Vec<(String, String, Vec<u8>)>,
    refused: Option<Refused>,
    /// How many bytes were not taken.
    rest: usize,
}

/// Reads `sent` in pieces that end at `cuts`, which are in order.
fn read(sent: &[u8], cuts: &[usize]) -> Seen {
    let mut seen = Seen::default();
    let mut received = BytesMut::new();
    let mut scan = HeadScan::default();
    let mut request: Option<(Head, BodyDecoder, Vec<u8>)> = None;
    let mut start = 0;
    for &cut in cuts.iter().chain([&sent.len()]) {
        received.extend_from_slice(&sent[start..cut]);
        start = cut;
        loop {
            if let Some((head, decoder, body)) = &mut request {
                match decoder.decode(&mut received) {
                    Ok(Decoded::Data(data)) => body.extend_from_slice(&data),
                    Ok(Decoded::Incomplete) => break,
                    Ok(Decoded::Ended) => {
                        seen.requests.push((head.method.to_string(), head.uri.to_string(), body.clone()));
                        request = None;
                    }
                    Err(refused) => {
                        // Whoever asks again gets nothing else.
                        received.extend_from_slice(b"\r\n\r\n0\r\n\r\n");
                        assert_eq!(decoder.decode(&mut received), Err(refused));
                        return Seen { refused: Some(refused), ..seen };
                    }
                }
                continue;
            }
            match scan
                .end(&received)
                .and_then(|end| end.map(|end| Ok((scan.parse(&received, end)?, end))).transpose())
            {
                Ok(Some((head, end))) => {
                    received.advance(end);
                    scan = HeadScan::default();
                    let decoder = BodyDecoder::new(head.body_length);
                    request = Some((head, decoder, Vec::new()));
                }
                Ok(None) => break,
                Err(refused) => return Seen { refused: Some(refused), ..seen },
            }
        }
    }
    Seen { rest: received.len(), ..seen }
}

fn every_byte(sent: &str) -> Vec<usize> {
    (0..sent.len()).collect()
}

const POST: &str = "POST /a HTTP/1.1\r\nHost: x\r\n";

#[test]
fn requests_are_read_however_they_come() {
    let requests = [
        "GET /%20?a=b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\r\n\r\nGET http://x/ HTTP/1.0\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHOST:\r\nX: \u{e9}\r\n\r\n".to_owned(),
        format!("{POST}Content-Length: 3\r\n\r\nG\n\0"),
        format!("{POST}Content-Length: \t 0003\t \r\n\r\nabc"),
        format!("{POST}Content-Length: 0\r\n\r\n"),
        format!(
            "{POST}transfer-encoding: Chunked\r\n\r\n2\r\n\n\0\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n"
        ),
        format!("{POST}Transfer-Encoding:chunked\r\n\r\n1 ; x\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n"),
    ];
    let all = requests.concat();
    let whole = read(all.as_bytes(), &[]);
    let seen: Vec<(&str, &str, &[u8])> =
        whole.requests.iter().map(|(method, uri, body)| (&**method, &**uri, &**body)).collect();
    let expected: [(&str, &str, &[u8]); 8] = [
        ("GET", "/%20?a=b", b""),
        ("GET", "http://x/", b""),
        ("OPTIONS", "*", b""),
        ("POST", "/a", b"G\n\0"),
        ("POST", "/a", b"abc"),
        ("POST", "/a", b""),
        ("POST", "/a", b"\n\x000123456789"),
        ("POST", "/a", b"a"),
    ];
    assert_eq!((seen.as_slice(), whole.refused, whole.rest), (expected.as_slice(), None, 0));
    for cut in 0..all.len() {
        assert_eq!(read(all.as_bytes(), &[cut]), whole, "{cut}");
    }
    assert_eq!(read(all.as_bytes(), &every_byte(&all)), whole);
}

#[test]
fn fields_are_as_they_were_sent() {
    let sent = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a\r\ncookie:  b \r\nX:\r\nExpect: 100-Continue\r\n\r\n";
    let mut scan = HeadScan::default();
    let end = scan.end(sent).unwrap().unwrap();
    let head = scan.parse(sent, end).unwrap();
    assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((&head.headers["x"], head.headers.len()), (&"".parse().unwrap(), 5));
    assert!(head.expects_continue && head.keep_alive && head.is_http_11);
}

#[test]
fn a_connection_is_kept_as_client_and_version_say() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
    ] {
        let mut scan = HeadScan::default();
        let end = scan.end(head.as_bytes()).unwrap().unwrap();
        assert_eq!(scan.parse(head.as_bytes(), end).unwrap().keep_alive, expected, "{head:?}");
    }
}

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let faults = [
        "GET / HTTP/1.1\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\n\n".to_owned(),
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.2\r\nHost: x\r\n\r\n".to_owned(),
        "GET a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        format!("{POST}X : y\r\n\r\n"),
        format!("{POST}X: y\r\n z\r\n\r\n"),
        format!("{POST}X: y\rz\r\n\r\n"),
        format!("{POST}X\r\n\r\n"),
        format!("{POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        format!("{POST}Content-Length: 3, 3\r\n\r\nabc"),
        format!("{POST}Content-Length: +3\r\n\r\nabc"),
        format!("{POST}Content-Length:\r\n\r\n"),
        format!("{POST}Content-Length: 9223372036854775808\r\n\r\n"),
        format!("{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{chunks}1\na\r\n0\r\n\r\n"),
        format!("{chunks}1 \r\na\r\n0\r\n\r\n"),
        format!("{chunks}0x1\r\na\r\n0\r\n\r\n"),
        format!("{chunks}\r\na\r\n0\r\n\r\n"),
        format!("{chunks}1;\0\r\na\r\n0\r\n\r\n"),
        format!("{chunks}1\r\nab\r\n0\r\n\r\n"),
        format!("{chunks}1\r\na\n0\r\n\r\n"),
        format!("{chunks}10000000000000000\r\n\r\n"),
        format!("{chunks}ffffffffffffffff\r\n\r\n"),
        format!("{chunks}0\r\nX: y\n\r\n"),
        format!("{chunks}0\r\nX y\r\n\r\n"),
        format!("{chunks}0\r\n\n"),
    ];
    for fault in &faults {
        let sent = format!("{POST}Content-Length: 1\r\n\r\nx{fault}{POST}\r\n");
        for cut in 0..sent.len() {
            let seen = read(sent.as_bytes(), &[cut]);
            assert!(seen.refused.is_some() && seen.requests.len() == 1, "{fault:?}: {seen:?}");
        }
    }
}

#[test]
fn heads_chunk_heads_and_trailers_have_a_bound() {
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    for sent in [
        format!("{POST}X: {}", "y".repeat(MAX_HEAD_BYTES)),
        format!("{POST}{}\r\n", "X: y\r\n".repeat(100)),
        "\r\n".repeat(MAX_HEAD_BYTES),
        format!("{chunks}1;{}", "y".repeat(4 << 10)),
        format!("{chunks}0\r\n{}", "X: y\r\n".repeat(1400)),
    ] {
        assert_eq!(read(sent.as_bytes(), &[]).refused, Some(Refused::TooLarge), "{}", &sent[..60]);
        assert_eq!(read(sent.as_bytes(), &every_byte(&sent)).refused, Some(Refused::TooLarge));
    }
    let most = format!("{POST}{}\r\n", "X: y\r\n".repeat(99));
    assert_eq!(read(most.as_bytes(), &[]).requests.len(), 1);
}

#[test]
fn what_is_no_http_is_refused_before_it_ends() {
    for sent in ["\0\0", "\x16\x03\x01", "SSH-2.0-OpenSSH_9.9\r\n", " GET", "PROXY TCP4 192.0.2.1\r\n"] {
        assert_eq!(read(sent.as_bytes(), &[]).refused, Some(Refused::Malformed), "{sent:?}");
    }
}

proptest! {
    /// However the bytes come, the same is read of them.
    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "Host: x\r\n", "\r\n", "\n", "\r", "0\r\n", "3\r\n",
                "abc", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", " ", ":", "1;a\r\n", "X: y\r\n",
            ]),
            0..30,
        ),
        cuts in prop::collection::vec(0_usize..200, 0..6),
    ) {
        let sent = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(sent.len())).collect();
        cuts.sort_unstable();
        let (whole, pieces) = (read(sent.as_bytes(), &[]), read(sent.as_bytes(), &cuts));
        prop_assert_eq!(&whole.requests, &pieces.requests);
        prop_assert_eq!(whole.refused.is_some(), pieces.refused.is_some());
    }
}
