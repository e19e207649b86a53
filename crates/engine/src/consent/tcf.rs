//! TC strings of version 2 of the IAB Europe Transparency and Consent Framework.
//!
//! Only the core of the string is read, which is all before its first point.

use super::bits::Bits;
use std::num::NonZeroU16;

const VERSION: u16 = 2;

/// Storing on a device and reading from it: cookies and ids.
const STORAGE: u16 = 1;

/// The type of a restriction by which the publisher does not allow a purpose at all.
const NOT_ALLOWED: u16 = 0;

/// Whether the person consented to purpose 1 for `vendor`, and the publisher allows it. Legitimate interest does not
/// count, because nobody can claim it for this purpose. `None` if the string cannot be read.
pub(super) fn allows(text: &str, vendor: Option<NonZeroU16>) -> Option<bool> {
    let mut bits = Bits::of(text.split('.').next()?)?;
    if bits.int(6)? != VERSION {
        return None;
    }
    // Two times, CMP, its version and screen, language, vendor list, policy, two flags, special features.
    bits.skip(36 + 36 + 12 + 12 + 6 + 12 + 12 + 6 + 1 + 1 + 12)?;
    let has_purpose = bits.flag()?;
    // The other purposes, legitimate interests, treatment of purpose 1, country.
    bits.skip(23 + 24 + 1 + 12)?;
    let vendor = vendor.map_or(0, NonZeroU16::get);
    let has_vendor = is_in_vendors(&mut bits, vendor)?;
    is_in_vendors(&mut bits, vendor)?;
    let is_restricted = is_restricted(&mut bits, vendor)?;
    Some(has_purpose && has_vendor && !is_restricted)
}

/// Whether a list of vendors has the vendor; 0 is none. The list is a bit field or ranges.
fn is_in_vendors(bits: &mut Bits<'_>, vendor: u16) -> Option<bool> {
    let last = bits.int(16)?;
    if bits.flag()? {
        return is_in_ranges(bits, vendor);
    }
    if vendor == 0 || vendor > last {
        bits.skip(last.into())?;
        return Some(false);
    }
    bits.skip(usize::from(vendor) - 1)?;
    let is_in = bits.flag()?;
    bits.skip((last - vendor).into())?;
    Some(is_in)
}

fn is_in_ranges(bits: &mut Bits<'_>, vendor: u16) -> Option<bool> {
    let mut is_in = false;
    for _ in 0..bits.int(12)? {
        let is_range = bits.flag()?;
        let first = bits.int(16)?;
        let last = if is_range { bits.int(16)? } else { first };
        if last < first {
            return None;
        }
        is_in |= (first..=last).contains(&vendor);
    }
    Some(is_in)
}

/// Whether the publisher does not allow purpose 1 for the vendor.
fn is_restricted(bits: &mut Bits<'_>, vendor: u16) -> Option<bool> {
    let mut is_restricted = false;
    for _ in 0..bits.int(12)? {
        let (purpose, kind) = (bits.int(6)?, bits.int(2)?);
        let is_meant = is_in_ranges(bits, vendor)?;
        is_restricted |= is_meant && purpose == STORAGE && kind == NOT_ALLOWED;
    }
    Some(is_restricted)
}
