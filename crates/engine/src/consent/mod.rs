//! Whether a call may store something about a person and give it an id, by what it says about consent.
//!
//! This takes the texts that advertising passes on with a call: the browser's Global Privacy Control, `us_privacy`,
//! `gdpr` with `gdpr_consent`, and `gpp` with `gpp_sid`. Any refusal counts, whatever the other signals say. A string
//! that applies and cannot be read is a refusal.
//!
//! The library `iab_gpp` reads the US strings. Two things are read here, because its version 0.1.2 misreads them: the
//! list of sections in a GPP string (`gpp`), if there are three or more or one that it does not know, and the
//! restrictions in a TC string (`tcf`). It also expands the vendors of a TC string into sets: a string of 4 KB that
//! anybody can send would cost 3 seconds.

mod bits;
mod gpp;
mod tcf;
#[cfg(test)]
mod tests;
mod us;

use std::num::NonZeroU16;

/// The longest string that is read, in bytes. TC strings have up to a few thousand.
pub const MAX_STRING_BYTES: usize = 8 << 10;

/// What a call says about consent, as it was sent. An empty text counts as absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals<'t> {
    /// Whether the browser sent Global Privacy Control (`Sec-GPC: 1`).
    pub gpc: bool,
    /// A US Privacy string, such as `1YNN`.
    pub us_privacy: Option<&'t str>,
    /// Whether the GDPR applies. Anything but `0` means that it does.
    pub gdpr: Option<&'t str>,
    /// A TC string of version 2. It counts only if the GDPR applies.
    pub gdpr_consent: Option<&'t str>,
    /// A GPP string.
    pub gpp: Option<&'t str>,
    /// The sections of the GPP string that apply: numbers with commas between them; `-1` means none. If it is absent
    /// or `0`, nobody said which, and all sections of the string are taken to apply.
    pub gpp_sid: Option<&'t str>,
}

/// Which signals count, and for whom consent must be given.
#[derive(Debug, Clone, Copy)]
pub struct ConsentRules {
    /// Whether Global Privacy Control counts.
    pub gpc: bool,
    /// Whether `us_privacy` counts.
    pub us_privacy: bool,
    /// Whether `gdpr` and `gdpr_consent` count.
    pub gdpr: bool,
    /// Whether `gpp` and `gpp_sid` count.
    pub gpp: bool,
    /// The operator's number in the Global Vendor List. Without one nobody can have given it consent, and every call to
    /// which the GDPR applies is refused.
    pub tcf_vendor_id: Option<NonZeroU16>,
}

/// The signal that refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Global Privacy Control.
    GlobalPrivacyControl,
    /// The US Privacy string says that the person opted out of sale, or cannot be read.
    UsPrivacy,
    /// The GDPR applies, and the person did not consent to the vendor's storing on the device (purpose 1).
    Gdpr,
    /// A section of the GPP string that applies has an opt-out or lacks consent, or cannot be judged.
    Gpp,
}

impl ConsentRules {
    /// Why nothing may be stored; `None` if it may be.
    pub fn refusal(&self, signals: &Signals<'_>) -> Option<Refusal> {
        if self.gpc && signals.gpc {
            return Some(Refusal::GlobalPrivacyControl);
        }
        let us_privacy = sent(signals.us_privacy).filter(|_| self.us_privacy);
        if us_privacy.is_some_and(|text| us::privacy_string_allows(text) != Some(true)) {
            return Some(Refusal::UsPrivacy);
        }
        let gdpr = sent(signals.gdpr).filter(|_| self.gdpr);
        if gdpr.is_some_and(|applies| applies != "0") {
            let consent = sent(signals.gdpr_consent).unwrap_or_default();
            if tcf::allows(consent, self.tcf_vendor_id) != Some(true) {
                return Some(Refusal::Gdpr);
            }
        }
        let allowed = gpp::allows(sent(signals.gpp), sent(signals.gpp_sid), self.tcf_vendor_id);
        (self.gpp && allowed != Some(true)).then_some(Refusal::Gpp)
    }
}

/// The text that was sent. A text that is too long is replaced by one that no reader accepts.
fn sent(text: Option<&str>) -> Option<&str> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    Some(if text.len() > MAX_STRING_BYTES { UNREADABLE } else { text })
}

const UNREADABLE: &str = "!";
