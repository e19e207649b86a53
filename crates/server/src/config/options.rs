//! From settings to the plain options of the parts.

use super::{ClientsUseTls, Config, Http, Server, UnknownUsers};
use crate::http::{HttpOptions, Proxies, TrustedProxies};
use anyhow::{Context, ensure};
use ia_engine::EngineOptions;
use ia_engine::auth::LoginLimits;
use ia_engine::ingest::ExpirationRules;
use ia_engine::limits::{RequestLimits, ServiceLimits};
use ia_engine::linking::LinkRules;
use std::time::Duration;

impl Config {
    /// The options of the engine.
    pub(crate) fn engine_options(&self) -> anyhow::Result<EngineOptions> {
        let Config { server, http, limits, memberships, identities, profiles, log, usage, pixels, .. } = self;
        let expiration = ExpirationRules {
            default_minutes: memberships.default_expiration,
            max_minutes: Some(memberships.max_expiration).filter(|&minutes| minutes > 0),
        };
        Ok(EngineOptions {
            instance: server.instance.clone(),
            log_segment_bytes: log.segment_bytes.0,
            max_backlog_bytes: log.max_backlog_bytes.as_usize(),
            memory_budget_bytes: profiles.memory_budget.0,
            checkpoint_interval: Duration::from_secs(profiles.checkpoint_interval_seconds),
            checkpoint_log_bytes: profiles.checkpoint_log_bytes.0,
            links_per_user: identities.links_per_user,
            links: LinkRules { ttl_minutes: identities.mapping_ttl_minutes },
            nobody: identities.nobody()?,
            expiration,
            only_known_users: memberships.unknown_users == UnknownUsers::Reject,
            keep_usage_days: usage.keep_days,
            request_limits: RequestLimits {
                posts_per_second: limits.posts_per_second,
                gets_per_second: limits.gets_per_second,
                users_per_request: limits.users_per_request,
                users_per_second: limits.users_per_second,
                segments_per_user: limits.segments_per_user,
                payload_bytes: limits.payload_bytes,
            },
            dry_runs_per_second: limits.dry_runs_per_second,
            service_limits: ServiceLimits {
                reads_per_minute: limits.api_reads_per_minute,
                writes_per_minute: limits.api_writes_per_minute,
                segments_per_member: limits.segments_per_member,
            },
            login_limits: LoginLimits {
                successes_per_user: limits.logins_per_five_minutes,
                failures_per_user: limits.failed_logins_per_user_per_five_minutes,
                failures_per_address: limits.failed_logins_per_address_per_five_minutes,
            },
            max_large_requests: http.max_large_requests,
            pixels: pixels.write_rules()?,
            files: self.files.rules(expiration),
        })
    }

    /// The options of the HTTP side.
    pub(crate) fn http_options(&self) -> anyhow::Result<HttpOptions> {
        Ok(HttpOptions {
            instance: self.server.instance.clone(),
            body_timeout: Duration::from_secs(self.http.body_timeout_seconds),
            max_body_memory: self.http.max_body_memory.as_usize(),
            pixels: self.pixels.options()?,
            proxies: self.http.proxies()?,
            public_url: self.server.public_url()?,
            array_hosts: self
                .server
                .array_hosts
                .0
                .iter()
                .map(|host| host.trim().to_ascii_lowercase())
                .collect(),
        })
    }
}

impl Http {
    /// What stands in front of the server. Fails on invalid values.
    pub(super) fn proxies(&self) -> anyhow::Result<Proxies> {
        let trusted = TrustedProxies::parse(&self.trusted_proxies.0).context("http.trusted_proxies")?;
        ensure!(
            !self.proxy_protocol || !trusted.is_empty(),
            "http.proxy_protocol without http.trusted_proxies: every connection would be closed"
        );
        let is_secure = match self.clients_use_tls {
            ClientsUseTls::Auto => None,
            ClientsUseTls::Always => Some(true),
            ClientsUseTls::Never => Some(false),
        };
        Ok(Proxies { trusted, proxy_protocol: self.proxy_protocol, is_secure })
    }
}

impl Server {
    /// The URL of the API without a slash at its end, where it is set.
    pub(super) fn public_url(&self) -> anyhow::Result<Option<String>> {
        let text = self.public_url.trim().trim_end_matches('/');
        if text.is_empty() {
            return Ok(None);
        }
        let url = url::Url::parse(text).context("server.public_url is no URL")?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none(),
            "server.public_url must begin with http:// or https:// and have neither a query nor a fragment"
        );
        Ok(Some(text.to_owned()))
    }
}
