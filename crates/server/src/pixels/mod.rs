//! Pixels: what web pages call from browsers. A browser has an id, which it keeps in a cookie; a call of a page can put
//! that id into segments, link it to ids of a member, and tell it to the page or to a server on a list.
//!
//! No call carries a token: a pixel stands in the source of a page for everybody to read. So whoever calls one can write
//! what the pixel could, which is why they are off until an operator switches them on, bounded in their rates, and why
//! their answers do not tell what exists.

mod callback;
mod choice;
mod cookie;
mod origin;
mod redirect;
mod segments;

pub(crate) use callback::callback;
pub(crate) use choice::{BadForm, Choice, ChoiceError, FORM_COOKIE, FormToken, choose};
pub(crate) use cookie::{CookieRules, IdCookie};
pub(crate) use origin::Origin;
pub(crate) use redirect::{BadTarget, RedirectHost, Written, plain_target, target};
pub(crate) use segments::{BadPixel, Mapping, Reply, SegmentPixel};

use ia_engine::auth::network;
use ia_engine::pixels::{OverPixelRate, RATE_WINDOW_MS};
use ia_engine::rate::RateLimiter;
use ia_model::UserKey;
use std::net::IpAddr;

/// How pixels are run.
#[derive(Debug, Clone)]
pub(crate) struct PixelOptions {
    /// Where they may send browsers on to.
    pub(crate) redirect_hosts: Vec<RedirectHost>,
    /// Which pages may read a browser's id with its cookie.
    pub(crate) cors_origins: Vec<Origin>,
    /// How cookies are set.
    pub(crate) cookies: CookieRules,
    /// How much is taken.
    pub(crate) rates: PixelRates,
}

/// Calls a second; 0 lifts a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelRates {
    /// All of them.
    pub(crate) requests_per_second: u32,
    /// Those from one address, or from one /64 of IPv6.
    pub(crate) requests_per_second_per_address: u32,
}

/// What the pixels of a server share.
pub(crate) struct Pixels {
    pub(crate) options: PixelOptions,
    all: RateLimiter<()>,
    by_address: RateLimiter<IpAddr>,
}

/// The browser that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Browser {
    /// What it is to keep as its id: 0 is that it wants none.
    pub(crate) cookie: u64,
    /// The id under which it is known; `None` where nothing may be known of it.
    id: Option<u64>,
}

impl Pixels {
    pub(crate) fn new(options: PixelOptions) -> Pixels {
        Pixels {
            options,
            all: RateLimiter::per_ms(RATE_WINDOW_MS),
            by_address: RateLimiter::per_ms(RATE_WINDOW_MS),
        }
    }

    /// Counts a call. The address first: one that is over its own bound takes nothing from the others.
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
    /// The browser with those cookies; one without an id gets a new one. `is_suppressed` tells of whom nothing may be
    /// kept: such a browser keeps its cookie, so that the wish can be taken back, and is treated as if it had opted out.
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
        Ok(Browser { cookie: id, id: (!is_suppressed(&key)).then_some(id) })
    }

    /// One that wants no id.
    pub(crate) const OPTED_OUT: Browser = Browser { cookie: 0, id: None };

    /// One with a new id: of 63 bits, since many programs hold no larger number.
    pub(crate) fn new() -> Result<Browser, getrandom::Error> {
        let id = (getrandom::u64()? >> 1).max(1);
        Ok(Browser { cookie: id, id: Some(id) })
    }

    /// What pages are told: 0 where nothing may be known of it.
    pub(crate) fn shown_id(self) -> u64 {
        self.id.unwrap_or(0)
    }

    /// Whom its cookie names, also where nothing may be kept of it; `None` for one that has opted out of having an id.
    pub(crate) fn named(self) -> Option<UserKey> {
        UserKey::platform(self.cookie).ok()
    }

    /// The user that it is; `None` where nothing may be known of it.
    pub(crate) fn user(self) -> Option<UserKey> {
        self.id.map(|id| UserKey::platform(id).expect("an id is not 0"))
    }
}
