//! The basic types of Instant Audience: ids, user keys, membership operations, the log record and time.
//!
//! No IO, no async, no HTTP. Everything here is plain data with its encoding.

pub mod lenient;
pub mod operation;
pub mod record;
pub mod time;
pub mod user;
pub mod varint;

#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod ids;

pub use ids::{MemberId, SegmentId};
pub use operation::{Batch, Change, Expiry, Operation};
pub use record::{Erase, ErasedSegments, Ingest, Link, Record, RecordError};
pub use time::{Clock, ManualClock, Minute, SystemClock};
pub use user::{Domain, InvalidUserId, MAX_EXTERNAL_ID_BYTES, UserKey, is_source};
