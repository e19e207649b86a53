//! What the kernel says about a process, and about the machine.

use crate::error::Error;

/// Processor time and memory of a process, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of processor time since its start, of all its threads, in user and kernel mode.
    pub cpu_seconds: f64,
    /// Bytes of memory that are resident.
    pub resident_bytes: u64,
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`.
pub(crate) fn usage(pid: u32) -> Result<Usage, Error> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(Error::io(format!("read {path}")))
    };
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    parse(&read("stat")?, &read("status")?, ticks_per_second)
        .ok_or_else(|| Error::Broken(format!("/proc/{pid} does not hold what proc(5) says")))
}

/// Bytes of memory that were resident when the process had the most.
pub(crate) fn peak_resident_bytes(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).map_err(Error::io(format!("read {path}")))?;
    kib_of(&status, "VmHWM:")
        .map(|kib| kib << 10)
        .ok_or_else(|| Error::Broken(format!("{path} does not hold what proc(5) says")))
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// Seconds of processor time that the whole machine has spent since its start on anything but waiting, and
/// that a hypervisor has kept from it.
pub(crate) fn machine_cpu_seconds() -> Result<f64, Error> {
    let text = std::fs::read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
    busy_ticks(&text)
        .map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
        .ok_or_else(|| Error::Broken("/proc/stat does not hold what proc(5) says".to_owned()))
}

/// Seconds of processor time of this process and of those that it started, as far as they have ended and
/// were waited for.
pub(crate) fn own_cpu_seconds() -> Result<f64, Error> {
    let text = std::fs::read_to_string("/proc/self/stat").map_err(Error::io("read /proc/self/stat"))?;
    own_ticks(&text)
        .map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
        .ok_or_else(|| Error::Broken("/proc/self/stat does not hold what proc(5) says".to_owned()))
}

/// utime, stime, cutime and cstime.
fn own_ticks(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks: Vec<u64> = fields.take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 4).then(|| ticks.iter().sum())
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
    let kib = kib_of(status, "VmRSS:")?;
    Some(Usage { cpu_seconds: (user + system) as f64 / ticks_per_second as f64, resident_bytes: kib << 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 2 3 0 -1 4194304 102 0 0 0 250 130 7 8 20 0 1 0 311610";
        let status = "Name:\ta\nVmHWM:\t  999 kB\nVmRSS:\t    2048 kB\n";
        let usage = parse(stat, status, 100).unwrap();
        assert_eq!(usage, Usage { cpu_seconds: 3.8, resident_bytes: 2 << 20 });
        assert_eq!(kib_of(status, "VmHWM:"), Some(999));
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
    fn a_process_that_is_gone_is_an_error() {
        assert!(parse("", "", 100).is_none());
        // Ids end far below this.
        assert!(usage(u32::MAX).is_err());
    }
}
