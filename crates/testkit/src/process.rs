//! Processes that this one starts and answers for.

use crate::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

/// A server that does not say that it is ready by then never will: a replay of 10 million memberships takes
/// seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(300);

/// The same for its end, with a last checkpoint.
const STOP_TIMEOUT: Duration = Duration::from_secs(300);

/// How often it is looked whether a process has ended.
const EXIT_POLL: Duration = Duration::from_millis(5);

/// How much of a log is shown when a server fails.
const LOG_TAIL_BYTES: u64 = 4096;

/// A process that this one started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

/// The standard output of a process. Held open: a server that writes to a closed pipe would see an error
/// that no operator causes.
pub type Output = BufReader<ChildStdout>;

impl Process {
    /// Takes charge of a child.
    pub fn new(child: Child) -> Process {
        Process(child)
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The first line of its standard output, which must be piped and not taken yet. Empty when it ended
    /// without one.
    pub async fn first_line(&mut self) -> Result<(String, Output), Error> {
        let mut stdout = BufReader::new(self.0.stdout.take().expect("standard output is piped"));
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            Ok((line, stdout))
        });
        tokio::time::timeout(READY_TIMEOUT, reading)
            .await
            .map_err(|_| Error::Broken(format!("the server was not ready within {READY_TIMEOUT:?}")))?
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            .map_err(Error::io("read the server's output"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        // It cannot hit another process: the id is not given to one before this one is waited for.
        kill_process(Pid::from_child(&self.0), signal)
            .map_err(|error| Error::Io { what: format!("send {signal:?} to a server"), source: error.into() })
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub fn end(&mut self) -> std::io::Result<()> {
        // Does nothing when the process was waited for already, so that no other one can be hit.
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        match self.0.try_wait() {
            Ok(ended) => Ok(ended),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(Error::io("wait for a server")(error)),
        }
    }

    /// Waits for its end.
    pub async fn wait_for_exit(&mut self) -> Result<ExitStatus, Error> {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.has_ended()? {
                return Ok(status);
            }
            if asked.elapsed() > STOP_TIMEOUT {
                return Err(Error::Broken(format!("a server did not end within {STOP_TIMEOUT:?}")));
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; a process that cannot be killed is gone already.
        let _ = self.end();
    }
}

/// The end of a log, for a message.
pub fn log_tail(path: &Path) -> String {
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match tail() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(its log cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_dropped_process_is_gone_even_when_it_is_stopped() {
        for stopped in [false, true] {
            let process = Process::new(Command::new("sleep").arg("1000").spawn().unwrap());
            let pid = process.id();
            if stopped {
                process.signal(Signal::STOP).unwrap();
            }
            drop(process);
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
        }
    }

    #[tokio::test]
    async fn the_first_line_is_read_and_the_end_is_seen() {
        let child = Command::new("echo").args(["ready\nand more"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut process = Process::new(child);
        let (line, _output) = process.first_line().await.unwrap();
        assert_eq!(line, "ready\n");
        assert!(process.wait_for_exit().await.unwrap().success());
        assert!(process.has_ended().unwrap().is_some());
    }
}
