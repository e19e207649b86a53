//! The durable log: bytes in, a position out once the bytes are on stable storage, bytes back in order.
//!
//! `docs/FORMAT.md`, section "The log", describes the format on disk byte by byte. The rest of the product
//! relies on these rules:
//!
//! * A completion says `Ok` only after the flush that covers its record.
//! * A failed flush is never retried: the bytes that the kernel dropped cannot be told from those that it
//!   kept. The log latches, appends fail, reads go on.
//! * On a full disk the file is cut back, durably, to the last good frame before the failure is reported,
//!   so a refused record cannot come back after a crash.
//! * Damage to a record that may have been acknowledged is never cut off in silence: opening fails and
//!   names the file and the byte.

mod copy;
mod disk;
mod disk_log;
mod entries;
mod error;
mod format;
mod inspect;
mod memory;
mod recovery;
mod scan;
mod segment;
mod shared;
mod sync;
mod types;
mod writer;

#[doc(hidden)]
pub mod faults;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;

pub use copy::{LogCopy, copy};
pub use disk::{Access, Disk, DiskFile, RealDisk};
pub use disk_log::DiskLog;
pub use error::{AppendError, Fault, LogError};
pub use format::FORMAT_VERSION;
pub use inspect::{Found, Inspector};
pub use memory::MemoryLog;
pub use types::{Completion, Entries, Entry, Log, LogOptions, LogState, LogStats, Observer, Recovery};
