//! `instant-audience serve`

use super::demo_login::refuse_to_publish;
use super::{ServerArgs, start_logging};
use crate::config::Config;
use crate::run::{self, Listeners, Machine};
use anyhow::Context;
use ia_log::RealDisk;
use ia_model::SystemClock;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

pub(super) fn run(args: ServerArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    start_logging(config.server.log_format, &config.server.log_level)?;
    refuse_to_publish(&config)?;
    serve(config, |_| String::new())
}

/// Runs a server until SIGTERM or SIGINT. SIGHUP makes it look at the files of its certificate. `greeting` gets the
/// address of the API and returns the text that is printed after the "ready" line.
pub(super) fn serve(config: Config, greeting: impl FnOnce(SocketAddr) -> String) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        // Set up before the ready line, so that a signal right after it does not kill the process.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let reload = Arc::new(Notify::new());
        let reloaded = Arc::clone(&reload);
        let has_certificate = config.tls_files().is_some();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if !has_certificate {
                    tracing::info!("SIGHUP: without a certificate there is nothing to look at again");
                }
                reload.notify_one();
            }
        });
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let listeners = Listeners::bind(&config).await?;
        let api = listeners.api.local_addr()?;
        let ops = listeners.ops.local_addr()?;
        let scheme = if config.tls_files().is_some() { "https" } else { "http" };
        let machine = Machine { clock: Arc::new(SystemClock), log_disk: Arc::new(RealDisk) };
        let (ready, is_ready) = oneshot::channel();
        let announce = async move {
            if is_ready.await.is_ok() {
                let mut out = std::io::stdout().lock();
                // The server runs on even if nobody reads its output.
                let _ = writeln!(out, "ready api={scheme}://{api} ops=http://{ops}");
                let _ = write!(out, "{}", greeting(api)).and_then(|()| out.flush());
            }
        };
        let (result, ()) =
            tokio::join!(run::run(config, listeners, machine, ready, reloaded, shutdown), announce);
        result
    });
    // The tasks that are left have no work to finish.
    runtime.shutdown_background();
    result
}
