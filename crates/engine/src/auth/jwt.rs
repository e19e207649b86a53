//! JSON web tokens with which logins log in. RS256 is the only algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ia_catalog::RsaKey;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How old an accepted token may be.
const MAX_AGE_SECONDS: f64 = 300.0;
/// How far the issuer's clock may be ahead.
const MAX_AHEAD_SECONDS: f64 = 60.0;

/// The first part of a token. A token with a repeated field is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that the reader must understand. None are supported.
    crit: Option<IgnoredAny>,
}

/// The second part of a token; times in seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: f64,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// A well-formed token. Nothing in it can be trusted before its signature is checked.
pub(super) struct SignedToken<'t> {
    key_name: String,
    claims: Claims,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> SignedToken<'t> {
    /// Reads a token; `None` if it is malformed or uses another algorithm.
    pub(super) fn parse(text: &'t [u8]) -> Option<SignedToken<'t>> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "RS256" || header.crit.is_some() {
            return None;
        }
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(SignedToken { key_name: header.kid, claims, signed, signature })
    }

    /// The login that the token names (`sub`).
    pub(super) fn username(&self) -> &str {
        &self.claims.sub
    }

    /// The name of the login's key (`kid`).
    pub(super) fn key_name(&self) -> &str {
        &self.key_name
    }

    /// A function that tells whether `key` signed the token. It takes up to a millisecond, so not for an async worker.
    pub(super) fn signature_check(&self, key: RsaKey) -> impl FnOnce() -> bool + Send + use<> {
        let (signed, signature) = (self.signed.to_owned(), self.signature.clone());
        move || key.verify(signed.as_bytes(), &signature)
    }

    /// Whether it was issued just now (`iat`) and is valid at `now_ms` (`exp`, `nbf`).
    pub(super) fn is_current(&self, now_ms: u64) -> bool {
        let Claims { iat, exp, nbf, .. } = self.claims;
        let now = now_ms as f64 / 1000.0;
        (now - MAX_AGE_SECONDS..=now + MAX_AHEAD_SECONDS).contains(&iat)
            && exp.is_none_or(|exp| now < exp)
            && nbf.is_none_or(|nbf| nbf <= now + MAX_AHEAD_SECONDS)
    }
}
