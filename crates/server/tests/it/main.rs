//! The product's tests: a real server, spoken to over HTTP.

mod abuse;
mod accounts;
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
mod external_ids;
mod failing_disk;
mod ingest;
mod limits;
mod openapi;
mod ops;
mod pixels;
mod plain;
mod privacy;
mod reading;
mod secrets;
mod segment;
mod tenants;
mod usage;
