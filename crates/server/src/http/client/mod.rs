//! Who the client of a request is: its address, and whether it came over TLS. Decided once for each request, by
//! [`Proxies::client`]. Limits, cookies and logs know nothing else.

mod forwarded;
pub(super) mod proxy_protocol;
mod trusted;

use super::connection::Peer;
use axum::http::HeaderMap;
use forwarded::{Hop, Source, forwarded, x_forwarded};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
pub(crate) use trusted::TrustedProxies;

/// How often a fault of a proxy is logged; each is counted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// The last address on the request's way that is not a trusted proxy's.
    pub(crate) address: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub(crate) is_secure: bool,
}

/// What stands in front of this server.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    /// Whose headers are believed.
    pub(crate) trusted: TrustedProxies,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Whether clients come over TLS; `None` means: if the connection or a trusted proxy says so.
    pub(crate) is_secure: Option<bool>,
}

/// What is wrong with what a proxy sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyFault {
    /// With the PROXY protocol, an address connects that is not a trusted proxy's.
    Untrusted,
    /// A connection does not begin with a header of the PROXY protocol.
    NoHeader,
    /// The header of the PROXY protocol makes no sense.
    BadHeader,
    /// `X-Forwarded-For` and `Forwarded` name different clients.
    Contradiction,
    /// In place of an address, a trusted proxy has sent something else.
    NoAddress,
}

impl ProxyFault {
    /// Its name in the metrics.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            ProxyFault::Untrusted => "untrusted",
            ProxyFault::NoHeader => "no_header",
            ProxyFault::BadHeader => "bad_header",
            ProxyFault::Contradiction => "contradiction",
            ProxyFault::NoAddress => "no_address",
        }
    }

    /// What is wrong and what happens now, for the operator.
    fn message(self) -> &'static str {
        match self {
            ProxyFault::Untrusted => {
                "a connection is closed: http.proxy_protocol is on, and its address is not in http.trusted_proxies"
            }
            ProxyFault::NoHeader => {
                "a connection is closed: http.proxy_protocol is on, and it does not begin with a header of version 2"
            }
            ProxyFault::BadHeader => "a connection is closed: its PROXY protocol header makes no sense",
            ProxyFault::Contradiction => {
                "X-Forwarded-For and Forwarded name different clients, so neither is believed: let the proxy remove the one that it does not write"
            }
            ProxyFault::NoAddress => {
                "a trusted proxy has sent no address in X-Forwarded-For or Forwarded, so its own address counts"
            }
        }
    }
}

/// Writes the faults of proxies to the log, but not each of them.
#[derive(Debug, Default)]
pub(crate) struct FaultLog(Mutex<Vec<(ProxyFault, Instant)>>);

impl FaultLog {
    /// Logs a fault if none of its kind was logged lately. `from` is who connected.
    pub(crate) fn write(&self, fault: ProxyFault, from: IpAddr) {
        let now = Instant::now();
        {
            let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lately.retain(|&(_, at)| now.duration_since(at) < LOG_INTERVAL);
            if lately.iter().any(|&(known, _)| known == fault) {
                return;
            }
            lately.push((fault, now));
        }
        tracing::warn!(%from, cause = fault.cause(), "{}", fault.message());
    }
}

impl Proxies {
    /// Who sent a request with these headers, and what is wrong with them.
    ///
    /// The headers count only if `peer` is a trusted proxy. If `X-Forwarded-For` and `Forwarded` name different clients,
    /// `peer` counts: most proxies write one of the two, and pass on what the client has written into the other.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> (Client, Option<ProxyFault>) {
        let mut said = Way::default();
        let mut fault = None;
        if self.trusted.contains(peer.address) {
            let list = self.walk(peer, x_forwarded(headers));
            let standard = self.walk(peer, forwarded(headers));
            if list.address.zip(standard.address).is_some_and(|(list, standard)| list != standard) {
                fault = Some(ProxyFault::Contradiction);
            } else {
                said = Way {
                    address: list.address.or(standard.address),
                    is_secure: match (list.is_secure, standard.is_secure) {
                        (Some(list), Some(standard)) => (list == standard).then_some(list),
                        (list, standard) => list.or(standard),
                    },
                    has_gap: list.has_gap || standard.has_gap,
                };
                fault = said.has_gap.then_some(ProxyFault::NoAddress);
            }
        }
        let client = Client {
            address: said.address.unwrap_or(peer.address),
            is_secure: self.is_secure.or(said.is_secure).unwrap_or(peer.tls),
        };
        (client, fault)
    }

    /// Goes back from `peer` for as long as a trusted proxy tells who came to it.
    fn walk(&self, peer: Peer, hops: impl Iterator<Item = Hop>) -> Way {
        let mut way = Way::default();
        for hop in hops {
            if !self.trusted.contains(way.address.unwrap_or(peer.address)) {
                break;
            }
            way.is_secure = hop.is_secure;
            match hop.from {
                Source::Address(address) => way.address = Some(address),
                Source::NotSaid => break,
                Source::NoAddress => {
                    way.address = Some(way.address.unwrap_or(peer.address));
                    way.has_gap = true;
                    break;
                }
            }
        }
        way
    }
}

/// What one kind of header says of a request's way.
#[derive(Debug, Default)]
struct Way {
    /// The last address that a trusted proxy named; `None` if nothing is said of addresses.
    address: Option<IpAddr>,
    /// Whether the client came over TLS, if that is said.
    is_secure: Option<bool>,
    /// Whether it ends at something that is no address.
    has_gap: bool,
}

#[cfg(test)]
mod tests;
