//! `/batch-segment`: making jobs, one job as it goes, and the list of them.

use super::*;
use ia_testkit::Kit;
use serde_json::json;

#[tokio::test]
async fn a_new_job_is_always_one_object() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut seen = Vec::new();
    for (target, headers, body) in [
        ("/batch-segment", &[][..], &b""[..]),
        ("/batch-segment?member_id=958", &[("content-type", "application/json")], b"{}"),
        ("/batch-segment?member_id=958", &[("content-type", "application/x-www-form-urlencoded")], b""),
        ("/batch-segment", &[("content-type", "application/x-www-form-urlencoded")], b"a=b&c"),
        ("/batch-segment?array=true", &[], b"{\"batch_segment_upload_job\": {\"job_id\": 5, \"x\": []}}"),
        ("/batch-segment", &[("content-type", "octet-stream")], b"{not JSON \xff\0"),
    ] {
        let answer = provider.post_bytes(target, headers, body).await.ok();
        let numbers = ["start_element", "count", "num_elements"].map(|name| answer[name].as_u64());
        assert_eq!(numbers, [Some(0), Some(1), Some(100)], "{target} {answer}");
        assert_eq!(answer["dbg_info"]["output_term"], TERM);
        let shown = answer[TERM].as_object().expect("one object");
        let mut names: Vec<&str> = shown.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["id", "job_id", "last_modified", "member_id", "upload_url"]);
        assert_eq!((&shown["id"], &shown["member_id"]), (&answer["id"], &json!(958)));
        assert_eq!(shown["last_modified"], "2026-01-31 13:00:00");
        let job_id = shown["job_id"].as_str().unwrap();
        assert!(job_id.len() == 40 && job_id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{job_id}");
        let url = format!("http://{}/segment-upload/{job_id}", provider.address);
        assert_eq!(shown["upload_url"], json!(url));
        seen.push(job_id.to_owned());
        seen.push(shown["id"].to_string());
    }
    let made = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), made, "a job is never another one");
    // A second job does not end the first.
    let phases = provider.get("/batch-segment?fields=phase").await.ok();
    assert_eq!(phases["count"], 6);
    assert!(phases[TERM].as_array().unwrap().iter().all(|job| job["phase"] == "starting"), "{phases}");
    let fault = provider.post_bytes("/batch-segment", &[("content-encoding", "br")], "x").await;
    assert_eq!(fault.outcome(), (400, Some("SYNTAX".to_owned())));
}

#[tokio::test]
async fn a_member_makes_jobs_for_itself_and_an_admin_for_all() {
    let kit = Kit::start().await;
    let (provider, stranger, admin) =
        (kit.login("provider").await, kit.login("stranger").await, kit.login("admin").await);
    let of = async |client: &Client, target: &str| client.post_bytes(target, &[], "").await;
    for target in ["/batch-segment?member_id=77", "/batch-segment?member_id=4711"] {
        assert_eq!(of(&provider, target).await.outcome(), (403, Some("UNAUTH".to_owned())), "{target}");
    }
    for target in ["/batch-segment?member_id=x", "/batch-segment?member_id=958&member_id=77"] {
        assert_eq!(of(&provider, target).await.outcome(), (400, Some("SYNTAX".to_owned())), "{target}");
    }
    assert_eq!(of(&kit.anonymous(), "/batch-segment").await.outcome(), (401, Some("NOAUTH".to_owned())));
    let reader = kit.login("reader").await;
    assert_eq!(of(&reader, "/batch-segment").await.outcome(), (403, Some("UNAUTH".to_owned())));
    let made = of(&admin, "/batch-segment?member_id=77").await.ok();
    assert_eq!(made[TERM]["member_id"], 77);
    let new = NewJob::of(&made[TERM]);
    new.upload(kit.api(), "1:777,0,0").await.ok();
    assert_eq!(end_of(&stranger, &new.id).await["num_valid"], 1);
    // It is the job's member that writes.
    assert_eq!(stranger.segments_of("1").await, [777]);
    // Nobody else sees it, and the job of another looks like one that is not there.
    let target = format!("/batch-segment?job_id={}", new.id);
    let nothing = format!("/batch-segment?job_id={}", "x".repeat(40));
    for client in [&provider, &reader] {
        let refused = client.get(&target).await;
        assert_eq!(refused.outcome(), (404, Some("SYNTAX".to_owned())));
        assert_eq!(refused.response()["error"], client.get(&nothing).await.response()["error"]);
        assert_eq!(client.get("/batch-segment").await.ok()["count"], 0);
        let foreign = format!("{target}&member_id=77");
        assert_eq!(client.get(&foreign).await.outcome(), (403, Some("UNAUTH".to_owned())));
    }
    assert_eq!(admin.get(&format!("{target}&member_id=77")).await.ok()[TERM]["member_id"], 77);
}

