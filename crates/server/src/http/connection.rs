//! What is known of a connection, and how long it may take.

use std::net::SocketAddr;
use std::time::Duration;

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

impl ConnectionLimits {
    /// How long a new connection may say nothing.
    pub(super) fn patience(&self) -> Duration {
        self.header_timeout.min(self.idle_timeout)
    }
}
