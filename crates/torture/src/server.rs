//! The server under test: given a catalog, started, asked.

use crate::operation;
use anyhow::{Context, bail};
use ia_testkit::{Answer, Connection, NotReady, PASSWORD, ServerProcess, request};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// A server that does not get ready, answer or end by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How much of the server's log is shown when it fails.
const LOG_LINES_SHOWN: usize = 12;

/// A binary with a data directory that has the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    binary: PathBuf,
    data_dir: PathBuf,
    /// Where the server's log lines go: not to the disk under test.
    log: PathBuf,
    settings: Vec<(String, String)>,
}

/// Small files and frequent checkpoints: much happens in little time, and profiles leave memory.
const SETTINGS: [(&str, &str); 8] = [
    ("LIMITS__POSTS_PER_SECOND", "0"),
    ("LIMITS__GETS_PER_SECOND", "0"),
    ("LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    ("LOG__SEGMENT_BYTES", "64KiB"),
    ("PROFILES__CHECKPOINT_INTERVAL_SECONDS", "1"),
    ("PROFILES__CHECKPOINT_LOG_BYTES", "16KiB"),
    ("PROFILES__MEMORY_BUDGET", "1MiB"),
    ("SERVER__LOG_LEVEL", "info,fjall=warn,lsm_tree=warn"),
];

impl Installation {
    /// Loads the catalog into `data_dir`, which it makes. `scratch` is a folder of this program's own.
    pub(crate) async fn create(
        binary: &Path,
        data_dir: &Path,
        scratch: &Path,
    ) -> anyhow::Result<Installation> {
        let installation = Installation {
            binary: binary.to_owned(),
            data_dir: data_dir.to_owned(),
            log: scratch.join("server.log"),
            settings: SETTINGS.map(|(name, value)| (variable(name), value.to_owned())).into(),
        };
        let catalog = scratch.join("catalog.json");
        std::fs::write(&catalog, operation::catalog().to_string())
            .context("cannot write the catalog file")?;
        let mut apply = Command::new(binary);
        apply.arg("apply").arg(&catalog).arg("--data-dir").arg(data_dir).stdin(Stdio::null());
        let output = apply.output().await.context("cannot run the server's binary")?;
        if !output.status.success() {
            bail!("apply ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(installation)
    }

    /// Where the data is.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Changes a setting, by the name of its variable after the prefix.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Installation {
        self.settings.retain(|(known, _)| *known != variable(name));
        self.settings.push((variable(name), value.to_owned()));
        self
    }

    /// Starts the server; `Err` within the result when it ends before it is ready.
    ///
    /// `wrapper` is a command line that runs the server in the place of its own process; it may be empty.
    pub(crate) async fn try_start(
        &self,
        wrapper: &[String],
    ) -> anyhow::Result<Result<ServerProcess, NotReady>> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log);
        let log = log.context("cannot open the file for the server's log")?;
        let mut command = match wrapper {
            [] => Command::new(&self.binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let starting = ServerProcess::start(command, &self.data_dir, log.into());
        tokio::time::timeout(PATIENCE, starting).await.context("the server does not get ready")
    }

    /// Starts a server that has to get ready.
    pub(crate) async fn start(&self) -> anyhow::Result<ServerProcess> {
        match self.try_start(&[]).await? {
            Ok(server) => Ok(server),
            Err(NotReady(status)) => {
                bail!("the server ended with {status} at its start:\n{}", self.log_tail())
            }
        }
    }

    /// Stops a server in order; its exit code has to be 0.
    pub(crate) async fn stop(&self, server: ServerProcess) -> anyhow::Result<()> {
        server.terminate();
        let status = self.end_of(server).await?;
        if !status.success() {
            bail!("the server ended its stop with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Waits for a server that was told to end.
    pub(crate) async fn end_of(&self, server: ServerProcess) -> anyhow::Result<ExitStatus> {
        tokio::time::timeout(PATIENCE, server.wait())
            .await
            .with_context(|| format!("the server does not end:\n{}", self.log_tail()))
    }

    /// How long the server's log is.
    pub(crate) fn log_length(&self) -> usize {
        std::fs::metadata(&self.log).map_or(0, |log| log.len() as usize)
    }

    /// What was logged since it was so long.
    pub(crate) fn log_since(&self, length: usize) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(length..).unwrap_or_default()).into_owned()
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

fn variable(name: &str) -> String {
    format!("INSTANT_AUDIENCE__{name}")
}

/// One request on a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&[u8]>,
) -> anyhow::Result<Answer> {
    let asking = async {
        let mut connection = Connection::open(address).await.context("cannot connect")?;
        let token = token.map(|token| ("authorization", token));
        let answered = connection.exchange(&request(method, path, address, token.as_slice(), body)).await;
        answered.map_err(|broken| {
            anyhow::anyhow!("no answer after {} bytes: {}", broken.received_bytes, broken.error)
        })
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.context("no answer in time").flatten();
    answer.with_context(|| format!("{method} {path}"))
}

/// The body of a login.
pub(crate) fn credentials(username: &str) -> String {
    json!({"auth": {"username": username, "password": PASSWORD}}).to_string()
}

/// Logs in.
pub(crate) async fn log_in(server: &ServerProcess, username: &str) -> anyhow::Result<String> {
    let answer = ask(server.api, "POST", "/auth", None, Some(credentials(username).as_bytes())).await?;
    if answer.status != 200 {
        bail!("the login was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(answer.response()["token"].as_str().context("an answer without a token")?.to_owned())
}

/// What `/readyz` says: the status and the text.
pub(crate) async fn readiness(server: &ServerProcess) -> anyhow::Result<(u16, String)> {
    let answer = ask(server.ops, "GET", "/readyz", None, None).await?;
    Ok((answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned()))
}

/// A metric without labels.
pub(crate) async fn metric(server: &ServerProcess, name: &str) -> anyhow::Result<f64> {
    let answer = ask(server.ops, "GET", "/metrics", None, None).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let value =
        text.lines().find_map(|line| line.strip_prefix(&format!("instant_audience_{name} "))?.parse().ok());
    value.with_context(|| format!("no metric {name}"))
}
