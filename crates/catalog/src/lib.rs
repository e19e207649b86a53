//! Placeholder for catalog.
