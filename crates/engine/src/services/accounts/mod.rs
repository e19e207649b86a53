//! The services of members, logins, sharing and batch set-ups: what is read of a body, and what is shown.
//!
//! Who may do what, and the rules between objects, are the catalog's (`ia_catalog::Accounts`).

mod batch;
mod members;
mod sharing;
mod users;

pub use batch::Batch;
pub use members::Members;
pub use sharing::Sharing;
pub use users::Users;

use super::Services;
use super::sent::Sent;
use super::{Given, Object, ServiceError};
use ia_catalog::listing::{Filter, ListQuery, Page, Resource, Test, Value};
use ia_catalog::{AccountChange, Accounts, CatalogError, Change, Login};
use ia_model::time;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// A kind of object that the catalog keeps as accounts.
pub trait AccountKind {
    /// Its fields.
    const RESOURCE: &'static Resource;
    /// What is to become of an object.
    type Edit: Clone + Send + Sync;

    /// What a body says of one. `append` is whether lists come to what is there.
    fn edit(given: &Given, append: bool) -> Result<Self::Edit, ServiceError>;

    /// What takes longer than reading, for `by`.
    fn complete(
        _: &Services,
        _: &Login,
        _: &Sent,
        _: &mut [Self::Edit],
    ) -> impl Future<Output = Result<(), ServiceError>> + Send {
        std::future::ready(Ok(()))
    }

    /// The field of a body, and the parameter, that names the object to change.
    fn id_name() -> &'static str {
        "id"
    }

    /// Creates objects; `targets` are what they belong to, where their kind has that.
    fn create(edits: Vec<(Option<u32>, Self::Edit)>) -> Result<AccountChange, ServiceError>;

    /// Changes objects.
    fn change(edits: Vec<(u32, Self::Edit)>) -> AccountChange;

    /// A page of those that `by` may see.
    fn list(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> impl Future<Output = Result<Page<Object>, CatalogError>> + Send;
}

/// Creates what was sent, and gives it as it is then.
pub async fn create<K: AccountKind>(
    services: &Services,
    by: &Login,
    sent: &Sent,
    target: Option<u32>,
) -> Result<Vec<Object>, ServiceError> {
    let mut edits = edits::<K>(sent, false)?;
    K::complete(services, by, sent, &mut edits).await?;
    let target_of = |given: &Given| {
        let own = given.integer(K::id_name(), 1, u32::MAX)?.flatten();
        match (target, own) {
            (Some(target), Some(own)) if target != own => {
                Err(given.bad(K::id_name(), "is not that of the query"))
            }
            (target, own) => Ok(target.or(own)),
        }
    };
    let targets = sent.objects.iter().map(target_of).collect::<Result<Vec<_>, ServiceError>>()?;
    let change = K::create(targets.into_iter().zip(edits).collect())?;
    let ids = services.catalog.change_accounts(&change, by).await?;
    shown::<K>(services, by, &ids).await
}

/// Changes what was sent: objects that say their ids, or one object for all of `ids`. Gives them as they are then.
pub async fn change<K: AccountKind>(
    services: &Services,
    by: &Login,
    sent: &Sent,
    ids: Option<Vec<u32>>,
    append: bool,
) -> Result<Vec<Object>, ServiceError> {
    let mut edits = edits::<K>(sent, append)?;
    K::complete(services, by, sent, &mut edits).await?;
    let edits = with_ids::<K>(sent, ids, edits)?;
    let ids = services.catalog.change_accounts(&K::change(edits), by).await?;
    shown::<K>(services, by, &ids).await
}

fn edits<K: AccountKind>(sent: &Sent, append: bool) -> Result<Vec<K::Edit>, ServiceError> {
    sent.objects.iter().map(|given| K::edit(given, append)).collect()
}

/// The most objects of one change.
const MAX_CHANGED: usize = 1000;

/// Which object each edit is for: `ids` of the query, or what the objects say of themselves.
fn with_ids<K: AccountKind>(
    sent: &Sent,
    ids: Option<Vec<u32>>,
    edits: Vec<K::Edit>,
) -> Result<Vec<(u32, K::Edit)>, ServiceError> {
    let name = K::id_name();
    let own = |given: &Given| Ok::<_, ServiceError>(given.integer(name, 1, u32::MAX)?.flatten());
    if ids.as_ref().is_some_and(|ids| ids.len() > MAX_CHANGED) {
        return Err(ServiceError::bad(name, format_args!("takes at most {MAX_CHANGED} values here")));
    }
    if let (Some(ids), [given], [edit]) = (&ids, &sent.objects[..], &edits[..]) {
        if own(given)?.is_some_and(|own| ids != &[own]) {
            return Err(given.bad(name, "is not that of the query"));
        }
        return Ok(ids.iter().map(|&id| (id, edit.clone())).collect());
    }
    let mut seen = BTreeSet::new();
    let mut changes = Vec::with_capacity(edits.len());
    for (given, edit) in sent.objects.iter().zip(edits) {
        let id = own(given)?.ok_or_else(|| given.bad(name, "is required"))?;
        if !seen.insert(id) {
            return Err(given.bad(name, "stands twice"));
        }
        changes.push((id, edit));
    }
    if ids.is_some_and(|ids| !ids.iter().eq(seen.iter())) {
        return Err(ServiceError::bad(name, "must name the same objects as the body, or be left out"));
    }
    Ok(changes)
}

/// The objects of those ids that `by` may see, in their order.
pub async fn shown<K: AccountKind>(
    services: &Services,
    by: &Login,
    ids: &[u32],
) -> Result<Vec<Object>, ServiceError> {
    let wanted = ids.iter().map(|&id| Value::from(id)).collect();
    let query = ListQuery {
        filters: vec![Filter { field: &K::RESOURCE.fields[0], test: Test::In(wanted) }],
        num_elements: u32::MAX,
        ..ListQuery::default()
    };
    let page = K::list(&*services.catalog.accounts, by, &query).await?;
    let id_of = |object: &Object| object.0.first().and_then(|(_, id)| id.as_u64());
    let mut by_id: HashMap<Option<u64>, Object> =
        page.items.into_iter().map(|object| (id_of(&object), object)).collect();
    Ok(ids.iter().filter_map(|&id| by_id.remove(&Some(id.into()))).collect())
}

/// What a field that may be empty is to become.
fn to_change<T>(read: Option<Option<T>>) -> Change<T> {
    match read {
        None => Change::Keep,
        Some(None) => Change::Clear,
        Some(Some(value)) => Change::Set(value),
    }
}

/// The path of an object, to go before the name of a field.
fn path_of(given: &Given) -> String {
    given.path("")
}

fn state(active: bool) -> serde_json::Value {
    json!(if active { "active" } else { "inactive" })
}

fn read_state(given: &Given, resource: &'static Resource) -> Result<Option<bool>, ServiceError> {
    let state = given.choice_of(resource.known_field("state"))?.flatten();
    Ok(state.map(|state| state == "active"))
}

fn time_of(unix_ms: Option<u64>) -> serde_json::Value {
    unix_ms.map(time::format_utc).into()
}

fn page_of<T>(page: Page<T>, object: impl Fn(&T) -> Object) -> Page<Object> {
    Page { items: page.items.iter().map(object).collect(), count: page.count }
}
