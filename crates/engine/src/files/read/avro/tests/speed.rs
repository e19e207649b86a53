//! Figures for people: `cargo test --release -p ia-engine --lib avro::tests::speed -- --ignored --nocapture`.

use super::*;
use std::time::{Duration, Instant};

struct Counted(usize);

impl EntrySink for Counted {
    fn user(&mut self, _: FileUser<'_>, blocks: &[FileBlock<'_>], _: &dyn fmt::Display) {
        self.0 += blocks.len();
    }

    fn format_fault(&mut self, _: &'static str, _: &dyn fmt::Display) {}
}

/// Users in blocks of 16 KB or so, each with 10 segments.
fn file_of(users: i64, codec: &str) -> Vec<u8> {
    let schema = include_bytes!("../../../../../tests/fixtures/avro/schema.avsc");
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 2).cast_signed()
    };
    let mut record = || {
        let mut bytes = [long(0), long(random()), long(10)].concat();
        for _ in 0..10 {
            bytes.extend(
                [long(random() >> 50), text(b""), long(0), long(43200), long(0), long(random() & 3)].concat(),
            );
        }
        bytes.extend(long(0));
        bytes
    };
    let users_a_block = 170;
    let blocks: Vec<Vec<u8>> =
        (0..users / users_a_block).map(|_| (0..users_a_block).flat_map(|_| record()).collect()).collect();
    let blocks: Vec<(i64, &[u8])> = blocks.iter().map(|bytes| (users_a_block, bytes.as_slice())).collect();
    container(schema, codec, &blocks)
}

#[test]
#[ignore = "prints figures, which say nothing in a debug build"]
#[expect(clippy::print_stdout, reason = "for people")]
fn memberships_a_second() {
    for codec in ["null", "deflate", "snappy"] {
        let file = file_of(100_000, codec);
        let mut best = Duration::MAX;
        let mut counted = Counted(0);
        for _ in 0..5 {
            counted.0 = 0;
            let start = Instant::now();
            let mut reader = open(Box::new(Memory::new(file.clone())), LIMITS).unwrap();
            while reader.read(1000, &mut counted).unwrap() > 0 {}
            best = best.min(start.elapsed());
        }
        let millions = counted.0 as f64 / best.as_secs_f64() / 1e6;
        println!(
            "figure: avro: codec={codec} bytes={} memberships={} M/s={millions:.1}",
            file.len(),
            counted.0
        );
    }
}
