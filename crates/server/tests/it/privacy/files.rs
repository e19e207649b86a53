//! Files that wait while a person asks: what was deleted does not come back with them.

use super::{ID, People, done, held, own_ids};
use ia_testkit::{Client, eventually};
use serde_json::Value;
use std::fmt::Write;

/// So many that reading them takes a while, also on a fast machine.
const MANY: usize = 60_000;

/// Uploads a file, and returns the id of its job.
async fn upload(client: &Client, content: String) -> String {
    let made = client.post_bytes("/batch-segment", &[], "").await.ok();
    let job = made["batch_segment_upload_job"]["job_id"].as_str().unwrap().to_owned();
    client.post_bytes(&format!("/segment-upload/{job}"), &[], content).await.ok();
    job
}

async fn job(client: &Client, job_id: &str) -> Value {
    client.get(&format!("/batch-segment?job_id={job_id}")).await.ok()["batch_segment_upload_job"].clone()
}

async fn completed(client: &Client, job_id: &str) -> Value {
    eventually("a file is completed", async || {
        let job = job(client, job_id).await;
        assert_ne!(job["phase"], "error", "{job}");
        (job["phase"] == "completed").then_some(job)
    })
    .await
}

/// A file that takes a while, behind which other files of the member wait.
fn long_file(segment: u32) -> String {
    let mut lines = String::new();
    for user in 1..=MANY {
        writeln!(lines, "{user}:{segment},0,0").unwrap();
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_person_is_left_out_of_files_that_wait_also_after_a_restart() {
    let mut people = People::with(|_| {}).await;
    let long = upload(&people.provider, long_file(12)).await;
    let content = format!("{ID}:12,0,7;10001,0,7\n7301:12,0,7\n{ID}#23784\nnobody:12,0,0\n");
    let waiting = upload(&people.provider, content).await;
    done(&people.admin, "uuid2", ID, "delete").await;
    assert_eq!(job(&people.provider, &waiting).await["phase"], "validating", "it must still wait");
    people.kit.restart().await;
    people.provider = people.kit.login("provider").await;
    completed(&people.provider, &long).await;
    let job = completed(&people.provider, &waiting).await;
    let provider = &people.provider;
    assert_eq!(provider.segments_of(ID).await, [0u64; 0]);
    assert_eq!(provider.segments_of("7301").await, [12]);
    assert_eq!((&job["num_valid"], &job["num_valid_user"]), (&1.into(), &1.into()), "{job}");
    assert_eq!(job["num_invalid_user"], 3);
    assert_eq!(
        job["error_log_lines"], "num_invalid_user-nobody:12,0,0",
        "nothing is written down of the person"
    );
    // A file that comes afterwards adds the person again, as a POST does.
    let later = upload(provider, format!("{ID}:12,0,7\n")).await;
    completed(provider, &later).await;
    assert_eq!(provider.segments_of(ID).await, [12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_one_member_reaches_its_segments_in_files_of_others() {
    let people = People::with(|_| {}).await;
    upload(&people.provider, long_file(12)).await;
    let waiting = upload(&people.provider, format!("{ID}:12,0,7;30001,0,7\n")).await;
    done(&people.provider, "uuid2", ID, "delete").await;
    assert_eq!(job(&people.provider, &waiting).await["phase"], "validating", "it must still wait");
    let job = completed(&people.provider, &waiting).await;
    assert_eq!(people.provider.segments_of(ID).await, [30001], "another member's segment");
    assert_eq!((&job["num_valid"], &job["num_other_error"]), (&1.into(), &1.into()), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opt_outs_hold_for_files_and_their_lines_are_not_kept() {
    let mut people = People::with(|_| {}).await;
    own_ids(&mut people).await;
    let People { provider, admin, .. } = &people;
    upload(provider, long_file(12)).await;
    let waiting = upload(provider, format!("{ID}:12,0,7\n7301:99,0,0\n")).await;
    done(admin, "uuid2", ID, "opt_out").await;
    assert_eq!(job(provider, &waiting).await["phase"], "validating", "it must still wait");
    let job = completed(provider, &waiting).await;
    assert!(held(admin, "uuid2", ID).await.is_empty());
    assert_eq!((&job["num_invalid_user"], &job["num_valid_user"]), (&1.into(), &1.into()), "{job}");
    assert_eq!(job["error_log_lines"], "num_invalid_segment-7301:99,0,0");
    // What a file has refused of a person goes with the person.
    done(admin, "uuid2", "7301", "delete").await;
    let shown = self::job(provider, &waiting).await;
    assert_eq!(shown["error_log_lines"], "num_invalid_segment-7301:99,0,0", "until the next checkpoint");
    people.kit.restart().await;
    let provider = people.kit.login("provider").await;
    assert_eq!(self::job(&provider, &waiting).await["error_log_lines"], "");
}
