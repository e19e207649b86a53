//! The service without HTTP: adds users to segments, reads them, links ids, deletes people, reports usage, changes the
//! catalog and logs callers in.
//!
//! [`open`] opens a data directory and gives an [`Engine`], whose parts do the work. Each part holds only the parts
//! below it; no part holds the engine. `docs/ARCHITECTURE.md` walks one POST and one read through this code.

pub mod auth;
pub mod budget;
pub mod catalog_view;
pub mod consent;
pub mod data_dir;
pub mod decode;
pub mod error;
pub mod files;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod held;
pub mod ingest;
pub mod json;
pub mod large_work;
pub mod limits;
pub mod linking;
pub mod metrics;
pub mod nobody;
pub mod not_json;
pub mod open;
pub mod parameters;
pub mod people;
pub mod pixels;
pub mod rate;
pub mod reading;
pub mod services;
pub mod usage;
pub mod user_ids;

mod alarm;
mod erasures;
mod file_jobs;
#[cfg(test)]
mod lives;
mod opt_outs;
mod sync;
mod threads;
mod upkeep;
mod write;

pub use error::{Error, ErrorKind};
pub use ia_log::LogState;
pub use open::{EngineOptions, Machine, OpenEngine, open};

use alarm::Alarm;
use auth::Authenticator;
use catalog_view::CatalogView;
use files::Files;
use ia_log::{Log, LogStats};
use ia_model::Clock;
use ia_profiles::{ProfileStats, Profiles};
use ingest::Ingester;
use large_work::LargeWork;
use limits::Limits;
use metrics::Metrics;
use people::People;
use pixels::PixelWriter;
use reading::Reader;
use services::Services;
use std::sync::Arc;
use usage::{Reports, UsageFollower};
use write::commit::Committer;

/// The parts that carry out requests.
pub struct Engine {
    /// The source of the time.
    pub clock: Arc<dyn Clock>,
    /// Members, logins, tokens and segments.
    pub catalog: Arc<CatalogView>,
    /// Logs callers in.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests of members against their limits.
    pub limits: Arc<Limits>,
    /// Adds users to segments.
    pub ingest: Arc<Ingester>,
    /// Takes files of memberships.
    pub files: Files,
    /// Reads memberships.
    pub reader: Reader,
    /// Deletes people and opts them out.
    pub people: People,
    /// Carries out the writes of pixels.
    pub pixels: PixelWriter,
    /// Usage reports.
    pub reports: Reports,
    /// Lists and changes the catalog.
    pub services: Services,
    /// Threads for large requests.
    pub large_work: Arc<LargeWork>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    log: Arc<dyn Log>,
    profiles: Arc<dyn Profiles>,
    usage: Arc<UsageFollower>,
    committer: Arc<Committer>,
    alarm: Alarm,
}

/// The state of an engine at one moment.
#[derive(Debug)]
pub struct Status {
    /// Why writes fail; `None` while they succeed.
    pub fault: Option<String>,
    /// Whether the log can make records durable.
    pub log_state: LogState,
    /// Size and positions of the log.
    pub log: LogStats,
    /// Size of the profiles.
    pub profiles: ProfileStats,
    /// Bytes of records that wait to become durable and visible.
    pub backlog_bytes: usize,
    /// Position of the last record that reads can see.
    pub applied_position: u64,
    /// Position that the last checkpoint covers.
    pub checkpointed_position: u64,
    /// Position that the usage statistics cover.
    pub usage_position: u64,
    /// Generation of the catalog in force.
    pub catalog_generation: u64,
    /// Jobs of files that are not finished.
    pub unfinished_files: usize,
}

impl Engine {
    /// Why writes fail now; `None` while they succeed.
    pub fn fault(&self) -> Option<String> {
        self.committer.fault()
    }

    /// The state for operators.
    pub fn status(&self) -> Status {
        Status {
            fault: self.fault(),
            log_state: self.log.state(),
            log: self.log.stats(),
            profiles: self.profiles.stats(),
            backlog_bytes: self.committer.backlog_bytes(),
            applied_position: self.profiles.applied_position(),
            checkpointed_position: self.profiles.checkpointed_position(),
            usage_position: self.usage.covered_position(),
            catalog_generation: self.catalog.snapshot().generation(),
            unfinished_files: self.files.unfinished(),
        }
    }
}
