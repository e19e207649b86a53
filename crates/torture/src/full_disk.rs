//! `ia-torture full-disk`: a small file system is filled up under the server, and emptied again.
//!
//! Three times over: until the log has no room (POSTs 503 with a time to try again, reads go on, and with room
//! writes go on by themselves); with room in the log and none for checkpoints and statistics (no client notices,
//! and they catch up); and with a kill and a start while there is no room. Nothing of a refused POST is kept.

use crate::figure::{Figure, progress};
use crate::findings::Findings;
use crate::journal::End;
use crate::mount::{self, Mount};
use crate::operation::{PROVIDER, Shape, own_user};
use crate::oracle::{Break, Refusal, Rules};
use crate::requests::{PATIENCE, ask, credentials, metric, readiness};
use crate::run::{Client, Load, Run, until};
use crate::testbed::{Testbed, TestbedArgs};
use crate::views::catch_up;
use anyhow::{Context, bail};
use clap::Args;
use ia_testkit::{NotReady, ServerProcess};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Options of `full-disk`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FullDiskArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// How often all of it is done: once on a tmpfs, and 5 times each on a tmpfs and an ext4 in the long form
    #[arg(long)]
    pub rounds: Option<u32>,
}

const LOAD: Load = Load {
    writers: 8,
    posts: 0,
    pause_ms: 5,
    shape: Shape { users_per_post: 20, users_per_writer: 250, delete_every: 30 },
};

const RULES: Rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::IsOpen };

/// With room for two files of the log of [`ROOMY`] and for all the rest.
const MEBIBYTES: u64 = 32;

/// A file of the log that the load does not fill while the disk is full.
const ROOMY: &str = "8MiB";
/// One that it fills at once.
const TIGHT: &str = "64KiB";

/// POSTs that have to be acknowledged before the disk is filled.
const ACKNOWLEDGED: usize = 100;

/// POSTs that have to be refused before there is room again.
const REFUSALS: usize = 100;

impl FullDiskArgs {
    /// Fills, empties and checks; whether all was as it should.
    pub(crate) async fn run(&self, mut testbed: Testbed) -> anyhow::Result<bool> {
        mount::require(&["mkfs.ext4", "mount", "umount"])?;
        let rounds = self.rounds.unwrap_or(testbed.of_form(1, 5));
        let on_tmpfs = Mount::tmpfs(testbed.data.path(), "tmpfs", MEBIBYTES)?;
        let is_good = torment(&mut testbed, on_tmpfs, "tmpfs", rounds).await?;
        if !testbed.long {
            return Ok(is_good);
        }
        let on_ext4 = Mount::ext4(testbed.data.path(), "ext4", MEBIBYTES)?;
        Ok(torment(&mut testbed, on_ext4, "ext4", rounds).await? && is_good)
    }
}

async fn torment(testbed: &mut Testbed, disk: Mount, kind: &str, rounds: u32) -> anyhow::Result<bool> {
    let begun = Instant::now();
    testbed.check_apart(disk.point())?;
    let run = Run::create(testbed, &disk.point().join(format!("data-on-{kind}")), LOAD)?;
    let mut test =
        Test { run, ballast: disk.point().join("ballast"), slowest_resume: Duration::ZERO, failures: 0.0 };
    for _ in 0..rounds {
        test.without_room_for_the_log(testbed).await.context("without room for the log")?;
        test.without_room_beside_the_log(testbed).await.context("without room beside the log")?;
        test.started_without_room(testbed).await.context("started without room")?;
        if !test.run.findings.is_sound() {
            break;
        }
    }
    // What could not be rewritten or scrubbed for want of room is made good.
    let server = test.start(ROOMY).await?;
    test.run.end(server).await?;
    progress(format_args!("full {kind}: {}", test.run.findings));
    let figure = test.run.findings.write_to(Figure::new("full-disk").with("on", kind).with("rounds", rounds));
    let figure = figure.with("slowest_resume_ms", test.slowest_resume.as_millis());
    figure.with("failed_checkpoints", test.failures).with("seconds", begun.elapsed().as_secs()).print();
    let Findings { acknowledged, refused, .. } = test.run.findings;
    Ok(test.run.findings.is_sound() && acknowledged > 0 && refused > 0)
}

struct Test {
    run: Run,
    /// A file that takes all room.
    ballast: PathBuf,
    slowest_resume: Duration,
    /// Checkpoints for which there was no room.
    failures: f64,
}

impl Test {
    async fn start(&mut self, segment_bytes: &str) -> anyhow::Result<ServerProcess> {
        self.run.installation = self.run.installation.clone().with("LOG__SEGMENT_BYTES", segment_bytes);
        self.run.start().await
    }

    async fn without_room_for_the_log(&mut self, testbed: &mut Testbed) -> anyhow::Result<()> {
        let server = self.start(TIGHT).await?;
        let client = self.run.load(&server, testbed).await?;
        self.fill_until_refused().await?;
        // A checkpoint may have given up a file of the log just now, which the load fills again.
        until("/readyz to say that the disk is full", PATIENCE, async || {
            let (status, why) = readiness(&server).await?;
            Ok((status == 503 && why.contains("full")).then_some(()))
        })
        .await?;
        self.read(&server).await?;
        self.resume(&server).await?;
        self.finish(server, client).await
    }

