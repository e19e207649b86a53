//! Instant Audience: a data provider POSTs "put this user into these segments", and when the answer is OK
//! the membership is durable and targetable.
//!
//! `docs/ARCHITECTURE.md` walks one POST and one read through this code.

pub mod app;
pub mod cli;
pub mod config;

mod alarm;
mod auth;
mod background;
mod budget;
mod catalog_view;
mod data_dir;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod identities;
mod ingest;
mod json;
mod limits;
mod metrics;
#[cfg(test)]
mod model;
mod pixels;
mod privacy;
mod rate;
mod reading;
mod services;
mod sync;
mod threads;
mod tls;
mod usage;
