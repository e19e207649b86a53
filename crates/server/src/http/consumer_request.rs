//! `POST /privacy/consumer-request`: requests of people about their data, sent by a member or the operator.

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{ConsumerRequestAnswer, ConsumerRequestBody, Forbidden, PostFailures, Unprocessable};
use crate::http::Http;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::UserType;
use ia_engine::Engine;
use ia_engine::json::write_text;
use ia_engine::people::{self, IdentifierType, Scope};
use ia_engine::reading::{ReadScope, View};
use ia_model::UserKey;
use serde_json::Value;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum RequestType {
    Access,
    Delete,
    OptOut,
    OptIn,
}

impl RequestType {
    const ALL: [RequestType; 4] =
        [RequestType::Access, RequestType::Delete, RequestType::OptOut, RequestType::OptIn];

    fn name(self) -> &'static str {
        match self {
            RequestType::Access => "access",
            RequestType::Delete => "delete",
            RequestType::OptOut => "opt_out",
            RequestType::OptIn => "opt_in",
        }
    }
}

/// See, delete or refuse data about a person
///
/// For a member, this is about its own segments; for an `admin`, about those of all members. Deleted data is gone from
/// every read that starts after the answer, and from the disk after the next checkpoint.
#[utoipa::path(post, path = "/privacy/consumer-request", operation_id = "consumer_request", tag = "privacy",
    request_body = ConsumerRequestBody, responses(
        (status = 200, description = "Done", body = ConsumerRequestAnswer),
        PostFailures,
        Forbidden,
        Unprocessable,
    ))]
pub(super) async fn post(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let scope = match caller.0.user_type {
        UserType::Admin => None,
        UserType::Member => Some(caller.0.member),
        UserType::Bidder => return Err(ApiError::forbidden("Requests of people are for members and admins")),
    };
    let limits = http.engine.limits.of(&http.engine.catalog.snapshot(), caller.0.member);
    http.engine.limits.take_consumer_request(caller.0.member, &limits, http.engine.clock.now_ms())?;
    let (bytes, _reservation) = body::read(&http, &headers, body, limits.payload_bytes).await?.decode()?;
    let request = ConsumerRequest::parse(&bytes)?;
    if request.request_type != RequestType::Access {
        caller.may_change()?;
    }
    let users = &request.users;
    let people = &http.engine.people;
    match request.request_type {
        RequestType::Access => {}
        RequestType::Delete => people.delete(users, scope).await?,
        RequestType::OptOut => people.opt_out(users, scope).await?,
        RequestType::OptIn => people.opt_in(users, scope).await?,
    }
    let (request_type, member) = (request.request_type.name(), caller.0.member);
    http.engine.metrics.consumer_request(request_type);
    tracing::info!(request_id = %info.id, %member, is_for_all = scope.is_none(), request_type, "a person's request was carried out");
    let stored = match request.request_type {
        RequestType::Access => Some(stored_data(&http.engine, users, scope).await?),
        _ => None,
    };
    Ok(json_bytes(info.success(&http, "consumer_request", |out| request.write(out, stored.as_deref()))))
}

/// The fields of an answer to `access`: the users with memberships in segments of `scope`, and whether they opted out.
async fn stored_data(engine: &Engine, users: &[UserKey], scope: Scope) -> Result<Vec<u8>, ApiError> {
    let scope_of_read = ReadScope { viewer: scope, owner: scope, with_inactive: true, namespace: None };
    let now = engine.reader.now();
    let start = br#""users":["#;
    let mut all = start.to_vec();
    for user in users {
        let memberships = engine.reader.memberships(user, now).await?;
        let view = View { scope: scope_of_read, snapshot: &engine.catalog.snapshot(), now };
        let length = all.len();
        if length > start.len() {
            all.push(b',');
        }
        if view.write(&mut all, user, &memberships) == 0 {
            all.truncate(length);
        }
    }
    let opted_out = users.iter().any(|user| engine.people.has_opted_out(user, scope));
    all.extend_from_slice(format!(r#"],"opted_out":{opted_out}"#).as_bytes());
    Ok(all)
}

struct ConsumerRequest {
    users: Vec<UserKey>,
    identifier_type: IdentifierType,
    request_type: RequestType,
}

impl ConsumerRequest {
    /// Errors do not contain the identifier: it is personal data, and errors are logged.
    fn parse(bytes: &[u8]) -> Result<ConsumerRequest, ApiError> {
        let body: Value = body::parse(bytes, "JSON")?;
        let Value::Object(fields) = body else {
            return Err(ApiError::unprocessable("The request body must be an object"));
        };
        // An ignored field might have been meant to limit what is deleted.
        let known = ["identifier", "identifier_type", "request_type"];
        if fields.keys().any(|name| !known.contains(&name.as_str())) {
            let message = "Only 'identifier', 'identifier_type' and 'request_type' are known fields";
            return Err(ApiError::unprocessable(message));
        }
        let text = |name| fields.get(name).and_then(Value::as_str);
        let identifier_type = match text("identifier_type") {
            Some("uuid2") => IdentifierType::Platform,
            Some("maid") => IdentifierType::Device,
            _ => return Err(ApiError::unprocessable("'identifier_type' must be uuid2 or maid")),
        };
        let named = |kind: &RequestType| text("request_type") == Some(kind.name());
        let request_type = RequestType::ALL.into_iter().find(named).ok_or_else(|| {
            ApiError::unprocessable("'request_type' must be access, delete, opt_out or opt_in")
        })?;
        let identifier = match fields.get("identifier") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            _ => return Err(ApiError::unprocessable("'identifier' is required and must be a string")),
        };
        let users = people::users(identifier_type, &identifier).map_err(|_| {
            ApiError::unprocessable(match identifier_type {
                IdentifierType::Platform => "'identifier' must be a platform user id, 1 to 2^64-1",
                IdentifierType::Device => "'identifier' must be a UUID",
            })
        })?;
        Ok(ConsumerRequest { users, identifier_type, request_type })
    }

    fn write(&self, out: &mut Vec<u8>, stored: Option<&[u8]>) {
        let identifier_type = match self.identifier_type {
            IdentifierType::Platform => "uuid2",
            IdentifierType::Device => "maid",
        };
        out.extend_from_slice(br#"{"identifier":"#);
        // All users have the same id.
        write_text(out, &self.users.first().map(UserKey::id).unwrap_or_default());
        for (name, value) in
            [("identifier_type", identifier_type), ("request_type", self.request_type.name())]
        {
            out.extend_from_slice(format!(r#","{name}":"{value}""#).as_bytes());
        }
        if let Some(stored) = stored {
            out.push(b',');
            out.extend_from_slice(stored);
        }
        out.push(b'}');
    }
}
