//! The routes: the name under which each is counted, and the key of the payload in its answers.

use axum::http::Method;
use ia_catalog::file_jobs::FILE_JOB;
use ia_catalog::listing::Resource;
use ia_catalog::segments::SEGMENT;
use ia_catalog::{BATCH_SEGMENT_CONFIG, MEMBER, MEMBER_DATA_SHARING, PUBLIC_KEY, USER};

/// A route of the API.
pub(super) struct Route {
    /// Its path, with placeholders.
    pub(super) path: &'static str,
    payload: Payload,
}

/// What a success carries.
enum Payload {
    /// Nothing that has a key.
    Unnamed,
    /// One thing, under this key.
    Named(&'static str),
    /// Memberships: of one user for a GET, of several for a POST.
    Memberships,
    /// Objects of a catalog service.
    Objects(&'static Resource),
    /// One object of a catalog service.
    Object(&'static Resource),
    /// The fields of the objects of a catalog service.
    Fields(&'static Resource),
}

/// Adds users to segments.
pub(super) const RT_SEGMENT: Route = named("/rt-segment", "message");

/// Reads memberships.
pub(super) const USER_SEGMENT: Route = Route { path: "/user-segment", payload: Payload::Memberships };

/// Takes the file of a job.
const SEGMENT_UPLOAD: &str = "/segment-upload/{job_id}";

/// What no handler answers.
pub(super) const UNKNOWN: Route = unnamed("unknown");

static ROUTES: &[Route] = &[
    named("/auth", "token"),
    objects("/batch-segment", &FILE_JOB),
    fields("/batch-segment/meta", &FILE_JOB),
    objects("/batch-segment-config", &BATCH_SEGMENT_CONFIG),
    fields("/batch-segment-config/meta", &BATCH_SEGMENT_CONFIG),
    unnamed("/getuid"),
    unnamed("/getuidj"),
    unnamed("/getuidnb"),
    unnamed("/getuidp"),
    unnamed("/getuidu"),
    unnamed("/mapuid"),
    objects("/member", &MEMBER),
    fields("/member/meta", &MEMBER),
    objects("/member-data-sharing", &MEMBER_DATA_SHARING),
    fields("/member-data-sharing/meta", &MEMBER_DATA_SHARING),
    objects("/member-data-sharings", &MEMBER_DATA_SHARING),
    fields("/member-data-sharings/meta", &MEMBER_DATA_SHARING),
    unnamed("/openapi.json"),
    unnamed("/optout"),
    named("/privacy/consumer-request", "consumer_request"),
    objects("/public-key", &PUBLIC_KEY),
    fields("/public-key/meta", &PUBLIC_KEY),
    RT_SEGMENT,
    named("/rt-segment-processed", "report"),
    unnamed("/seg"),
    named(SEGMENT_UPLOAD, "segment_upload"),
    objects("/segment", &SEGMENT),
    fields("/segment/meta", &SEGMENT),
    objects("/segment/{member_id}", &SEGMENT),
    Route { path: "/segment/{member_id}/{id}", payload: Payload::Object(&SEGMENT) },
    objects("/user", &USER),
    fields("/user/meta", &USER),
    USER_SEGMENT,
    named("/v2/auth/jwt", "token"),
];

const fn unnamed(path: &'static str) -> Route {
    Route { path, payload: Payload::Unnamed }
}

const fn named(path: &'static str, key: &'static str) -> Route {
    Route { path, payload: Payload::Named(key) }
}

const fn objects(path: &'static str, resource: &'static Resource) -> Route {
    Route { path, payload: Payload::Objects(resource) }
}

const fn fields(path: &'static str, resource: &'static Resource) -> Route {
    Route { path, payload: Payload::Fields(resource) }
}

impl Route {
    /// The route of that path, as the router writes it.
    pub(super) fn of(path: &str) -> &'static Route {
        ROUTES.iter().find(|route| route.path == path).unwrap_or(&UNKNOWN)
    }

    /// Whether it is about files, whose failures have a form of their own.
    pub(super) fn is_of_files(&self) -> bool {
        self.path == SEGMENT_UPLOAD || self.resource() == Some(&FILE_JOB)
    }

    /// The objects of its catalog service.
    pub(super) fn resource(&self) -> Option<&'static Resource> {
        match self.payload {
            Payload::Objects(resource) | Payload::Object(resource) | Payload::Fields(resource) => {
                Some(resource)
            }
            Payload::Unnamed | Payload::Named(_) | Payload::Memberships => None,
        }
    }

    /// The key of the payload of a success: for objects the plural of a list and the singular of a change.
    pub(super) fn output_term(&self, method: &Method) -> &'static str {
        match (&self.payload, method) {
            (Payload::Unnamed, _) => "",
            (Payload::Named(key), _) => key,
            (Payload::Memberships, &Method::POST) => "user_segments",
            (Payload::Memberships, _) => "user_segment",
            (Payload::Object(resource), &Method::DELETE) => resource.plural,
            (Payload::Object(resource), _) => resource.singular,
            (Payload::Objects(resource), &Method::POST | &Method::PUT) => resource.singular,
            (Payload::Objects(resource), _) => resource.plural,
            (Payload::Fields(_), _) => "fields",
        }
    }

    /// What does the job of a method that the path lacks, as a sentence for the caller; `None` where nothing does.
    pub(super) fn instead_of(&self, method: &Method) -> Option<&'static str> {
        match (self.path, method) {
            ("/member", &Method::DELETE) => Some(
                "Members are never deleted, because segments and statistics refer to them; \
                 switch one off with a PUT of \"state\": \"inactive\"",
            ),
            ("/batch-segment-config", &Method::DELETE) => Some(
                "The set-up of a member is never deleted; change it with a PUT: an empty \
                 \"member_segment_access\" takes its access away, and null a limit or a default",
            ),
            _ => None,
        }
    }
}
