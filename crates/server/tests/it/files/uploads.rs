//! Sending files: in every form, again, too late, cut off, several at a time.

use super::*;
use ia_testkit::Kit;
use serde_json::json;

const MINUTE_MS: u64 = 60_000;

/// A file of one line, which puts that user into segment 12.
fn line(user: usize) -> String {
    format!("{user}:12,0,0\n")
}

#[tokio::test]
async fn any_form_of_request_carries_a_file() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut user = 0;
    for (method, headers) in [
        (Method::POST, vec![]),
        (Method::PUT, vec![]),
        (Method::POST, vec![("content-type", "octet-stream")]),
        (Method::POST, vec![("content-type", "application/octet-stream")]),
        (Method::POST, vec![("content-type", "text/plain; charset=latin1")]),
        (Method::POST, vec![("content-type", "application/x-www-form-urlencoded")]),
        (Method::POST, vec![("content-type", "application/json")]),
        (Method::PUT, vec![("content-type", "multipart/form-data; boundary=x")]),
        (Method::POST, vec![("content-type", "a"), ("content-type", "b")]),
    ] {
        for is_packed in [false, true] {
            for says_so in [false, true] {
                user += 1;
                let mut headers = headers.clone();
                if is_packed && says_so {
                    headers.push(("content-encoding", "gzip"));
                }
                let file = if is_packed { gzip(line(user)) } else { line(user).into_bytes() };
                let new = NewJob::make(&provider).await;
                let answer = send(kit.api(), method.clone(), &new.path, &headers, file.into()).await.ok();
                assert_eq!(answer["segment_upload"], json!({"job_id": new.id}), "{method} {headers:?}");
                let job = end_of(&provider, &new.id).await;
                assert_eq!(counted(&job), [("num_valid", 1), ("num_valid_user", 1)], "{method} {headers:?}");
                assert_eq!(provider.segments_of(&user.to_string()).await, [12], "{method} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_comes_in_chunks_after_a_continue_and_over_http_1_0() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for (index, (head, body)) in [
        ("HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", "6\r\n1:12,0\r\n3\r\n,0\n\r\n0\r\n\r\n"),
        ("HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n", "3:12,0,0"),
        ("HTTP/1.0\r\nContent-Length: 8\r\n", "4:12,0,0"),
        ("HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let new = NewJob::make(&provider).await;
        let mut raw = Raw::open(kit.api()).await;
        assert!(raw.send(format!("POST {} {head}\r\n{body}", new.path)).await);
        let (status, response) = raw.answer().await.expect("an answer");
        assert_eq!(status, 200, "{head}: {response}");
        let job = end_of(&provider, &new.id).await;
        assert_eq!(job["phase"], "completed", "{head}: {job}");
        let valid = u64::from(![1, 4].contains(&index));
        assert_eq!(job["num_valid"], valid, "{head}");
        assert_eq!(provider.segments_of(&(index + 1).to_string()).await.len() as u64, valid, "{head}");
    }
}

#[tokio::test]
async fn the_same_bytes_again_are_ok_and_other_bytes_are_not() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let file = gzip((1..=100).map(line).collect::<String>());
    let new = NewJob::make(&provider).await;
    new.upload(kit.api(), file.clone()).await.ok();
    for _ in 0..2 {
        new.upload(kit.api(), file.clone()).await.ok();
        let other = [file.clone(), line(101).into_bytes(), b"".to_vec(), file[..file.len() - 1].to_vec()];
        for bytes in &other[1..] {
            let refused = new.upload(kit.api(), bytes.clone()).await;
            assert_eq!(refused.outcome(), (409, Some("INTEGRITY".to_owned())));
        }
        let job = end_of(&provider, &new.id).await;
        assert_eq!(counted(&job), [("num_valid", 100), ("num_valid_user", 100)]);
        kit.clock.advance(6 * MINUTE_MS);
    }
    // After a restart, too.
    let mut kit = kit;
    kit.restart().await;
    new.upload(kit.api(), file.clone()).await.ok();
    assert_eq!(new.upload(kit.api(), line(101)).await.status, 409);
    let provider = kit.login("provider").await;
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_users"], &report["num_valid_adds"]), (&json!(100), &json!(100)));
}

#[tokio::test]
async fn the_same_bytes_are_ok_while_the_first_upload_still_runs() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let file: String = (1..=1000).map(line).collect();
    let new = NewJob::make(&provider).await;
    let mut first = begin(kit.api(), &new, file.len(), &file.as_bytes()[..50]).await;
    wait_for(&provider, &new.id, "uploading").await;
    let again = {
        let (new, server, file) = (new.clone(), kit.api(), file.clone());
        tokio::spawn(async move { new.upload(server, file).await })
    };
    let other = {
        let (new, server) = (new.clone(), kit.api());
        tokio::spawn(async move { new.upload(server, line(5)).await })
    };
    tokio::task::yield_now().await;
    assert!(first.send(&file.as_bytes()[50..]).await);
    assert_eq!(first.answer().await.expect("an answer").0, 200);
    again.await.unwrap().ok();
    assert_eq!(other.await.unwrap().outcome(), (409, Some("INTEGRITY".to_owned())));
    let job = end_of(&provider, &new.id).await;
    assert_eq!(counted(&job), [("num_valid", 1000), ("num_valid_user", 1000)]);

    // Of two that begin at once one is the first.
    let new = NewJob::make(&provider).await;
    let (one, two) = tokio::join!(new.upload(kit.api(), file.clone()), new.upload(kit.api(), file.clone()));
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (200, 200));
    assert_eq!(end_of(&provider, &new.id).await["num_valid"], 1000);
    // A client that has not waited for its answer.
    let new = NewJob::make(&provider).await;
    drop(begin(kit.api(), &new, file.len(), file.as_bytes()).await);
    eventually("the same file to be there", async || {
        let answer = new.upload(kit.api(), file.clone()).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(end_of(&provider, &new.id).await["num_valid"], 1000);
}

#[tokio::test]
async fn an_upload_begins_within_five_minutes() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let in_time = NewJob::make(&provider).await;
    let late = NewJob::make(&provider).await;
    kit.clock.advance(5 * MINUTE_MS);
    in_time.upload(kit.api(), line(1)).await.ok();
    kit.clock.advance(1);
    // For the second time it has ended already.
    for _ in 0..2 {
        let refused = late.upload(kit.api(), line(2)).await;
        assert_eq!(refused.outcome(), (404, Some("SYNTAX".to_owned())), "{}", refused.text());
    }
    let job = job(&provider, &late.id).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("uploading-error")));
    assert_eq!(job["percent_complete"], 0);
    assert_eq!(provider.segments_of("2").await, [] as [u64; 0]);
    assert_eq!(end_of(&provider, &in_time.id).await["phase"], "completed");
    for path in ["x", "..", &"x".repeat(40), &"x".repeat(4000), "%00", "%C3%A9", "%ff"] {
        let answer =
            send(kit.api(), Method::POST, &format!("/segment-upload/{path}"), &[], line(3).into()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let read = kit.anonymous().get(&in_time.path).await;
    assert_eq!(read.status, 404, "a file is not given back");
}

#[tokio::test]
async fn jobs_that_no_file_came_for_end_by_themselves() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let new = NewJob::make(&provider).await;
    kit.clock.advance(5 * MINUTE_MS + 1);
    // Housekeeping comes with the start.
    kit.restart().await;
    let provider = kit.login("provider").await;
    let job = end_of(&provider, &new.id).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("uploading-error")));
    assert_eq!(new.upload(kit.api(), line(1)).await.outcome(), (404, Some("SYNTAX".to_owned())));
}

