//! What a measurement cost: processor time, bytes written, and the server's own count of memberships.

use crate::client::Target;
use crate::error::Error;
use ia_testkit::procfs;

/// The kernel's meters of a server, of this process and of the machine, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The server.
    pub(crate) server: procfs::Usage,
    client: procfs::Usage,
    machine_cpu_seconds: f64,
    written_bytes: u64,
}

/// What was spent between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Processor seconds of the server.
    pub(crate) server_cpu_seconds: f64,
    /// Processor seconds of this process.
    pub(crate) client_cpu_seconds: f64,
    /// Of the rest of the machine, the kernel's own work and a hypervisor's other guests included: where it
    /// is much, a measurement says little.
    pub(crate) other_cpu_seconds: f64,
    /// Bytes that the server caused to be sent to storage.
    pub(crate) written_bytes: u64,
}

impl Moment {
    /// Now, for the server with that process id.
    pub(crate) fn now(server: u32) -> Result<Moment, Error> {
        Ok(Moment {
            server: procfs::usage(server)?,
            client: procfs::usage(std::process::id())?,
            machine_cpu_seconds: procfs::machine_cpu_seconds()?,
            written_bytes: procfs::written_bytes(server)?,
        })
    }

    /// What was spent since an earlier moment.
    pub(crate) fn since(&self, before: &Moment) -> Spent {
        let server = self.server.cpu_seconds - before.server.cpu_seconds;
        let client = self.client.cpu_seconds - before.client.cpu_seconds;
        let machine = self.machine_cpu_seconds - before.machine_cpu_seconds;
        Spent {
            server_cpu_seconds: server,
            client_cpu_seconds: client,
            // Clock ticks are coarse: what is left can come out below nothing.
            other_cpu_seconds: (machine - server - client).max(0.0),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// At most one part in this many of the memberships is counted in another measurement.
const COUNTED_LATER_SHARE: u64 = 5;

/// Whether a server that has acknowledged so many memberships may have counted so many by now: changes of wide users, and of
/// those on disk, count when they are merged.
pub(crate) fn may_have_counted(counted: u64, acknowledged: u64) -> bool {
    counted.abs_diff(acknowledged) <= acknowledged / COUNTED_LATER_SHARE
}

/// Memberships as the server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// New ones.
    pub(crate) added: u64,
    /// Those that were there already.
    pub(crate) refreshed: u64,
}

impl Counted {
    /// Since the server's start.
    pub(crate) async fn now(target: &Target) -> Result<Counted, Error> {
        let metrics = target.metrics().await?;
        Ok(Counted {
            added: metrics.get("memberships_added_total")?,
            refreshed: metrics.get("memberships_refreshed_total")?,
        })
    }

    /// What was counted since an earlier count.
    pub(crate) fn since(self, before: Counted) -> Counted {
        Counted { added: self.added - before.added, refreshed: self.refreshed - before.refreshed }
    }

    /// All that was written.
    pub(crate) fn written(self) -> u64 {
        self.added + self.refreshed
    }

    /// The server's own count must be that of the acknowledged memberships: an OK for something that was
    /// dropped would be the fastest answer of all. Changes of wide users, and of those on disk, count when they are merged,
    /// some in this measurement and some in a later one.
    pub(crate) fn must_be(self, acknowledged: u64, workload: &str) -> Result<(), Error> {
        let counted = self.written();
        if may_have_counted(counted, acknowledged) {
            return Ok(());
        }
        Err(Error::broken(format!(
            "{workload}: {acknowledged} memberships were acknowledged and the server counted {counted}"
        )))
    }
}
