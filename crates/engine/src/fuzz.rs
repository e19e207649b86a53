//! What must hold for any bytes: the fuzz targets of this crate (`fuzz/`), which panic where it does not.

pub use crate::ingest::fuzz::{gzip, request};

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::fuzz::replay;

    #[test]
    fn kept_inputs_hold() {
        replay("request", request);
        replay("gzip", gzip);
    }
}
