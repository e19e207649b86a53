//! Placeholder for profiles.
