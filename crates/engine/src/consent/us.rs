//! What people in the US chose: the US Privacy string, and the sections for the nation and for states in GPP strings.

use iab_gpp::sections::us_common::OptOut;
use iab_gpp::sections::{
    usca::UsCa, usco::UsCo, usct::UsCt, usde::UsDe, usfl::UsFl, usia::UsIa, usmn::UsMn, usmt::UsMt, usnat,
    usnat::UsNat, usne::UsNe, usnh::UsNh, usnj::UsNj, usor::UsOr, uspv1, uspv1::UspV1, ustn::UsTn,
    ustx::UsTx, usut::UsUt, usva::UsVa,
};
use std::str::FromStr;

/// Characters of a US Privacy string.
const PRIVACY_STRING_LEN: usize = 4;

/// Whether a US Privacy string has no opt-out of sale. `None` if it cannot be read.
pub(super) fn privacy_string_allows(text: &str) -> Option<bool> {
    let read = UspV1::from_str(text).ok().filter(|_| text.len() == PRIVACY_STRING_LEN)?;
    Some(read.opt_out_sale != uspv1::Flag::Yes)
}

/// Reads a section; true if it has none of these opt-outs, and no Global Privacy Control where it can have it.
macro_rules! allows {
    ($text:ident, $section:ty, [$($choice:ident),+]) => {{
        let core = <$section>::from_str($text).ok()?.core;
        $(core.$choice != OptOut::OptedOut)&&+
    }};
    ($text:ident, $section:ty, [$($choice:ident),+], gpc) => {{
        let section = <$section>::from_str($text).ok()?;
        section.gpc != Some(true) $(&& section.core.$choice != OptOut::OptedOut)+
    }};
}

/// Whether section `id` has no opt-out of sale, of sharing or of targeted advertising, and no Global Privacy Control.
/// `None` if it cannot be read, or if it is not one of those of the US that the library knows.
pub(super) fn allows(id: u16, text: &str) -> Option<bool> {
    Some(match id {
        6 => return privacy_string_allows(text),
        7 => national(text)?,
        8 => allows!(text, UsCa, [sale_opt_out, sharing_opt_out], gpc),
        9 => allows!(text, UsVa, [sale_opt_out, targeted_advertising_opt_out]),
        10 => allows!(text, UsCo, [sale_opt_out, targeted_advertising_opt_out], gpc),
        11 => allows!(text, UsUt, [sale_opt_out, targeted_advertising_opt_out]),
        12 => allows!(text, UsCt, [sale_opt_out, targeted_advertising_opt_out], gpc),
        13 => allows!(text, UsFl, [sale_opt_out, targeted_advertising_opt_out]),
        14 => allows!(text, UsMt, [sale_opt_out, targeted_advertising_opt_out], gpc),
        15 => allows!(text, UsOr, [sale_opt_out, targeted_advertising_opt_out], gpc),
        16 => allows!(text, UsTx, [sale_opt_out, targeted_advertising_opt_out], gpc),
        17 => allows!(text, UsDe, [sale_opt_out, targeted_advertising_opt_out], gpc),
        18 => allows!(text, UsIa, [sale_opt_out, targeted_advertising_opt_out], gpc),
        19 => allows!(text, UsNe, [sale_opt_out, targeted_advertising_opt_out], gpc),
        20 => allows!(text, UsNh, [sale_opt_out, targeted_advertising_opt_out], gpc),
        21 => allows!(text, UsNj, [sale_opt_out, targeted_advertising_opt_out], gpc),
        22 => allows!(text, UsTn, [sale_opt_out, targeted_advertising_opt_out], gpc),
        23 => allows!(text, UsMn, [sale_opt_out, targeted_advertising_opt_out], gpc),
        _ => return None,
    })
}

/// The section for the whole nation, which has two versions.
fn national(text: &str) -> Option<bool> {
    let section = UsNat::from_str(text).ok()?;
    let choices = match section.core {
        usnat::Core::V1(core) => [core.sale_opt_out, core.sharing_opt_out, core.targeted_advertising_opt_out],
        usnat::Core::V2(core) => [core.sale_opt_out, core.sharing_opt_out, core.targeted_advertising_opt_out],
        _ => return None,
    };
    Some(section.gpc != Some(true) && !choices.contains(&OptOut::OptedOut))
}
