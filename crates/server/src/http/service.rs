//! What the catalog services have in common over HTTP: how a call begins, and the forms of its answers.

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::query::{self, Query};
use crate::http::Http;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use ia_catalog::listing::{Page, Resource};
use ia_engine::services::asked::{self, Asked};
use ia_engine::services::sent::{self, Sent};
use ia_engine::services::{Object, Shown, meta};
use ia_model::MemberId;
use serde::Serialize;
use std::sync::Arc;

/// A call of a catalog service. Extracting it checks the token, counts the call against the member's rate, and
/// refuses a change by a login that may only read.
pub(super) struct ServiceCall {
    /// The server.
    pub(super) http: Arc<Http>,
    /// Who calls.
    pub(super) caller: Caller,
    /// What was asked.
    pub(super) query: Query<'static>,
    /// `member_id` of the path, where its route has one.
    member_in_path: Option<String>,
    info: RequestInfo,
}

impl FromRequestParts<Arc<Http>> for ServiceCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<ServiceCall, ApiError> {
        let caller = Caller::of(http, &parts.headers, &parts.uri)?;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        http.engine.limits.take_service(caller.0.member, is_read, http.engine.clock.now_ms())?;
        if !is_read {
            caller.may_change()?;
        }
        let info = parts.extensions.get::<RequestInfo>().expect("every route is under the envelope").clone();
        let Ok(query) = Query::from_request_parts(parts, http).await;
        let member_in_path = member_in_path(parts);
        Ok(ServiceCall { http: Arc::clone(http), caller, query, member_in_path, info })
    }
}

fn member_in_path(parts: &Parts) -> Option<String> {
    let route = parts.extensions.get::<MatchedPath>()?.as_str().split('/');
    let mut segments = route.zip(parts.uri.path().split('/'));
    segments.find_map(|(name, value)| (name == "{member_id}").then(|| value.to_owned()))
}

impl ServiceCall {
    /// The member that the path names, or else the query.
    pub(super) fn member_id(&self) -> Result<Option<MemberId>, ApiError> {
        match &self.member_in_path {
            Some(text) => query::member_id(text).map(Some),
            None => self.query.member_id(),
        }
    }

    /// What of a list is asked for. `own` are parameters that the service reads by itself.
    pub(super) fn asked(&self, resource: &'static Resource, own: &[&str]) -> Result<Asked, ApiError> {
        Ok(asked::parse(resource, own, self.query.pairs())?)
    }

    /// Which fields are asked for.
    pub(super) fn shown(&self, resource: &'static Resource) -> Result<Shown, ApiError> {
        let fields = self.query.get("fields");
        Ok(fields.map(|fields| Shown::parse(resource, fields)).transpose()?.unwrap_or_default())
    }

    /// `id=1,2,3` of the query; `None` where it has none.
    pub(super) fn ids(&self) -> Result<Option<Vec<u32>>, ApiError> {
        Ok(self.query.get("id").map(asked::ids).transpose()?)
    }

    /// `id=1,2,3` of a request that needs it.
    pub(super) fn required_ids(&self) -> Result<Vec<u32>, ApiError> {
        self.ids()?.ok_or_else(|| ApiError::syntax("'id' is required"))
    }

    /// The objects of the body.
    pub(super) async fn sent(
        &self,
        resource: &'static Resource,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Sent, ApiError> {
        let http = &self.http;
        let payload_bytes =
            http.engine.limits.of(&http.engine.catalog.snapshot(), self.caller.0.member).payload_bytes;
        let body = body::read(http, headers, body, payload_bytes).await?;
        let work = &http.engine.large_work;
        let permit = work.permit(body.is_large()).await;
        work.run(permit, move || {
            let (bytes, _reservation) = body.decode()?;
            Ok(sent::read(resource, &bytes)?)
        })
        .await
    }

    /// A page of a list: `count`, `start_element`, `num_elements` and the plural key.
    pub(super) fn page(&self, resource: &'static Resource, asked: &Asked, page: Page<Object>) -> Response {
        let shown: Vec<Object> = page.items.into_iter().map(|object| asked.shown.of(object)).collect();
        let head = [
            ("count", page.count),
            ("start_element", asked.query.start_element.into()),
            ("num_elements", asked.query.num_elements.into()),
        ];
        self.answer(&head, resource.plural, &shown, &[])
    }

    /// What was created or changed: `id` and the singular key for one object, `count` and the plural key for several.
    pub(super) fn changed(
        &self,
        resource: &'static Resource,
        mut objects: Vec<Object>,
        warnings: &[String],
    ) -> Response {
        if objects.len() != 1 {
            return self.answer(&[("count", objects.len() as u64)], resource.plural, &objects, warnings);
        }
        let object = objects.swap_remove(0);
        let id = object.0.first().and_then(|(_, id)| id.as_u64()).unwrap_or_default();
        self.answer(&[("id", id)], resource.singular, &object, warnings)
    }

    /// What was deleted: `count` and the plural key, of each object the id.
    pub(super) fn deleted(&self, resource: &'static Resource, ids: &[u32]) -> Response {
        let gone: Vec<Object> = ids.iter().map(|&id| Object(vec![("id", id.into())])).collect();
        self.answer(&[("count", ids.len() as u64)], resource.plural, &gone, &[])
    }

    /// What the service has and can filter and sort by.
    pub(super) fn meta(&self, resource: &'static Resource) -> Response {
        self.answer(&[], "fields", &meta::fields(resource), &[])
    }

    /// A success with that payload under `term`.
    pub(super) fn answer(
        &self,
        head: &[(&'static str, u64)],
        term: &'static str,
        payload: &impl Serialize,
        warnings: &[String],
    ) -> Response {
        let mut out = br#"{"response":{"status":"OK""#.to_vec();
        for (name, number) in head {
            out.extend_from_slice(format!(r#","{name}":{number}"#).as_bytes());
        }
        out.extend_from_slice(format!(r#","{term}":"#).as_bytes());
        serde_json::to_writer(&mut out, payload).expect("answers hold nothing that JSON cannot say");
        out.extend_from_slice(br#","dbg_info":"#);
        self.info.dbg_info(&self.http, term).with_warnings(warnings).write(&mut out);
        out.extend_from_slice(b"}}");
        json_bytes(out)
    }
}
