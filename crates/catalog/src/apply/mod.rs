//! How a catalog file becomes changes of rows, in any store.

mod passwords;
mod plan;
mod report;

pub(crate) use passwords::SettledPasswords;
pub(crate) use plan::{Plan, plan};
pub use report::{ApplyReport, Tally};

use crate::error::CatalogError;
use crate::file::CatalogFile;
use crate::snapshot::Snapshot;
use crate::state::State;
use std::collections::BTreeMap;

impl Snapshot {
    /// The snapshot of a catalog that holds what `file` says and nothing else. Needs no database.
    ///
    /// Fails as [`Catalog::apply`](crate::Catalog::apply) does.
    pub fn of(file: &CatalogFile) -> Result<Snapshot, CatalogError> {
        let passwords = SettledPasswords::settle(file.passwords(), &BTreeMap::new())?;
        let mut state = State::default();
        plan(&state, file, &passwords)?.write_to(&mut state);
        Ok(state.into_snapshot(1))
    }
}
