//! What a command tells, as text and as JSON.

use crate::disk;
use crate::site::Site;
use crate::table::Table;
use serde::Serialize;
use std::fmt::Display;
use std::path::PathBuf;

/// The outcome of a command.
pub(crate) trait Report: Serialize {
    /// Whether every answer was right and nothing was lost. A target that is missed is no fault.
    fn is_good(&self) -> bool;

    /// Writes it for a person to read.
    fn write(&self, page: &mut Page);

    /// As text.
    fn text(&self) -> String {
        let mut page = Page::default();
        self.write(&mut page);
        page.0
    }

    /// As JSON, with all figures that the text is made of.
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report holds nothing that JSON cannot say")
    }
}

/// A text that grows line by line.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl Display) {
        self.0.push_str(&format!("{line}\n"));
    }

    /// Adds an empty line.
    pub(crate) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, table: &Table) {
        self.0.push_str(&table.to_string());
    }

    /// Adds a table, set in by two spaces.
    pub(crate) fn indented(&mut self, table: &Table) {
        table.to_string().lines().for_each(|line| self.line(format_args!("  {line}")));
    }
}

/// What was measured, and on which machine.
#[derive(Debug, Serialize)]
pub(crate) struct Setup {
    server: PathBuf,
    cores: usize,
    /// The data was in memory, where a flush costs nothing.
    data_in_memory: bool,
}

impl Setup {
    /// Of this machine.
    pub(crate) fn of(site: &Site) -> Setup {
        Setup {
            server: site.server().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            data_in_memory: disk::is_in_memory(site.folder()),
        }
    }

    /// Some server, for tests of reports.
    #[cfg(test)]
    pub(crate) fn example() -> Setup {
        Setup { server: "/x/instant-audience".into(), cores: 2, data_in_memory: false }
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.line(format_args!(
            "{}, {} cores for servers and clients together",
            self.server.display(),
            self.cores
        ));
        if self.data_in_memory {
            page.line("The data folder is in memory: flushes cost nothing here. Use --data-dir.");
        }
    }
}

/// Whether a bound holds, in a word.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// A cell with a figure that may be missing.
pub(crate) fn or_dash(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "-".to_owned())
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// Milliseconds from microseconds.
pub(crate) fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
