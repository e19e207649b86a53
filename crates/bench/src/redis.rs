//! Redis, for comparison: a server of its own, and the least of its protocol that a load generator needs.

mod calls;
mod lane;
mod resp;
mod server;

pub(crate) use calls::{hashes, pool};
pub(crate) use lane::RedisLane;
pub(crate) use server::{Fsync, Redis, find, pipe};
