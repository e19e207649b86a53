//! What the catalog services have in common over HTTP: how a call begins, and the forms of its answers.

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{Fields, MetaFailures};
use super::page::BodyPage;
use super::query::{self, Query};
use super::routes::Route;
use crate::http::Http;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use ia_catalog::listing::Page;
use ia_engine::services::change_body::{self, ChangeBody};
use ia_engine::services::list_request::{self, ListRequest};
use ia_engine::services::{AnswerObject, CatalogService, ResourceKind, meta};
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
    route: &'static Route,
    path: PathIds,
    info: RequestInfo,
}

/// The ids of the path, where its route has them.
struct PathIds {
    member_id: Option<u32>,
    id: Option<u32>,
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
        let route = Route::of(parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str));
        let path = PathIds::of(parts, http).await?;
        Ok(ServiceCall { http: Arc::clone(http), caller, query, route, path, info })
    }
}

impl PathIds {
    async fn of(parts: &mut Parts, http: &Arc<Http>) -> Result<PathIds, ApiError> {
        let named = RawPathParams::from_request_parts(parts, http).await;
        let named = named.map_err(|_| ApiError::syntax("The path must be UTF-8"))?;
        let find = |name: &'static str| {
            let value = named.iter().find_map(|(own, value)| (own == name).then_some(value));
            value.map(|text| query::id(name, text)).transpose()
        };
        Ok(PathIds { member_id: find("member_id")?, id: find("id")? })
    }
}

/// What path and query say of `name`. The query may repeat what the path says, and no more.
fn agreed<T: PartialEq>(
    name: &'static str,
    in_path: Option<T>,
    in_query: Option<T>,
) -> Result<Option<T>, ApiError> {
    match (in_path, in_query) {
        (Some(in_path), Some(in_query)) if in_path != in_query => {
            Err(ApiError::syntax(format!("'{name}' is not that of the path")))
        }
        (in_path, in_query) => Ok(in_path.or(in_query)),
    }
}

/// What a service has
///
/// The fields of its objects, with what can be filtered and sorted by.
#[utoipa::path(get, path = "/meta", operation_id = "fields", tag = "catalog",
    responses((status = 200, description = "The fields", body = Fields), MetaFailures))]
pub(super) async fn meta(call: ServiceCall) -> Response {
    let fields = call.route.resource().map(meta::fields).unwrap_or_default();
    call.answer(&[], "fields", &fields, &[])
}

impl ServiceCall {
    /// The member that the path names, or else the query.
    pub(super) fn member_id(&self) -> Result<Option<MemberId>, ApiError> {
        agreed("member_id", self.path.member_id.map(MemberId), self.query.member_id()?)
    }

    /// The id of the path, or else `id=1,2,3` of the query; `None` where there is none.
    pub(super) fn ids(&self) -> Result<Option<Vec<u32>>, ApiError> {
        agreed("id", self.path.id.map(|id| vec![id]), self.ids_of("id")?)
    }

    /// `<name>=1,2,3` of the query; `None` where it has none.
    pub(super) fn ids_of(&self, name: &str) -> Result<Option<Vec<u32>>, ApiError> {
        Ok(self.query.list(name).map(|ids| list_request::ids(&ids)).transpose()?)
    }

    /// `id=1,2,3` of a request that needs it.
    pub(super) fn required_ids(&self) -> Result<Vec<u32>, ApiError> {
        self.ids()?.ok_or_else(|| ApiError::syntax("'id' is required"))
    }

    /// Whether lists are added to.
    pub(super) fn append(&self) -> Result<bool, ApiError> {
        self.query.flag("append")
    }

