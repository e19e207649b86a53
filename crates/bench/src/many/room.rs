//! What a run needs of the machine, and what the machine has.

use crate::error::Error;
use crate::workload::KNOWN_SEGMENTS;
use std::fmt;
use std::path::Path;

/// Of disk for a membership, while tables are merged; three times what they take at rest.
const DISK_BYTES_PER_MEMBERSHIP: u64 = 25;

/// Of the log, whatever the users are.
const LOG_DISK_BYTES: u64 = 2 << 30;

/// Of memory for a membership, as long as the budget has room.
const MEMORY_BYTES_PER_MEMBERSHIP: u64 = 10;

/// Of the server beside its profiles, and of this process beside its prepared bodies.
const OTHER_MEMORY_BYTES: u64 = 1 << 30;

/// What is needed, and what there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    disk: u64,
    free_disk: u64,
    memory: u64,
    free_memory: u64,
}

/// Makes sure that there is room for so many users.
pub(super) fn of(folder: &Path, users: u64, budget_bytes: u64, pool_bytes: u64) -> Result<Room, Error> {
    let memberships = users * u64::from(KNOWN_SEGMENTS);
    let disk = rustix::fs::statvfs(folder);
    let disk = disk.map_err(|error| Error::io("measure the free disk")(error.into()))?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").map_err(Error::io("read /proc/meminfo"))?;
    let free_memory = available_bytes(&meminfo);
    let room = Room {
        disk: memberships * DISK_BYTES_PER_MEMBERSHIP + LOG_DISK_BYTES,
        free_disk: disk.f_bavail * disk.f_frsize,
        memory: budget_bytes.min(memberships * MEMORY_BYTES_PER_MEMBERSHIP) + pool_bytes + OTHER_MEMORY_BYTES,
        free_memory: free_memory.ok_or_else(|| Error::broken("/proc/meminfo has no MemAvailable"))?,
    };
    if room.is_enough() {
        return Ok(room);
    }
    Err(Error::broken(format!("there is too little room in {}: it {room}", folder.display())))
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

impl Room {
    fn is_enough(&self) -> bool {
        self.disk <= self.free_disk && self.memory <= self.free_memory
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(
            f,
            "needs up to {:.1} GiB of disk, and {:.1} are free; {:.1} GiB of memory, and {:.1} are free",
            gib(self.disk),
            gib(self.free_disk),
            gib(self.memory),
            gib(self.free_memory)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_room_is_refused_with_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        // More than any disk of today.
        let error = of(folder.path(), 1_000_000_000_000, 1 << 20, 0).unwrap_err().to_string();
        assert!(error.contains("too little room in") && error.contains("GiB of disk, and"), "{error}");
    }

    #[test]
    fn both_disk_and_memory_must_be_enough() {
        assert_eq!(available_bytes("MemTotal:  9 kB\nMemAvailable:   4 kB\n"), Some(4096));
        let room = Room { disk: 5, free_disk: 5, memory: 5, free_memory: 5 };
        assert!(room.is_enough());
        assert!(!Room { free_disk: 4, ..room }.is_enough() && !Room { free_memory: 4, ..room }.is_enough());
    }
}
