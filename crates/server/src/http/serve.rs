//! Listening: a bounded number of connections, each with deadlines, until a shutdown that answers what was taken.

use super::plain::Outcome;
use super::{Service, general, plain};
use axum::BoxError;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// How long a stop waits for answers that are under way: longer than a body may take as shipped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(40);

/// How long to wait after the system refused to accept, as it does when files run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// More wait in the listen queue.
    pub max_connections: usize,
    /// For the TLS handshake, and for the request line and headers. An HTTP/1.1 connection that is kept
    /// open waits this long for its next request.
    pub header_timeout: Duration,
    /// Without a byte in or out. An HTTP/2 connection, on which pings go to and fro, may also not be
    /// without a request for longer.
    pub idle_timeout: Duration,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Serves `service` on `listener` until `shutdown` turns true; then takes no more, and returns when what
/// was taken is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Service,
    limits: ConnectionLimits,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    // Each connection has the receiver until it ends: that is how the end of all is seen.
    let (stop, stopping) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = shutdown.wait_for(|&stopping| stopping) => break,
        };
        match accepted {
            Ok((stream, address, place)) => {
                let (tls, service, stopping) = (tls.clone(), service.clone(), stopping.clone());
                tokio::spawn(async move {
                    let _place = place;
                    // Dropped last: when it is gone, so is the service, and with it what the data directory holds open.
                    let _running = stopping.clone();
                    if let Err(error) = connection(stream, address, tls, service, limits, stopping).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop((listener, stopping));
    stop.send_replace(());
    if tokio::time::timeout(DRAIN_TIMEOUT, stop.closed()).await.is_err() {
        tracing::warn!("stopped with requests unanswered: their clients took too long");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Service,
    limits: ConnectionLimits,
    stopping: watch::Receiver<()>,
) -> Result<(), BoxError> {
    // Answers are small and complete: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        let peer = Peer { address, tls: false };
        return match plain::serve(stream, peer, &service, limits, &stopping).await? {
            Outcome::Closed => Ok(()),
            Outcome::GoesOn(stream, read) => {
                let stream = with_timeouts(stream, limits);
                general::serve(stream, read, peer, service, limits, stopping).await
            }
        };
    };
    let stream = with_timeouts(stream, limits);
    let stream = tokio::time::timeout(limits.header_timeout, tls.accept(stream)).await??;
    let peer = Peer { address, tls: true };
    match plain::serve(stream, peer, &service, limits, &stopping).await? {
        Outcome::Closed => Ok(()),
        Outcome::GoesOn(stream, read) => general::serve(stream, read, peer, service, limits, stopping).await,
    }
}

fn with_timeouts(stream: TcpStream, limits: ConnectionLimits) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(limits.idle_timeout));
    stream.set_write_timeout(Some(limits.idle_timeout));
    Box::pin(stream)
}
