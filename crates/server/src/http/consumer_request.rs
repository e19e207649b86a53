//! `POST /privacy/consumer-request`: requests of people about their data, sent by a member or the operator.

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{
    ConsumerRequestAnswer, ConsumerRequestBody, ExternalIdOwner, Forbidden, PostFailures, Unprocessable,
};
use super::query::Query;
use crate::http::Http;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::{Snapshot, UserType};
use ia_engine::Engine;
use ia_engine::json::write_text;
use ia_engine::people::{self, IdentifierType, Scope};
use ia_engine::reading::{ReadScope, View};
use ia_engine::user_ids::{NO_EXTERNAL_ID, NO_SOURCE, namespace};
use ia_model::{Domain, MemberId, UserKey, is_source};
use serde_json::{Map, Value};
use std::borrow::Cow;
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
    params(ExternalIdOwner), request_body = ConsumerRequestBody, responses(
        (status = 200, description = "Done", body = ConsumerRequestAnswer),
        PostFailures,
        Forbidden,
        Unprocessable,
    ))]
pub(super) async fn post(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    caller: Caller,
    query: Query<'static>,
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
    let in_query = query.member_id().map_err(|error| ApiError::unprocessable(error.message))?;
    let request = ConsumerRequest::parse(&bytes, &caller, in_query, &http.engine.catalog.snapshot())?;
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
        let memberships = engine.reader.stored(user, now).await?;
        let view = View { scope: scope_of_read, snapshot: &engine.catalog.snapshot(), now };
        let length = all.len();
        if length > start.len() {
            all.push(b',');
        }
        if view.write(&mut all, &user.clone().into(), &memberships) == 0 {
            all.truncate(length);
        }
    }
    let opted_out = users.iter().any(|user| engine.people.has_opted_out(user, scope));
    all.extend_from_slice(format!(r#"],"opted_out":{opted_out}"#).as_bytes());
    Ok(all)
}

/// An identifier type as it is named on the wire.
#[derive(Clone, PartialEq, Eq)]
enum TypeName {
    Uuid2,
    Maid,
    External,
    Domain(Domain),
    /// Extended ids of this source, in lower case.
    Extended(String),
}

impl TypeName {
    /// In any case, with white space around it.
    fn parse(name: &str) -> Result<TypeName, ApiError> {
        if let Some(source) = Domain::source_in(name) {
            let no_source = ApiError::unprocessable(format!("'identifier_type': {NO_SOURCE}"));
            return is_source(source)
                .then(|| TypeName::Extended(source.to_ascii_lowercase()))
                .ok_or(no_source);
        }
        match name.trim().to_ascii_lowercase().as_str() {
            "uuid2" => Some(TypeName::Uuid2),
            "maid" => Some(TypeName::Maid),
            "external" => Some(TypeName::External),
            name => Domain::from_name(name).map(TypeName::Domain),
        }
        .ok_or_else(|| {
            let domains: Vec<&str> = Domain::ALL.into_iter().filter_map(Domain::name).collect();
            let domains = domains.join(", ");
            ApiError::unprocessable(format!(
                "'identifier_type' must be uuid2, maid, external or a domain: {domains}, or eid: with a source"
            ))
        })
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            TypeName::Uuid2 => "uuid2",
            TypeName::Maid => "maid",
            TypeName::External => "external",
            TypeName::Domain(domain) => domain.name().unwrap_or_default(),
            TypeName::Extended(source) => return format!("eid:{source}").into(),
        })
    }

    fn wanted_form(&self) -> String {
        match self {
            TypeName::Uuid2 => "must be a platform user id, 1 to 2^64-1".to_owned(),
            TypeName::External | TypeName::Extended(_) => NO_EXTERNAL_ID.to_owned(),
            TypeName::Maid => "must be a UUID".to_owned(),
            TypeName::Domain(domain) => match domain.hex_digits() {
                Some(digits) => format!("must have {digits} hex digits"),
                None => "must be a UUID".to_owned(),
            },
        }
    }
}

struct ConsumerRequest {
    users: Vec<UserKey>,
    identifier_type: TypeName,
    /// Whose own id it is.
    owner: Option<MemberId>,
    request_type: RequestType,
}

