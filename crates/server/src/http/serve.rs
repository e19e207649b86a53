//! Listening: a bounded number of connections, each with deadlines, until a shutdown that answers what was taken.

use super::client::ProxyFault;
use super::client::proxy_protocol::{self, NoHeader};
pub(crate) use super::connection::ConnectionLimits;
use super::connection::Peer;
use super::{Http, Service, h1, h2};
use axum::BoxError;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What every HTTP/2 connection begins with, and no other.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read at once of a new connection.
const READ_BYTES: usize = 8 << 10;

/// How long a stop waits for answers that are under way: longer than a body may take as shipped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(40);

/// How long to wait after the system refused to accept, as it does when files run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves `service` on `listener` until `shutdown` turns true; then takes no more, and returns when what
/// was taken is answered. A new connection gets what `tls` then holds.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<TlsAcceptor>>,
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
                let tls = tls.as_ref().map(|tls| tls.borrow().clone());
                let (service, stopping) = (service.clone(), stopping.clone());
                tokio::spawn(async move {
                    let _place = place;
                    // Dropped last: when it is gone, so is the service, and with it what the data directory holds open.
                    let _running = stopping.clone();
                    let peer = Peer::new(address);
                    if let Err(error) = connection(stream, peer, tls, service, limits, stopping).await {
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
    if timeout(DRAIN_TIMEOUT, stop.closed()).await.is_err() {
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
    mut stream: TcpStream,
    mut peer: Peer,
    tls: Option<TlsAcceptor>,
    service: Service,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<()>,
) -> Result<(), BoxError> {
    // Answers are small and complete: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    if let Some(http) = service.http.as_ref().filter(|http| http.proxies.proxy_protocol) {
        let introduced = tokio::select! {
            biased;
            introduced = introduction(&mut stream, peer, http, limits) => introduced?,
            _ = stopping.changed() => return Ok(()),
        };
        match introduced {
            Some(introduced) => peer = introduced,
            None => return Ok(()),
        }
    }
    match tls {
        None => speak(stream, peer, service, limits, stopping).await,
        Some(tls) => {
            let stream = timeout(limits.header_timeout, tls.accept(stream)).await??;
            speak(stream, Peer { tls: true, ..peer }, service, limits, stopping).await
        }
    }
}

/// Whom the PROXY protocol header of a connection from `peer` names; `None` if the connection is to be closed.
async fn introduction(
    stream: &mut TcpStream,
    peer: Peer,
    http: &Http,
    limits: ConnectionLimits,
) -> std::io::Result<Option<Peer>> {
    if !http.proxies.trusted.contains(peer.address) {
        http.proxy_fault(ProxyFault::Untrusted, peer);
        return Ok(None);
    }
    let fault = match timeout(limits.patience(), proxy_protocol::read(stream)).await {
        Ok(Ok(header)) => {
            return Ok(header
                .map(|header| Peer { address: header.address.unwrap_or(peer.address), tls: header.tls }));
        }
        Ok(Err(NoHeader::Io(error))) => return Err(error),
        Ok(Err(NoHeader::Malformed)) => ProxyFault::BadHeader,
        Ok(Err(NoHeader::Missing)) | Err(_) => ProxyFault::NoHeader,
    };
    http.proxy_fault(fault, peer);
    Ok(None)
}

/// Serves the version of HTTP that the client begins with.
async fn speak(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    service: Service,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<()>,
) -> Result<(), BoxError> {
    let mut received = BytesMut::with_capacity(READ_BYTES);
    let first = tokio::select! {
        biased;
        first = timeout(limits.patience(), first_bytes(&mut stream, &mut received)) => first,
        _ = stopping.changed() => return Ok(()),
    };
    first??;
    if received.starts_with(HTTP2_PREFACE) {
        h2::serve(stream, received.freeze(), peer, service, limits, stopping).await
    } else {
        Ok(h1::serve(stream, received, peer, &service, limits, &stopping).await?)
    }
}

/// Reads until it can be told which version of HTTP is spoken.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin), received: &mut BytesMut) -> std::io::Result<()> {
    while HTTP2_PREFACE.starts_with(received) && received.len() < HTTP2_PREFACE.len() {
        if stream.read_buf(received).await? == 0 {
            break;
        }
    }
    Ok(())
}
