//! The catalog services. What is in an object follows from its kind (`ia_engine::services::ResourceKind`); bodies and
//! answers around it are the same for all.
#![expect(dead_code, reason = "these types are described, never made")]

use super::failures::{ChangeFailures, CreateFailures, DeleteFailures, ListFailures};
use super::parameters::{ChangedIds, ConfiguredMember, Ids, ListParameters};
use super::shapes::{answers, status_ok};
use crate::http::envelope::DbgInfo;
use ia_engine::services::change_body::MAX_CHANGED;
use ia_engine::services::{AnswerFields, RequestFields, ResourceKind};
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, Required};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

answers! {
    /// The answer of `/meta`.
    Fields FieldsResponse { fields: Vec<FieldDescription>, dbg_info: DbgInfo<'static>, }
}

#[derive(ToSchema)]
struct FieldDescription {
    name: String,
    r#type: String,
    sort_by: bool,
    filter_by: bool,
    read_only: bool,
    required_on: Option<String>,
    #[schema(nullable = false)]
    r#enum: Option<Vec<String>>,
}

/// Describes the routes of a catalog service. Tag, ids, body, answer and the usual failures follow from the method and
/// the kind of the objects. The attribute of a handler adds the rest: other parameters, and rarer failures.
pub(crate) fn catalog<K: ResourceKind, S>(
    (mut schemas, mut paths, router): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    for PathItem { get, put, post, delete, .. } in paths.paths.values_mut() {
        if let Some(list) = get {
            put_first(list, ListParameters::into_params(|| None));
            let about = "A page of the list, or the one object that is asked for";
            complete::<K>(list, about, "List", ListFailures::responses());
        }
        let changed_ids = match (K::ID_NAME, K::TAKES_SEVERAL) {
            ("id", true) => ChangedIds::into_params(|| None),
            ("id", false) => Ids::into_params(|| None),
            _ => ConfiguredMember::into_params(|| None),
        };
        // A new object gets its id from the service, except where the id is that of a member.
        let created_ids = if K::ID_NAME == "id" { Vec::new() } else { changed_ids.clone() };
        for (change, ids, about, failures) in [
            (post, created_ids, "What was created", CreateFailures::responses()),
            (put, changed_ids, "What was changed, as it is now", ChangeFailures::responses()),
        ] {
            let Some(change) = change else { continue };
            put_first(change, ids);
            let body = RequestBodyBuilder::new().content("application/json", content::<K>("Request"));
            change.request_body = Some(body.required(Some(Required::True)).build().into());
            complete::<K>(change, about, "Changed", failures);
        }
        if let Some(deletion) = delete {
            put_first(deletion, Ids::into_params(|| None));
            complete::<K>(deletion, "The ids of what was deleted", "List", DeleteFailures::responses());
        }
    }
    schemas.extend([
        (format!("{}ToSet", K::NAME), K::Request::schema().into()),
        (format!("Shown{}", K::NAME), K::Answer::schema().into()),
        (format!("{}Request", K::NAME), request::<K>()),
        (format!("{}List", K::NAME), list::<K>()),
        (format!("{}Changed", K::NAME), changed::<K>()),
    ]);
    (schemas, paths, router)
}

fn put_first(operation: &mut Operation, parameters: Vec<Parameter>) {
    operation.parameters.get_or_insert_default().splice(0..0, parameters.into_iter().map(RefOr::T));
}

/// Adds tag, success and failures. Where the handler describes its success, that description stays.
fn complete<K: ResourceKind>(
    operation: &mut Operation,
    about: &str,
    answer: &str,
    failures: BTreeMap<String, RefOr<Response>>,
) {
    operation.tags = Some(vec!["catalog".to_owned()]);
    let responses = &mut operation.responses.responses;
    responses.extend(failures);
    let success = responses.entry("200".to_owned()).or_insert_with(|| Response::new(about).into());
    if let RefOr::T(success) = success {
        success.content.insert("application/json".to_owned(), content::<K>(answer).into());
    }
}

/// A body with the schema of that name.
fn content<K: ResourceKind>(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(format!("{}{schema}", K::NAME)))).build()
}

/// What an answer shows of an object.
fn shown<K: ResourceKind>() -> Ref {
    Ref::from_schema_name(format!("Shown{}", K::NAME))
}

/// The body of a change: one object, or several.
fn request<K: ResourceKind>() -> RefOr<Schema> {
    let one = Ref::from_schema_name(format!("{}ToSet", K::NAME));
    let mut body = ObjectBuilder::new().schema_type(Type::Object);
    body = body.examples([json!({K::TABLE.singular: K::example()})]);
    if !K::TAKES_SEVERAL {
        let singular = K::TABLE.singular;
        let about = format!("`{{\"{singular}\": {{…}}}}`");
        return body.property(singular, one).required(singular).description(Some(about)).into();
    }
    let mut forms = Vec::new();
    for (singular, plural) in K::TABLE.keys() {
        forms.push(format!("`{{\"{singular}\": {{…}}}}` or `{{\"{plural}\": [{{…}}, …]}}`"));
        let several = ArrayBuilder::new().items(one.clone()).min_items(Some(1)).max_items(Some(MAX_CHANGED));
        body = body.property(singular, one.clone()).property(plural, several);
    }
    body.description(Some(format!("{}.", forms.join(", or ")))).into()
}

/// A page of a list, the one object that is asked for, or the ids of what was deleted.
fn list<K: ResourceKind>() -> RefOr<Schema> {
    let (singular, plural) = (K::TABLE.singular, K::TABLE.plural);
    let page = ObjectBuilder::new()
        .property("count", count().description(Some("How many match, or were deleted.")))
        .property("start_element", small_count())
        .property("num_elements", small_count())
        .property("id", small_count())
        .required("count");
    let several = ArrayBuilder::new().items(shown::<K>());
    if singular == plural {
        let either = OneOfBuilder::new().item(shown::<K>()).item(several);
        let about =
            format!("`{plural}` is an array for a page of a list, and the object where one is asked for.");
        return response(&about, page.property(plural, either));
    }
    let page = page.property(singular, shown::<K>()).property(plural, several);
    let about = format!(
        "`{plural}` for a page of a list, and for objects that were deleted, of which it has only the ids. `id` and \
         `{singular}` for one object that is asked for, by its id and nothing else."
    );
    response(&about, page)
}

/// What was created or changed.
fn changed<K: ResourceKind>() -> RefOr<Schema> {
    let (singular, plural) = (K::TABLE.singular, K::TABLE.plural);
    let changed = ObjectBuilder::new().property("id", small_count()).property("count", count());
    let changed = K::TABLE.keys().fold(changed, |changed, (singular, plural)| {
        changed.property(singular, shown::<K>()).property(plural, ArrayBuilder::new().items(shown::<K>()))
    });
    let mut about = format!(
        "What was created or changed: `id` and `{singular}` for one, `count` and `{plural}` for several."
    );
    if let Some((other, _)) = K::TABLE.other_keys {
        about += &format!(" After a body under `{other}`, under that key.");
    }
    response(&about, changed)
}

/// `response` with what every success has.
fn response(about: &str, payload: ObjectBuilder) -> RefOr<Schema> {
    let payload = payload
        .property("status", status_ok())
        .property("dbg_info", Ref::from_schema_name(DbgInfo::name()))
        .required("status")
        .required("dbg_info");
    let response = ObjectBuilder::new().schema_type(Type::Object).description(Some(about));
    response.property("response", payload.schema_type(Type::Object)).required("response").into()
}

fn count() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(0))
}

fn small_count() -> ObjectBuilder {
    count().format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
}
