//! What the kernel says of the server's process.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident at present.
    pub resident: u64,
    /// The most that was.
    pub peak: u64,
}

/// Looks at the memory of a process.
pub(crate) fn memory(process: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("the server is gone")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib << 10).with_context(|| format!("no {name} of the server"))
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// How many sockets it has open.
pub(crate) fn open_sockets(process: u32) -> anyhow::Result<usize> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).context("the server is gone")?;
    let targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// How many of its threads have a name that begins so.
pub(crate) fn threads_named(process: u32, prefix: &str) -> anyhow::Result<usize> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).context("the server is gone")?;
    let name = |path: PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    Ok(tasks.flatten().filter(|task| name(task.path()).starts_with(prefix)).count())
}

/// Lets this process, and what it starts, have that many files open.
pub(crate) fn allow_open_files(count: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = limit.maximum.map_or(count, |maximum| maximum.max(count));
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: Some(maximum) })
        .with_context(|| format!("{count} open files are needed: raise the limit (ulimit -n)"))
}