/// The upload's URL that is answered to a request with these lines in its head.
async fn url(server: SocketAddr, version: &str, lines: &str) -> String {
    url_at(server, "/batch-segment", version, lines).await
}

async fn url_at(server: SocketAddr, target: &str, version: &str, lines: &str) -> String {
    let mut raw = Raw::open(server).await;
    let request = format!("POST {target} HTTP/{version}\r\n{lines}Content-Length: 0\r\n\r\n");
    assert!(raw.send(request).await);
    let (status, response) = raw.answer().await.expect("an answer");
    assert_eq!(status, 200, "{response}");
    let shown = &response[TERM];
    let url = shown["upload_url"].as_str().unwrap();
    url.strip_suffix(shown["job_id"].as_str().unwrap()).expect("it ends with the id").to_owned()
}

#[tokio::test]
async fn the_upload_goes_where_the_caller_came_from() {
    let kit = Kit::builder().config(|config| config.http.trusted_proxies.0 = vec!["127.0.0.1".to_owned()]);
    let kit = kit.start().await;
    let token = kit.login("provider").await.token.unwrap();
    let of = async |lines: &str| url(kit.api(), "1.1", &format!("Authorization: {token}\r\n{lines}")).await;
    for (lines, expected) in [
        ("Host: files.example.com\r\n", "http://files.example.com/segment-upload/"),
        ("Host: files.example.com:8080\r\n", "http://files.example.com:8080/segment-upload/"),
        ("Host: [::1]:8080\r\n", "http://[::1]:8080/segment-upload/"),
        (
            "Host: files.example.com\r\nX-Forwarded-Proto: https\r\n",
            "https://files.example.com/segment-upload/",
        ),
        (
            "Host: files.example.com\r\nX-Forwarded-Proto: http\r\n",
            "http://files.example.com/segment-upload/",
        ),
    ] {
        assert_eq!(of(lines).await, expected, "{lines}");
    }
    // A password of a URL is not repeated.
    let target = "http://name:password@files.example.com:81/batch-segment";
    let lines = format!("Authorization: {token}\r\nHost: x\r\n");
    let expected = "http://files.example.com:81/segment-upload/";
    assert_eq!(url_at(kit.api(), target, "1.1", &lines).await, expected);
    // HTTP/1.0 needs no host.
    let lines = format!("Authorization: {token}\r\n");
    assert_eq!(url(kit.api(), "1.0", &lines).await, "/segment-upload/");
}

#[tokio::test]
async fn nobody_but_a_proxy_says_that_it_is_tls_and_the_operators_url_goes_first() {
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    let lines = format!("Authorization: {token}\r\nHost: a.example\r\nX-Forwarded-Proto: https\r\n");
    assert_eq!(url(kit.api(), "1.1", &lines).await, "http://a.example/segment-upload/");
    for public_url in ["https://audience.example.com/api", "https://audience.example.com/api/"] {
        let kit =
            Kit::builder().config(|config| config.server.public_url = public_url.to_owned()).start().await;
        let token = kit.login("provider").await.token.unwrap();
        let lines = format!("Authorization: {token}\r\nHost: a.example\r\n");
        assert_eq!(url(kit.api(), "1.1", &lines).await, "https://audience.example.com/api/segment-upload/");
    }
}

/// What every answer about a job must have, whatever its phase.
fn check_form(job: &Value) {
    let object = job.as_object().expect("an object");
    for name in COUNTERS.iter().chain(&["id", "member_id", "percent_complete", "time_to_process"]) {
        assert!(object[*name].is_u64(), "{name} in {job}");
    }
    assert!(object["seconds_to_process"].is_number(), "{job}");
    for name in ["job_id", "phase", "created_on", "last_modified", "error_log_lines", "segment_log_lines"] {
        assert!(object[name].is_string(), "{name} in {job}");
    }
    let is_error = job["phase"] == "error";
    assert_eq!(object["error_code"].is_string(), is_error, "{job}");
    assert!(is_error || object["error_code"].is_null(), "{job}");
    let nulls: Vec<&String> =
        object.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name).collect();
    assert_eq!(nulls, if is_error { vec![] } else { vec!["error_code"] }, "{job}");
    assert_eq!(job["percent_complete"] == 100, job["phase"] == "completed", "{job}");
    let times = ["start_time", "uploaded_time", "validated_time", "completed_time"];
    let reached = match job["phase"].as_str().unwrap() {
        "starting" => 0..=0,
        "uploading" => 1..=1,
        "validating" => 2..=2,
        "processing" => 3..=3,
        "completed" => 4..=4,
        "error" => 0..=3,
        phase => panic!("{phase}"),
    };
    let there = times.iter().filter(|time| object.contains_key(**time)).count();
    assert!(reached.contains(&there), "{job}");
    assert!(times[..there].iter().all(|time| object[*time].is_string()), "in their order: {job}");
}

