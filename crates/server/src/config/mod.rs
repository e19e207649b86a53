//! Settings: read from their layers and checked once, then passed on as plain values.

mod bytes;
mod files;
mod list;
mod options;
mod pixels;

use anyhow::{Context, ensure};
use bytes::ByteSize;
pub use files::Files;
use ia_engine::nobody::Nobody;
use list::List;
pub use pixels::{Consent, Pixels};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The default settings. This file is the lowest layer, and it documents every setting.
pub const DEFAULTS: &str = include_str!("default.toml");

/// A read of a user also reads all ids that are linked to it, so their number has a limit.
const MAX_LINKS_PER_USER: usize = 1000;

/// All settings.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[http]`
    pub http: Http,
    /// `[limits]`
    pub limits: Limits,
    /// `[memberships]`
    pub memberships: Memberships,
    /// `[identities]`
    pub identities: Identities,
    /// `[profiles]`
    pub profiles: Profiles,
    /// `[log]`
    pub log: Log,
    /// `[usage]`
    pub usage: Usage,
    /// `[files]`
    pub files: Files,
    /// `[pixels]`
    pub pixels: Pixels,
    /// `[tls]`
    pub tls: Tls,
}

/// `[server]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Server {
    pub listen: SocketAddr,
    pub ops_listen: SocketAddr,
    pub data_dir: PathBuf,
    pub instance: String,
    pub log_format: LogFormat,
    pub log_level: String,
    pub public_url: String,
    pub array_hosts: List,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `[http]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Http {
    pub max_connections: usize,
    pub header_timeout_seconds: u64,
    pub body_timeout_seconds: u64,
    pub idle_timeout_seconds: u64,
    pub max_large_requests: usize,
    pub max_body_memory: ByteSize,
    pub trusted_proxies: List,
    pub proxy_protocol: bool,
    pub clients_use_tls: ClientsUseTls,
}

/// Whether clients come over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientsUseTls {
    /// If this server speaks TLS, or a trusted proxy says so.
    Auto,
    /// Always: a proxy in front of the server speaks TLS, and does not say so.
    Always,
    /// Never: nothing speaks TLS with them.
    Never,
}

/// `[limits]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Limits {
    pub posts_per_second: u32,
    pub gets_per_second: u32,
    pub users_per_request: u32,
    pub users_per_second: u32,
    pub segments_per_user: u32,
    pub payload_bytes: u32,
    pub dry_runs_per_second: u32,
    pub logins_per_five_minutes: u32,
    pub failed_logins_per_user_per_five_minutes: u32,
    pub failed_logins_per_address_per_five_minutes: u32,
    pub api_reads_per_minute: u32,
    pub api_writes_per_minute: u32,
    pub segments_per_member: u32,
}

/// `[memberships]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Memberships {
    pub default_expiration: u32,
    pub max_expiration: u32,
    pub unknown_users: UnknownUsers,
}

/// What happens with ids that the service has not seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownUsers {
    /// They are taken.
    Accept,
    /// They are counted as invalid users.
    Reject,
}

/// `[identities]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Identities {
    pub mapping_ttl_minutes: u32,
    pub links_per_user: usize,
    pub nobody: List,
}

impl Identities {
    /// The ids that are nobody's.
    pub(crate) fn nobody(&self) -> anyhow::Result<Nobody> {
        Nobody::with(&self.nobody.0).context("identities.nobody")
    }
}

/// `[profiles]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Profiles {
    pub memory_budget: ByteSize,
    pub checkpoint_interval_seconds: u64,
    pub checkpoint_log_bytes: ByteSize,
}

/// `[log]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Log {
    pub segment_bytes: ByteSize,
    pub max_backlog_bytes: ByteSize,
}

/// `[usage]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Usage {
    pub keep_days: u32,
}

/// `[tls]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Settings from the command line; `None` keeps the value of the layers below.
#[derive(Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--ops-listen`
    pub ops_listen: Option<SocketAddr>,
}