    async fn without_room_beside_the_log(&mut self, testbed: &mut Testbed) -> anyhow::Result<()> {
        let server = self.start(ROOMY).await?;
        let client = self.run.load(&server, testbed).await?;
        self.until_acknowledged().await?;
        let before = metric(&server, "checkpoint_failures_total").await?;
        fill(&self.ballast)?;
        let failures = until("a checkpoint to fail for want of room", PATIENCE, async || {
            let failures = metric(&server, "checkpoint_failures_total").await? - before;
            Ok((failures > 0.0).then_some(failures))
        })
        .await?;
        self.failures += failures;
        self.read(&server).await?;
        let refused = self.refused()?;
        if refused > 0 {
            bail!("{refused} POSTs were refused, although the log had room");
        }
        self.free()?;
        self.finish(server, client).await
    }

    async fn started_without_room(&mut self, testbed: &mut Testbed) -> anyhow::Result<()> {
        let server = self.start(TIGHT).await?;
        let client = self.run.load(&server, testbed).await?;
        self.fill_until_refused().await?;
        server.kill().await;
        client.end().await?;
        // What the end of the process has given back is taken too.
        fill(&self.ballast)?;
        match self.run.installation.try_start(&[]).await? {
            Ok(server) => {
                self.run.audit(&server, RULES).await?;
                let client = self.run.load(&server, testbed).await?;
                self.read(&server).await?;
                self.resume(&server).await?;
                self.finish(server, client).await
            }
            Err(NotReady(status)) => {
                bail!("on a full disk the start ends with {status}:\n{}", self.run.installation.log_tail())
            }
        }
    }

    /// Fills the disk while the load goes on, until many POSTs were refused.
    async fn fill_until_refused(&mut self) -> anyhow::Result<()> {
        self.until_acknowledged().await?;
        fill(&self.ballast)?;
        // Before the first is refused, the load fills what the log has reserved.
        self.run.until_ended("POSTs to be refused", REFUSALS, |end| matches!(end, End::Refused { .. })).await
    }

    /// Some POSTs have been answered with OK since the last audit.
    async fn until_acknowledged(&self) -> anyhow::Result<()> {
        let is_acknowledged = |end: &End| *end == End::Acknowledged;
        self.run.until_ended("POSTs to be acknowledged", ACKNOWLEDGED, is_acknowledged).await
    }

    fn refused(&self) -> anyhow::Result<usize> {
        self.run.count_ends(|end| matches!(end, End::Refused { .. }))
    }

    /// Reads go on. A login, which has to be written down, may have to be tried again later.
    async fn read(&mut self, server: &ServerProcess) -> anyhow::Result<()> {
        let credentials = credentials(PROVIDER);
        let answer = ask(server.api, "POST", "/auth", None, Some(credentials.as_bytes())).await?;
        let says_when = answer.header("retry-after").is_some();
        if answer.status != 200 && !(answer.status == 503 && says_when) {
            bail!("a login on a full disk was answered with {answer:?}");
        }
        let token = self.run.token(server).await?;
        for number in 0..20 {
            let user = own_user(0, number);
            let path = format!("/user-segment?user_id={user}");
            let answer = ask(server.api, "GET", &path, Some(&token), None).await?;
            if answer.status != 200 {
                bail!("a read on a full disk was answered with {answer:?}");
            }
        }
        Ok(())
    }

    /// Makes room, and waits for a POST to be acknowledged.
    async fn resume(&mut self, server: &ServerProcess) -> anyhow::Result<()> {
        let acknowledged = || self.run.count_ends(|end| *end == End::Acknowledged);
        let before = acknowledged()?;
        let freed = Instant::now();
        self.free()?;
        until("writes to go on", PATIENCE, async || Ok((acknowledged()? > before).then_some(()))).await?;
        self.slowest_resume = self.slowest_resume.max(freed.elapsed());
        let (status, why) = readiness(server).await?;
        if status != 200 {
            bail!("with room again, /readyz says {status}: {why}");
        }
        Ok(())
    }

    /// Checks the running server, lets all catch up, stops, starts and checks again.
    async fn finish(&mut self, server: ServerProcess, client: Client) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.stop().await?;
        self.run.audit_meanwhile(&server).await?;
        let caught_up = catch_up(&server, |_| false).await;
        caught_up.with_context(|| self.run.installation.log_tail())?;
        self.run.installation.stop(server).await?;
        let server = self.run.start().await?;
        self.run.audit(&server, RULES).await?;
        server.kill().await;
        Ok(())
    }

    fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.ballast).context("cannot remove the ballast")
    }
}

/// Takes all room that there is.
fn fill(ballast: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(ballast).context("no ballast")?;
    for bytes in [1 << 20, 64 << 10, 4 << 10, 512] {
        loop {
            match file.write_all(&vec![0xa5; bytes]).and_then(|()| file.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
    }
    Ok(())
}
