//! `instant-audience check-config`

use super::ServerArgs;
use crate::tls::Certificate;
use std::io::Write;

pub(super) fn run(args: ServerArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    if let Some((cert, key)) = config.tls_files() {
        Certificate::load(cert, key)?;
    }
    write!(std::io::stdout(), "{}", toml::to_string(&config)?)?;
    Ok(())
}
