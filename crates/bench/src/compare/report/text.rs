//! The same figures as tables.

use super::{Between, Comparison, Row, SideReport};
use crate::compare::memory::Memory;
use crate::latencies::Micros;
use crate::report::{Page, Report, or_dash, percent, verdict};
use crate::statistics::Spread;
use crate::table::Table;

impl Report for Comparison {
    /// Whether every side answered in every workload. Wrong answers end a run before this.
    fn is_good(&self) -> bool {
        self.rows.iter().flat_map(|row| [&row.ours, &row.redis, &row.ceiling]).all(|side| side.calls > 0)
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!(
            "Redis {}. Users are drawn {} from {}; {} rounds of {} s on each side, the other sides stopped meanwhile.",
            self.redis_version, self.distribution, self.users, self.rounds, self.seconds_per_measurement
        ));
        let mut tables = Vec::new();
        if !self.rows.is_empty() {
            tables.extend([rates(&self.rows), answers(&self.rows), costs(&self.rows)]);
        }
        if !self.between.is_empty() {
            tables.push(betweens(&self.between));
        }
        tables.extend(self.memory.as_ref().map(memory_table));
        for table in &tables {
            page.gap();
            page.table(table);
        }
        page.gap();
        page.line(NOTES);
    }
}

const NOTES: &str = "\
An item is a membership in bulk10, compact, bulk1, small and memory, and a user that is read in the others.
Writes have the documented form, with its nulls; compact is bulk10 without the fields that are null.
Rates and ratios are medians of the rounds; a ratio is made of two measurements of the same round.
ours     flushes every write before it answers, in all workloads; HTTP and JSON.
Redis    HSET of a hash a user (key 8 bytes, field 4, value 8) and HGETALL; appendonly yes, appendfsync
         everysec, and always in small; no rewriting of the append-only file. bulk10, compact, bulk1 and readmany:
         batches of 1,000 commands, pipelined on one connection; the time of an answer is that of the batch.
ceiling  the HTTP stack of ours, which parses the same requests and does nothing with them.
new      the share of new memberships among those written. Both get the same calls in the same order, and go
         through them at their own pace; after the last they start over.
written  bytes that the process caused to be sent to storage (write_bytes of /proc/PID/io).";

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// A ratio with its extremes, its bound and whether that is met.
fn ratio_cells(spread: &Spread, at_least: Option<f64>) -> [String; 4] {
    let (bound, verdict) = match at_least {
        None => ("-".to_owned(), String::new()),
        Some(bound) => (format!(">= {bound}"), verdict(spread.median >= bound).to_owned()),
    };
    [ratio(spread.median), format!("{:.2}-{:.2}", spread.min, spread.max), bound, verdict]
}

fn rates(rows: &[Row]) -> Table {
    let mut table = Table::default();
    table.row(["", "ours", "Redis", "ceiling", "ours /", "", "", "", "ours /", "", "", ""]);
    table.row([
        "workload", "items/s", "items/s", "items/s", "Redis", "min-max", "target", "", "ceiling", "min-max",
        "target", "",
    ]);
    for row in rows {
        let rate = |side: &SideReport| format!("{:.0}", side.items_per_second.median);
        let mut cells = vec![row.workload.to_owned(), rate(&row.ours), rate(&row.redis), rate(&row.ceiling)];
        cells.extend(ratio_cells(&row.per_redis, row.targets.per_redis_at_least));
        cells.extend(ratio_cells(&row.per_ceiling, row.targets.per_ceiling_at_least));
        table.row(cells);
    }
    table
}

fn answers(rows: &[Row]) -> Table {
    let mut table = Table::default();
    let side = |name| [name].into_iter().chain(Micros::HEADING);
    table.row(["answers"].into_iter().chain(side("ours")).chain(side("Redis")));
    table.row(["in ms", "conn", "", "", "", "", "conn", "", "", "", ""]);
    for row in rows {
        let mut cells = vec![row.workload.to_owned()];
        for side in [&row.ours, &row.redis] {
            cells.push(side.connections.to_string());
            cells.extend(side.latency_micros.cells());
        }
        table.row(cells);
    }
    table
}

fn costs(rows: &[Row]) -> Table {
    let mut table = Table::default();
    let per_side = ["CPU s", "cores", "cores", "cores", "new", "written"];
    table.row(["costs"].into_iter().chain(per_side).chain(per_side));
    let ours = ["/M items", "ours", "client", "other", "%", "B/item"];
    let redis = ["/M items", "Redis", "client", "other", "%", "B/item"];
    table.row([""].into_iter().chain(ours).chain(redis));
    for row in rows {
        let mut cells = vec![row.workload.to_owned()];
        for side in [&row.ours, &row.redis] {
            cells.push(format!("{:.3}", side.server_cpu_seconds_per_million));
            cells.extend([side.server_cores, side.client_cores, side.other_cores].map(ratio));
            cells.push(or_dash(side.new_share.map(percent)));
            cells.push(or_dash(side.written_bytes_per_item.map(|bytes| format!("{bytes:.1}"))));
        }
        table.row(cells);
    }
    table
}

fn betweens(between: &[Between]) -> Table {
    let mut table = Table::default();
    table.row(["ours / ours", "users/s", "min-max", "target", ""]);
    for Between { over, under, ratio, at_least } in between {
        let name = format!("{over} / {under}");
        table.row([name].into_iter().chain(ratio_cells(ratio, Some(*at_least))));
    }
    table
}

