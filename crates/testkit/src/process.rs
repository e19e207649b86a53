//! The real binary as a process of its own: what durability is tested with.

use crate::client::Client;
use crate::kit::PASSWORD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// It ended before it was ready, in this way.
#[derive(Debug)]
pub struct NotReady(pub ExitStatus);

/// A running `instant-audience`. Dropping it kills it.
pub struct ServerProcess {
    child: Child,
    /// Where the API is.
    pub api: SocketAddr,
    /// Where health and metrics are.
    pub ops: SocketAddr,
}

impl ServerProcess {
    /// Starts `serve` on free ports and waits for its "ready" line.
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
        ServerProcess::start(command, data_dir, log).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Adds `serve` on free ports to a command that begins with the binary, or with a program that runs it in
    /// its own place, and waits for the "ready" line. A server that ends without one is an answer.
    pub async fn start(mut command: Command, data_dir: &Path, log: Stdio) -> Result<ServerProcess, NotReady> {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let Some(line) = lines.next_line().await.expect("its output is text") else {
            return Err(NotReady(child.wait().await.expect("it is our child")));
        };
        let address = |name: &str| {
            let after = line.split_once(name).unwrap_or_else(|| panic!("no {name} in {line:?}")).1;
            after.split(' ').next().expect("a first word").parse().expect("an address")
        };
        Ok(ServerProcess { api: address("api=http://"), ops: address("ops=http://"), child })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// SIGKILL, at once.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: none of its threads gets any further, but for what the kernel is doing for them.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("an id of a process");
        // It cannot hit another process: the id is not given away before the child is waited for.
        kill_process(id, signal).expect("it runs");
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> ExitStatus {
        self.child.wait().await.expect("it is our child")
    }

    /// A caller with a new token.
    pub async fn login(&self, username: &str) -> Client {
        let anonymous = Client { address: self.api, token: None };
        let credentials = json!({"auth": {"username": username, "password": PASSWORD}});
        let answer = anonymous.post("/auth", &credentials).await.ok();
        Client { token: Some(answer["token"].as_str().expect("a token").to_owned()), ..anonymous }
    }
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
    let file = dir.path().join("catalog.json");
    std::fs::write(&file, catalog.to_string()).expect("room for the catalog");
    let mut apply = std::process::Command::new(binary);
    let applied = apply.arg("apply").arg(&file).arg("--data-dir").arg(&data_dir).output();
    let applied = applied.expect("the binary runs");
    assert!(applied.status.success(), "{applied:?}");
    (dir, data_dir)
}
