//! The composition root: puts configuration, engine and HTTP together, and runs them until a shutdown. Only the command
//! line and tests call it.

use crate::config::Config;
use crate::http::serve::{ConnectionLimits, serve};
use crate::http::{Http, Service};
use crate::tls::Certificate;
use anyhow::Context;
pub use ia_engine::Machine;
use ia_engine::data_dir::DataDir;
use prometheus_client::registry::Registry;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

/// The two listeners, bound already.
pub struct Listeners {
    /// For the API.
    pub api: TcpListener,
    /// For health and metrics.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds both addresses of the configuration; port 0 takes a free one.
    pub async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        Ok(Listeners { api: bind(config.server.listen).await?, ops: bind(config.server.ops_listen).await? })
    }
}

/// Runs the server until `shutdown` is done; then answers what was taken, writes a checkpoint and returns.
///
/// `ready` is told when requests are served. The ops listener answers from the start. When `reload` is notified, the
/// files of the certificate are looked at.
pub async fn run(
    config: Config,
    listeners: Listeners,
    machine: Machine,
    ready: oneshot::Sender<()>,
    reload: Arc<Notify>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let certificate = config.tls_files().map(|(cert, key)| Certificate::load(cert, key)).transpose()?;
    let tls = certificate.as_ref().map(Certificate::acceptor);
    let (stop_api, api_stopping) = watch::channel(false);
    let (stop_ops, ops_stopping) = watch::channel(false);
    let connections = ConnectionLimits {
        max_connections: config.http.max_connections,
        header_timeout: Duration::from_secs(config.http.header_timeout_seconds),
        idle_timeout: Duration::from_secs(config.http.idle_timeout_seconds),
    };
    let started = Arc::new(OnceLock::new());
    let ops = tokio::spawn(serve(
        listeners.ops,
        None,
        Service::ops(Arc::clone(&started)),
        connections,
        ops_stopping,
    ));

    let data_dir = DataDir::create(&config.server.data_dir)?;
    let mut registry = Registry::with_prefix("instant_audience");
    let mut shutdown = std::pin::pin!(shutdown);
    let stop_replay = Arc::new(AtomicBool::new(false));
    let opening =
        ia_engine::open(config.engine_options()?, data_dir, machine, &mut registry, Arc::clone(&stop_replay));
    let opened = tokio::select! {
        opened = opening => opened?,
        () = &mut shutdown => {
            stop_replay.store(true, Ordering::Relaxed);
            tracing::info!("stopped while starting");
            return Ok(());
        }
    };
    // Ends with this function.
    let mut renewals = JoinSet::new();
    if let Some(certificate) = certificate {
        renewals.spawn(certificate.keep_current(reload, &mut registry));
    }
    let http = Arc::new(Http::new(Arc::clone(&opened.engine), config.http_options()?, registry)?);
    let _ = started.set(Arc::clone(&http));
    let api = serve(listeners.api, tls, Service::api(Arc::clone(&http)), connections, api_stopping);
    let mut api = tokio::spawn(api);
    // Nobody may be waiting for the news.
    let _ = ready.send(());

    tokio::select! {
        () = &mut shutdown => tracing::info!("stopping"),
        ended = &mut api => anyhow::bail!("the API listener ended by itself: {ended:?}"),
    }
    http.stop();
    stop_api.send_replace(true);
    api.await?;
    let result = opened.close().await;
    stop_ops.send_replace(true);
    ops.await?;
    tracing::info!("stopped");
    result
}
