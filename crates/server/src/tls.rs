//! TLS for the API listener: the certificate, and taking over a renewed one.

use anyhow::{Context, anyhow, bail};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;

/// How often the files are looked at. Their content is compared, because what renews certificates also changes links
/// to folders, as Kubernetes does.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate chain and its private key, in two PEM files.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be used.
struct Pair {
    acceptor: TlsAcceptor,
    expires_at: Option<Duration>,
}

/// The certificate in force, and the files from which the next one comes.
pub(crate) struct Certificate {
    files: Files,
    in_force: Contents,
    acceptor: watch::Sender<TlsAcceptor>,
    expires_at: Option<Duration>,
    bad: Option<Bad>,
}

/// Files that cannot be used.
struct Bad {
    found: Result<Contents, String>,
    is_reported: bool,
}

/// The metrics of the certificate.
struct TlsMetrics {
    expires_at: Gauge,
    failures: Counter,
}

impl Certificate {
    /// Reads and checks the files. One that has expired is used, with a warning.
    pub(crate) fn load(cert: &Path, key: &Path) -> anyhow::Result<Certificate> {
        let files = Files { cert: cert.to_owned(), key: key.to_owned() };
        let in_force = files.read()?;
        let pair = files.pair(&in_force)?;
        pair.warn(&files);
        let Pair { acceptor, expires_at } = pair;
        Ok(Certificate { files, in_force, acceptor: watch::Sender::new(acceptor), expires_at, bad: None })
    }

    /// For HTTP/1.1 and HTTP/2, with the certificate that is in force now.
    pub(crate) fn acceptor(&self) -> watch::Receiver<TlsAcceptor> {
        self.acceptor.subscribe()
    }

    /// Takes over each good new pair, as soon as it is seen; at once when `reload` is notified.
    ///
    /// A pair that cannot be used is refused, and the old one stays. It is reported once, and only if it is still there at
    /// the next look: the two files are seldom written at the same moment.
    pub(crate) fn keep_current(
        mut self,
        reload: Arc<Notify>,
        registry: &mut Registry,
    ) -> impl Future<Output = ()> + Send + use<> {
        let metrics = TlsMetrics::new(registry);
        metrics.tell_expiry(self.expires_at);
        async move {
            loop {
                let is_asked = tokio::select! {
                    () = reload.notified() => true,
                    () = tokio::time::sleep(CHECK_INTERVAL) => false,
                };
                let files = self.files.clone();
                match tokio::task::spawn_blocking(move || files.read()).await {
                    Ok(found) => self.consider(found, is_asked, &metrics),
                    Err(error) => tracing::error!(%error, "cannot look at the certificate"),
                }
            }
        }
    }

    fn consider(&mut self, found: anyhow::Result<Contents>, is_asked: bool, metrics: &TlsMetrics) {
        if found.as_ref().is_ok_and(|contents| *contents == self.in_force) {
            self.bad = None;
            if is_asked {
                tracing::info!("the certificate in the files is the one in force");
            }
            return;
        }
        let error = match found.as_ref().map(|contents| self.files.pair(contents)) {
            Ok(Ok(pair)) => {
                pair.warn(&self.files);
                self.acceptor.send_replace(pair.acceptor);
                metrics.tell_expiry(pair.expires_at);
                self.in_force = found.expect("it was read");
                self.bad = None;
                tracing::info!(cert = %self.files.cert.display(), "a new certificate is in force");
                return;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => format!("{error:#}"),
        };
        let found = found.map_err(|_| error.clone());
        let known = self.bad.take().filter(|bad| bad.found == found);
        let is_reported = known.as_ref().is_some_and(|bad| bad.is_reported);
        if is_asked || (known.is_some() && !is_reported) {
            metrics.failures.inc();
            tracing::error!(error, "the new certificate is refused, and the old one stays in force");
        }
        self.bad = Some(Bad { found, is_reported: is_reported || is_asked || known.is_some() });
    }
}

impl TlsMetrics {
    fn new(registry: &mut Registry) -> TlsMetrics {
        let expires_at = Gauge::default();
        registry.register_with_unit(
            "tls_certificate_expiration_timestamp",
            "When the certificate in force expires, as a Unix time; 0 if that cannot be read",
            Unit::Seconds,
            expires_at.clone(),
        );
        let failures = Counter::default();
        registry.register("tls_reload_failures", "New certificates that were refused", failures.clone());
        TlsMetrics { expires_at, failures }
    }

