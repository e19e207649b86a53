//! What is asked of a width, and of whom.

use crate::client::{Call, Connection, Target, refused};
use crate::drive::{Failure, Lane};
use crate::error::Error;
use crate::script::Script;
use hyper::Uri;
use std::sync::Arc;

/// A kind of call, and who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// POSTs of 1,000 users with 10 memberships each.
    Writes,
    /// The same in Redis: a pipeline of 1,000 HSETs.
    WritesOfRedis,
    /// GETs of a user, as JSON.
    Json,
    /// HGETALLs.
    ReadsOfRedis,
    /// GETs of a user, as codes.
    Codes,
}

impl Asked {
    pub(super) const ALL: [Asked; 5] =
        [Asked::Writes, Asked::WritesOfRedis, Asked::Json, Asked::ReadsOfRedis, Asked::Codes];

    /// The order of a round: each side comes first in turn.
    pub(super) fn order(round: u32) -> [Asked; 5] {
        let mut order = Asked::ALL;
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    pub(super) fn of_redis(self) -> bool {
        matches!(self, Asked::WritesOfRedis | Asked::ReadsOfRedis)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Asked::Writes => "bulk10",
            Asked::WritesOfRedis => "bulk10 of Redis",
            Asked::Json => "reads as JSON",
            Asked::ReadsOfRedis => "HGETALL",
            Asked::Codes => "reads as codes",
        }
    }
}

/// A connection on which users are read as codes: their answer is no JSON.
#[derive(Debug)]
pub(super) struct CodesLane(Connection);

impl Lane for CodesLane {
    type Target = Target;
    type Call = Call;

    async fn open(target: &Target) -> Result<CodesLane, Error> {
        Connection::open(target).await.map(CodesLane)
    }

    async fn ask(&mut self, call: &Call) -> Result<(), Failure> {
        let reply = self.0.call(call).await;
        let reply =
            reply.map_err(|error| Failure::Broken(Error::http("GET /user-segment as codes")(error)))?;
        if reply.status.as_u16() == 200 && reply.start.starts_with(b"segment_") {
            return Ok(());
        }
        Err(Failure::Wrong(refused(&reply, "GET /user-segment as codes")))
    }
}

/// The reads of a script, as codes.
pub(super) fn codes(script: &Script) -> Arc<[Call]> {
    script.calls().map(|(_, users)| as_codes(script.id(users[0]))).collect()
}

fn as_codes(id: u64) -> Call {
    let uri = Uri::try_from(format!("/user-segment?user_id={id}&format=codes"));
    Call::get(uri.expect("digits need no escapes"))
}

/// How many codes a user is shown with.
pub(super) async fn count_codes(connection: &mut Connection, id: u64) -> Result<usize, Error> {
    let answer = connection.whole(&as_codes(id)).await?;
    Ok(String::from_utf8_lossy(&answer).lines().filter(|line| line.starts_with("segment_")).count())
}
