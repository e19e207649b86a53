//! Runs the commands.

use super::MEMBER;
use ia_testkit::Process;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");

/// A server to which files are sent.
pub(crate) struct Where {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Where {
    /// The command with the token in its environment, and nothing else of this test's.
    fn command(&self, name: &str, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(BINARY);
        command
            .env_clear()
            .env("INSTANT_AUDIENCE_TOKEN", &self.token)
            .args([name, "--member", &MEMBER.to_string(), "--url", &self.url])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs `load` or `watch --once` to its end.
    pub(crate) async fn run(&self, name: &str, args: &[&str]) -> Ended {
        self.run_with(name, args, |command| command).await
    }

    /// [`Where::run`] of a command that is changed before.
    pub(crate) async fn run_with(
        &self,
        name: &str,
        args: &[&str],
        change: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
    ) -> Ended {
        let mut command = self.command(name, args);
        change(&mut command);
        let output = Command::from(command).kill_on_drop(true).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        for secret in [&*self.token, super::fake::PASSWORD, "/upload/"] {
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{ended:?}");
        }
        ended
    }

    /// Starts it. Its log goes to `log`.
    pub(crate) fn start(&self, name: &str, args: &[&str], log: &Path) -> Running {
        self.start_with(name, args, log, |command| command)
    }

    pub(crate) fn start_with(
        &self,
        name: &str,
        args: &[&str],
        log: &Path,
        change: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
    ) -> Running {
        let file = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = self.command(name, args);
        command.stdout(Stdio::null()).stderr(file);
        change(&mut command);
        Running { process: Process::new(command.spawn().unwrap()), log: log.to_owned() }
    }
}

/// A command that runs. Killed when dropped.
pub(crate) struct Running {
    process: Process,
    log: PathBuf,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.end().unwrap();
    }

    /// How it ended, and what it said.
    pub(crate) async fn wait(mut self) -> Ended {
        let status = self.process.wait_for_exit().await.unwrap();
        Ended { code: status.code(), out: String::new(), err: self.log() }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}