#[tokio::test]
async fn an_upload_ends_within_ninety_minutes() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let file: String = (1..=100).map(line).collect();
    let (first, rest) = file.as_bytes().split_at(100);
    for (minutes, expected) in [(90, 200), (91, 408)] {
        let new = NewJob::make(&provider).await;
        let mut raw = begin(kit.api(), &new, file.len(), first).await;
        wait_for(&provider, &new.id, "uploading").await;
        kit.clock.advance(minutes * MINUTE_MS);
        assert!(raw.send(rest).await);
        let (status, response) = raw.answer().await.expect("an answer");
        assert_eq!(status, expected, "{response}");
        let provider = kit.login("provider").await;
        let job = end_of(&provider, &new.id).await;
        if expected == 408 {
            let codes = (&response["error_id"], &response["error_code"]);
            assert_eq!(codes, (&json!("LIMIT"), &json!("RATE_LIMIT_EXCEEDED")));
            assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("uploading-error")));
            assert_eq!(counted(&job), []);
            assert_eq!(
                new.upload(kit.api(), file.clone()).await.outcome(),
                (409, Some("INTEGRITY".to_owned()))
            );
        }
    }
}

#[tokio::test]
async fn a_broken_upload_applies_nothing() {
    let kit = Kit::builder().config(|config| config.http.idle_timeout_seconds = 2).start().await;
    let provider = kit.login("provider").await;
    // Larger than what is gathered before it is written.
    let text: String = (1..=40_000).map(|user| line(9_000_000_000 + user)).collect();
    let packed = gzip(&text);
    let mut broken = Vec::new();
    for file in [text.as_bytes(), &packed] {
        for sent in [0, 1, 13, file.len() / 2, file.len() - 1] {
            let new = NewJob::make(&provider).await;
            let mut raw = begin(kit.api(), &new, file.len(), &file[..sent]).await;
            if sent > 0 {
                wait_for(&provider, &new.id, "uploading").await;
            }
            raw.0.shutdown().await.unwrap();
            // Whatever is answered, it is no success.
            if let Some((status, response)) = raw.answer().await {
                assert!((400..500).contains(&status), "{status} {response}");
            }
            broken.push(new);
        }
    }
    // In chunks, where only the last one tells the end; a length that never comes; a connection that is reset.
    let chunks = format!("{:x}\r\n{text}\r\n", text.len());
    for (lines, body, is_closed) in [
        ("Transfer-Encoding: chunked\r\n", chunks.as_str(), true),
        ("Transfer-Encoding: chunked\r\n", "5\r\n1:12,", true),
        ("Transfer-Encoding: chunked\r\n", "9\r\n1:12,0,0\n\r\nx\r\n", true),
        ("Content-Length: 1000000000000\r\n", "1:12,0,0\n", true),
        ("Content-Length: 1000\r\n", "1:12,0,0\n", false),
    ] {
        let new = NewJob::make(&provider).await;
        let mut raw = Raw::open(kit.api()).await;
        let _ = raw.send(format!("POST {} HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}", new.path)).await;
        if is_closed {
            let _ = raw.0.shutdown().await;
        }
        if let Some((status, response)) = raw.answer().await {
            assert!((400..500).contains(&status), "{lines}: {status} {response}");
        }
        broken.push(new);
    }
    for new in &broken {
        let job = end_of(&provider, &new.id).await;
        assert_eq!(job["phase"], "error", "{job}");
        assert!(
            ["uploading-error", "FILESIZE_LIMIT_EXCEEDED"].contains(&job["error_code"].as_str().unwrap()),
            "{job}"
        );
        assert_eq!(counted(&job), []);
        assert!(job.get("uploaded_time").is_none() && job.get("completed_time").is_none(), "{job}");
    }
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_users"], &report["num_valid_adds"]), (&json!(0), &json!(0)));
    let folder = kit.data_dir().join("files");
    eventually("the pieces to be gone", async || {
        (std::fs::read_dir(&folder).unwrap().count() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn files_come_at_the_same_time() {
    let kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let mut uploads = Vec::new();
    for index in 0..6_usize {
        let (client, segment) = if index % 3 == 2 { (&stranger, 777) } else { (&provider, 12) };
        let new = NewJob::make(client).await;
        let file: String =
            (1..=2000).map(|user| format!("{}:{segment},0,0\n", index * 10_000 + user)).collect();
        let raw = begin(kit.api(), &new, file.len(), &file.as_bytes()[..1000]).await;
        uploads.push((client, new, raw, file));
    }
    for (client, new, ..) in &uploads {
        wait_for(client, &new.id, "uploading").await;
    }
    for (_, _, raw, file) in uploads.iter_mut().rev() {
        assert!(raw.send(&file.as_bytes()[1000..]).await);
        assert_eq!(raw.answer().await.expect("an answer").0, 200);
    }
    for (client, new, ..) in &uploads {
        let job = end_of(client, &new.id).await;
        assert_eq!(counted(&job), [("num_valid", 2000), ("num_valid_user", 2000)]);
    }
    assert_eq!(provider.segments_of("12000").await, [12]);
    assert_eq!(stranger.segments_of("52000").await, [777]);
}

#[tokio::test]
async fn the_path_is_the_credential_and_anothers_token_is_refused() {
    let kit = Kit::start().await;
    let (provider, stranger, admin, reader) = (
        kit.login("provider").await,
        kit.login("stranger").await,
        kit.login("admin").await,
        kit.login("reader").await,
    );
    let unknown = Client { token: Some("hbapi:1:unknown:ia1".to_owned()), ..kit.anonymous() };
    let mut user = 0;
    for (client, expected) in [
        (&kit.anonymous(), 200),
        (&unknown, 200),
        (&provider, 200),
        (&reader, 200),
        (&admin, 200),
        (&stranger, 403),
    ] {
        user += 1;
        let new = NewJob::make(&provider).await;
        let answer = client.post_bytes(&new.path, &[], line(user)).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
        if expected == 200 {
            assert_eq!(end_of(&provider, &new.id).await["num_valid"], 1);
            continue;
        }
        assert_eq!(answer.outcome().1.as_deref(), Some("UNAUTH"));
        let cookie = format!("ia_token={}", client.token.as_deref().unwrap());
        let by_cookie = [("cookie", cookie.as_str())];
        let answer = send(kit.api(), Method::PUT, &new.path, &by_cookie, line(user).into()).await;
        assert_eq!(answer.status, 403);
        // That does not use it up.
        assert_eq!(job(&provider, &new.id).await["phase"], "starting");
        new.upload(kit.api(), line(user)).await.ok();
    }
}
