//! `watch` is killed, and started again.

use super::folder::Watched;
use super::{Fake, Fault};
use ia_testkit::{Dice, eventually};
use std::fs;
use std::time::Duration;

#[tokio::test]
async fn a_watcher_that_is_killed_goes_on_with_the_job_that_it_began() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    watched.put("a.txt", "1:12\n");

    // In the middle of the upload: the server has nothing, and gets it in a new job.
    fake.state().holds_uploads = true;
    let first = watched.start(&fake.at());
    eventually("an upload", async || (fake.state().uploads == 1).then_some(())).await;
    first.kill();
    eventually("the server has seen it", async || (fake.jobs()[0].phase == "error").then_some(())).await;
    fake.state().holds_uploads = false;

    // While the job is being processed: it is the same job in the end.
    fake.state().holds_jobs = true;
    let second = watched.start(&fake.at());
    eventually("processing", async || {
        fake.jobs().get(1).is_some_and(|job| job.phase == "processing").then_some(())
    })
    .await;
    second.kill();
    assert_eq!(watched.left(), [".a.txt.job", "a.txt"]);
    fake.state().holds_jobs = false;
    assert_eq!(watched.once(&fake.at()).await.code, Some(0));
    assert_eq!((fake.jobs().len(), fake.state().uploads), (2, 2), "nothing was sent twice");
    let id = &fake.jobs()[1].id;
    assert_eq!(watched.names("done"), [format!("a.{id}.txt"), format!("a.{id}.txt.report.json")]);
    assert_eq!(watched.left(), [""; 0]);
}

#[tokio::test]
async fn a_job_that_the_server_forgot_is_not_sent_again_if_its_file_was_there() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    watched.put("a.txt", "1:12\n");
    fake.state().holds_jobs = true;
    let running = watched.start(&fake.at());
    eventually("processing", async || running.log().contains("processing").then_some(())).await;
    running.kill();
    fake.state().forgets = true;
    let ended = watched.once(&fake.at()).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!((fake.jobs().len(), watched.moved("failed").len()), (1, 1));
    let report = watched.names("failed").pop().unwrap();
    let report = fs::read_to_string(watched.path.join("failed").join(report)).unwrap();
    assert!(report.contains("does not know this job any more"), "{report}");
}

#[tokio::test]
async fn notes_of_other_files_and_torn_ones_do_no_harm() {
    let fake = Fake::start().await;
    let watched = Watched::new();
    watched.put("a.txt", "1:12\n");
    fake.state().holds_jobs = true;
    let running = watched.start(&fake.at());
    eventually("processing", async || running.log().contains("processing").then_some(())).await;
    running.kill();
    let note = watched.path.join(".a.txt.job");
    // A crash has cut the line that would follow: the one before counts.
    let whole = fs::read(&note).unwrap();
    fs::write(&note, [&whole[..], b"{\"job\":{\"job_id\":\"00"].concat()).unwrap();
    // Another file of the same name is another job, also where the note of the one before is still there.
    watched.put("b.txt", "2:12\n");
    fs::copy(&note, watched.path.join(".b.txt.job")).unwrap();
    // Of a file that was moved already.
    fs::copy(&note, watched.path.join(".moved.txt.job")).unwrap();
    fs::write(watched.path.join(".empty.txt.job"), "").unwrap();
    fs::write(watched.path.join(".mine.job"), "not a note").unwrap();
    fake.state().holds_jobs = false;
    assert_eq!(watched.once(&fake.at()).await.code, Some(0));
    assert_eq!(watched.moved("done").len(), 2);
    assert_eq!((fake.jobs().len(), fake.completed()), (2, vec!["1:12\n".to_owned(), "2:12\n".to_owned()]));
    assert_eq!(watched.left(), [".mine.job"]);
}

/// The server fails now and then, and the watcher is killed at random moments.
#[tokio::test]
async fn kills_at_random_moments_lose_no_file_and_send_none_twice() {
    const FILES: u64 = 30;
    let fake = Fake::start().await;
    let watched = Watched::new();
    let mut contents: Vec<_> = (0..FILES).map(|user| format!("{}:12\n", user + 100)).collect();
    for (number, content) in contents.iter().enumerate() {
        watched.put(&format!("{number}.txt"), content);
    }
    let mut dice = Dice::new(20);
    let mut kills = 0;
    while watched.moved("").iter().any(|name| name.ends_with(".txt")) {
        match dice.below(4) {
            0 => fake.fail([Fault::CutUpload]),
            1 => fake.fail([Fault::CutAnswer]),
            _ => {}
        }
        let running = watched.start(&fake.at());
        tokio::time::sleep(Duration::from_millis(30 + dice.below(150))).await;
        running.kill();
        kills += 1;
        assert!(kills < 2000, "no progress: {:?}", watched.left());
    }
    assert_eq!(watched.once(&fake.at()).await.code, Some(0));
    assert!(kills > 3, "{kills} kills");
    assert_eq!(watched.left(), [""; 0]);
    assert_eq!((watched.moved("done").len() as u64, watched.moved("failed").len()), (FILES, 0));
    contents.sort();
    assert_eq!(fake.completed(), contents);
    for name in watched.moved("done") {
        let parts: Vec<_> = name.split('.').collect();
        let job = fake.jobs().into_iter().find(|job| job.id == parts[1]).unwrap();
        let content = fs::read(watched.path.join("done").join(&name)).unwrap();
        assert_eq!((job.phase, &job.content[..]), ("completed", &content[..]));
    }
}
