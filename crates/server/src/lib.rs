//! Instant Audience: a data provider POSTs "put this user into these segments". When the answer is OK, the membership
//! is durable and targetable.
//!
//! `docs/ARCHITECTURE.md` walks one POST and one read through this code.

pub mod cli;
pub mod config;
pub mod run;

#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod pixels;
mod tls;
