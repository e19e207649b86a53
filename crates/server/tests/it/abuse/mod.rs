//! Hostile clients: requests that two parsers may read differently, and hostile bodies.

mod bodies;
mod cases;
mod fields;
mod http;
mod wire;

/// Whether the long form of the tests is wanted.
fn is_long() -> bool {
    std::env::var("IA_TORTURE").is_ok_and(|form| form == "long")
}
