//! Placeholder for testkit.
