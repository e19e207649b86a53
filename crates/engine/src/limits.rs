//! The limits of requests: a member's own, or else the server's. Counts requests against them.

use crate::rate::{Exceeded, RateLimiter};
use ia_catalog::Snapshot;
use ia_model::MemberId;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

/// The limits of one member; 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// `POST /rt-segment` requests a second.
    pub posts_per_second: u32,
    /// Reads a second on each [`ReadRoute`].
    pub gets_per_second: u32,
    /// Users of one request that are processed.
    pub users_per_request: u32,
    /// Users a second, over all requests.
    pub users_per_second: u32,
    /// Segment blocks of one user that are processed.
    pub segments_per_user: u32,
    /// Size of a decoded body, in bytes.
    pub payload_bytes: u32,
}

/// The read routes, each with its own rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadRoute {
    /// `/rt-segment-processed`
    Processed,
    /// `/user-segment`
    UserSegment,
}

impl ReadRoute {
    fn name(self) -> &'static str {
        match self {
            ReadRoute::Processed => "rt-segment-processed",
            ReadRoute::UserSegment => "user-segment",
        }
    }
}

/// Limits of a member in the catalog services; 0 means no limit. The rates are for all services together.
#[derive(Debug, Clone, Copy)]
pub struct ServiceLimits {
    /// Reading requests a minute.
    pub reads_per_minute: u32,
    /// Changing requests a minute.
    pub writes_per_minute: u32,
    /// Segments of the member that are not deleted.
    pub segments_per_member: u32,
}

/// A member is over one of its rates.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "Rate limit exceeded. You have exceeded your request limit of {limit} {what} per {seconds} seconds to {route}, \
     please wait and try again or contact your administrator for higher limits"
)]
pub struct OverRate {
    limit: u32,
    what: &'static str,
    seconds: u32,
    route: &'static str,
    /// When to try again.
    pub exceeded: Exceeded,
}

/// The error of a caller that is over a rate of `limit` in so many seconds.
fn over(
    limit: u32,
    what: &'static str,
    seconds: u32,
    route: &'static str,
) -> impl FnOnce(Exceeded) -> OverRate {
    move |exceeded| OverRate { limit, what, seconds, route, exceeded }
}

/// The limits, and the counts against them.
pub struct Limits {
    defaults: RequestLimits,
    posts: RateLimiter<MemberId>,
    dry_runs_per_second: u32,
    dry_runs: RateLimiter<MemberId>,
    consumer_requests: RateLimiter<MemberId>,
    users: RateLimiter<MemberId>,
    reads: RateLimiter<(ReadRoute, MemberId)>,
    of_services: ServiceLimits,
    service_reads: RateLimiter<MemberId>,
    service_writes: RateLimiter<MemberId>,
}

impl Limits {
    /// `defaults` are for every member without limits of its own. `dry_runs_per_second` is for every member; 0 means no
    /// limit.
    pub fn new(defaults: RequestLimits, dry_runs_per_second: u32, of_services: ServiceLimits) -> Limits {
        Limits {
            defaults,
            posts: RateLimiter::per_ms(SECOND_MS),
            dry_runs_per_second,
            dry_runs: RateLimiter::per_ms(SECOND_MS),
            consumer_requests: RateLimiter::per_ms(SECOND_MS),
            users: RateLimiter::per_ms(SECOND_MS),
            reads: RateLimiter::per_ms(SECOND_MS),
            of_services,
            service_reads: RateLimiter::per_ms(MINUTE_MS),
            service_writes: RateLimiter::per_ms(MINUTE_MS),
        }
    }

    /// The limits of `member`.
    pub fn of(&self, snapshot: &Snapshot, member: MemberId) -> RequestLimits {
        let defaults = self.defaults;
        let Some(own) = snapshot.member(member).map(|member| member.limits) else { return defaults };
        RequestLimits {
            posts_per_second: own.posts_per_second.unwrap_or(defaults.posts_per_second),
            gets_per_second: own.gets_per_second.unwrap_or(defaults.gets_per_second),
            users_per_request: own.users_per_request.unwrap_or(defaults.users_per_request),
            users_per_second: own.users_per_second.unwrap_or(defaults.users_per_second),
            segments_per_user: own.segments_per_user.unwrap_or(defaults.segments_per_user),
            payload_bytes: own.payload_bytes.unwrap_or(defaults.payload_bytes),
        }
    }

    /// Counts a `POST /rt-segment`.
    pub fn take_post(&self, member: MemberId, limits: &RequestLimits, now_ms: u64) -> Result<(), OverRate> {
        let limit = limits.posts_per_second;
        self.posts.take(member, 1, limit, now_ms).map_err(over(limit, "writes", 1, "rt-segment"))
    }

    /// Counts a `POST /rt-segment?dry_run=true`.
    pub fn take_dry_run(&self, member: MemberId, now_ms: u64) -> Result<(), OverRate> {
        let limit = self.dry_runs_per_second;
        self.dry_runs.take(member, 1, limit, now_ms).map_err(over(limit, "dry runs", 1, "rt-segment"))
    }

    /// Counts a `POST /privacy/consumer-request`. Its limit is that of `/rt-segment`, counted separately.
    pub fn take_consumer_request(
        &self,
        member: MemberId,
        limits: &RequestLimits,
        now_ms: u64,
    ) -> Result<(), OverRate> {
        let limit = limits.posts_per_second;
        self.consumer_requests.take(member, 1, limit, now_ms).map_err(over(
            limit,
            "writes",
            1,
            "privacy/consumer-request",
        ))
    }

    /// Counts the users of a `POST /rt-segment`.
    pub fn take_users(
        &self,
        member: MemberId,
        users: usize,
        limits: &RequestLimits,
        now_ms: u64,
    ) -> Result<(), OverRate> {
        let limit = limits.users_per_second;
        let users = u32::try_from(users).unwrap_or(u32::MAX);
        self.users.take(member, users, limit, now_ms).map_err(over(limit, "users", 1, "rt-segment"))
    }

    /// Counts a read.
    pub fn take_read(
        &self,
        route: ReadRoute,
        member: MemberId,
        snapshot: &Snapshot,
        now_ms: u64,
    ) -> Result<(), OverRate> {
        let limit = self.of(snapshot, member).gets_per_second;
        self.reads.take((route, member), 1, limit, now_ms).map_err(over(limit, "reads", 1, route.name()))
    }

    /// The limits of the catalog services.
    pub fn of_services(&self) -> ServiceLimits {
        self.of_services
    }

    /// Counts a request to a catalog service.
    pub fn take_service(&self, member: MemberId, is_read: bool, now_ms: u64) -> Result<(), OverRate> {
        let ServiceLimits { reads_per_minute, writes_per_minute, .. } = self.of_services;
        let (limiter, limit, what) = match is_read {
            true => (&self.service_reads, reads_per_minute, "reads"),
            false => (&self.service_writes, writes_per_minute, "writes"),
        };
        limiter.take(member, 1, limit, now_ms).map_err(over(limit, what, 60, "the catalog services"))
    }
}
