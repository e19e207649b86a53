//! The login of the demo, which a server that others can reach must not have.

use crate::config::Config;
use anyhow::ensure;
use ia_catalog::{Catalog, SqliteCatalog, check_credentials};
use ia_engine::data_dir::DataDir;
use ia_model::SystemClock;
use std::sync::Arc;

/// The login of the demo's catalog. Everybody knows it, which is why a demo listens on loopback alone.
pub(super) const USERNAME: &str = "demo";
pub(super) const PASSWORD: &str = "Instant-Audience-1";

/// Fails if the demo's login works and the server would listen beyond loopback.
pub(super) fn refuse_to_publish(config: &Config) -> anyhow::Result<()> {
    let data_dir = DataDir::create(&config.server.data_dir)?;
    if config.server.listen.ip().is_loopback() || !data_dir.catalog().exists() {
        return Ok(());
    }
    let found = with_catalog(&data_dir, async |catalog| Ok(catalog.login_by_name(USERNAME).await?))?;
    ensure!(
        check_credentials(found, PASSWORD).is_err(),
        "the catalog in {} has the demo's login, which everybody knows: listen on loopback only, switch the login \
         off, or give it another password",
        config.server.data_dir.display()
    );
    Ok(())
}

/// Looks into the catalog of a data directory.
pub(super) fn with_catalog<T>(
    data_dir: &DataDir,
    look: impl AsyncFnOnce(&SqliteCatalog) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let catalog = SqliteCatalog::open(&data_dir.catalog(), Arc::new(SystemClock)).await?;
        let found = look(&catalog).await;
        catalog.close().await;
        found
    })
}