impl ConsumerRequest {
    /// Reads the body of a request with this `member_id` in its query. Errors do not contain the identifier: it is
    /// personal data, and errors are logged.
    fn parse(
        bytes: &[u8],
        caller: &Caller,
        member_in_query: Option<MemberId>,
        snapshot: &Snapshot,
    ) -> Result<ConsumerRequest, ApiError> {
        let body: Value = body::parse(bytes, "JSON")?;
        let Value::Object(fields) = body else {
            return Err(ApiError::unprocessable("The request body must be an object"));
        };
        // An ignored field might have been meant to limit what is deleted.
        let known = ["identifier", "identifier_type", "member_id", "request_type"];
        if fields.keys().any(|name| !known.contains(&name.as_str())) {
            let message =
                "Only 'identifier', 'identifier_type', 'member_id' and 'request_type' are known fields";
            return Err(ApiError::unprocessable(message));
        }
        let text = |name| fields.get(name).and_then(Value::as_str).map(str::trim);
        let identifier_type = TypeName::parse(text("identifier_type").unwrap_or_default())?;
        let named = |kind: &RequestType| {
            text("request_type").is_some_and(|name| name.eq_ignore_ascii_case(kind.name()))
        };
        let request_type = RequestType::ALL.into_iter().find(named).ok_or_else(|| {
            ApiError::unprocessable("'request_type' must be access, delete, opt_out or opt_in")
        })?;
        let asked = asked_member(&fields, member_in_query)?;
        let (kind, owner) = match &identifier_type {
            TypeName::External => {
                let (owner, namespace) = owner_of_own_ids(caller, asked, snapshot)?;
                (IdentifierType::External(namespace), Some(owner))
            }
            _ => {
                refuse_other_scope(caller, asked)?;
                let kind = match &identifier_type {
                    TypeName::Domain(domain) => IdentifierType::Of(*domain),
                    TypeName::Extended(source) => IdentifierType::Extended(source),
                    TypeName::Maid => IdentifierType::Device,
                    TypeName::Uuid2 | TypeName::External => IdentifierType::Of(Domain::Platform),
                };
                (kind, None)
            }
        };
        let identifier = match fields.get("identifier") {
            Some(Value::String(id)) => id.trim().to_owned(),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            _ => return Err(ApiError::unprocessable("'identifier' is required and must be a string")),
        };
        let users = people::users(kind, &identifier).map_err(|_| {
            ApiError::unprocessable(format!("'identifier' {}", identifier_type.wanted_form()))
        })?;
        Ok(ConsumerRequest { users, identifier_type, owner, request_type })
    }

    fn write(&self, out: &mut Vec<u8>, stored: Option<&[u8]>) {
        out.extend_from_slice(br#"{"identifier":"#);
        // All users have the same id.
        write_text(out, &self.users.first().map(UserKey::id).unwrap_or_default());
        for (name, value) in
            [("identifier_type", &*self.identifier_type.name()), ("request_type", self.request_type.name())]
        {
            out.extend_from_slice(format!(r#","{name}":"{value}""#).as_bytes());
        }
        if let Some(owner) = self.owner {
            out.extend_from_slice(format!(r#","member_id":{owner}"#).as_bytes());
        }
        if let Some(stored) = stored {
            out.push(b',');
            out.extend_from_slice(stored);
        }
        out.push(b'}');
    }
}

/// The member that the body or the query names.
fn asked_member(
    fields: &Map<String, Value>,
    in_query: Option<MemberId>,
) -> Result<Option<MemberId>, ApiError> {
    let text = match fields.get("member_id") {
        None | Some(Value::Null) => return Ok(in_query),
        Some(Value::Number(id)) => id.to_string(),
        Some(Value::String(id)) => id.trim().to_owned(),
        Some(_) => String::new(),
    };
    // Many languages print an integer of a data frame as `77.0`.
    let whole = |number: f64| {
        let is_id = number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number);
        is_id.then_some(number as u32)
    };
    let in_body = text.parse().ok().or_else(|| text.parse().ok().and_then(whole));
    let in_body = in_body.filter(|&id| id > 0).map(MemberId);
    let in_body = in_body.ok_or_else(|| ApiError::unprocessable("'member_id' must be a positive integer"))?;
    if in_query.is_some_and(|in_query| in_query != in_body) {
        return Err(ApiError::unprocessable("'member_id' is another in the query than in the body"));
    }
    Ok(Some(in_body))
}

/// The member whose own id is meant, and the name space of its ids.
fn owner_of_own_ids(
    caller: &Caller,
    asked: Option<MemberId>,
    snapshot: &Snapshot,
) -> Result<(MemberId, MemberId), ApiError> {
    if caller.0.user_type == UserType::Admin && asked.is_none() {
        let message = "'member_id' is required for an external id: it says whose own id it is";
        return Err(ApiError::unprocessable(message));
    }
    let owner = caller.member(asked)?;
    let namespace = namespace(snapshot, owner).ok_or_else(|| {
        ApiError::unprocessable(format!(
            "Member {owner} has no user ids of its own: use_external_uids is off"
        ))
    })?;
    Ok((owner, namespace))
}

/// Without an external id, `member_id` can only mean an extent, and that is given by the login.
fn refuse_other_scope(caller: &Caller, asked: Option<MemberId>) -> Result<(), ApiError> {
    match asked {
        Some(_) if caller.0.user_type == UserType::Admin => Err(ApiError::unprocessable(
            "'member_id' is for external ids: what an admin asks for is about all members",
        )),
        asked => caller.member(asked).map(drop),
    }
}
