//! Placeholder for bench.
