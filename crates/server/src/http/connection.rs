//! What is known of a connection, and how long it may take.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// More wait in the listen queue.
    pub max_connections: usize,
    /// For the PROXY protocol header, for the TLS handshake, and for the request line and headers. An HTTP/1.1
    /// connection that is kept open waits this long for its next request.
    pub header_timeout: Duration,
    /// Without a byte in or out. An HTTP/2 connection, on which pings go to and fro, may also not be
    /// without a request for longer.
    pub idle_timeout: Duration,
}

/// The other end of a connection. Behind a proxy that is not the client: see [`super::client::Client`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address, without the form that maps IPv4 into IPv6.
    pub address: IpAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Peer {
    /// Who has connected, before a byte was read.
    pub(super) fn new(address: SocketAddr) -> Peer {
        Peer { address: address.ip().to_canonical(), tls: false }
    }
}

impl ConnectionLimits {
    /// How long a new connection may say nothing.
    pub(super) fn patience(&self) -> Duration {
        self.header_timeout.min(self.idle_timeout)
    }
}
