//! The fuzz targets of this crate (`fuzz/`). They check rules that hold for any bytes, and panic if one does not.

pub use crate::files::read::avro::fuzz::files_avro;
pub use crate::files::read::fuzz::files_text;
pub use crate::ingest::fuzz::{gzip, request};

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::fuzz::replay;

    #[test]
    fn kept_inputs_hold() {
        replay("request", request);
        replay("gzip", gzip);
        replay("files_text", files_text);
        replay("files_avro", files_avro);
    }
}
