//! Placeholder for log.
