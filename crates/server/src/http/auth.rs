//! `POST /auth` and `POST /v2/auth/jwt`

use super::body;
use super::caller::TOKEN_COOKIE;
use super::client::Client;
use super::envelope::{DbgInfo, RequestInfo, json};
use super::error::ApiError;
use super::openapi::{self, LoginRequest, PostFailures};
use crate::http::Http;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// A login is small.
const MAX_LOGIN_BYTES: u32 = 64 << 10;

/// The signature of the longest key is 1,024 bytes.
const MAX_JWT_BYTES: u32 = 16 << 10;

#[derive(Serialize, ToSchema)]
#[schema(as = LoginAnswer)]
struct Envelope<'a> {
    response: Answer<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LoginResponse)]
struct Answer<'a> {
    #[schema(schema_with = openapi::status_ok)]
    status: &'static str,
    token: &'a str,
    dbg_info: DbgInfo<'a>,
}

/// Log in
///
/// Gives a token, which expires 2 hours after its last use and 24 hours after it was issued.
#[utoipa::path(post, path = "/auth", operation_id = "log_in", tag = "logging in", security(()),
    request_body = LoginRequest, responses(
        (status = 200, description = "A token, also set as a cookie", body = Envelope, headers(
            ("Set-Cookie" = String, description = "`ia_token=…; Path=/; HttpOnly; SameSite=Strict`, `Secure` for a client that came over TLS"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        PostFailures,
    ))]
pub(super) async fn post(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (body, _reservation) = body::read(&http, &headers, body, MAX_LOGIN_BYTES).await?.decode()?;
    let form = "{\"auth\": {\"username\": \"...\", \"password\": \"...\"}}";
    let request: Value = body::parse(&body, form)?;
    let field = |name| {
        let text = request["auth"][name].as_str();
        text.ok_or_else(|| ApiError::syntax(format!("The request body must be {form}")))
    };
    let (username, password) = (field("username")?, field("password")?);
    let token = http.engine.authenticator.login(username, password.to_owned(), client.address).await?;
    Ok(issued(&http, &info, client, &token))
}

/// Log in by a signed token
///
/// A JSON web token, signed by RS256 with a key whose public half is at `/public-key`: `kid` in its header is the
/// key's name, `sub` the user name, and `iat` a time of at most 5 minutes ago. Gives a token as `POST /auth` does.
#[utoipa::path(post, path = "/v2/auth/jwt", operation_id = "log_in_signed", tag = "logging in", security(()),
    request_body(content = String, content_type = "text/plain", description = "The signed token, as it is"),
    responses(
        (status = 200, description = "A token, also set as a cookie", body = Envelope, headers(
            ("Set-Cookie" = String, description = "`ia_token=…; Path=/; HttpOnly; SameSite=Strict`, `Secure` for a client that came over TLS"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        PostFailures,
    ))]
pub(super) async fn post_signed(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (jwt, _reservation) = body::read(&http, &headers, body, MAX_JWT_BYTES).await?.decode()?;
    let token = http.engine.authenticator.login_signed(&jwt, client.address).await?;
    Ok(issued(&http, &info, client, &token))
}

fn issued(http: &Http, info: &RequestInfo, client: Client, token: &str) -> Response {
    let answer = Answer { status: "OK", token, dbg_info: info.dbg_info(http, "token") };
    let mut response = json(&Envelope { response: answer });
    let secure = if client.is_secure { "; Secure" } else { "" };
    let cookie = format!("{TOKEN_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::from_str(&cookie).expect("a token is plain ASCII");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
