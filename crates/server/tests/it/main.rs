//! The product's tests: a real server, spoken to over HTTP.

mod abuse;
mod auth;
mod backup;
mod bad_days;
mod bad_input;
mod catalog;
mod cli;
mod connections;
mod crash;
mod damage;
mod examples;
mod failing_disk;
mod ingest;
mod limits;
mod openapi;
mod ops;
mod plain;
mod reading;
mod secrets;
mod segment;
mod signed_login;
mod strict;
mod tenants;
mod usage;