    /// The objects of the body.
    pub(super) async fn body<K: ResourceKind>(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<ChangeBody, ApiError> {
        let http = &self.http;
        let payload_bytes =
            http.engine.limits.of(&http.engine.catalog.snapshot(), self.caller.0.member).payload_bytes;
        let body = body::read(http, headers, body, payload_bytes).await?;
        let work = &http.engine.large_work;
        let permit = work.permit(body.is_large()).await;
        work.run(permit, move || {
            let (bytes, _reservation) = body.decode()?;
            Ok(change_body::read(K::TABLE, &bytes)?)
        })
        .await
    }

    /// Which objects a list asks for. `own` are parameters that the service reads itself.
    pub(super) fn list_request<K: ResourceKind>(
        &self,
        own: &[&str],
        page: BodyPage,
    ) -> Result<ListRequest, ApiError> {
        let mut parameters = self.query.parameters().clone();
        page.add_to(&mut parameters);
        let mut request = list_request::parse(K::TABLE, own, &parameters)?;
        if self.path.id.is_some() {
            request.only::<K>(&self.required_ids()?);
        }
        Ok(request)
    }

    /// Answers a list: `count`, `start_element`, `num_elements`, and the page under the plural key. Who asks for one
    /// object gets it under the singular key, with its `id` as a change has it.
    pub(super) async fn list<K: CatalogService>(
        &self,
        scope: &K::Scope,
        request: ListRequest,
    ) -> Result<Response, ApiError> {
        let is_for_one = request.is_for_one::<K>();
        let ListRequest { query, fields } = request;
        let Page { items, count } = K::list(&self.http.engine.services, scope, &query).await?;
        let mut shown: Vec<AnswerObject> = items.into_iter().map(|object| fields.of(object)).collect();
        let mut head = vec![
            ("count", count),
            ("start_element", query.start_element.into()),
            ("num_elements", query.num_elements.into()),
        ];
        if !is_for_one {
            return Ok(self.answer(&head, K::TABLE.plural, &shown, &[]));
        }
        let one = shown.pop().ok_or_else(|| ApiError::no_such_object(K::TABLE.singular))?;
        head.extend(one.id().map(|id| ("id", id)));
        Ok(self.answer(&head, K::TABLE.singular, &one, &[]))
    }

    /// Creates the objects of a body. `target` is what the query says that they belong to.
    pub(super) async fn create<K: CatalogService>(
        &self,
        scope: &K::Scope,
        body: &ChangeBody,
        target: Option<u32>,
    ) -> Result<Response, ApiError> {
        let created = K::create(&self.http.engine.services, scope, body, target).await?;
        Ok(self.changed(body.keys, created, &body.warnings))
    }

    /// Changes objects as the body says; `ids` are those of the query. With `append`, lists are added to.
    pub(super) async fn change<K: CatalogService>(
        &self,
        scope: &K::Scope,
        ids: Option<Vec<u32>>,
        append: bool,
        (headers, body): (HeaderMap, Body),
    ) -> Result<Response, ApiError> {
        let body = self.body::<K>(&headers, body).await?;
        let changed = K::change(&self.http.engine.services, scope, &body, ids, append).await?;
        Ok(self.changed(body.keys, changed, &body.warnings))
    }

    /// Deletes objects, and answers `count` and the plural key, with the id of each.
    pub(super) async fn delete<K: CatalogService>(
        &self,
        scope: &K::Scope,
        ids: &[u32],
    ) -> Result<Response, ApiError> {
        K::delete(&self.http.engine.services, scope, ids).await?;
        let gone: Vec<AnswerObject> = ids.iter().map(|&id| AnswerObject(vec![("id", id.into())])).collect();
        Ok(self.answer(&[("count", ids.len() as u64)], K::TABLE.plural, &gone, &[]))
    }

    /// What was created or changed: `id` and the singular key for one object, `count` and the plural key for several.
    fn changed(
        &self,
        (singular, plural): (&'static str, &'static str),
        mut objects: Vec<AnswerObject>,
        warnings: &[String],
    ) -> Response {
        if objects.len() != 1 {
            return self.answer(&[("count", objects.len() as u64)], plural, &objects, warnings);
        }
        let object = objects.swap_remove(0);
        self.answer(&[("id", object.id().unwrap_or_default())], singular, &object, warnings)
    }

    /// A success with that payload under `term`.
    pub(super) fn answer(
        &self,
        head: &[(&'static str, u64)],
        term: &'static str,
        payload: &impl Serialize,
        warnings: &[String],
    ) -> Response {
        let write = |out: &mut Vec<u8>| {
            serde_json::to_writer(out, payload).expect("answers hold nothing that JSON cannot say");
        };
        json_bytes(self.info.success_with(&self.http, head, term, warnings, write))
    }
}
