//! The log from outside.

mod conformance;
mod support;
