//! A measurement: `cargo test --release -p ia-engine --lib files_speed -- --ignored --nocapture`.

use super::*;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

const LINES: u64 = 300_000;
const SEGMENTS: u64 = 10;

/// Looks at everything and keeps nothing.
#[derive(Default)]
struct Sum {
    sum: i64,
    memberships: u64,
}

impl EntrySink for Sum {
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], _: &dyn fmt::Display) {
        black_box(user);
        self.memberships += blocks.len() as u64;
        for block in blocks {
            let SegmentName::Id(SegmentId(id)) = block.segment else { continue };
            self.sum += i64::from(id) + block.value + block.expiration.unwrap_or(0) + block.timestamp;
        }
    }

    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display) {
        panic!("{entry} {reason}");
    }
}

fn content(segment: &dyn Fn(&mut String, u64), segments: u64) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut content = String::new();
    for _ in 0..LINES {
        write!(content, "{}", random() % 9_000_000_000_000_000_000).unwrap();
        for number in 0..segments {
            content.push(if number == 0 { ':' } else { ';' });
            segment(&mut content, random());
        }
        content.push('\n');
    }
    content
}

#[expect(clippy::print_stderr, reason = "the figures of the run")]
fn measure(name: &str, content: &str, files: &BatchFiles) {
    let layout = TextLayout::new(files, MEMBER).unwrap();
    let packed = gzip(content.as_bytes(), true);
    for (form, file) in [("plain", content.as_bytes()), ("gzip", &packed)] {
        let best = (0..5)
            .map(|_| {
                let mut sum = Sum::default();
                let file = std::io::Cursor::new(file.to_vec());
                let start = Instant::now();
                let mut reader = open(Box::new(file), &layout, LIMITS).unwrap();
                while reader.read(1000, &mut sum).unwrap() > 0 {}
                let seconds = start.elapsed().as_secs_f64();
                black_box(sum.sum);
                sum.memberships as f64 / seconds
            })
            .fold(0.0, f64::max);
        let start = Instant::now();
        check(Box::new(std::io::Cursor::new(file.to_vec())), LIMITS).unwrap();
        let checked = content.len() as f64 / start.elapsed().as_secs_f64();
        eprintln!("{name} {form}: {:.1} M memberships/s, check {:.0} MB/s", best / 1e6, checked / 1e6);
    }
}

#[test]
#[ignore = "a measurement"]
fn files_speed() {
    let usual = |text: &mut String, random: u64| {
        let minutes = [1440, 43_200, 0][(random >> 8) as usize % 3];
        write!(text, "{},{minutes},{}", 1_000_000 + random % 5000, (random >> 20) % 100).unwrap();
    };
    measure("usual, 10 a line", &content(&usual, SEGMENTS), &BatchFiles::default());
    measure("usual, 1 a line", &content(&usual, 1), &BatchFiles::default());
    let spaced = |text: &mut String, random: u64| write!(text, " {}, 1440, 1", random % 5000 + 1).unwrap();
    measure("with spaces", &content(&spaced, SEGMENTS), &BatchFiles::default());
    let code = |text: &mut String, random: u64| write!(text, "segment-{},7,1440", random % 5000).unwrap();
    let codes = set_up([":", ";", ",", "#", "^"], &["SEG_CODE", "MEMBER_ID", "EXPIRATION"]);
    measure("codes", &content(&code, SEGMENTS), &codes);
    let old = set_up([":", ";", ",", "##", "^"], &["SEG_ID", "EXPIRATION", "VALUE"]);
    measure("separators of two characters", &content(&usual, SEGMENTS), &old);
}
