//! A binary with a data directory that has a catalog, ready to be served.

use crate::process::log_tail;
use crate::{Error, NotReady, ServerProcess};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A binary, a data directory, and the settings that a server is started with.
#[derive(Debug, Clone)]
pub struct Installation {
    binary: PathBuf,
    data_dir: PathBuf,
    /// The catalog files and the server's log.
    scratch: PathBuf,
    settings: Vec<(String, String)>,
}

impl Installation {
    /// Loads a catalog into `data_dir`, which it makes. `scratch` is a folder for files of this program's own; it may
    /// lie on another disk than the data.
    pub fn create(
        binary: &Path,
        data_dir: &Path,
        scratch: &Path,
        catalog: &str,
    ) -> Result<Installation, Error> {
        let installation = Installation {
            binary: binary.to_owned(),
            data_dir: data_dir.to_owned(),
            scratch: scratch.to_owned(),
            settings: Vec::new(),
        };
        installation.apply(catalog)?;
        Ok(installation)
    }

    /// The binary that is run.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where the data is.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Applies a catalog file.
    pub fn apply(&self, catalog: &str) -> Result<(), Error> {
        let file = self.scratch.join("catalog.json");
        fs::write(&file, catalog).map_err(Error::io(format!("write {}", file.display())))?;
        let mut command = Command::new(&self.binary);
        command.arg("apply").arg(&file).arg("--data-dir").arg(&self.data_dir).stdin(Stdio::null());
        let output = command.output().map_err(Error::io(format!("run {}", self.binary.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Ended { what: "instant-audience apply", status: output.status, log })
    }

    /// Changes a setting, by the name of its variable after the prefix.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Installation {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// [`Installation::with`] for several.
    #[must_use]
    pub fn with_all(self, settings: &[(&str, &str)]) -> Installation {
        settings.iter().fold(self, |installation, (name, value)| installation.with(name, value))
    }

    /// Starts a server; [`NotReady`] when it ends before its ready line.
    ///
    /// `wrapper` is a command line that runs the server in the place of its own process; it may be empty.
    pub async fn try_start(&self, wrapper: &[String]) -> Result<Result<ServerProcess, NotReady>, Error> {
        let log = fs::File::options().create(true).append(true).open(self.log_file());
        let log = log.map_err(Error::io("open the file for the server's log"))?;
        let mut command = match wrapper {
            [] => Command::new(&self.binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command.envs(self.settings.iter().map(|(name, value)| (format!("INSTANT_AUDIENCE__{name}"), value)));
        ServerProcess::start(command, &self.data_dir, log.into()).await
    }

    /// Starts a server that has to get ready.
    pub async fn start(&self) -> Result<ServerProcess, Error> {
        self.start_under(&[]).await
    }

    /// [`Installation::start`] under a wrapper.
    pub async fn start_under(&self, wrapper: &[String]) -> Result<ServerProcess, Error> {
        self.try_start(wrapper).await?.map_err(|NotReady(status)| self.ended(status))
    }

    /// Stops a server in order, with SIGTERM, and holds it to exit status 0. Returns how long that took.
    pub async fn stop(&self, server: ServerProcess) -> Result<Duration, Error> {
        let begun = Instant::now();
        server.terminate();
        let status = self.end_of(server).await?;
        if status.success() { Ok(begun.elapsed()) } else { Err(self.ended(status)) }
    }

    /// Waits for a server that was told to end.
    pub async fn end_of(&self, mut server: ServerProcess) -> Result<ExitStatus, Error> {
        server.process.wait_for_exit().await
    }

    fn ended(&self, status: ExitStatus) -> Error {
        Error::Ended { what: "instant-audience serve", status, log: self.log_tail() }
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.join("server.log")
    }

    /// How long the server's log is.
    pub fn log_length(&self) -> usize {
        fs::metadata(self.log_file()).map_or(0, |log| log.len() as usize)
    }

    /// What was logged since it was that long.
    pub fn log_since(&self, length: usize) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(log.get(length..).unwrap_or_default()).into_owned()
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log_file())
    }
}

/// An empty folder: the one that is given, which may be missing yet, or a temporary one, which goes when its guard is
/// dropped. A folder that holds something already is refused.
pub fn data_folder(given: Option<&Path>) -> Result<(PathBuf, Option<TempDir>), Error> {
    let Some(folder) = given else {
        let made =
            tempfile::Builder::new().prefix("ia-").tempdir().map_err(Error::io("make a temporary folder"))?;
        return Ok((made.path().to_owned(), Some(made)));
    };
    let here = folder.display();
    fs::create_dir_all(folder).map_err(Error::io(format!("make {here}")))?;
    let mut entries = fs::read_dir(folder).map_err(Error::io(format!("read {here}")))?;
    if entries.next().is_some() {
        return Err(Error::FolderInUse(folder.to_owned()));
    }
    Ok((folder.to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "x").unwrap();
        let error = data_folder(Some(folder.path())).unwrap_err();
        assert!(matches!(error, Error::FolderInUse(_)), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_with_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        // `true` takes any arguments and applies nothing; `false` is no server.
        let installed = Installation::create(Path::new("/bin/true"), here, here, "{}").unwrap();
        let installation = Installation { binary: "/bin/false".into(), ..installed };
        let error = installation.start().await.unwrap_err();
        assert!(matches!(error, Error::Ended { status, .. } if status.code() == Some(1)), "{error}");
    }

    #[test]
    fn a_setting_has_one_value() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let installed = Installation::create(Path::new("/bin/true"), here, here, "{}").unwrap();
        let installed = installed.with_all(&[("A", "1"), ("B", "2"), ("A", "3")]);
        assert_eq!(installed.settings, [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "3".to_owned())]);
    }
}
