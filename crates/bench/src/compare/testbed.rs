//! The three servers of a comparison.

use crate::ceiling::Ceiling;
use crate::client::Target;
use crate::error::Error;
use crate::halted::Halted;
use crate::redis::Redis;
use crate::site::Site;
use ia_testkit::{Installation, Process, ServerProcess, procfs};
use serde::Serialize;
use std::path::Path;

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    /// Instant Audience.
    Ours,
    /// Redis.
    Redis,
    /// The HTTP stack that only parses.
    Ceiling,
}

impl Side {
    pub(super) const ALL: [Side; 3] = [Side::Ours, Side::Redis, Side::Ceiling];

    /// The order of a round: each side comes first, second and last in turn.
    pub(super) fn order(round: u32) -> [Side; 3] {
        let mut order = Side::ALL;
        order.rotate_left(round as usize % Side::ALL.len());
        order
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Ours => "ours",
            Side::Redis => "Redis",
            Side::Ceiling => "ceiling",
        }
    }
}

/// All three, started. They are killed when this is dropped.
#[derive(Debug)]
pub(super) struct Testbed {
    installation: Installation,
    server: ServerProcess,
    /// What the server's process took before anybody spoke to it.
    pub(super) empty_server: procfs::Usage,
    /// Where the server is, with a token.
    pub(super) target: Target,
    pub(super) redis: Redis,
    pub(super) ceiling: Ceiling,
}

impl Testbed {
    /// Starts them, empty, with folders of their own in that of the site.
    pub(super) async fn open(
        site: &Site,
        redis: &Path,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<Testbed, Error> {
        let installation = site.install(name)?.with_all(settings);
        let server = installation.start().await?;
        let empty_server = procfs::usage(server.id())?;
        let target = Target::log_in(&server).await?;
        let redis = Redis::start(redis, site.folder()).await?;
        let ceiling = Ceiling::start().await?;
        Ok(Testbed { installation, server, empty_server, target, redis, ceiling })
    }

    /// The process of a side.
    pub(super) fn process(&self, side: Side) -> &Process {
        match side {
            Side::Ours => self.server.process(),
            Side::Redis => self.redis.process(),
            Side::Ceiling => self.ceiling.process(),
        }
    }

    /// Leaves the machine to one side until the guard is dropped.
    pub(super) fn leave_to(&self, side: Side) -> Result<Halted<'_>, Error> {
        let others = Side::ALL.into_iter().filter(|&other| other != side);
        Halted::all(others.map(|other| self.process(other)))
    }

    /// Ends them. A run is no good when the server cannot end in order.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.installation.stop(self.server).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_comes_first_in_turn() {
        let first: Vec<Side> = (0..6).map(|round| Side::order(round)[0]).collect();
        assert_eq!(first, [Side::ALL, Side::ALL].concat());
        for round in 0..3 {
            assert!(Side::ALL.iter().all(|side| Side::order(round).contains(side)));
        }
    }
}
