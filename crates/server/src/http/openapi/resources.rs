//! Bodies and parameters of the catalog services. What is in an object follows from its kind
//! (`ia_engine::services::ResourceKind`); the wrappers around it are the same for all.
#![expect(dead_code, reason = "these types are described, never made")]

use super::status_ok;
use crate::http::envelope::DbgInfo;
use ia_engine::services::change_body::MAX_CHANGED;
use ia_engine::services::{AnswerFields, RequestFields, ResourceKind};
use serde_json::json;
use std::borrow::Cow;
use std::marker::PhantomData;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// What every list takes beside the filters by its fields: `<field>`, `min_<field>`, `max_<field>`, `nmin_<field>`
/// and `nmax_<field>` (absent values count too), `like_<field>`, `not_<field>`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Several by commas, at most 10,000.
    id: Option<String>,
    /// What its searched fields contain.
    search: Option<String>,
    /// `<field>.asc` or `<field>.desc`, several by commas.
    sort: Option<String>,
    /// Which fields to show, by commas; the id always.
    fields: Option<String>,
    /// How many to leave out.
    #[param(minimum = 0)]
    start_element: Option<u32>,
    /// The size of the page: 100 if absent, and at most.
    #[param(minimum = 1)]
    num_elements: Option<u32>,
}

/// What a change takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangedIds {
    /// Which; several by commas. Absent where the body says it
    id: Option<String>,
}

/// What a deletion takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Ids {
    /// Which; several by commas
    id: Option<String>,
}

/// What a change of lists takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Append {
    /// true: lists come to what is there
    append: Option<String>,
}

/// The answer of `/meta`.
#[derive(ToSchema)]
pub(crate) struct Fields {
    response: FieldsResponse,
}

#[derive(ToSchema)]
struct FieldsResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    fields: Vec<FieldDescription>,
    dbg_info: DbgInfo<'static>,
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

/// The body of a change: one object, or several.
pub(crate) struct RequestOf<K>(PhantomData<K>);

/// A page of a list, or the ids of what was deleted.
pub(crate) struct ListOf<K>(PhantomData<K>);

/// What was created or changed.
pub(crate) struct ChangedOf<K>(PhantomData<K>);

fn request_name<K: ResourceKind>() -> String {
    format!("{}ToSet", K::NAME)
}

fn answer_name<K: ResourceKind>() -> String {
    format!("Shown{}", K::NAME)
}

impl<K: ResourceKind> PartialSchema for RequestOf<K> {
    fn schema() -> RefOr<Schema> {
        let (singular, plural) = (K::TABLE.singular, K::TABLE.plural);
        let one = Ref::from_schema_name(request_name::<K>());
        let body = ObjectBuilder::new().schema_type(Type::Object).property(singular, one.clone());
        let body = body.examples([json!({singular: K::example()})]);
        if !K::TAKES_SEVERAL {
            let about = format!("`{{\"{singular}\": {{…}}}}`");
            return body.required(singular).description(Some(about)).into();
        }
        let about = format!("`{{\"{singular}\": {{…}}}}` or `{{\"{plural}\": [{{…}}, …]}}`.");
        let several = ArrayBuilder::new().items(one).min_items(Some(1)).max_items(Some(MAX_CHANGED));
        body.property(plural, several).description(Some(about)).into()
    }
}

impl<K: ResourceKind> ToSchema for RequestOf<K> {
    fn name() -> Cow<'static, str> {
        format!("{}Request", K::NAME).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((request_name::<K>(), K::Request::schema().into()));
    }
}

fn count() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(0))
}

fn small_count() -> ObjectBuilder {
    count().format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
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

impl<K: ResourceKind> PartialSchema for ListOf<K> {
    fn schema() -> RefOr<Schema> {
        let shown = Ref::from_schema_name(answer_name::<K>());
        let page = ObjectBuilder::new()
            .property("count", count().description(Some("How many match, or were deleted.")))
            .property("start_element", small_count())
            .property("num_elements", small_count())
            .property(K::TABLE.plural, ArrayBuilder::new().items(shown.clone()));
        let page = match K::SHOWS_ONE {
            true => page.property("id", small_count()).property(K::TABLE.singular, shown),
            false => page.required("count").required(K::TABLE.plural),
        };
        response("A page of a list; of objects that were deleted only the ids.", page)
    }
}

impl<K: ResourceKind> ToSchema for ListOf<K> {
    fn name() -> Cow<'static, str> {
        format!("{}List", K::NAME).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((answer_name::<K>(), K::Answer::schema().into()));
    }
}

impl<K: ResourceKind> PartialSchema for ChangedOf<K> {
    fn schema() -> RefOr<Schema> {
        let (singular, plural) = (K::TABLE.singular, K::TABLE.plural);
        let shown = Ref::from_schema_name(answer_name::<K>());
        let changed = ObjectBuilder::new()
            .property("id", small_count())
            .property("count", count())
            .property(singular, shown.clone())
            .property(plural, ArrayBuilder::new().items(shown));
        let about = format!(
            "What was created or changed: `id` and `{singular}` for one, `count` and `{plural}` for several."
        );
        response(&about, changed)
    }
}

impl<K: ResourceKind> ToSchema for ChangedOf<K> {
    fn name() -> Cow<'static, str> {
        format!("{}Changed", K::NAME).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ListOf::<K>::schemas(schemas);
    }
}
