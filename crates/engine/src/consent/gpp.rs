//! Strings of the IAB Tech Lab's Global Privacy Platform: a header, which lists sections by their numbers, then the
//! sections, with `~` between all of them.

use super::bits::Bits;
use super::{tcf, us};
use std::collections::BTreeSet;
use std::num::NonZeroU16;

const TYPE: u16 = 3;
const VERSION: u16 = 1;

/// The section of the EU: a TC string of version 2.
const TCF_EU_V2: u16 = 2;

/// Which sections apply.
enum Applying {
    /// Nobody said; then all that the string has.
    Unsaid,
    These(BTreeSet<u16>),
}

/// Whether every section that applies allows that ids are kept and used for advertising. `None` if the string or a
/// section that applies is missing or cannot be read, or if this server cannot judge it (Canada, for example).
pub(super) fn allows(gpp: Option<&str>, gpp_sid: Option<&str>, vendor: Option<NonZeroU16>) -> Option<bool> {
    let sections = match (applying(gpp_sid)?, gpp) {
        (Applying::These(these), _) if these.is_empty() => return Some(true),
        (Applying::Unsaid, None) => return Some(true),
        (Applying::These(_), None) => return None,
        (Applying::Unsaid, Some(gpp)) => sections(gpp)?,
        (Applying::These(these), Some(gpp)) => {
            let mut found = sections(gpp)?;
            found.retain(|(id, _)| these.contains(id));
            if found.len() < these.len() {
                return None;
            }
            found
        }
    };
    for (id, text) in sections {
        let allowed = if id == TCF_EU_V2 { tcf::allows(text, vendor) } else { us::allows(id, text) };
        if !allowed? {
            return Some(false);
        }
    }
    Some(true)
}

fn applying(gpp_sid: Option<&str>) -> Option<Applying> {
    let parts = gpp_sid.unwrap_or("0").split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut these = BTreeSet::new();
    let mut is_unsaid = false;
    for part in parts {
        match part {
            "-1" => {}
            "0" => is_unsaid = true,
            id => {
                these.insert(id.parse().ok()?);
            }
        }
    }
    Some(if is_unsaid { Applying::Unsaid } else { Applying::These(these) })
}

/// The sections of a string, by their numbers.
fn sections(gpp: &str) -> Option<Vec<(u16, &str)>> {
    let (header, rest) = gpp.split_once('~').map_or((gpp, None), |(header, rest)| (header, Some(rest)));
    let texts: Vec<&str> = rest.map(|rest| rest.split('~').collect()).unwrap_or_default();
    let mut bits = Bits::of(header)?;
    if (bits.int(6)?, bits.int(6)?) != (TYPE, VERSION) {
        return None;
    }
    // A list of numbers and ranges, each as the distance from the number before.
    let mut ids: Vec<u16> = Vec::with_capacity(texts.len());
    let mut last = 0u16;
    for _ in 0..bits.int(12)? {
        let is_range = bits.flag()?;
        let first = last.checked_add(bits.fibonacci()?)?;
        last = if is_range { first.checked_add(bits.fibonacci()?)? } else { first };
        // The number of texts bounds the work.
        if ids.len() + usize::from(last - first) >= texts.len() {
            return None;
        }
        ids.extend(first..=last);
    }
    (ids.len() == texts.len()).then(|| ids.into_iter().zip(texts).collect())
}
