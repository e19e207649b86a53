//! The commands that send files: `load` and `watch`.

mod bucket;
mod command;
mod fake;
mod fake_s3;
mod folder;
mod killed;
mod one_file;
mod real;

pub(crate) use command::{Ended, Running, Where};
pub(crate) use fake::{Fake, Fault, MEMBER};