#[tokio::test]
async fn a_job_goes_through_its_phases() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let new = NewJob::make(&provider).await;
    let starting = job(&provider, &new.id).await;
    check_form(&starting);
    assert_eq!((&starting["phase"], &starting["percent_complete"]), (&json!("starting"), &json!(0)));
    assert_eq!(starting["created_on"], "2026-01-31 13:00:00");
    assert_eq!((counted(&starting), &starting["time_to_process"]), (vec![], &json!(0)));
    assert_eq!((&starting["error_log_lines"], &starting["segment_log_lines"]), (&json!(""), &json!("")));

    // 1.2 MB in ten pieces.
    let file: String = (1..=60_000).map(|user| format!("{}:12,60,5\n", 100_000_000_000u64 + user)).collect();
    let (first, rest) = file.as_bytes().split_at(file.len() / 3);
    kit.clock.advance(60_000);
    let mut raw = begin(kit.api(), &new, file.len(), first).await;
    let uploading = eventually("some of the file", async || {
        let job = job(&provider, &new.id).await;
        (job["percent_complete"].as_u64() > Some(5)).then_some(job)
    })
    .await;
    check_form(&uploading);
    assert_eq!(uploading["phase"], "uploading");
    assert_eq!((&uploading["start_time"], counted(&uploading)), (&json!("2026-01-31 13:01:00"), vec![]));
    kit.clock.advance(60_000);
    assert!(raw.send(rest).await);
    let (status, response) = raw.answer().await.expect("an answer");
    assert_eq!((status, &response["segment_upload"]), (200, &json!({"job_id": new.id})));
    assert_eq!(
        (&response["status"], &response["dbg_info"]["output_term"]),
        (&json!("OK"), &json!("segment_upload"))
    );

    let mut last = uploading;
    let order = ["starting", "uploading", "validating", "processing", "completed"];
    let place = |job: &Value| order.iter().position(|phase| job["phase"] == **phase).expect("a phase");
    let mut moved = 0;
    while last["phase"] != "completed" {
        let now = job(&provider, &new.id).await;
        check_form(&now);
        assert!(place(&now) >= place(&last) && place(&now) >= 1, "{last} then {now}");
        for name in COUNTERS.iter().chain(&["percent_complete"]) {
            assert!(now[*name].as_u64() >= last[*name].as_u64(), "{name} falls from {last} to {now}");
        }
        moved += u64::from(now["num_valid"] != last["num_valid"]);
        last = now;
    }
    assert!(moved > 2, "the counters move while it runs");
    assert_eq!(counted(&last), [("num_valid", 60_000), ("num_valid_user", 60_000)]);
    assert_eq!(last["segment_log_lines"], "12:60000");
    for time in ["uploaded_time", "validated_time", "completed_time", "last_modified"] {
        assert_eq!(last[time], "2026-01-31 13:02:00", "{time}");
    }
    // It is final.
    kit.clock.advance(3_700_000);
    assert_eq!(job(&provider, &new.id).await, last);
    assert_eq!(provider.segments_of("100000060000").await, [] as [u64; 0], "its 60 minutes are over");
}

#[tokio::test]
async fn what_is_completed_is_targetable() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let job = load_well(&provider, "11:12,0,0;10001,60,7\n12:10001,-1,0#12\n").await;
    assert_eq!(counted(&job), [("num_valid", 4), ("num_valid_user", 2)]);
    let shown = provider.get("/user-segment?user_id=11").await.ok()["user_segment"]["segments"].clone();
    assert_eq!((&shown[1]["id"], &shown[1]["value"]), (&json!(10001), &json!(7)));
    assert_eq!(provider.segments_of("12").await, [] as [u64; 0]);
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_adds"], &report["num_valid_removes"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn one_job_is_an_array_of_one_where_it_is_asked_for() {
    let kit =
        Kit::builder().config(|config| config.server.array_hosts.0 = vec!["api2.example.com".to_owned()]);
    let kit = kit.start().await;
    let provider = kit.login("provider").await;
    let new = NewJob::make(&provider).await;
    let token = provider.token.clone().unwrap();
    let ask = async |query: &str, host: &str| {
        let mut raw = Raw::open(kit.api()).await;
        let target = format!("/batch-segment?job_id={}{query}", new.id);
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n");
        assert!(raw.send(head).await);
        let (status, response) = raw.answer().await.expect("an answer");
        assert_eq!((status, response["count"].as_u64()), (200, Some(1)), "{response}");
        assert_eq!(response["dbg_info"]["output_term"], TERM);
        response[TERM].clone()
    };
    for (query, host, is_array) in [
        ("", "x", false),
        ("&array=false", "x", false),
        ("&array=true", "x", true),
        ("&member_id=958&array=1", "x", true),
        ("", "api2.example.com", true),
        ("", "API2.example.com:8080", true),
        ("", "api.example.com", false),
        ("", "xapi2.example.com", false),
    ] {
        let shown = ask(query, host).await;
        assert_eq!(shown.is_array(), is_array, "{query} {host}: {shown}");
        let one = if is_array { &shown[0] } else { &shown };
        assert_eq!(one["job_id"], json!(new.id));
        assert!(!is_array || shown.as_array().unwrap().len() == 1);
    }
}

