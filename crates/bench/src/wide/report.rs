//! What `wide` tells.

use crate::aim::Aim;
use crate::latencies::Micros;
use crate::report::{Page, Report, Setup, ms};
use crate::statistics::Spread;
use crate::table::Table;
use serde::Serialize;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Wide {
    #[serde(flatten)]
    pub(super) setup: Setup,
    pub(super) redis_version: String,
    pub(super) users: u64,
    pub(super) rounds: u32,
    pub(super) seconds_per_measurement: f64,
    pub(super) rows: Vec<Row>,
    pub(super) aims: Vec<Aim>,
}

/// The outcome of a width.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub width: u32,
    pub memberships_per_second_of_fill: f64,
    /// As the server counts its profiles.
    pub bytes_per_membership: f64,
    /// As Redis counts what it allocated.
    pub redis_bytes_per_membership: f64,
    pub writes: Side,
    pub writes_of_redis: Side,
    pub json: Side,
    pub reads_of_redis: Side,
    pub codes: Side,
    /// Of a POST of 1,000 users, over that of the narrow ones in the same round.
    pub p99_per_narrow: Option<Spread>,
    /// Of the server, since its start.
    pub checkpoints: u64,
}

/// One kind of call, over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Side {
    /// Memberships, or users read; round by round.
    pub per_second: Vec<f64>,
    /// Of a call; round by round.
    pub p99_ms: Vec<f64>,
    pub latency_micros: Micros,
    /// Of the server's processors, for a membership or a user read.
    pub cpu_microseconds: f64,
}

impl Side {
    fn per(&self, other: &Side) -> Spread {
        Spread::of_quotients(&self.per_second, &other.per_second)
    }

    fn median(&self) -> f64 {
        Spread::of(self.per_second.iter().copied()).median
    }
}

impl Row {
    /// Holds the p99 of each width against that of the narrow one, where that was measured.
    pub(super) fn compare_with(narrow: u32, rows: &mut [Row]) {
        let Some(base) = rows.iter().find(|row| row.width == narrow).map(|row| row.writes.p99_ms.clone())
        else {
            return;
        };
        for row in rows {
            row.p99_per_narrow = Some(Spread::of_quotients(&row.writes.p99_ms, &base));
        }
    }
}

/// What the project holds itself to. A miss is shown and fails nothing.
pub(super) fn aims(rows: &[Row]) -> Vec<Aim> {
    let mut aims = Vec::new();
    for row in rows {
        let width = row.width;
        let writes = match width {
            100 => Some(2.5),
            300 => Some(3.0),
            1000 => Some(2.0),
            _ => None,
        };
        if let Some(at_least) = writes {
            let ratio = row.writes.per(&row.writes_of_redis).median;
            let what = format!("bulk10 at {width} memberships / Redis");
            aims.push(Aim::at_least(what, Some(ratio), "x", at_least, Some(4.0)));
        }
        if width == 300 {
            let ratio = row.json.per(&row.reads_of_redis).median;
            let what = format!("reads as JSON at {width} / HGETALL");
            aims.push(Aim::at_least(what, Some(ratio), "x", 1.2, Some(1.5)));
        }
        if let (1000, Some(ratio)) = (width, row.p99_per_narrow) {
            let what = format!("p99 of a POST of 1,000 users at {width} / at 10");
            aims.push(Aim::at_most(what, Some(ratio.median), "x", 3.0, Some(2.0)));
        }
    }
    aims
}

fn range(spread: Spread) -> String {
    format!("{:.2} ({:.2}-{:.2})", spread.median, spread.min, spread.max)
}

impl Wide {
    fn writes(&self) -> Table {
        let mut table = Table::default();
        table.row([
            "", "fill", "bulk10", "", "CPU us /", "p99", "p99", "Redis", "Redis", "check-", "bytes /", "of",
        ]);
        table.row([
            "width",
            "/ s",
            "/ s",
            "/ Redis",
            "membership",
            "ms",
            "/ at 10",
            "/ s",
            "p99 ms",
            "points",
            "membership",
            "Redis",
        ]);
        for row in &self.rows {
            let (ours, redis) = (&row.writes, &row.writes_of_redis);
            table.row([
                row.width.to_string(),
                format!("{:.0}", row.memberships_per_second_of_fill),
                format!("{:.0}", ours.median()),
                range(ours.per(redis)),
                format!("{:.3}", ours.cpu_microseconds),
                format!("{:.1}", ms(ours.latency_micros.p99)),
                row.p99_per_narrow.map_or("-".to_owned(), range),
                format!("{:.0}", redis.median()),
                format!("{:.1}", ms(redis.latency_micros.p99)),
                row.checkpoints.to_string(),
                format!("{:.2}", row.bytes_per_membership),
                format!("{:.2}", row.redis_bytes_per_membership),
            ]);
        }
        table
    }

