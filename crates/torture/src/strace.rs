//! Tampering with the system calls of the server, by strace.
//!
//! strace counts the calls of each thread by itself. In service the threads that write are known by their names,
//! and each kind of them has a part of the data directory to itself: so strace is attached to these threads alone,
//! and no call on a socket is ever touched.

use anyhow::{Context, bail};
use ia_testkit::procfs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// strace attaches within milliseconds, on a busy machine within seconds, or not at all.
const ATTACH_PATIENCE: Duration = Duration::from_secs(60);

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Injected {
    /// It is not made and fails with this error.
    Fail(&'static str),
    /// It is not made and seems to succeed.
    Pretend,
    /// It is not made: the process dies in its place.
    Kill,
}

/// Which calls, and what is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tampering {
    /// Their names, separated by commas.
    pub calls: &'static str,
    /// What is done.
    pub injected: Injected,
    /// To which call of each thread, counted from 1; `None` for all of them.
    pub nth: Option<u32>,
}

impl Tampering {
    fn arguments(&self, output: &Path) -> Vec<String> {
        let Tampering { calls, injected, nth } = self;
        let injected = match injected {
            Injected::Fail(error) => format!("error={error}"),
            Injected::Pretend => "retval=0".to_owned(),
            Injected::Kill => "signal=SIGKILL".to_owned(),
        };
        let when = nth.map_or_else(String::new, |nth| format!(":when={nth}"));
        let inject = format!("inject={calls}:{injected}{when}");
        // `-y`: with the names of files.
        ["-y", "-o", &output.to_string_lossy(), "-e", &format!("trace={calls}"), "-e", &inject]
            .map(str::to_owned)
            .into()
    }

    /// A command line that runs a program from its first call on under this, in the place of strace's own process.
    pub(crate) fn wrapper(&self, output: &Path) -> Vec<String> {
        let mut words = ["strace", "-D", "-f", "-qq"].map(str::to_owned).to_vec();
        words.extend(self.arguments(output));
        words
    }

    /// Does it from now on to the threads of a process that have this name; the answer is `None` when there are
    /// none.
    pub(crate) async fn attach(
        &self,
        process: u32,
        thread: &str,
        output: &Path,
    ) -> anyhow::Result<Option<Attached>> {
        let threads = procfs::threads(process)?.into_iter().filter(|(_, name)| name == thread);
        let threads: Vec<u32> = threads.map(|(id, _)| id).collect();
        if threads.is_empty() {
            return Ok(None);
        }
        let targets = threads.iter().flat_map(|id| ["-p".to_owned(), id.to_string()]).collect();
        self.attach_to(targets, threads.len(), output).await.map(Some)
    }

    /// Does it from now on to all threads of a process, and to those that it starts.
    pub(crate) async fn attach_to_all(&self, process: u32, output: &Path) -> anyhow::Result<Attached> {
        self.attach_to(["-f", "-p", &process.to_string()].map(str::to_owned).into(), 1, output).await
    }

    async fn attach_to(
        &self,
        targets: Vec<String>,
        announcements: usize,
        output: &Path,
    ) -> anyhow::Result<Attached> {
        let mut child = Command::new("strace")
            .args(self.arguments(output))
            .args(targets)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run strace; install it with `scripts/install-test-tools strace`")?;
        let mut lines = BufReader::new(child.stderr.take().context("its output is piped")?).lines();
        let attached = async {
            for _ in 0..announcements {
                let line = lines.next_line().await.context("strace's output is no text")?;
                let line = line.context("strace ended before it was attached")?;
                if !line.contains("attached") {
                    bail!("strace cannot attach: {line}");
                }
            }
            Ok(())
        };
        tokio::time::timeout(ATTACH_PATIENCE, attached).await.context("strace does not attach").flatten()?;
        // Read to its end, so that strace is never blocked by it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Attached(child))
    }
}

/// A strace at work. It lets go of the server when this is dropped.
#[derive(Debug)]
pub(crate) struct Attached(Child);

impl Attached {
    /// Lets go of the server.
    pub(crate) async fn detach(mut self) -> anyhow::Result<()> {
        let id = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
        if let Some(id) = id {
            // Killed by SIGKILL it would leave threads stopped. It may have ended with the server.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        tokio::time::timeout(ATTACH_PATIENCE, self.0.wait()).await.context("strace does not end")??;
        Ok(())
    }
}

/// The call in strace's output that was tampered with, as strace writes it down; `None` when it never came.
pub(crate) fn struck(output: &Path) -> anyhow::Result<Option<String>> {
    let text = std::fs::read(output).context("cannot read strace's output")?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    if let Some(line) = lines.iter().find(|line| line.contains("(INJECTED)")) {
        return Ok(Some((*line).to_owned()));
    }
    // A call in whose place the process died has no result: the last one that was begun before the end.
    let end = lines.iter().position(|line| line.contains("+++ killed by SIGKILL +++"));
    let begun = |end: usize| lines[..end].iter().rfind(|line| line.contains('(') && !line.contains("<... "));
    Ok(end.map(|end| begun(end).copied().unwrap_or("(the first)").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_struck_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            struck(file.path()).unwrap()
        };
        assert_eq!(found("fdatasync(3) = 0\n+++ exited with 0 +++\n"), None);
        let injected = "fdatasync(3) = -1 EIO (Input/output error) (INJECTED)";
        assert_eq!(found(&format!("fdatasync(3) = 0\n{injected}\n")).as_deref(), Some(injected));
        let killed = "rename(\"a\", \"b\") = ?\n+++ killed by SIGKILL +++\n";
        assert_eq!(found(killed).as_deref(), Some("rename(\"a\", \"b\") = ?"));
    }
}
