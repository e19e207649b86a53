//! What `rates` tells, as a table and as JSON.

use super::Plan;
use crate::disk;
use crate::drive::LatencyMicros;
use crate::server::Installation;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    server: PathBuf,
    users: u64,
    /// The data lay in memory, where a flush costs nothing.
    data_in_memory: bool,
    rows: Vec<Row>,
}

/// The outcome of a workload.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub workload: &'static str,
    pub connections: usize,
    /// What an item is.
    pub unit: &'static str,
    pub seconds: f64,
    pub requests: u64,
    pub requests_per_second: f64,
    pub items_per_second: f64,
    pub latency_micros: LatencyMicros,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Of the memberships that were written, those that began; the others lived already.
    pub new_share: Option<f64>,
    /// Processor seconds of the server for a million items.
    pub server_cpu_seconds_per_million: Option<f64>,
    /// Processor seconds a second.
    pub server_cores: f64,
    pub client_cores: f64,
    /// What the rest of the machine took, the kernel's own work and a hypervisor's other guests included:
    /// where it is much, the figures of the row say little.
    pub other_cores: f64,
    pub server_resident_bytes: u64,
}

impl Report {
    pub(super) fn new(installation: &Installation, plan: &Plan, rows: Vec<Row>) -> Report {
        Report {
            server: installation.binary().to_owned(),
            users: plan.users,
            data_in_memory: disk::is_in_memory(&installation.data_dir()),
            rows,
        }
    }

    /// Whether every answer was right.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.errors == 0 && row.requests > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, users drawn from {}", self.server.display(), self.users)?;
        if self.data_in_memory {
            writeln!(f, "The data folder lies in memory: flushes cost nothing here. Use --data-dir.")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<13}{:>5} {:>10} {:>12} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>8} {:>7} {:>7} {:>7} {:>8}",
            "",
            "",
            "",
            "",
            "p50",
            "p99",
            "p99.9",
            "max",
            "",
            "new",
            "CPU s",
            "server",
            "client",
            "other",
            "RSS"
        )?;
        writeln!(
            f,
            "{:<13}{:>5} {:>10} {:>12} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>8} {:>7} {:>7} {:>7} {:>8}",
            "workload",
            "conn",
            "requests/s",
            "items/s",
            "ms",
            "ms",
            "ms",
            "ms",
            "errors",
            "%",
            "/M items",
            "cores",
            "cores",
            "cores",
            "MiB"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        writeln!(f)?;
        write!(f, "An item is a membership in bulk10, compact, bulk1 and small, and a user in the others.")?;
        for row in &self.rows {
            if let Some(error) = &row.first_error {
                write!(f, "\n{}: {} errors; the first: {error}", row.workload, row.errors)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: u64| format!("{:.2}", micros as f64 / 1e3);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        write!(
            f,
            "{:<13}{:>5} {:>10.0} {:>12.0} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>8} {:>7.2} {:>7.2} {:>7.2} {:>8}",
            self.workload,
            self.connections,
            self.requests_per_second,
            self.items_per_second,
            ms(self.latency_micros.p50),
            ms(self.latency_micros.p99),
            ms(self.latency_micros.p999),
            ms(self.latency_micros.max),
            self.errors,
            or_dash(self.new_share.map(|share| format!("{:.0}", share * 100.0))),
            or_dash(self.server_cpu_seconds_per_million.map(|seconds| format!("{seconds:.3}"))),
            self.server_cores,
            self.client_cores,
            self.other_cores,
            self.server_resident_bytes >> 20,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(errors: u64) -> Report {
        let row = Row {
            workload: "bulk10",
            connections: 8,
            unit: "memberships",
            seconds: 2.0,
            requests: 700,
            requests_per_second: 350.0,
            items_per_second: 3_500_000.0,
            latency_micros: LatencyMicros { p50: 20_000, p99: 40_000, p999: 50_000, max: 61_230 },
            errors,
            first_error: (errors > 0).then(|| "the dog ate it".to_owned()),
            new_share: Some(0.875),
            server_cpu_seconds_per_million: Some(0.3456),
            server_cores: 1.2,
            client_cores: 0.4,
            other_cores: 0.1,
            server_resident_bytes: 300 << 20,
        };
        Report { server: "/x/instant-audience".into(), users: 1000, data_in_memory: false, rows: vec![row] }
    }

    #[test]
    fn the_table_lines_up_and_shows_the_figures() {
        let text = report(0).to_string();
        let lines: Vec<&str> = text.lines().filter(|line| line.len() > 100).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        for figure in ["350", "3500000", "20.00", "61.23", "88", "0.346", "300"] {
            assert!(lines[2].split_ascii_whitespace().any(|word| word == figure), "{figure} in {text}");
        }
    }

    #[test]
    fn an_error_fails_the_run_and_is_told() {
        assert!(report(0).is_good());
        let report = report(1);
        assert!(!report.is_good());
        assert!(report.to_string().ends_with("1 errors; the first: the dog ate it"), "{report}");
    }

    #[test]
    fn a_workload_that_did_nothing_is_no_success() {
        let mut report = report(0);
        report.rows[0].requests = 0;
        assert!(!report.is_good());
    }
}
