//! Pixels: URLs that web pages call from browsers. A browser keeps its id in a cookie. A call can put that id into
//! segments, link it to ids of a member, and give it to the page or to a server on a list.
//!
//! No call carries a token: everybody can read a pixel in the source of a page, and so can write everything that it can
//! write. Pixels are therefore off by default and limited in their rates, and their answers do not reveal which members
//! and segments exist.

mod callback;
mod choice;
mod consent;
mod cookie;
mod origin;
mod redirect;
mod segments;

pub(crate) use callback::callback;
pub(crate) use choice::{BadForm, Choice, ChoiceError, FORM_COOKIE, FormToken, choose};
pub(crate) use consent::ConsentParameters;
pub(crate) use cookie::{CookieRules, IdCookie};
pub(crate) use origin::Origin;
pub(crate) use redirect::{BadTarget, TargetEncoding, plain_target, target};
pub(crate) use segments::{BadPixel, Mapping, Reply, SegmentPixel};

use ia_catalog::RedirectHost;
use ia_engine::auth::network;
use ia_engine::consent::ConsentRules;
use ia_engine::pixels::{OverPixelRate, RATE_WINDOW_MS};
use ia_engine::rate::RateLimiter;
use ia_model::UserKey;
use std::net::IpAddr;

/// The settings of pixels.
#[derive(Debug, Clone)]
pub(crate) struct PixelOptions {
    /// Hosts to which they may redirect browsers.
    pub(crate) redirect_hosts: Vec<RedirectHost>,
    /// Origins whose pages may read a browser's id with its cookie.
    pub(crate) cors_origins: Vec<Origin>,
    /// How cookies are set.
    pub(crate) cookies: CookieRules,
    /// When nothing may be stored.
    pub(crate) consent: ConsentRules,
    /// The limits of calls.
    pub(crate) rates: PixelRates,
}

/// Limits in calls a second; 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelRates {
    /// All calls together.
    pub(crate) requests_per_second: u32,
    /// Calls from one IPv4 address or one IPv6 /64.
    pub(crate) requests_per_second_per_address: u32,
}

/// The state that all pixels of a server share.
pub(crate) struct Pixels {
    pub(crate) options: PixelOptions,
    all: RateLimiter<()>,
    by_address: RateLimiter<IpAddr>,
}

/// The browser that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Browser {
    /// The value for its id cookie; 0 means that it has opted out. `None`: its cookie is left as it is.
    cookie: Option<u64>,
    /// The id under which data may be stored; `None` if its user has opted out.
    id: Option<u64>,
}

impl Pixels {
    pub(crate) fn new(options: PixelOptions) -> Pixels {
        let consent = &options.consent;
        if (consent.gdpr || consent.gpp) && consent.tcf_vendor_id.is_none() {
            tracing::warn!(
                "pixels.consent.tcf_vendor_id is not set: pixels write nothing where the GDPR applies, because people \
                 give their consent to vendors by number"
            );
        }
        Pixels {
            options,
            all: RateLimiter::per_ms(RATE_WINDOW_MS),
            by_address: RateLimiter::per_ms(RATE_WINDOW_MS),
        }
    }

    /// Counts a call. The address first: a call over the limit of its address does not count for the others.
    pub(crate) fn take_request(&self, address: IpAddr, now_ms: u64) -> Result<(), OverPixelRate> {
        let PixelRates { requests_per_second, requests_per_second_per_address, .. } = self.options.rates;
        let limit = requests_per_second_per_address;
        self.by_address.take(network(address), 1, limit, now_ms).map_err(|exceeded| OverPixelRate {
            limit,
            what: "calls from this address",
            exceeded,
        })?;
        let limit = requests_per_second;
        self.all.take((), 1, limit, now_ms).map_err(|exceeded| OverPixelRate {
            limit,
            what: "calls",
            exceeded,
        })
    }
}

impl Browser {
    /// The browser with this cookie; without an id it gets a new one. `is_suppressed` tells whether a user has opted
    /// out of the platform: its browser counts as opted out, but keeps the cookie so that it can opt in again.
    pub(crate) fn of(
        cookie: IdCookie,
        is_suppressed: impl FnOnce(&UserKey) -> bool,
    ) -> Result<Browser, getrandom::Error> {
        let id = match cookie {
            IdCookie::OptedOut => return Ok(Browser::OPTED_OUT),
            IdCookie::Absent => return Browser::new(),
            IdCookie::Id(id) => id,
        };
        let key = UserKey::platform(id).expect("the id of a cookie is not 0");
        Ok(Browser { cookie: Some(id), id: (!is_suppressed(&key)).then_some(id) })
    }

    /// A browser that has opted out of having an id.
    pub(crate) const OPTED_OUT: Browser = Browser { cookie: Some(0), id: None };

    /// A browser about which nothing may be stored: no id, and no cookie.
    pub(crate) const WITHOUT_CONSENT: Browser = Browser { cookie: None, id: None };

    /// A browser with a new id. The id has 63 bits, because many programs cannot hold larger numbers.
    pub(crate) fn new() -> Result<Browser, getrandom::Error> {
        let id = (getrandom::u64()? >> 1).max(1);
        Ok(Browser { cookie: Some(id), id: Some(id) })
    }

    /// The id that pages and servers get; 0 if the browser or its user has opted out, or without consent.
    pub(crate) fn public_id(self) -> u64 {
        self.id.unwrap_or(0)
    }

    /// The user in its cookie, even if the user has opted out; `None` if the browser has opted out of having an id, or
    /// without consent.
    pub(crate) fn cookie_user(self) -> Option<UserKey> {
        self.cookie.and_then(|id| UserKey::platform(id).ok())
    }

    /// The value for its id cookie; `None` without consent.
    pub(crate) fn cookie(self) -> Option<u64> {
        self.cookie
    }

    /// The user about which data may be stored; `None` if the browser or its user has opted out, or without consent.
    pub(crate) fn user(self) -> Option<UserKey> {
        self.id.map(|id| UserKey::platform(id).expect("an id is not 0"))
    }
}
