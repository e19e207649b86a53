//! Clients that mean harm: requests that two parsers may understand differently, bodies that are traps.

mod bodies;
mod cases;
mod http;
mod wire;

/// Whether the long form of the tests is asked for.
fn is_long() -> bool {
    std::env::var("IA_TORTURE").is_ok_and(|form| form == "long")
}
