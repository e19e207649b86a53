//! Certificates for tests, and a client that knows them.

use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for `localhost` that nobody else has signed, with its key.
pub(crate) struct SelfSigned(rcgen::CertifiedKey<rcgen::KeyPair>);

impl SelfSigned {
    pub(crate) fn new() -> SelfSigned {
        SelfSigned(rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap())
    }

    /// One that expires at the beginning of this year.
    pub(crate) fn until(year: i32) -> SelfSigned {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        SelfSigned(rcgen::CertifiedKey { cert, signing_key })
    }

    pub(crate) fn cert_pem(&self) -> String {
        self.0.cert.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.0.signing_key.serialize_pem()
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.0.cert.der()
    }

    /// Writes `cert.pem` and `key.pem` into a folder.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), self.cert_pem()).unwrap();
        std::fs::write(folder.join("key.pem"), self.key_pem()).unwrap();
    }
}

/// Speaks TLS with a server that has one of these certificates, and with no other.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    known: &[&SelfSigned],
    alpn: &str,
) -> std::io::Result<TlsStream<S>> {
    let mut roots = rustls::RootCertStore::empty();
    for known in known {
        roots.add(known.der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), stream).await
}
