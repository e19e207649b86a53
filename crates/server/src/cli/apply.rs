//! `instant-audience apply`

use super::start_logging;
use crate::config::{Config, LogFormat, Overrides};
use anyhow::Context;
use clap::Args;
use ia_catalog::{ApplyReport, Catalog, CatalogFile, SqliteCatalog};
use ia_engine::data_dir::DataDir;
use ia_model::SystemClock;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `apply FILE`
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// A catalog file in JSON. Use - for standard input.
    file: PathBuf,
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory. Overrides server.data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: ApplyArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "warn")?;
    let overrides = Overrides { file: args.config, data_dir: args.data_dir, ..Overrides::default() };
    let config = Config::load(&overrides)?;
    let name = args.file.display();
    let bytes = read(&args.file).with_context(|| format!("cannot read {name}"))?;
    let file = CatalogFile::parse(&bytes).with_context(|| format!("{name} changes nothing"))?;
    let report = apply(&file, &DataDir::create(&config.server.data_dir)?)
        .with_context(|| format!("{name} changes nothing"))?;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// Applies `file` to the catalog in `data_dir`.
pub(super) fn apply(file: &CatalogFile, data_dir: &DataDir) -> anyhow::Result<ApplyReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let catalog = SqliteCatalog::open(&data_dir.catalog(), Arc::new(SystemClock)).await?;
        let report = catalog.apply(file).await;
        catalog.close().await;
        Ok(report?)
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path)
}
