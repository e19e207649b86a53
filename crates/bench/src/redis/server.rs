//! A Redis of its own: found, started on a free port with a folder of its own, asked, and ended.

use super::calls::{self, field, value};
use super::lane::{RedisLane, RedisTarget};
use super::resp::{self, Reply};
use crate::calls::Bodies;
use crate::drive::{Failure, Lane};
use crate::error::Error;
use ia_testkit::{Process, log_tail};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An empty Redis is ready at once; a machine may be busy.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(5);

/// How many ports are tried: between the moment one is found free and the moment Redis takes it, another
/// process may have.
const PORT_TRIES: u32 = 5;

/// The Redis binary: the one that the caller names, else the one on the PATH.
pub(crate) fn find(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let (tried, place) = match given {
        Some(path) => {
            let place = format!("at {}", path.display());
            (vec![path], place)
        }
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let tried = std::env::split_paths(&path).map(|folder| folder.join("redis-server")).collect();
            (tried, "on the PATH".to_owned())
        }
    };
    tried.into_iter().find(|path| path.is_file()).ok_or(Error::NoRedis { place })
}

/// Sends a file of commands with the `redis-cli --pipe` that lies beside a `redis-server`; returns how many were answered.
pub(crate) async fn pipe(server: &Path, redis: &Redis, commands: &Path) -> Result<u64, Error> {
    let client = server.with_file_name("redis-cli");
    let name = client.display().to_string();
    let port = redis.target().address.port().to_string();
    let input = std::fs::File::open(commands).map_err(Error::io("open the commands for redis-cli"))?;
    let mut command = Command::new(client);
    command.args(["-h", "127.0.0.1", "-p", &port, "--pipe"]).stdin(input);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let output = output.map_err(Error::io(format!("run {name}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    piped(&said).ok_or_else(|| Error::broken(format!("redis-cli --pipe said: {said}")))
}

/// How many commands were answered, all without an error.
fn piped(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.strip_prefix("errors: 0, replies: "))?.trim().parse().ok()
}

/// When Redis flushes its append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fsync {
    /// Once a second: an answered write may be lost.
    EverySecond,
    /// Before it answers.
    Always,
}

/// A running Redis. It is killed, and its folder removed, when this is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    // Before the folder: it is gone when its folder goes.
    process: Process,
    target: RedisTarget,
    /// What it calls its version.
    pub(crate) version: String,
    _folder: TempDir,
}

