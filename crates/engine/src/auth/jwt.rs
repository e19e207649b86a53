//! A JSON web token by which a login signs in: RS256 and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ia_catalog::RsaKey;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How long after its making a token is taken.
const MAX_AGE_SECONDS: f64 = 300.0;
/// How far the clock of who made it may be ahead.
const MAX_AHEAD_SECONDS: f64 = 60.0;

/// What stands in the first part. Of two equal names none counts.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that must be understood: there are none.
    crit: Option<IgnoredAny>,
}

/// What stands in the second part, in seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: f64,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// A token that is well formed. Nothing in it is true before its signature was checked.
pub(super) struct SignedToken<'t> {
    key_name: String,
    claims: Claims,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> SignedToken<'t> {
    /// Reads a token; `None` where it is none, or one by another algorithm.
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

    /// Who is said to have made it.
    pub(super) fn username(&self) -> &str {
        &self.claims.sub
    }

    /// With which of its keys.
    pub(super) fn key_name(&self) -> &str {
        &self.key_name
    }

    /// Finds out whether that key signed it. Takes up to a millisecond: not for an async worker.
    pub(super) fn signature_check(&self, key: RsaKey) -> impl FnOnce() -> bool + Send + use<> {
        let (signed, signature) = (self.signed.to_owned(), self.signature.clone());
        move || key.verify(signed.as_bytes(), &signature)
    }

    /// Whether it was made just now, and is not limited to another time.
    pub(super) fn is_current(&self, now_ms: u64) -> bool {
        let Claims { iat, exp, nbf, .. } = self.claims;
        let now = now_ms as f64 / 1000.0;
        (now - MAX_AGE_SECONDS..=now + MAX_AHEAD_SECONDS).contains(&iat)
            && exp.is_none_or(|exp| now < exp)
            && nbf.is_none_or(|nbf| nbf <= now + MAX_AHEAD_SECONDS)
    }
}