impl Config {
    /// Reads all layers. Fails on an unknown key or an invalid value, and names it.
    pub fn load(overrides: &Overrides) -> anyhow::Result<Config> {
        Config::load_with(overrides, None)
    }

    /// [`Config::load`] with the given environment variables, for tests.
    fn load_with(
        overrides: &Overrides,
        environment: Option<config::Map<String, String>>,
    ) -> anyhow::Result<Config> {
        let mut layers =
            config::Config::builder().add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml));
        if let Some(path) = &overrides.file {
            // Read here, because the config crate would also try the name with other endings.
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
            layers = layers.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        }
        layers = layers.add_source(
            config::Environment::with_prefix("INSTANT_AUDIENCE")
                .prefix_separator("__")
                .separator("__")
                .source(environment),
        );
        let mut config: Config = layers
            .build()
            .and_then(config::Config::try_deserialize)
            .context("the configuration is not valid")?;
        let server = &mut config.server;
        if let Some(data_dir) = &overrides.data_dir {
            server.data_dir.clone_from(data_dir);
        }
        server.listen = overrides.listen.unwrap_or(server.listen);
        server.ops_listen = overrides.ops_listen.unwrap_or(server.ops_listen);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let instance = &self.server.instance;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        ensure!(
            (1..=64).contains(&instance.len()) && instance.chars().all(plain),
            "server.instance must be 1 to 64 letters, digits, '-', '_' or '.'"
        );
        ensure!(self.usage.keep_days >= 90, "usage.keep_days must be at least 90");
        for (key, value) in [
            ("http.header_timeout_seconds", self.http.header_timeout_seconds),
            ("http.body_timeout_seconds", self.http.body_timeout_seconds),
            ("http.idle_timeout_seconds", self.http.idle_timeout_seconds),
            ("http.max_connections", self.http.max_connections as u64),
            ("http.max_large_requests", self.http.max_large_requests as u64),
            ("http.max_body_memory", self.http.max_body_memory.0),
            ("identities.mapping_ttl_minutes", u64::from(self.identities.mapping_ttl_minutes)),
            ("profiles.checkpoint_interval_seconds", self.profiles.checkpoint_interval_seconds),
            ("profiles.checkpoint_log_bytes", self.profiles.checkpoint_log_bytes.0),
            ("log.max_backlog_bytes", self.log.max_backlog_bytes.0),
            ("files.max_upload", self.files.max_upload.0),
            ("files.max_unpacked", self.files.max_unpacked.0),
            ("files.keep_days", self.files.keep_days.into()),
            ("files.at_once", self.files.at_once as u64),
            ("files.waiting_jobs_per_member", self.files.waiting_jobs_per_member as u64),
        ] {
            ensure!(value > 0, "{key} must be at least 1");
        }
        ensure!(
            (1..=MAX_LINKS_PER_USER).contains(&self.identities.links_per_user),
            "identities.links_per_user must be 1 to {MAX_LINKS_PER_USER}"
        );
        ensure!(self.log.segment_bytes.0 >= 64 << 10, "log.segment_bytes must be at least 64KiB");
        ensure!(self.profiles.memory_budget.0 >= 1 << 20, "profiles.memory_budget must be at least 1MiB");
        if let Err(error) = EnvFilter::try_new(&self.server.log_level) {
            anyhow::bail!("server.log_level is not a valid filter: {error}");
        }
        ensure!(
            self.tls.cert.as_os_str().is_empty() == self.tls.key.as_os_str().is_empty(),
            "set both tls.cert and tls.key, or neither"
        );
        self.identities.nobody()?;
        self.http.proxies()?;
        self.server.public_url()?;
        ensure!(self.files.error_log_lines <= 999, "files.error_log_lines must be at most 999");
        self.pixels.options()?;
        self.pixels.write_rules()?;
        Ok(())
    }

    /// The certificate and key files, if TLS is on.
    pub fn tls_files(&self) -> Option<(&PathBuf, &PathBuf)> {
        (!self.tls.cert.as_os_str().is_empty()).then_some((&self.tls.cert, &self.tls.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let overrides = Overrides { file: Some(path.path().to_owned()), ..Overrides::default() };
        let environment = environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Config::load_with(&overrides, Some(environment))
    }

    #[test]
    fn later_layers_win() {
        let config = load(
            "[limits]\nposts_per_second = 5\ngets_per_second = 6\n[profiles]\nmemory_budget = \"1MiB\"",
            &[
                ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "7"),
                ("INSTANT_AUDIENCE__SERVER__INSTANCE", "007"),
                ("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "2MiB"),
                ("INSTANT_AUDIENCE__LOG__MAX_BACKLOG_BYTES", "4096"),
            ],
        )
        .unwrap();
        assert_eq!(config.limits.posts_per_second, 7);
        assert_eq!(config.limits.gets_per_second, 6);
        assert_eq!(config.limits.users_per_request, 1000);
        assert_eq!(config.profiles.memory_budget.0, 1 << 20);
        assert_eq!(config.server.instance, "007", "text stays as it is");
        assert_eq!((config.log.segment_bytes.0, config.log.max_backlog_bytes.0), (2 << 20, 4096));
    }

    #[test]
    fn an_unknown_key_is_named_wherever_it_stands() {
        for (file, environment) in [
            ("[limits]\npost_per_second = 5", [].as_slice()),
            ("", [("INSTANT_AUDIENCE__LIMITS__POST_PER_SECOND", "5")].as_slice()),
        ] {
            let error = format!("{:#}", load(file, environment).unwrap_err());
            assert!(error.contains("post_per_second"), "{error}");
        }
        let error = format!("{:#}", load("[limit]\nx = 5", &[]).unwrap_err());
        assert!(error.contains("limit"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        for (file, name) in [
            ("[server]\ninstance = \"a:b\"", "server.instance"),
            ("[usage]\nkeep_days = 89", "usage.keep_days"),
            ("[tls]\ncert = \"x.pem\"", "tls.cert"),
            ("[log]\nsegment_bytes = 10", "log.segment_bytes"),
            ("[profiles]\nmemory_budget = \"4 parsecs\"", "4 parsecs"),
            ("[profiles]\nmemory_budget = 0", "profiles.memory_budget"),
            ("[server]\nlog_level = \"a=b=c\"", "server.log_level"),
            ("[identities]\nlinks_per_user = 0", "identities.links_per_user"),
            ("[identities]\nnobody = ['NULL', '']", "identities.nobody: '' is no user id"),
            ("[identities]\nlinks_per_user = 1001", "identities.links_per_user"),
            ("[identities]\nmapping_ttl_minutes = 0", "identities.mapping_ttl_minutes"),
            ("[memberships]\nunknown_users = \"maybe\"", "maybe"),
            ("[limits]\nposts_per_second = -1", "-1"),
            ("[http]\ntrusted_proxies = [\"10.0.0.1/8\"]", "http.trusted_proxies: \"10.0.0.1/8\""),
            ("[http]\nproxy_protocol = true", "http.trusted_proxies"),
            ("[http]\nclients_use_tls = \"maybe\"", "maybe"),
            ("[pixels]\nsecure_cookies = \"always\"", "http.clients_use_tls"),
            ("[pixels.consent]\ntcf_vendor_id = 65536", "65536"),
            ("[pixels.consent]\ngdpr = \"sometimes\"", "sometimes"),
        ] {
            let error = format!("{:#}", load(file, &[]).unwrap_err());
            assert!(error.contains(name), "{file}: {error}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let overrides = Overrides { file: Some("/nonexistent/ia.toml".into()), ..Overrides::default() };
        assert!(format!("{:#}", Config::load(&overrides).unwrap_err()).contains("/nonexistent/ia.toml"));
    }
}