    fn reads(&self) -> Table {
        let mut table = Table::default();
        table
            .row(["", "JSON", "", "CPU us", "p99", "codes", "", "CPU us", "p99", "HGETALL", "CPU us", "p99"]);
        table.row([
            "width",
            "/ s",
            "/ HGETALL",
            "/ read",
            "ms",
            "/ s",
            "/ HGETALL",
            "/ read",
            "ms",
            "/ s",
            "/ read",
            "ms",
        ]);
        for row in &self.rows {
            let redis = &row.reads_of_redis;
            let mut cells = vec![row.width.to_string()];
            for side in [&row.json, &row.codes] {
                cells.extend([
                    format!("{:.0}", side.median()),
                    range(side.per(redis)),
                    format!("{:.1}", side.cpu_microseconds),
                    format!("{:.1}", ms(side.latency_micros.p99)),
                ]);
            }
            cells.extend([
                format!("{:.0}", redis.median()),
                format!("{:.1}", redis.cpu_microseconds),
                format!("{:.1}", ms(redis.latency_micros.p99)),
            ]);
            table.row(cells);
        }
        table
    }
}

impl Report for Wide {
    /// A wrong answer ends the run with an error.
    fn is_good(&self) -> bool {
        self.rows.iter().all(|row| {
            let sides = [&row.writes, &row.writes_of_redis, &row.json, &row.reads_of_redis, &row.codes];
            sides.iter().all(|side| side.latency_micros.count > 0)
        })
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!(
            "Redis {}. {} users of each width; medians of {} rounds of {} s, half of that for reads, with (min-max).\n",
            self.redis_version, self.users, self.rounds, self.seconds_per_measurement
        ));
        page.table(&self.writes());
        page.gap();
        page.table(&self.reads());
        page.gap();
        self.aims.iter().for_each(|aim| page.line(aim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(per_second: [f64; 3], p99_ms: [f64; 3]) -> Side {
        let latency_micros = Micros { p50: 1000, p99: 2000, p999: 3000, max: 4000, count: 9 };
        Side { per_second: per_second.into(), p99_ms: p99_ms.into(), latency_micros, cpu_microseconds: 0.25 }
    }

    fn row(width: u32, ours: [f64; 3], p99_ms: [f64; 3]) -> Row {
        let redis = || side([1e6, 1e6, 0.5e6], [5.0; 3]);
        Row {
            width,
            memberships_per_second_of_fill: 1e6,
            bytes_per_membership: 6.5,
            redis_bytes_per_membership: 26.0,
            writes: side(ours, p99_ms),
            writes_of_redis: redis(),
            json: side([1.4e6, 1.4e6, 0.7e6], [5.0; 3]),
            reads_of_redis: redis(),
            codes: side([3e6; 3], [5.0; 3]),
            p99_per_narrow: None,
            checkpoints: 3,
        }
    }

    fn wide() -> Wide {
        // The machine slows down by half in the last round: no ratio changes.
        let mut rows = vec![
            row(10, [4e6, 4e6, 2e6], [50.0, 50.0, 100.0]),
            row(300, [2.9e6, 2.9e6, 1.45e6], [75.0, 75.0, 150.0]),
            row(1000, [2.5e6, 2.5e6, 1.25e6], [160.0, 160.0, 320.0]),
        ];
        Row::compare_with(10, &mut rows);
        Wide {
            setup: Setup::example(),
            redis_version: "7.0.15".to_owned(),
            users: 20_000,
            rounds: 3,
            seconds_per_measurement: 4.0,
            aims: aims(&rows),
            rows,
        }
    }

    #[test]
    fn widths_are_held_to_their_own_bounds() {
        let wide = wide();
        let told: Vec<String> = wide.aims.iter().map(Aim::to_string).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].contains("2.90 x") && told[0].contains(">= 3 x: MISSED"), "{told:?}");
        assert!(
            told[1].contains("1.40 x") && told[1].contains(">= 1.2 x: met; aim >= 1.5 x: missed"),
            "{told:?}"
        );
        assert!(told[2].contains("2.50 x") && told[2].contains(">= 2 x: met"), "{told:?}");
        assert!(told[3].contains("3.20 x") && told[3].contains("<= 3 x: MISSED"), "{told:?}");
    }

    #[test]
    fn every_width_is_told() {
        let wide = wide();
        assert!(wide.is_good());
        let text = wide.text();
        assert!(text.contains("2.90 (2.90-2.90)") && text.contains("3.20 (3.20-3.20)"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&wide.json()).unwrap();
        assert_eq!(json["rows"][2]["width"], 1000);
        assert!((json["rows"][2]["p99_per_narrow"]["median"].as_f64().unwrap() - 3.2).abs() < 1e-9);
    }

    #[test]
    fn without_the_narrow_width_there_is_no_ratio_to_it() {
        let mut rows = vec![row(1000, [2e6; 3], [1.0; 3])];
        Row::compare_with(10, &mut rows);
        assert!(rows[0].p99_per_narrow.is_none());
        assert_eq!(aims(&rows).len(), 1);
    }
}
