//! Jobs of files and their uploads.

use super::*;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt;

const PATH: &str = "/batch-segment";
const FILE: &str = "1:12,0,0\n";

/// A new job's path for its file, and its id.
async fn new_job(client: &Client) -> (String, String) {
    let made = client.post(PATH, &json!({})).await.ok();
    let job_id = made["batch_segment_upload_job"]["job_id"].as_str().unwrap().to_owned();
    (format!("/segment-upload/{job_id}"), job_id)
}

/// Begins a request whose body ends with the connection, or does not come.
async fn begin(kit: &Kit, method: &Method, target: &str, lines: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream
}

/// What the server says until it closes.
async fn answer(mut stream: TcpStream) -> Answer {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    let at = memchr::memmem::find(&received, b"\r\n\r\n").expect("an answer");
    let head = std::str::from_utf8(&received[..at]).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let body = Bytes::copy_from_slice(&received[at + 4..]);
    Answer { status: head[9..12].parse().unwrap(), headers, body }
}

pub(super) async fn examine(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let (anonymous, admin) = (kit.anonymous(), kit.login("admin").await);
    let (provider, reader, stranger) =
        (kit.login("provider").await, kit.login("reader").await, kit.login("stranger").await);
    let long = "x".repeat(2 << 20);
    for (client, target, body, status) in [
        (&provider, PATH, "", 200),
        (&provider, "/batch-segment?replace=12", "{}", 200),
        (&provider, "/batch-segment?replace=x", "{}", 400),
        (&provider, "/batch-segment?replace=4711", "{}", 404),
        (&admin, "/batch-segment?member_id=4711", "{}", 404),
        (&reader, PATH, "{}", 403),
        (&anonymous, PATH, "{}", 401),
        (&provider, PATH, long.as_str(), 413),
    ] {
        examiner.post(client, target, body, status).await;
    }
    let (path, job_id) = new_job(&provider).await;
    let one = format!("/batch-segment?job_id={job_id}");
    examiner.get(&provider, &one, 200).await;
    for method in [Method::POST, Method::PUT] {
        for (file, status) in [(FILE, 200), ("2:12,0,0", 409)] {
            examiner.examine(&anonymous, method.clone(), &path, file, status).await;
        }
        examiner.examine(&stranger, method.clone(), &path, FILE, 403).await;
        examiner.examine(&anonymous, method.clone(), "/segment-upload/4711", FILE, 404).await;
    }
    eventually("the end of the job", async || {
        let job = provider.get(&one).await.ok()["batch_segment_upload_job"].clone();
        (job["phase"] == "completed").then_some(())
    })
    .await;
    for (client, target, status) in [
        (&provider, one.as_str(), 200),
        (&provider, PATH, 200),
        (&provider, "/batch-segment?fields=phase&sort=num_valid.desc", 200),
        (&provider, "/batch-segment/meta", 200),
        (&provider, "/batch-segment?job_id=x", 404),
        (&provider, "/batch-segment?sort=x", 400),
        (&provider, "/batch-segment?member_id=77", 403),
        (&anonymous, PATH, 401),
        (&anonymous, "/batch-segment/meta", 401),
    ] {
        examiner.get(client, target, status).await;
    }
    examiner.send(&provider, "GET", PATH, &long, 413).await;
    refusals(examiner, &provider, &stranger).await;
}

/// Uploads that are broken off, too large, too slow, over a limit, and on a disk that takes nothing.
async fn refusals(examiner: &mut Examiner<'_>, provider: &Client, stranger: &Client) {
    let kit = examiner.kit;
    let mut slow = Vec::new();
    for method in [Method::POST, Method::PUT] {
        for (lines, body, status) in [
            ("Transfer-Encoding: chunked\r\n", "9\r\n1:12,0,0\n\r\nx\r\n", 400),
            ("Content-Length: 1000000000000\r\n", "", 413),
        ] {
            let (path, _) = new_job(provider).await;
            let mut stream = begin(kit, &method, &path, lines, body).await;
            stream.shutdown().await.unwrap();
            let answer = answer(stream).await;
            assert_eq!(answer.status, status, "{method} {lines}");
            examiner.note(&method, &path, &answer);
        }
        let (path, job_id) = new_job(provider).await;
        let stream = begin(kit, &method, &path, "Content-Length: 9\r\n", "1:12").await;
        eventually("the upload to begin", async || {
            let job = provider.get(&format!("/batch-segment?job_id={job_id}")).await.ok();
            (job["batch_segment_upload_job"]["phase"] == "uploading").then_some(())
        })
        .await;
        slow.push((method, path, stream));
    }
    let admin = kit.login("admin").await;
    let limit = json!({"batch_segment_config": {"hourly_byte_limit": 1}}).to_string();
    admin.send(Method::PUT, "/batch-segment-config?member_id=77", &[], limit.into()).await.ok();
    let spool = kit.data_dir().join("files");
    for method in [Method::POST, Method::PUT] {
        let (path, _) = new_job(stranger).await;
        examiner.examine(&kit.anonymous(), method.clone(), &path, FILE, 429).await;
        let (path, _) = new_job(provider).await;
        let away = kit.scratch().join("away");
        std::fs::rename(&spool, &away).unwrap();
        examiner.examine(&kit.anonymous(), method.clone(), &path, FILE, 503).await;
        std::fs::rename(&away, &spool).unwrap();
    }
    kit.clock.advance(91 * 60_000);
    for (method, path, mut stream) in slow {
        stream.write_all(b",0,0\n").await.unwrap();
        let answer = answer(stream).await;
        assert_eq!(answer.status, 408, "{method}");
        examiner.note(&method, &path, &answer);
    }
}
