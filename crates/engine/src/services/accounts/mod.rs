//! The services of members, logins, sharing and batch set-ups.
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

use super::catalog_service::with_ids;
use super::{
    AnswerFields, AnswerObject, CatalogService, ChangeBody, RequestObject, ResourceKind, ServiceError,
    Services, rules,
};
use ia_catalog::listing::{Filter, ListQuery, Page, Test, Value};
use ia_catalog::{AccountChange, Accounts, CatalogError, Login};
use std::collections::HashMap;

/// A kind of object that the catalog keeps as accounts.
pub trait AccountKind: ResourceKind {
    /// Changes objects, by id.
    const CHANGE: fn(Vec<(u32, Self::Request)>) -> AccountChange;
    /// Deletes objects; `None` for a kind that is never deleted.
    const DELETE: Option<fn(Vec<u32>) -> AccountChange> = None;

    /// What a body says of one object. `append` is whether lists are added to.
    fn change_of(object: &RequestObject, append: bool) -> Result<Self::Request, ServiceError>;

    /// What takes longer than reading, for `by`.
    fn complete(
        _: &Services,
        _: &Login,
        _: &ChangeBody,
        _: &mut [Self::Request],
    ) -> impl Future<Output = Result<(), ServiceError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Creates objects, each with the id that the query or the object names.
    fn creation(new: Vec<(Option<u32>, Self::Request)>) -> Result<AccountChange, ServiceError>;

    /// A page of those that `by` may see.
    fn page(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> impl Future<Output = Result<Page<Self::Answer>, CatalogError>> + Send;
}

impl<K: AccountKind> CatalogService for K {
    type Scope = Login;

    async fn list(
        services: &Services,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<AnswerObject>, ServiceError> {
        let Page { items, count } = K::page(&*services.catalog.accounts, by, query).await?;
        Ok(Page { items: items.into_iter().map(AnswerFields::show).collect(), count })
    }

    async fn create(
        services: &Services,
        by: &Login,
        body: &ChangeBody,
        target: Option<u32>,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let mut new = changes::<K>(body, false)?;
        K::complete(services, by, body, &mut new).await?;
        let id_of = |object: &RequestObject| match (target, object.value(K::ID_NAME, rules::id)?) {
            (Some(target), Some(own)) if target != own => {
                Err(object.bad(K::ID_NAME, "is not that of the query"))
            }
            (target, own) => Ok(target.or(own)),
        };
        let ids = body.objects.iter().map(id_of).collect::<Result<Vec<_>, ServiceError>>()?;
        let creation = K::creation(ids.into_iter().zip(new).collect())?;
        let ids = services.catalog.change_accounts(&creation, by).await?;
        shown::<K>(services, by, &ids).await
    }

    async fn change(
        services: &Services,
        by: &Login,
        body: &ChangeBody,
        ids: Option<Vec<u32>>,
        append: bool,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let mut changes = changes::<K>(body, append)?;
        K::complete(services, by, body, &mut changes).await?;
        let changes = K::CHANGE(with_ids::<K>(body, ids, changes)?);
        let ids = services.catalog.change_accounts(&changes, by).await?;
        shown::<K>(services, by, &ids).await
    }

    async fn delete(services: &Services, by: &Login, ids: &[u32]) -> Result<(), ServiceError> {
        if let Some(delete) = K::DELETE {
            services.catalog.change_accounts(&delete(ids.to_vec()), by).await?;
        }
        Ok(())
    }
}

fn changes<K: AccountKind>(body: &ChangeBody, append: bool) -> Result<Vec<K::Request>, ServiceError> {
    body.objects.iter().map(|object| K::change_of(object, append)).collect()
}

/// New objects of a kind whose ids the catalog chooses.
fn without_ids<T>(new: Vec<(Option<u32>, T)>) -> Vec<T> {
    new.into_iter().map(|(_, new)| new).collect()
}

/// The objects of those ids that `by` may see, in their order.
async fn shown<K: AccountKind>(
    services: &Services,
    by: &Login,
    ids: &[u32],
) -> Result<Vec<AnswerObject>, ServiceError> {
    let wanted = ids.iter().map(|&id| Value::from(id)).collect();
    let query = ListQuery {
        filters: vec![Filter { field: &K::TABLE.fields[0], test: Test::In(wanted) }],
        num_elements: u32::MAX,
        ..ListQuery::default()
    };
    let page = K::list(services, by, &query).await?;
    let mut by_id: HashMap<Option<u64>, AnswerObject> =
        page.items.into_iter().map(|object| (object.id(), object)).collect();
    Ok(ids.iter().filter_map(|&id| by_id.remove(&Some(id.into()))).collect())
}