    fn tell_expiry(&self, expires_at: Option<Duration>) {
        let seconds = expires_at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        self.expires_at.set(seconds);
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Contents> {
        let read = |path: &Path, what| {
            std::fs::read(path).with_context(|| format!("cannot read the {what} in {}", path.display()))
        };
        Ok(Contents { cert: read(&self.cert, "certificates")?, key: read(&self.key, "private key")? })
    }

    /// Checks a pair. Errors hold nothing of what is in the files.
    fn pair(&self, contents: &Contents) -> anyhow::Result<Pair> {
        let chain = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow!("{} is no valid PEM file: {}", self.cert.display(), fault(&error)))?;
        let Some(first) = chain.first() else { bail!("{} holds no certificate", self.cert.display()) };
        let expires_at = expires_at(first);
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            anyhow!("{} holds no valid private key in PEM: {}", self.key.display(), fault(&error))
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| {
                format!("{} and {} do not go together", self.cert.display(), self.key.display())
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Pair { acceptor: TlsAcceptor::from(Arc::new(config)), expires_at })
    }
}

impl Pair {
    /// Tells of a certificate that clients will not like. It is used all the same: there may be none better.
    fn warn(&self, files: &Files) {
        let cert = files.cert.display();
        match self.expires_at {
            Some(at) if UNIX_EPOCH + at < SystemTime::now() => {
                tracing::warn!(%cert, "the certificate has expired");
            }
            Some(_) => {}
            None => tracing::warn!(%cert, "cannot read when the certificate expires"),
        }
    }
}

/// What is wrong with a PEM file. The library's own words can repeat a line of the file, which may be the key.
fn fault(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "a section does not end",
        PemError::IllegalSectionStart { .. } => "the line that begins a section holds something else too",
        PemError::Base64Decode(_) => "a section is not base64",
        PemError::NoItemsFound => "there is none in it",
        _ => "it cannot be read",
    }
}

/// When a certificate expires, since 1970.
fn expires_at(certificate: &CertificateDer<'_>) -> Option<Duration> {
    let certificate = X509::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn write(folder: &TempDir, cert: &str, key: &str) {
        std::fs::write(folder.path().join("cert.pem"), cert).unwrap();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
    }

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_refused_at_its_second_look_and_once() {
        let folder = TempDir::new().unwrap();
        let ((cert, key), (next_cert, next_key)) = (pair(), pair());
        write(&folder, &cert, &key);
        let file = |name: &str| folder.path().join(name);
        let mut certificate = Certificate::load(&file("cert.pem"), &file("key.pem")).unwrap();
        let mut current = certificate.acceptor();
        let metrics = TlsMetrics::new(&mut Registry::default());
        let mut look = |is_asked| {
            let found = certificate.files.read();
            certificate.consider(found, is_asked, &metrics);
            let is_taken = current.has_changed().unwrap();
            current.mark_unchanged();
            (is_taken, metrics.failures.get())
        };
        assert_eq!(look(false), (false, 0), "nothing is new");
        // Half written, and whole at the next look.
        write(&folder, &next_cert, &key);
        assert_eq!(look(false), (false, 0));
        write(&folder, &next_cert, &next_key);
        assert_eq!(look(false), (true, 0));
        assert_eq!(look(false), (false, 0));
        // Wrong for good.
        write(&folder, &cert, &next_key);
        assert_eq!([look(false), look(false), look(false)], [(false, 0), (false, 1), (false, 1)]);
        assert_eq!(look(true), (false, 2), "whoever asks is told");
        std::fs::remove_file(file("key.pem")).unwrap();
        assert_eq!([look(false), look(false), look(false)], [(false, 2), (false, 3), (false, 3)]);
        // The one in force comes back, and then the same mistake again.
        write(&folder, &next_cert, &next_key);
        assert_eq!(look(false), (false, 3));
        write(&folder, &cert, &next_key);
        assert_eq!([look(false), look(false)], [(false, 3), (false, 4)]);
        write(&folder, &cert, &key);
        assert_eq!(look(true), (true, 4));
    }
}
