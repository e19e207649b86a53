//! A client of a running server's Batch Segment Service, for the commands that send files.

mod access;
mod api;
mod content;
mod deliver;
mod http;
mod job;

pub(super) use access::Access;
pub(super) use api::Server;
pub(super) use content::Content;
pub(super) use deliver::{Event, Note, Parcel, Undelivered, deliver};
pub(super) use http::Http;
pub(super) use job::Job;
