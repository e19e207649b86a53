//! What the kernel says about a process, and about the machine.

use crate::Error;
use std::fs;
use std::path::PathBuf;

/// Processor time and memory of a process, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds of processor time since its start, of all its threads, in user and kernel mode.
    pub cpu_seconds: f64,
    /// Bytes of memory that are resident.
    pub resident_bytes: u64,
    /// The same at the moment when it had the most.
    pub peak_resident_bytes: u64,
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`.
pub fn usage(pid: u32) -> Result<Usage, Error> {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let (stat, status) = (read(&format!("{pid}/stat"))?, read(&format!("{pid}/status"))?);
    parse(&stat, &status, ticks_per_second).ok_or_else(|| unreadable(&pid.to_string()))
}

/// Bytes that a process has caused to be sent to storage since its start: `write_bytes` of `/proc/PID/io`.
/// The kernel counts whole pages when they become dirty, so that a page that is flushed and appended to again
/// counts twice.
pub fn written_bytes(pid: u32) -> Result<u64, Error> {
    written_bytes_of(&format!("{pid}/io"))
}

/// [`written_bytes`] of the threads of that name alone, as far as they still run.
pub fn written_bytes_of_threads(pid: u32, name: &str) -> Result<u64, Error> {
    let threads = threads(pid)?.into_iter().filter(|(_, of_thread)| of_thread == name);
    threads.map(|(thread, _)| written_bytes_of(&format!("{pid}/task/{thread}/io"))).sum()
}

fn written_bytes_of(name: &str) -> Result<u64, Error> {
    parse_written_bytes(&read(name)?).ok_or_else(|| unreadable(name))
}

fn parse_written_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// Seconds of processor time that the whole machine has spent since its start on anything but waiting, and
/// that a hypervisor has kept from it.
pub fn machine_cpu_seconds() -> Result<f64, Error> {
    busy_ticks(&read("stat")?).map(seconds).ok_or_else(|| unreadable("stat"))
}

/// Seconds of processor time of this process and of those that it started, as far as they have ended and
/// were waited for.
pub fn own_cpu_seconds() -> Result<f64, Error> {
    own_ticks(&read("self/stat")?).map(seconds).ok_or_else(|| unreadable("self/stat"))
}

/// How many sockets a process has open.
pub fn open_sockets(pid: u32) -> Result<usize, Error> {
    let targets = entries(&format!("{pid}/fd"))?.into_iter().filter_map(|file| fs::read_link(file).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// The threads of a process: their ids, and their names as the kernel keeps them, 15 bytes.
pub fn threads(pid: u32) -> Result<Vec<(u32, String)>, Error> {
    let thread = |path: PathBuf| {
        // A thread may end meanwhile.
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((path.file_name()?.to_str()?.parse().ok()?, name.trim_end().to_owned()))
    };
    Ok(entries(&format!("{pid}/task"))?.into_iter().filter_map(thread).collect())
}

fn entries(name: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(format!("/proc/{name}")).map_err(Error::io(format!("read /proc/{name}")))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// utime, stime, cutime and cstime.
fn own_ticks(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks: Vec<u64> = fields.take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

fn read(name: &str) -> Result<String, Error> {
    fs::read_to_string(format!("/proc/{name}")).map_err(Error::io(format!("read /proc/{name}")))
}

fn unreadable(name: &str) -> Error {
    Error::Broken(format!("/proc/{name} does not hold what proc(5) says"))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn busy_ticks(stat: &str) -> Option<u64> {
    let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = ticks.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in the first two already.
    let busy = [0, 1, 2, 5, 6, 7].map(|field| ticks.get(field).copied());
    busy.into_iter().sum()
}

fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Usage> {
    // The name, in parentheses, may hold anything; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let (user, system) = (ticks(14)?, ticks(15)?);
    Some(Usage {
        cpu_seconds: (user + system) as f64 / ticks_per_second as f64,
        resident_bytes: kib_of(status, "VmRSS:")? << 10,
        peak_resident_bytes: kib_of(status, "VmHWM:")? << 10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 2 3 0 -1 4194304 102 0 0 0 250 130 7 8 20 0 1 0 311610";
        let status = "Name:\ta\nVmHWM:\t  3072 kB\nVmRSS:\t    2048 kB\n";
        let usage = parse(stat, status, 100).unwrap();
        assert_eq!(usage, Usage { cpu_seconds: 3.8, resident_bytes: 2 << 20, peak_resident_bytes: 3 << 20 });
    }

    #[test]
    fn ended_children_count_as_own() {
        let stat = "42 (a) b (c)) S 1 2 3 0 -1 4194304 102 0 0 0 250 130 7 8 20 0 1 0 311610";
        assert_eq!(own_ticks(stat), Some(250 + 130 + 7 + 8));
        assert_eq!(own_ticks("42 (a) S 1 2"), None);
        assert!(own_cpu_seconds().is_ok());
    }

    #[test]
    fn waiting_and_guests_are_not_busy() {
        let stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 900000000 1\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(1 + 20 + 300 + 600_000 + 7_000_000 + 80_000_000));
        assert_eq!(busy_ticks("cpu0 1 2 3"), None);
        assert!(machine_cpu_seconds().unwrap() > 0.0);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 1 << 16, "{usage:?}");
    }

    #[test]
    fn bytes_that_were_taken_back_are_written_all_the_same() {
        let io = "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n";
        assert_eq!(parse_written_bytes(io), Some(4096));
        assert_eq!(parse_written_bytes("wchar: 2\n"), None);
        assert!(written_bytes(std::process::id()).is_ok());
    }

    #[test]
    fn what_a_thread_writes_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written");
        let (written, is_written) = std::sync::mpsc::channel::<()>();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("writes-a-lot".to_owned());
        let thread = thread.spawn(move || {
            fs::write(path, vec![7u8; 1 << 20]).unwrap();
            written.send(()).unwrap();
            stopped.recv()
        });
        is_written.recv().unwrap();
        let pid = std::process::id();
        let of_thread = written_bytes_of_threads(pid, "writes-a-lot").unwrap();
        // A folder in memory is no storage.
        assert!(of_thread == 0 || of_thread >= 1 << 20, "{of_thread}");
        assert!(of_thread <= written_bytes(pid).unwrap());
        assert_eq!(written_bytes_of_threads(pid, "nobody").unwrap(), 0);
        drop(stop);
        assert!(thread.unwrap().join().unwrap().is_err());
    }

    #[test]
    fn threads_are_found_by_name() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (started, is_started) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a-name-of-its-own".to_owned());
        let thread = thread.spawn(move || {
            started.send(()).unwrap();
            stopped.recv()
        });
        is_started.recv().unwrap();
        let threads = threads(std::process::id()).unwrap();
        assert_eq!(threads.iter().filter(|(_, name)| name == "a-name-of-its-o").count(), 1);
        drop(stop);
        assert!(thread.unwrap().join().unwrap().is_err());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(parse("", "", 100).is_none());
        // Ids end far below this.
        assert!(usage(u32::MAX).is_err());
    }
}
