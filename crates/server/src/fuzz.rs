//! What must hold for any bytes: the fuzz targets of this crate (`fuzz/`), which panic where it does not.

pub use crate::http::fuzz::head;
pub use crate::ingest::fuzz::{gzip, request};

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// All inputs that are kept for a target: seeds, and what once failed.
    fn replay(target: &str, check: fn(&[u8])) {
        let mut replayed = 0;
        for kept in ["seeds", "regressions"] {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(kept).join(target);
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                check(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "no input is kept for {target}");
    }

    #[test]
    fn kept_inputs_hold() {
        replay("request", request);
        replay("gzip", gzip);
        replay("head", head);
    }
}
