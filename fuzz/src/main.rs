//! All fuzz targets in one program, which is linked once: `IA_FUZZ_TARGET` picks one. Their checks are in the module
//! `fuzz` of the crate under test; `cargo test` replays the kept inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("request", ia_engine::fuzz::request),
    ("log", ia_log::fuzz::log),
    ("profile", ia_profiles::fuzz::profile),
    ("page", ia_profiles::fuzz::page),
    ("user", ia_model::fuzz::user),
    ("record", ia_model::fuzz::record),
    ("head", instant_audience::fuzz::head),
    ("gzip", ia_engine::fuzz::gzip),
    ("files_text", ia_engine::fuzz::files_text),
    ("files_avro", ia_engine::fuzz::files_avro),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("IA_FUZZ_TARGET").unwrap_or_default();
    let known = TARGETS.iter().find(|(target, _)| *target == name);
    known.unwrap_or_else(|| panic!("IA_FUZZ_TARGET is {name:?}, which is not a target")).1
});

fuzz_target!(|input: &[u8]| TARGET(input));
