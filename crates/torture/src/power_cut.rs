//! `ia-torture power-cut`: the file system under the server is shut down while it works, as if the power had gone.
//!
//! The data lies on an ext4 on a loop device. The ioctl EXT4_IOC_SHUTDOWN makes every later write fail, and what
//! was only in memory never gets to the device: a remount then finds what a machine would find after a power cut.
//!
//! A power cut also ends all programs at the same moment. So the server is frozen (SIGSTOP) just before: a flush
//! that is under way may come to its end or not, but nobody is told any more. Without that, the test would accuse
//! the server of what ext4 does: a flush that is under way while the file system is shut down can return success
//! with its data lost, as a bare loop of `pwrite` and `fdatasync` shows (Linux 6.18).
//!
//! In some cycles one flush of the log fails before the cut. Whoever is told OK over a failed flush has nothing
//! after such a cut.
//!
//! In the control run the flushes of the server are taken out from under it: they succeed without being made. If
//! that run loses nothing, the others prove nothing, and the command fails.

use crate::figure::{Figure, progress};
use crate::findings::Findings;
use crate::journal::End;
use crate::mount::{self, Cut, Mount};
use crate::operation::Shape;
use crate::oracle::{Break, Refusal, Rules};
use crate::run::{Load, Run};
use crate::strace::{Injected, Tampering};
use crate::testbed::{Testbed, TestbedArgs};
use anyhow::Context;
use clap::Args;
use ia_testkit::ServerProcess;
use std::time::{Duration, Instant};

/// Options of `power-cut`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PowerCutArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// How often the power is cut: 6, and 60 in the long form
    #[arg(long)]
    pub cycles: Option<u32>,
}

const LOAD: Load = Load {
    writers: 8,
    posts: 0,
    pause_ms: 0,
    shape: Shape { users_per_post: 5, users_per_writer: 250, delete_every: 30 },
};

const NO_FLUSH: Tampering =
    Tampering { calls: "fdatasync,fsync,sync_file_range,msync", injected: Injected::Pretend, nth: None };

const IMAGE_MEBIBYTES: u64 = 256;

/// The moment of a cut after the client's start, in milliseconds.
const EARLIEST_MS: u64 = 100;
const LATEST_MS: u64 = 1500;

impl PowerCutArgs {
    /// Cuts and checks; whether all was there.
    pub(crate) async fn run(&self, mut testbed: Testbed) -> anyhow::Result<bool> {
        mount::require(&["mkfs.ext4", "mount", "umount", "python3", "strace"])?;
        let begun = Instant::now();
        let cycles = self.cycles.unwrap_or(testbed.of_form(6, 60));
        let found = cut_often(&mut testbed, cycles).await?;
        let control = control(&mut testbed).await?;
        let figure = Figure::new("power-cut").with("cycles", cycles);
        let figure = found.write_to(figure).with("control_acknowledged", control.acknowledged);
        let figure = figure.with("control_lost", control.lost);
        figure.with("seconds", begun.elapsed().as_secs()).print();
        if control.lost == 0 {
            progress("the control run without flushes has lost nothing: this test proves nothing here");
        }
        Ok(found.is_sound() && found.acknowledged > 0 && control.lost > 0)
    }
}

async fn cut_often(testbed: &mut Testbed, cycles: u32) -> anyhow::Result<Findings> {
    let mut disk = Mount::ext4(testbed.data.path(), "disk", IMAGE_MEBIBYTES)?;
    testbed.check_apart(disk.point())?;
    let mut run = Run::create(testbed, &disk.point().join("data"), LOAD)?;
    let mut server = run.start().await?;
    for cycle in 1..=cycles {
        let how = match cycle % 3 {
            0 => Way::OverAFailedFlush,
            1 => Way::Cut(Cut::Plain),
            _ => Way::Cut(Cut::AfterMetadata),
        };
        cut_under_load(&mut run, &mut disk, server, testbed, how).await?;
        server = run.start().await?;
        let found = run.audit(&server, how.rules()).await?;
        progress(format_args!("power cut {cycle} of {cycles}, {how:?}: {found}"));
        if !found.is_sound() {
            break;
        }
    }
    run.end(server).await?;
    Ok(run.findings)
}

/// How a cycle goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The cut comes at any moment.
    Cut(Cut),
    /// A flush of the log fails, and then comes the cut.
    OverAFailedFlush,
}

impl Way {
    fn rules(self) -> Rules {
        let refusal = match self {
            Way::Cut(_) => Refusal::LeavesNothing,
            Way::OverAFailedFlush => Refusal::OfAFailedDisk,
        };
        Rules { refusal, on_break: Break::IsOpen }
    }
}

/// Loads, cuts the power, ends the server, and gives the disk its power back.
async fn cut_under_load(
    run: &mut Run,
    disk: &mut Mount,
    server: ServerProcess,
    testbed: &mut Testbed,
    how: Way,
) -> anyhow::Result<()> {
    let (cut, client) = match how {
        Way::Cut(cut) => {
            let client = run.load(&server, testbed).await?;
            let moment = EARLIEST_MS + testbed.dice.below(LATEST_MS - EARLIEST_MS);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            (cut, client)
        }
        Way::OverAFailedFlush => {
            let nth = 1 + testbed.dice.below(40) as u32;
            let failure = Tampering { calls: "fdatasync", injected: Injected::Fail("EIO"), nth: Some(nth) };
            let trace = testbed.journal.path().join("failed-flush.strace");
            let attached =
                failure.attach(server.id(), "log", &trace).await?.context("no thread of the log")?;
            let client = run.load(&server, testbed).await?;
            let is_refused = |end: &End| matches!(end, End::Refused { .. });
            run.until_ended("POSTs to be refused after a failed flush", LOAD.writers.into(), is_refused)
                .await?;
            attached.detach().await?;
            (Cut::Plain, client)
        }
    };
    server.freeze();
    disk.cut_power(cut)?;
    server.kill().await;
    client.end().await?;
    disk.unmount()?;
    disk.mount()
}

/// The same with a server whose flushes do nothing, on a disk of its own: what it has lost.
///
/// A start that is refused counts as all lost: the server says so, and somebody would restore a backup.
async fn control(testbed: &mut Testbed) -> anyhow::Result<Findings> {
    let mut disk = Mount::ext4(testbed.data.path(), "control", IMAGE_MEBIBYTES)?;
    let mut run = Run::create(testbed, &disk.point().join("control"), LOAD)?;
    let server = run.start().await?;
    run.installation.stop(server).await?;
    disk.sync()?;
    let trace = testbed.journal.path().join("control.strace");
    let server = run.installation.try_start(&NO_FLUSH.wrapper(&trace)).await?;
    let server =
        server.map_err(|error| anyhow::anyhow!("{error:?}")).context("the control does not start")?;
    let how = Way::Cut(Cut::Plain);
    cut_under_load(&mut run, &mut disk, server, testbed, how).await?;
    match run.installation.try_start(&[]).await? {
        Ok(server) => {
            let found = run.audit(&server, how.rules()).await?;
            progress(format_args!("the control: {found}"));
            server.kill().await;
            Ok(found)
        }
        Err(_) => {
            progress(format_args!("the control does not start any more:\n{}", run.installation.log_tail()));
            let acknowledged = run.count_ends(|end| *end == End::Acknowledged)? as u64;
            Ok(Findings { acknowledged, lost: acknowledged, ..Findings::default() })
        }
    }
}