fn memory_table(memory: &Memory) -> Table {
    let mut table = Table::default();
    let title = format!("memory of {} memberships", memory.memberships);
    table.row([title.as_str(), "RSS", "own count", "written", "RSS /", "target", ""]);
    table.row(["bytes a membership", "", "", "", "Redis", "", ""]);
    let bytes = |bytes: f64| format!("{bytes:.1}");
    let sides = [
        ("ours, right after the load", memory.ours_loaded, None, Some(memory.loaded_per_redis)),
        (
            "ours, after the checkpoint",
            memory.ours_settled,
            Some(memory.ours_written_bytes),
            Some(memory.settled_per_redis),
        ),
        ("Redis", memory.redis, Some(memory.redis_written_bytes), None),
    ];
    for (name, size, written, share) in sides {
        let mut cells = vec![name.to_owned(), bytes(size.resident), bytes(size.own_count)];
        cells.push(written.map_or_else(String::new, bytes));
        if let Some(share) = share {
            let bound = memory.per_redis_at_most;
            cells.extend([ratio(share), format!("<= {bound:.2}"), verdict(share <= bound).to_owned()]);
        }
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::memory::PerMembership;
    use crate::compare::targets::Targets;
    use crate::distribution::Distribution;
    use crate::report::Setup;

    fn side(rate: f64, writes: bool) -> SideReport {
        SideReport {
            connections: 64,
            calls: 700,
            items_per_second: Spread::of([rate]),
            latency_micros: Micros { p50: 20_000, p99: 40_000, p999: 50_000, max: 61_230, count: 700 },
            server_cpu_seconds_per_million: 0.3456,
            server_cores: 1.2,
            client_cores: 0.4,
            other_cores: 0.1,
            new_share: writes.then_some(0.875),
            written_bytes_per_item: writes.then_some(12.34),
        }
    }

    fn row(workload: &'static str, rates: [f64; 3]) -> Row {
        let [ours, redis, ceiling] = rates;
        let writes = workload.starts_with("bulk");
        Row {
            workload,
            unit: "memberships",
            ours: side(ours, writes),
            redis: side(redis, writes),
            ceiling: side(ceiling, writes),
            per_redis: Spread::of_quotients(&[ours], &[redis]),
            per_ceiling: Spread::of_quotients(&[ours], &[ceiling]),
            targets: Targets::of(workload),
            ours_by_round: vec![ours],
        }
    }

    fn report() -> Comparison {
        let rows = vec![
            row("bulk10", [3_500_000.0, 1_000_000.0, 8_000_000.0]),
            row("read", [60_000.0, 64_000.0, 90_000.0]),
            row("read-unknown", [63_000.0, 70_000.0, 90_000.0]),
        ];
        Comparison {
            setup: Setup::example(),
            redis_version: "7.0.15".to_owned(),
            users: 1000,
            distribution: Distribution::Zipf(0.9),
            rounds: 5,
            seconds_per_measurement: 2.0,
            between: Between::all(&rows),
            rows,
            memory: Some(Memory {
                memberships: 10_000,
                ours_loaded: PerMembership { resident: 9.0, own_count: 7.0 },
                ours_settled: PerMembership { resident: 8.0, own_count: 7.0 },
                redis: PerMembership { resident: 25.0, own_count: 24.0 },
                loaded_per_redis: 0.36,
                settled_per_redis: 0.32,
                per_redis_at_most: 1.0 / 3.0,
                ours_written_bytes: 20.0,
                redis_written_bytes: 30.0,
            }),
        }
    }

    /// The words of the line that begins so.
    fn words<'a>(text: &'a str, beginning: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.starts_with(beginning));
        line.unwrap_or_else(|| panic!("no {beginning} in {text}")).split_ascii_whitespace().collect()
    }

    #[test]
    fn bounds_are_judged_and_misses_shown() {
        let text = report().text();
        let bulk = words(&text, "bulk10");
        assert_eq!(
            bulk[..7],
            ["bulk10", "3500000", "1000000", "8000000", "3.50", "3.50-3.50", ">="],
            "{text}"
        );
        assert!(bulk.contains(&"met") && bulk.contains(&"MISSED"), "{text}");
        assert!(words(&text, "read ").contains(&"MISSED"), "{text}");
        assert!(words(&text, "read-unknown / read").contains(&"met"), "{text}");
        assert!(words(&text, "ours, right after").contains(&"MISSED"), "{text}");
        assert!(words(&text, "ours, after").contains(&"met"), "{text}");
        assert!(report().is_good(), "a miss of a target fails nothing");
    }

    #[test]
    fn the_json_holds_what_the_text_is_made_of() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["rows"][0]["per_redis"]["median"], 3.5);
        assert_eq!(json["rows"][0]["targets"]["per_redis_at_least"], 3.0);
        assert_eq!(json["memory"]["redis"]["resident"], 25.0);
        assert_eq!(json["distribution"]["zipf"], 0.9);
    }

    #[test]
    fn a_side_that_did_nothing_is_no_success() {
        let mut report = report();
        report.rows[1].redis.calls = 0;
        assert!(!report.is_good());
    }
}
