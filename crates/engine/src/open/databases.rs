//! The databases of a data directory, and what is read from them at a start.

use super::EngineOptions;
use crate::catalog_view::CatalogView;
use crate::data_dir::DataDir;
use crate::file_jobs::Jobs;
use crate::files::Deletions;
use crate::opt_outs::OptOuts;
use crate::usage::UsageFollower;
use anyhow::Context;
use ia_catalog::{Catalog, CatalogError, KnownUsers, SqliteCatalog, SqliteUsage, Tokens};
use ia_model::Clock;
use std::sync::Arc;
use std::time::Instant;

/// What to do about a damaged catalog.
const CATALOG_REMEDY: &str = "restore the data directory from a backup; or move this file and its -wal and -shm away, apply your catalog file again, and have users log in again";
/// What to do about damaged statistics.
const USAGE_REMEDY: &str = "restore the data directory from a backup; or move this file and its -wal and -shm away: statistics are then counted from the log's first position on";

fn with_remedy(error: CatalogError, remedy: &'static str) -> anyhow::Error {
    let is_damage = matches!(error, CatalogError::Damaged { .. });
    let error = anyhow::Error::from(error);
    if is_damage { error.context(remedy) } else { error }
}

/// The databases, and the data read from them.
pub(super) struct Databases {
    pub(super) catalog: Arc<SqliteCatalog>,
    pub(super) view: Arc<CatalogView>,
    pub(super) opt_outs: Arc<OptOuts>,
    pub(super) known: Arc<KnownUsers>,
    pub(super) usage_store: SqliteUsage,
    pub(super) usage: Arc<UsageFollower>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) deletions: Arc<Deletions>,
}

impl Databases {
    /// Opens them, or makes new ones.
    pub(super) async fn open(
        options: &EngineOptions,
        data_dir: &DataDir,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Databases> {
        if data_dir.has_lost_its_catalog() {
            anyhow::bail!(
                "{} is gone or empty, but the log holds what providers sent: restore the data directory from a backup, or apply your catalog file again, and have users log in again",
                data_dir.catalog().display()
            );
        }
        let catalog = SqliteCatalog::open(&data_dir.catalog(), Arc::clone(clock))
            .await
            .map_err(|error| with_remedy(error, CATALOG_REMEDY))
            .context("cannot open the catalog")?;
        let catalog = Arc::new(catalog);
        // Snapshot before tokens, as in `CatalogView::follow`.
        let snapshot = catalog.snapshot().await.context("cannot read the catalog")?;
        let tokens = Arc::new(Tokens::load(Arc::clone(&catalog) as _, &options.instance).await?);
        let opt_outs = OptOuts::load(Arc::clone(&catalog) as _).await.context("cannot read the opt-outs")?;
        let known = open_known_users(options, &catalog).await.context("cannot read the known ids")?;
        let usage_store = SqliteUsage::open(&data_dir.usage())
            .await
            .map_err(|error| with_remedy(error, USAGE_REMEDY))
            .context("cannot open the usage statistics")?;
        let jobs = Jobs::load(Arc::new(usage_store.clone()), Arc::clone(clock))
            .await
            .context("cannot read the jobs of files")?;
        let (jobs, opt_outs) = (Arc::new(jobs), Arc::new(opt_outs));
        let deletions = Deletions::load(Arc::clone(&jobs), Arc::clone(&opt_outs))
            .await
            .context("cannot read the deletions for files")?;
        let usage = UsageFollower::open(Arc::new(usage_store.clone())).await?.with_jobs(Arc::clone(&jobs));
        Ok(Databases {
            view: Arc::new(CatalogView::new(&catalog, snapshot, tokens, Arc::clone(clock))),
            catalog,
            opt_outs,
            known: Arc::new(known),
            usage_store,
            usage: Arc::new(usage),
            jobs,
            deletions: Arc::new(deletions),
        })
    }
}

async fn open_known_users(
    options: &EngineOptions,
    catalog: &Arc<SqliteCatalog>,
) -> anyhow::Result<KnownUsers> {
    if !options.only_known_users {
        return KnownUsers::everybody_beside(Arc::clone(catalog) as _)
            .await
            .map_err(|error| with_remedy(error, CATALOG_REMEDY));
    }
    let started = Instant::now();
    let known = KnownUsers::load(Arc::clone(catalog) as _)
        .await
        .map_err(|error| with_remedy(error, CATALOG_REMEDY))?;
    tracing::info!(ids = known.count(), millis = started.elapsed().as_millis(), "the known ids are read");
    Ok(known)
}
