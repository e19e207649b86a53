//! Bodies that do not match their heads: too long, never sent, endless.

use super::Tally;
use super::table::gzip;
use ia_testkit::{Client, ServerProcess};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to end a connection that it must end; only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(40);

/// A server that has not refused after this many bytes would take any number.
const ENOUGH_BYTES: usize = 64 << 20;

/// The user in these bodies.
const CANARY: &str = "6000000001";

/// Name, head, start of the body, endless rest of the body, and status of the answer.
type Trick<'a> = (&'static str, String, Vec<u8>, &'a [u8], Option<u16>);

/// Sends all cases at once.
pub(super) async fn run(server: &ServerProcess, client: &Client, tally: &mut Tally) {
    let token = client.token.clone().unwrap();
    let body = format!(r#"{{"rt_segment": [{{"user_id": "{CANARY}", "seg_block": [{{"seg_id": 12}}]}}]}}"#);
    let head = |token: &str, fields: &str| {
        format!("POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{fields}\r\n")
    };
    let spaces = vec![b' '; 1 << 20];
    let chunk = [b"100000\r\n", &spaces[..], b"\r\n"].concat();
    let packed = gzip(body.clone().into_bytes());
    let gigabyte = "Content-Length: 1073741824\r\n";
    let cases: [Trick<'_>; 9] = [
        ("a gigabyte, never sent", head(&token, gigabyte), Vec::new(), b"", Some(413)),
        ("a gigabyte", head(&token, gigabyte), Vec::new(), &spaces, Some(413)),
        ("a gigabyte without a token", head("x", gigabyte), Vec::new(), &spaces, Some(401)),
        (
            "a gigabyte in chunks",
            head(&token, "Transfer-Encoding: chunked\r\n"),
            Vec::new(),
            &chunk,
            Some(413),
        ),
        (
            "a gigabyte in one chunk",
            head(&token, "Transfer-Encoding: chunked\r\n"),
            b"40000000\r\n".to_vec(),
            &spaces,
            Some(413),
        ),
        (
            "a packed gigabyte, never sent",
            head(&token, &format!("Content-Encoding: gzip\r\n{gigabyte}")),
            packed.clone(),
            b"",
            Some(413),
        ),
        (
            "ten megabytes that are not read",
            "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n".to_owned(),
            Vec::new(),
            &spaces,
            Some(404),
        ),
        (
            "a length that is too long",
            head(&token, &format!("Content-Length: {}\r\n", body.len() + 1)),
            body.clone().into_bytes(),
            b"",
            None,
        ),
        (
            "a packed one with a length that is too long",
            head(&token, &format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len() + 1)),
            packed,
            b"",
            None,
        ),
    ];
    let api = server.api;
    let sent = cases.map(|(name, head, front, endless, expected)| {
        let (front, endless) = ([head.as_bytes(), &front].concat(), endless.to_vec());
        // If nothing follows and no answer is expected, the client closes its side.
        (name, expected, tokio::spawn(send(api, front, endless, expected.is_none())))
    });
    for (name, expected, sending) in sent {
        let status = sending.await.expect("no panic");
        match (status, expected) {
            (Ok(status), expected) => {
                if let Some(status) = status {
                    tally.count(status);
                }
                let is_fine = match expected {
                    Some(expected) => status == Some(expected),
                    None => status.is_none_or(|status| (400..500).contains(&status)),
                };
                if !is_fine {
                    tally.faults.push(format!("{name}: expected {expected:?}, got {status:?}"));
                }
            }
            (Err(fault), _) => tally.faults.push(format!("{name}: {fault}")),
        }
        if !client.segments_of(CANARY).await.is_empty() {
            tally.faults.push(format!("{name}: applied, and it was not whole"));
        }
    }
}

/// The status of the answer, if any, to a request that repeats `endless` without end.
async fn send(
    api: SocketAddr,
    front: Vec<u8>,
    endless: Vec<u8>,
    is_ended: bool,
) -> Result<Option<u16>, &'static str> {
    let stream = TcpStream::connect(api).await.expect("the server listens");
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        if writer.write_all(&front).await.is_err() {
            return Ok(writer);
        }
        let mut sent = 0;
        while !endless.is_empty() && sent < ENOUGH_BYTES {
            if writer.write_all(&endless).await.is_err() {
                return Ok(writer);
            }
            sent += endless.len();
        }
        if sent >= ENOUGH_BYTES {
            return Err("all was taken");
        }
        if is_ended {
            let _ = writer.shutdown().await;
        }
        Ok(writer)
    };
    let receiving = async {
        let mut received = Vec::new();
        // A reset also closes the connection.
        while reader.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
        let status = received.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        status.filter(|_| received.starts_with(b"HTTP/1.1 "))
    };
    let both = timeout(PATIENCE, async { tokio::join!(sending, receiving) });
    let (sent, status) = both.await.map_err(|_| "the connection is not closed")?;
    sent.map(|_writer| status)
}
