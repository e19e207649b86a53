//! Where a command runs its servers: which binary, and in which folder.

use crate::calls;
use crate::error::Error;
use ia_testkit::{Installation, data_folder, find_binary};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a run lifts: a limit that is reached measures the limit.
const LIFTED_LIMITS: [(&str, &str); 7] = [
    ("LIMITS__POSTS_PER_SECOND", "0"),
    ("LIMITS__GETS_PER_SECOND", "0"),
    ("LIMITS__USERS_PER_SECOND", "0"),
    ("LIMITS__PAYLOAD_BYTES", "0"),
    ("LIMITS__API_READS_PER_MINUTE", "0"),
    ("LIMITS__API_WRITES_PER_MINUTE", "0"),
    ("LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
];

/// The server's binary, and a folder for all data. A folder that was made for the run goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    server: PathBuf,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Site {
    /// Finds the binary, and makes the folder.
    pub(crate) fn open(server: Option<&Path>, folder: Option<&Path>) -> Result<Site, Error> {
        let server = find_binary(server)?;
        let (folder, temporary) = data_folder(folder)?;
        Ok(Site { server, folder, _temporary: temporary })
    }

    /// The server's binary.
    pub(crate) fn server(&self) -> &Path {
        &self.server
    }

    /// The folder for all data.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A server with a folder of its own and the catalog of the bench.
    pub(crate) fn install(&self, name: &str) -> Result<Installation, Error> {
        self.install_with(name, &calls::catalog())
    }

    /// The same with another catalog.
    pub(crate) fn install_with(&self, name: &str, catalog: &str) -> Result<Installation, Error> {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).map_err(Error::io(format!("make {}", folder.display())))?;
        let installed = Installation::create(&self.server, &folder.join("data"), &folder, catalog)?;
        Ok(installed.with_all(&LIFTED_LIMITS))
    }
}