impl Redis {
    /// Starts it, empty, with an append-only file that is flushed once a second, without snapshots. It is
    /// spared from rewriting that file, so that it never forks while it is measured. `beside` says on which
    /// file system its folder is made.
    pub(crate) async fn start(binary: &Path, beside: &Path) -> Result<Redis, Error> {
        let mut tries = 1;
        loop {
            match Redis::start_once(binary, beside).await {
                Err(Error::Rig(ia_testkit::Error::Ended { .. })) if tries < PORT_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn start_once(binary: &Path, beside: &Path) -> Result<Redis, Error> {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir_in(beside);
        let folder = folder.map_err(Error::io("make a folder for Redis"))?;
        let log = folder.path().join("redis.log");
        let output = std::fs::File::create(&log).map_err(Error::io("make the file for Redis' log"))?;
        let address = free_address().map_err(Error::io("find a free port"))?;
        let mut command = Command::new(binary);
        command.arg("--dir").arg(folder.path());
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec"]);
        command.args(["--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]);
        let errors = output.try_clone().map_err(Error::io("open Redis' log twice"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(Error::io(format!("run {}", binary.display())))?;
        let mut redis = Redis {
            process: Process::new(child),
            target: RedisTarget::new(address),
            version: String::new(),
            _folder: folder,
        };
        redis.wait_until_ready(&log).await?;
        Ok(redis)
    }

    async fn wait_until_ready(&mut self, log: &Path) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.has_ended()? {
                let log = log_tail(log);
                return Err(ia_testkit::Error::Ended { what: "redis-server", status, log }.into());
            }
            if let Ok(info) = self.info("server").await
                // Another process may have taken the port, and it may be a Redis.
                && info.get("process_id") == Some(self.pid().to_string().as_str())
            {
                self.version = info.get("redis_version").unwrap_or("unknown").to_owned();
                return Ok(());
            }
            if started.elapsed() > READY_TIMEOUT {
                let log = log_tail(log);
                return Err(Error::broken(format!("Redis was not ready within {READY_TIMEOUT:?}: {log}")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Where to send batches.
    pub(crate) fn target(&self) -> &RedisTarget {
        &self.target
    }

    /// Says when the append-only file is flushed.
    pub(crate) async fn set_fsync(&self, fsync: Fsync) -> Result<(), Error> {
        let when: &[u8] = match fsync {
            Fsync::EverySecond => b"everysec",
            Fsync::Always => b"always",
        };
        let mut lane = RedisLane::open(&self.target).await?;
        let words: [&[u8]; 4] = [b"CONFIG", b"SET", b"appendfsync", when];
        let is_set = lane.one(&words, |reply| reply == Reply::Simple(b"OK")).await;
        match is_set.map_err(Error::http("CONFIG SET"))? {
            true => Ok(()),
            false => Err(Error::broken("Redis refused to set appendfsync")),
        }
    }

    /// What Redis says that it has allocated, in bytes.
    pub(crate) async fn used_memory_bytes(&self) -> Result<u64, Error> {
        self.info("memory").await?.number("used_memory")
    }

    /// Loads a population, a body at a time, on one connection; `done` hears after each how many there were.
    /// Then reads the first body back, field by field.
    pub(crate) async fn load(&self, bodies: Bodies, done: impl Fn(usize)) -> Result<(), Error> {
        let mut lane = RedisLane::open(&self.target).await?;
        for body in 0..bodies.count() {
            lane.ask(&calls::load(&bodies, body)).await.map_err(Failure::into_error)?;
            done(body + 1);
        }
        for user in bodies.users(0) {
            let sent: BTreeMap<Vec<u8>, Vec<u8>> =
                bodies.memberships(user).map(|m| (field(&m).to_vec(), value(&m).to_vec())).collect();
            let id = bodies.population.id(user).to_be_bytes();
            let words = [&b"HGETALL"[..], &id];
            let found = lane.one(&words, |reply| match reply {
                Reply::Array(_, bytes) => resp::strings(bytes).map(|strings| pairs(&strings)),
                _ => None,
            });
            if found.await.map_err(Error::http("HGETALL"))? != Some(sent) {
                return Err(Error::broken(format!("Redis does not hold what was loaded of user {user}")));
            }
        }
        Ok(())
    }

    async fn info(&self, section: &str) -> Result<Info, Error> {
        let mut lane = RedisLane::open(&self.target).await?;
        let words = [&b"INFO"[..], section.as_bytes()];
        let text = lane.one(&words, |reply| match reply {
            Reply::Bulk(Some(text)) => Some(Info(String::from_utf8_lossy(text).into_owned())),
            _ => None,
        });
        text.await.map_err(Error::http("INFO"))?.ok_or_else(|| Error::broken("INFO gave no text"))
    }
}

fn pairs(strings: &[&[u8]]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    strings.chunks_exact(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect()
}

/// Redis takes no port 0, so that a free one must be found for it.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// What Redis says about itself: lines of `name:value`.
#[derive(Debug)]
struct Info(String);

impl Info {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn number(&self, name: &str) -> Result<u64, Error> {
        let value = self.get(name).and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| Error::broken(format!("Redis' INFO holds no {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_redis_says_what_to_do() {
        let error = find(Some("/nonexistent/redis-server".into())).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("at /nonexistent/redis-server; install it with scripts/install-bench-tools"),
            "{error}"
        );
    }

    #[test]
    fn a_pipe_with_errors_is_no_good() {
        let said = |errors| {
            format!("All data transferred. Waiting for the last reply...\nerrors: {errors}, replies: 30\n")
        };
        assert_eq!((piped(&said(0)), piped(&said(1)), piped("")), (Some(30), None, None));
    }

    #[test]
    fn information_is_found_by_its_whole_name() {
        let info = Info("# Memory\r\nused_memory:77\r\nused_memory_human:9M\r\nprocess_id:5\r\n".to_owned());
        assert_eq!(info.number("used_memory").unwrap(), 77);
        assert_eq!(info.get("used_memory_human"), Some("9M"));
        assert!(info.number("used").is_err());
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_an_error_with_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let error = Redis::start(Path::new("/bin/false"), folder.path()).await.unwrap_err();
        let Error::Rig(ia_testkit::Error::Ended { status, .. }) = error else { panic!("{error}") };
        assert_eq!(status.code(), Some(1));
    }
}
