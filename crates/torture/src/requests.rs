//! The server under test as these commands run it, and single requests to it.

use crate::operation;
use anyhow::{Context, bail};
use ia_testkit::{Answer, Connection, Installation, Metrics, PASSWORD, ServerProcess, request};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A server that does not answer by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// Loads the catalog into `data_dir`, which it makes. `scratch` is a folder of this program's own, not on the disk
/// under test.
pub(crate) fn install(binary: &Path, data_dir: &Path, scratch: &Path) -> anyhow::Result<Installation> {
    let catalog = operation::catalog().to_string();
    Ok(Installation::create(binary, data_dir, scratch, &catalog)?.with_all(&SETTINGS))
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

/// All metrics.
pub(crate) async fn metrics(server: &ServerProcess) -> anyhow::Result<Metrics> {
    let answer = ask(server.ops, "GET", "/metrics", None, None).await?;
    Ok(Metrics(String::from_utf8_lossy(&answer.body).into_owned()))
}

/// A metric without labels.
pub(crate) async fn metric(server: &ServerProcess, name: &str) -> anyhow::Result<f64> {
    metrics(server).await?.get(name).with_context(|| format!("no metric {name}"))
}
