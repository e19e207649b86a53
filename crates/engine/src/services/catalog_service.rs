//! What the catalog services have in common: how a kind of object is described, listed and changed.

use super::change_body::MAX_CHANGED;
use super::{AnswerFields, AnswerObject, ChangeBody, RequestFields, ServiceError, Services, rules};
use ia_catalog::listing::{ListQuery, Page, Resource};
use serde_json::Value;
use std::collections::BTreeSet;

/// A kind of object: its fields in lists, in requests and in answers.
pub trait ResourceKind: 'static {
    /// Its name in the OpenAPI document.
    const NAME: &'static str;
    /// Its fields in lists, for filters, sorting and `meta`.
    const TABLE: &'static Resource;
    /// The field of a body, and the parameter, that names the object to change.
    const ID_NAME: &'static str = "id";
    /// Whether one body can have several objects.
    const TAKES_SEVERAL: bool = true;
    /// What a request says of an object.
    type Request: RequestFields + Clone + Send + Sync;
    /// What answers show of an object.
    type Answer: AnswerFields;

    /// An object of a body, for the OpenAPI document.
    fn example() -> Value;
}

/// How objects of a kind are listed and changed.
pub trait CatalogService: ResourceKind {
    /// The caller, or the objects that the call is confined to.
    type Scope: Sync;

    /// A page of the objects that the scope may see.
    fn list(
        services: &Services,
        scope: &Self::Scope,
        query: &ListQuery,
    ) -> impl Future<Output = Result<Page<AnswerObject>, ServiceError>> + Send;

    /// Creates the objects of a body, all or none, and gives them as they are then. `target` is what the query says
    /// that they belong to.
    fn create(
        services: &Services,
        scope: &Self::Scope,
        body: &ChangeBody,
        target: Option<u32>,
    ) -> impl Future<Output = Result<Vec<AnswerObject>, ServiceError>> + Send;

    /// Changes objects, all or none, and gives them as they are then: objects of the body that name their ids, or one
    /// object for all of `ids`. With `append`, lists are added to.
    fn change(
        services: &Services,
        scope: &Self::Scope,
        body: &ChangeBody,
        ids: Option<Vec<u32>>,
        append: bool,
    ) -> impl Future<Output = Result<Vec<AnswerObject>, ServiceError>> + Send;

    /// Deletes objects, all or none.
    fn delete(
        services: &Services,
        scope: &Self::Scope,
        ids: &[u32],
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// Pairs each change with the id of its object. One object of a body is for all `ids` of the query, or for the one that
/// it names; several objects name theirs.
pub(super) fn with_ids<K: ResourceKind>(
    body: &ChangeBody,
    ids: Option<Vec<u32>>,
    changes: Vec<K::Request>,
) -> Result<Vec<(u32, K::Request)>, ServiceError> {
    let name = K::ID_NAME;
    if let Some(ids) = &ids {
        check_count(name, ids)?;
    }
    if let (Some(ids), [object], [change]) = (&ids, &body.objects[..], &changes[..]) {
        if object.value(name, rules::id)?.is_some_and(|own| ids != &[own]) {
            return Err(object.bad(name, "is not that of the query"));
        }
        return Ok(ids.iter().map(|&id| (id, change.clone())).collect());
    }
    let mut seen = BTreeSet::new();
    let mut paired = Vec::with_capacity(changes.len());
    for (object, change) in body.objects.iter().zip(changes) {
        let id = object.value(name, rules::id)?.ok_or_else(|| object.bad(name, "is required"))?;
        if !seen.insert(id) {
            return Err(object.bad(name, "stands twice"));
        }
        paired.push((id, change));
    }
    if ids.is_some_and(|ids| !ids.iter().eq(seen.iter())) {
        return Err(ServiceError::bad(name, "must name the same objects as the body, or be left out"));
    }
    Ok(paired)
}

/// Refuses a query that names more objects than one request may change.
pub(super) fn check_count(name: &str, ids: &[u32]) -> Result<(), ServiceError> {
    if ids.len() > MAX_CHANGED {
        return Err(ServiceError::bad(name, format_args!("takes at most {MAX_CHANGED} values here")));
    }
    Ok(())
}
