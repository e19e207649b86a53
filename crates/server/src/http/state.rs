//! The state that all handlers share.

use super::client::{Client, FaultLog, Proxies, ProxyFault};
use super::connection::Peer;
use super::metrics::HttpMetrics;
use crate::pixels::{PixelOptions, Pixels};
use axum::http::HeaderMap;
use ia_engine::Engine;
use ia_engine::budget::ByteBudget;
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The settings of the HTTP side.
pub(crate) struct HttpOptions {
    /// The name of this process, which is in every answer.
    pub(crate) instance: String,
    /// How long a body may take to arrive.
    pub(crate) body_timeout: Duration,
    /// Memory for all request bodies together, in bytes.
    pub(crate) max_body_memory: usize,
    /// `None` while pixels are switched off.
    pub(crate) pixels: Option<PixelOptions>,
    /// What stands in front of the server.
    pub(crate) proxies: Proxies,
    /// The scheme, host and path under which callers reach the API, where the operator has set it.
    pub(crate) public_url: Option<String>,
    /// The hosts on which one job is answered as an array of one, in lower case.
    pub(crate) array_hosts: Vec<String>,
}

/// The engine, and the state that only HTTP needs.
pub(crate) struct Http {
    pub(crate) engine: Arc<Engine>,
    pub(crate) instance: String,
    pub(crate) body_timeout: Duration,
    /// Limits the memory of bodies, also of those that arrive slowly.
    pub(crate) body_budget: Arc<ByteBudget>,
    /// `None` while they are switched off.
    pub(crate) pixels: Option<Pixels>,
    pub(crate) proxies: Proxies,
    pub(crate) public_url: Option<String>,
    array_hosts: Vec<String>,
    proxy_faults: FaultLog,
    pub(crate) metrics: HttpMetrics,
    stopping: AtomicBool,
    request_ids: RequestIds,
}

impl Http {
    /// Fails if the system gives no random numbers. `registry` has the engine's metrics already.
    pub(crate) fn new(
        engine: Arc<Engine>,
        options: HttpOptions,
        registry: Registry,
    ) -> Result<Http, getrandom::Error> {
        Ok(Http {
            engine,
            instance: options.instance,
            body_timeout: options.body_timeout,
            body_budget: ByteBudget::new(options.max_body_memory),
            pixels: options.pixels.map(Pixels::new),
            proxies: options.proxies,
            public_url: options.public_url,
            array_hosts: options.array_hosts,
            proxy_faults: FaultLog::default(),
            metrics: HttpMetrics::new(registry),
            stopping: AtomicBool::new(false),
            request_ids: RequestIds::new()?,
        })
    }

    /// From now on `/readyz` tells load balancers to send no more requests.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why this server should get no requests now; `None` if it should get them.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("stopping".to_owned());
        }
        self.engine.fault()
    }

    /// Whether one job is answered as an array of one on this host.
    pub(super) fn is_array_host(&self, host: &str) -> bool {
        self.array_hosts.iter().any(|array_host| array_host.eq_ignore_ascii_case(host))
    }

    /// Who sent a request with these headers over a connection from `peer`.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let (client, fault) = self.proxies.client(peer, headers);
        if let Some(fault) = fault {
            self.proxy_fault(fault, peer);
        }
        client
    }

    /// Counts what is wrong with what came from `peer`, and logs it.
    pub(super) fn proxy_fault(&self, fault: ProxyFault, peer: Peer) {
        self.metrics.proxy_fault(fault.cause());
        self.proxy_faults.write(fault, peer.address);
    }

    /// A new request id.
    pub(crate) fn next_request_id(&self) -> String {
        self.request_ids.next()
    }

    /// The text that Prometheus reads.
    pub(crate) fn metrics_text(&self) -> String {
        let is_ready = self.not_ready().is_none();
        self.metrics.encode(is_ready, self.body_budget.held_bytes(), &self.engine.status())
    }
}

/// Request ids, unique over restarts and instances: a random prefix and a count.
struct RequestIds {
    prefix: Box<str>,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Result<RequestIds, getrandom::Error> {
        Ok(RequestIds { prefix: format!("{:016x}-", getrandom::u64()?).into(), count: AtomicU64::new(0) })
    }

    fn next(&self) -> String {
        let mut id = String::with_capacity(self.prefix.len() + 16);
        id.push_str(&self.prefix);
        write!(id, "{:x}", self.count.fetch_add(1, Ordering::Relaxed))
            .expect("writing to a String does not fail");
        id
    }
}
