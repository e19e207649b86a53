use super::List;
use crate::pixels::{CookieRules, Origin, PixelOptions, PixelRates};
use anyhow::{Context, ensure};
use ia_catalog::{NO_REDIRECT_HOST, RedirectHost};
use ia_engine::consent::ConsentRules;
use ia_engine::pixels::PixelWriteRules;
use ia_model::MemberId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// `[pixels]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Pixels {
    pub enabled: bool,
    pub members: List,
    pub redirect_hosts: List,
    pub cors_origins: List,
    pub cookie_max_age_days: u32,
    /// What this was is a setting of all cookies now.
    #[serde(default, skip_serializing)]
    pub secure_cookies: Option<IgnoredAny>,
    pub requests_per_second: u32,
    pub requests_per_second_per_address: u32,
    pub writes_per_second_per_member: u32,
    pub consent: Consent,
}

/// `[pixels.consent]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Consent {
    pub gpc: bool,
    pub us_privacy: bool,
    pub gdpr: bool,
    pub gpp: bool,
    pub tcf_vendor_id: u16,
}

impl Pixels {
    /// The options of the pixels; `None` if they are off. Fails on invalid values, even if pixels are off.
    pub(crate) fn options(&self) -> anyhow::Result<Option<PixelOptions>> {
        // Browsers keep no cookie for longer than 400 days.
        ensure!(
            (1..=400).contains(&self.cookie_max_age_days),
            "pixels.cookie_max_age_days must be 1 to 400: browsers keep no cookie for longer"
        );
        ensure!(
            self.secure_cookies.is_none(),
            "pixels.secure_cookies is now http.clients_use_tls, with the same values, for all cookies"
        );
        let host = |text: &String| {
            let host = RedirectHost::parse(text);
            host.with_context(|| format!("pixels.redirect_hosts: {text:?} {NO_REDIRECT_HOST}"))
        };
        let origin = |text: &String| {
            Origin::parse(text).with_context(|| {
                format!("pixels.cors_origins: {text:?} is not an origin such as \"https://www.example.com\"")
            })
        };
        let options = PixelOptions {
            redirect_hosts: self.redirect_hosts.0.iter().map(host).collect::<Result<_, _>>()?,
            cors_origins: self.cors_origins.0.iter().map(origin).collect::<Result<_, _>>()?,
            cookies: CookieRules { max_age_seconds: self.cookie_max_age_days * 24 * 3600 },
            consent: ConsentRules {
                gpc: self.consent.gpc,
                us_privacy: self.consent.us_privacy,
                gdpr: self.consent.gdpr,
                gpp: self.consent.gpp,
                tcf_vendor_id: NonZeroU16::new(self.consent.tcf_vendor_id),
            },
            rates: PixelRates {
                requests_per_second: self.requests_per_second,
                requests_per_second_per_address: self.requests_per_second_per_address,
            },
        };
        Ok(self.enabled.then_some(options))
    }

    /// What pixels may write.
    pub(crate) fn write_rules(&self) -> anyhow::Result<PixelWriteRules> {
        let member = |text: &String| {
            let id = text.parse().ok().filter(|&id| id > 0).map(MemberId);
            id.with_context(|| format!("pixels.members: {text:?} is not a member id"))
        };
        Ok(PixelWriteRules {
            members: self.members.0.iter().map(member).collect::<Result<_, _>>()?,
            writes_per_second_per_member: self.writes_per_second_per_member,
        })
    }
}