#[tokio::test]
async fn the_list_is_newest_first_paged_sorted_and_filtered() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut ids = Vec::new();
    for users in [1, 3, 2] {
        let file: String = (1..=users).map(|user| format!("{user}:12,0,0\n")).collect();
        ids.push(load_well(&provider, file).await["id"].as_u64().unwrap());
        kit.clock.advance(1000);
    }
    let waiting = NewJob::make(&provider).await;
    let waiting_id = job(&provider, &waiting.id).await["id"].as_u64().unwrap();
    let list = async |query: &str, body: &str| {
        let answer =
            provider.send(Method::GET, &format!("/batch-segment{query}"), &[], body.to_owned().into()).await;
        let answer = answer.ok();
        assert_eq!(answer["dbg_info"]["output_term"], TERM);
        let jobs = answer[TERM].as_array().expect("an array").clone();
        jobs.iter().filter(|job| job.get("phase").is_some()).for_each(check_form);
        (
            answer["count"].as_u64().unwrap(),
            jobs.iter().map(|job| job["id"].as_u64().unwrap()).collect::<Vec<_>>(),
        )
    };
    let [one, three, two] = ids[..] else { panic!("{ids:?}") };
    assert_eq!(list("", "").await, (4, vec![waiting_id, two, three, one]));
    assert_eq!(list("?member_id=958", "").await.0, 4);
    assert_eq!(list("?sort=num_valid.desc&phase=completed", "").await, (3, vec![three, two, one]));
    assert_eq!(list("?sort=created_on.asc", "").await.1[0], one);
    assert_eq!(list("?phase=starting", "").await, (1, vec![waiting_id]));
    assert_eq!(list("?min_num_valid=2&max_num_valid=2", "").await, (1, vec![two]));
    assert_eq!(list("?min_created_on=2026-01-31+13:00:01&phase=completed", "").await, (2, vec![two, three]));
    assert_eq!(list(&format!("?search={}", waiting.id), "").await, (1, vec![waiting_id]));
    assert_eq!(list("?start_element=1&num_elements=2", "").await, (4, vec![two, three]));
    assert_eq!(list("", r#"{"start_element": 3, "num_elements": 2}"#).await, (4, vec![one]));
    let shown = provider.get("/batch-segment?fields=phase,num_valid&num_elements=1").await.ok();
    assert_eq!(shown[TERM], json!([{"id": waiting_id, "phase": "starting", "num_valid": 0}]));
    assert_eq!(shown["num_elements"], 1);
    for query in ["?sort=colour", "?phase=gone", "?num_elements=0", "?min_created_on=x"] {
        let refused = provider.get(&format!("/batch-segment{query}")).await;
        assert_eq!(refused.outcome(), (400, Some("SYNTAX".to_owned())), "{query}");
    }

    let meta = provider.get("/batch-segment/meta").await.ok()["fields"].clone();
    let named: Vec<&str> =
        meta.as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    let shown = load_well(&provider, "1:12,0,0").await;
    for name in shown.as_object().unwrap().keys() {
        assert!(named.contains(&name.as_str()), "{name} is in answers and not in meta");
    }
    assert!(meta.as_array().unwrap().iter().all(|field| field["read_only"] == true), "{meta}");
}

#[tokio::test]
async fn a_job_is_kept_for_thirty_days() {
    const DAY_MS: u64 = 86_400_000;
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    load_well(&provider, "1:12,0,0").await;
    kit.clock.advance(29 * DAY_MS);
    kit.restart().await;
    let provider = kit.login("provider").await;
    let new = load_well(&provider, "2:12,0,0").await;
    assert_eq!(provider.get("/batch-segment").await.ok()["count"], 2);
    kit.clock.advance(2 * DAY_MS);
    // Housekeeping comes with the start.
    kit.restart().await;
    let provider = kit.login("provider").await;
    let left = eventually("the old job to be forgotten", async || {
        let list = provider.get("/batch-segment").await.ok();
        (list["count"] == 1).then_some(list)
    })
    .await;
    assert_eq!(left[TERM][0], new);
}
