//! HTTP/1.1, plain or with TLS.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the time for which servers and proxies keep an idle connection, so that few requests meet a closed one.
const KEPT_IDLE: Duration = Duration::from_secs(4);

/// What a request carries.
pub(in crate::cli) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Sends requests. Follows no redirects.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Http(Client<HttpsConnector<HttpConnector>, Body>);

impl Http {
    /// Trusts the certificates that the system trusts, and those in `ca_file` (PEM).
    pub(in crate::cli) fn new(ca_file: Option<&Path>) -> anyhow::Result<Http> {
        let mut roots = RootCertStore::empty();
        // A system without certificates is fine for http://, and with `ca_file`.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = ca_file {
            let name = file.display();
            let certificates = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| format!("cannot read the certificates in {name}"))?;
            ensure!(!certificates.is_empty(), "{name} has no certificate in PEM");
            for certificate in certificates {
                roots
                    .add(certificate)
                    .with_context(|| format!("{name} has a certificate that cannot be used"))?;
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_IDLE)
            .build(connector);
        Ok(Http(client))
    }

    /// Sends one request. The answer's body is still to be read.
    pub(in crate::cli) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        self.0.request(request).await
    }
}
