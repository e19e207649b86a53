//! What a measurement cost: processor time, bytes written, and the server's own count of memberships.

use crate::client::{Counters, Target};
use crate::error::Error;
use ia_testkit::procfs;
use serde::Serialize;

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

/// Memberships as the server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counted {
    /// New ones.
    pub(crate) added: u64,
    /// Those that were there already.
    pub(crate) refreshed: u64,
    /// Those of which it is not known yet whether they are new. Merging them makes it fewer.
    pub(crate) put_off: i64,
}

impl Counted {
    /// Since the server's start.
    pub(crate) async fn now(target: &Target) -> Result<Counted, Error> {
        Counted::of(&target.metrics().await?)
    }

    /// The same, of metrics that were read.
    pub(crate) fn of(metrics: &Counters) -> Result<Counted, Error> {
        Ok(Counted {
            added: metrics.get("memberships_added_total")?,
            refreshed: metrics.get("memberships_refreshed_total")?,
            // Servers that put nothing off have no such figure.
            put_off: metrics.get("memberships_put_off").unwrap_or(0).cast_signed(),
        })
    }

    /// What was counted since an earlier count.
    pub(crate) fn since(self, before: Counted) -> Counted {
        Counted {
            added: self.added - before.added,
            refreshed: self.refreshed - before.refreshed,
            put_off: self.put_off - before.put_off,
        }
    }

    /// All that was written. What was put off before and is merged now is among the others, and taken off here.
    pub(crate) fn written(self) -> u64 {
        (self.added + self.refreshed).saturating_add_signed(self.put_off)
    }

    /// The server's own count must be that of the acknowledged memberships: an OK for something that was
    /// dropped would be the fastest answer of all.
    pub(crate) fn must_be(self, acknowledged: u64, workload: &str) -> Result<(), Error> {
        let counted = self.written();
        if counted == acknowledged {
            return Ok(());
        }
        Err(Error::broken(format!(
            "{workload}: {acknowledged} memberships were acknowledged and the server counted {counted}"
        )))
    }
}
