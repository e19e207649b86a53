//! Clients that mean harm, and what an ordinary client notices of them.

mod bystander;
pub(crate) mod logins;
mod ranks;
pub(crate) mod slow_clients;
mod slow_connection;
