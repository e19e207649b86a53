//! The real binary as a process of its own: what durability is tested with.

use crate::client::Client;
use crate::process::{Output, Process};
use crate::{Error, Installation, PASSWORD};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// It ended before it was ready, in this way.
#[derive(Debug)]
pub struct NotReady(pub ExitStatus);

/// A running `instant-audience`. Dropping it kills it.
#[derive(Debug)]
pub struct ServerProcess {
    pub(crate) process: Process,
    /// Where the API is.
    pub api: SocketAddr,
    /// Where health and metrics are.
    pub ops: SocketAddr,
    /// From its start to its ready line.
    pub time_to_ready: Duration,
    _stdout: Output,
}

impl ServerProcess {
    /// Starts `serve` on free ports and waits for its "ready" line. For tests: panics where it does not come.
    pub async fn serve(binary: &Path, data_dir: &Path, environment: &[(&str, &str)]) -> ServerProcess {
        ServerProcess::serve_with_log(binary, data_dir, environment, Stdio::null()).await
    }

    /// [`ServerProcess::serve`] with its log lines going to `log`.
    pub async fn serve_with_log(
        binary: &Path,
        data_dir: &Path,
        environment: &[(&str, &str)],
        log: Stdio,
    ) -> ServerProcess {
        let mut command = Command::new(binary);
        command.envs(environment.iter().copied());
        let started = ServerProcess::start(command, data_dir, log).await.expect("the binary runs");
        started.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Adds `serve` on free ports to a command that begins with the binary, or with a program that runs it in
    /// its own place, and waits for the "ready" line. A server that ends without one is an answer.
    pub async fn start(
        mut command: Command,
        data_dir: &Path,
        log: Stdio,
    ) -> Result<Result<ServerProcess, NotReady>, Error> {
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(data_dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let begun = Instant::now();
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = Process::new(command.spawn().map_err(Error::io(format!("run {program}")))?);
        let (line, stdout) = process.first_line().await?;
        let time_to_ready = begun.elapsed();
        if line.is_empty() {
            return Ok(Err(NotReady(process.wait_for_exit().await?)));
        }
        let (api, ops) = ready_addresses(&line)
            .ok_or_else(|| Error::Broken(format!("the server said {line:?} in place of its ready line")))?;
        Ok(Ok(ServerProcess { process, api, ops, time_to_ready, _stdout: stdout }))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// SIGKILL, at once.
    pub async fn kill(mut self) {
        self.process.end().expect("it is our child");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM).expect("it runs");
    }

    /// SIGSTOP: none of its threads gets any further, but for what the kernel is doing for them.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP).expect("it runs");
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.has_ended().expect("it is our child")
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> ExitStatus {
        self.process.wait_for_exit().await.expect("it ends")
    }

    /// A caller with a new token.
    pub async fn login(&self, username: &str) -> Client {
        Client { address: self.api, token: None }.login(username).await
    }
}

/// The addresses in `ready api=http://… ops=http://…`; the API may also be at `https://…`.
fn ready_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    let (api, ops) = (words.next()?, words.next()?);
    let api = api.strip_prefix("api=http://").or_else(|| api.strip_prefix("api=https://"))?;
    Some((api.parse().ok()?, ops.strip_prefix("ops=http://")?.parse().ok()?))
}

/// A data directory, in a folder of its own, in whose catalog the login `provider` of member 958 has the segments 12
/// (code `cars`) and 13. `binary` applies it.
pub fn prepare_data_dir(binary: &Path) -> (TempDir, PathBuf) {
    let catalog = json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [{"username": "provider", "password": PASSWORD, "member_id": 958, "user_type": "member"}],
        "segments": [{"id": 12, "member_id": 958, "code": "cars"}, {"id": 13, "member_id": 958}],
    });
    prepare_data_dir_of(binary, &catalog)
}

/// [`prepare_data_dir`] of another catalog file.
pub fn prepare_data_dir_of(binary: &Path, catalog: &Value) -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a folder");
    let data_dir = dir.path().join("data");
    Installation::create(binary, &data_dir, dir.path(), &catalog.to_string())
        .unwrap_or_else(|error| panic!("{error:?}"));
    (dir, data_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read() {
        let (api, ops) = ready_addresses("ready api=http://127.0.0.1:81 ops=http://127.0.0.1:82\n").unwrap();
        assert_eq!((api.port(), ops.port()), (81, 82));
        assert!(ready_addresses("ready api=https://127.0.0.1:81 ops=http://127.0.0.1:82\n").is_some());
        for wrong in
            ["", "ready", "ready api=http://127.0.0.1:81", "steady api=http://1.2.3.4:5 ops=http://1.2.3.4:6"]
        {
            assert!(ready_addresses(wrong).is_none(), "{wrong}");
        }
    }
}
