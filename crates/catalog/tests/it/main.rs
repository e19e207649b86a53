//! The catalog and the usage statistics from outside.

mod accounts;
mod apply;
mod conformance;
mod damage;
mod files;
mod known;
mod listing;
mod parents;
mod rig;
mod secrets;
mod segments;
mod sqlite;
mod suppression;
mod tokens;
mod usage;
