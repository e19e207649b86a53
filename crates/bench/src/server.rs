//! The server under test: found, given a catalog, started, watched and ended.

use crate::calls;
use crate::error::Error;
use crate::process::{Output, Process, log_tail};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a run lifts: a limit that is reached measures the limit.
const LIFTED_LIMITS: [&str; 5] =
    ["POSTS_PER_SECOND", "GETS_PER_SECOND", "USERS_PER_SECOND", "PAYLOAD_BYTES", "LOGINS_PER_FIVE_MINUTES"];

/// Where the server binary lies: where the caller says, else beside this one when it is a release build
/// too, else in the workspace.
pub(crate) fn find_binary(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let tried = match given {
        Some(path) => vec![path],
        None => {
            let here = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release");
            let beside = here.filter(|folder| folder.ends_with("release"));
            beside.into_iter().chain([workspace]).map(|folder| folder.join("instant-audience")).collect()
        }
    };
    tried.iter().find_map(|path| path.canonicalize().ok()).ok_or(Error::NoServer { tried })
}

/// An empty folder: the one that is given, which may be missing yet, or a temporary one, which goes when its
/// guard is dropped. A folder that holds something already is refused.
pub(crate) fn data_folder(given: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), Error> {
    let Some(folder) = given else {
        let made = tempfile::Builder::new().prefix("ia-bench-").tempdir();
        let made = made.map_err(Error::io("make a temporary folder"))?;
        return Ok((made.path().to_owned(), Some(made)));
    };
    let here = folder.display();
    std::fs::create_dir_all(&folder).map_err(Error::io(format!("make {here}")))?;
    let mut entries = std::fs::read_dir(&folder).map_err(Error::io(format!("read {here}")))?;
    if entries.next().is_some() {
        return Err(Error::FolderInUse(folder));
    }
    Ok((folder, None))
}

/// A binary with a data folder that holds the catalog, ready to be served.
#[derive(Debug)]
pub(crate) struct Installation {
    binary: PathBuf,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Installation {
    /// Loads the catalog of the bench into a [`data_folder`].
    pub(crate) fn create(binary: PathBuf, folder: Option<PathBuf>) -> Result<Installation, Error> {
        let (folder, temporary) = data_folder(folder)?;
        let installation = Installation { binary, folder, _temporary: temporary };
        let catalog = installation.folder.join("catalog.json");
        std::fs::write(&catalog, calls::catalog())
            .map_err(Error::io(format!("write {}", catalog.display())))?;
        installation.apply(&catalog)?;
        Ok(installation)
    }

    /// The binary that is run.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The server's data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn apply(&self, catalog: &Path) -> Result<(), Error> {
        let mut command = Command::new(&self.binary);
        command.arg("apply").arg(catalog).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        let output = command.output().map_err(Error::io(format!("run {}", self.binary.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Ended { what: "instant-audience apply", status: output.status, log })
    }

    /// An installation of the same binary in a folder of its own under this one's.
    pub(crate) fn another(&self, name: &str) -> Result<Installation, Error> {
        Installation::create(self.binary.clone(), Some(self.folder.join(name)))
    }

    /// Starts the server and waits for its ready line.
    pub(crate) async fn start(&self) -> Result<Server, Error> {
        self.start_with(&[], &[]).await
    }

    /// [`Installation::start`] under another program and with settings. `wrapper` is a command line that ends
    /// before the server's; it must leave the server a direct child of this process. A setting is the name of
    /// a variable after its prefix, and a value.
    pub(crate) async fn start_with(
        &self,
        wrapper: &[String],
        settings: &[(&str, &str)],
    ) -> Result<Server, Error> {
        let log = self.log_file();
        let log = std::fs::File::options().create(true).append(true).open(&log);
        let log = log.map_err(Error::io("open the file for the server's log"))?;
        let mut command = match wrapper {
            [] => Command::new(&self.binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        let lifted = LIFTED_LIMITS.map(|limit| (format!("INSTANT_AUDIENCE__LIMITS__{limit}"), "0"));
        command.envs(lifted);
        command.envs(settings.iter().map(|(name, value)| (format!("INSTANT_AUDIENCE__{name}"), value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);

        let started = Instant::now();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(Error::io(format!("run {program}")))?;
        let mut process = Process::new(child);
        let (line, stdout) = process.first_line().await?;
        let time_to_ready = started.elapsed();
        if line.is_empty() {
            return Err(self.ended(process.wait_for_exit().await?));
        }
        let (api, ops) = ready_addresses(&line)
            .ok_or_else(|| Error::Broken(format!("the server said {line:?} in place of its ready line")))?;
        Ok(Server { process, api, ops, time_to_ready, _stdout: stdout })
    }

    fn ended(&self, status: ExitStatus) -> Error {
        Error::Ended { what: "instant-audience serve", status, log: log_tail(&self.log_file()) }
    }

    /// Asks the server to stop, with SIGTERM, and holds it to exit status 0.
    pub(crate) async fn stop(&self, server: Server) -> Result<Duration, Error> {
        let asked = Instant::now();
        let mut process = server.process;
        process.signal(Signal::TERM)?;
        let status = process.wait_for_exit().await?;
        if status.success() { Ok(asked.elapsed()) } else { Err(self.ended(status)) }
    }
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    /// Where the API listens.
    pub(crate) api: SocketAddr,
    /// Where the metrics are.
    pub(crate) ops: SocketAddr,
    /// From its start to its ready line.
    pub(crate) time_to_ready: Duration,
    _stdout: Output,
}

impl Server {
    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the process with SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<(), Error> {
        self.process.end().map_err(Error::io("kill the server"))
    }
}

/// The addresses in `ready api=http://… ops=http://…`.
fn ready_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    let mut address = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix("=http://")?.parse().ok();
    Some((address("api")?, address("ops")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read() {
        let (api, ops) = ready_addresses("ready api=http://127.0.0.1:81 ops=http://127.0.0.1:82\n").unwrap();
        assert_eq!((api.port(), ops.port()), (81, 82));
        for wrong in
            ["", "ready", "ready api=http://127.0.0.1:81", "steady api=http://1.2.3.4:5 ops=http://1.2.3.4:6"]
        {
            assert!(ready_addresses(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_binary_that_is_missing_is_named() {
        let error = find_binary(Some("/nonexistent/instant-audience".into())).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/instant-audience"), "{error}");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("precious"), "x").unwrap();
        let error = Installation::create("/bin/true".into(), Some(folder.path().to_owned())).unwrap_err();
        assert!(matches!(error, Error::FolderInUse(_)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_with_its_status() {
        // `false` takes any arguments; `apply` must be passed over, so the parts are put together by hand.
        let folder = tempfile::tempdir().unwrap();
        let installation =
            Installation { binary: "/bin/false".into(), folder: folder.path().to_owned(), _temporary: None };
        let error = installation.start().await.unwrap_err();
        assert!(matches!(error, Error::Ended { status, .. } if status.code() == Some(1)), "{error}");
    }
}
