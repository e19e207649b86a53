//! Members, logins, sharing and batch files, as the API's services show and change them.
//!
//! The rights of the caller are checked here, in the transaction of the change, as they are at that moment.

mod batch;
pub(crate) mod lists;
mod logins;
mod members;
mod plan;
mod records;
mod resources;
mod sharing;
mod text;

pub use batch::{BatchEdit, SEGMENT_FIELDS};
pub use logins::LoginEdit;
pub use members::MemberEdit;
pub(crate) use plan::{AccountPlan, plan_accounts};
pub use records::{LoginRecord, MemberRecord, SharingRecord};
pub use resources::{BATCH_SEGMENT_CONFIG, EXPOSURES, MEMBER, MEMBER_DATA_SHARING, USER, USER_TYPES};
pub use sharing::SharingEdit;

use crate::listing::{ListQuery, Page};
use crate::{BatchFiles, CatalogError, Changed, Login};
use async_trait::async_trait;
use ia_model::MemberId;

/// A change of one or several objects of a kind: all of them or, on any error, none.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// New members; for admins.
    CreateMembers(Vec<MemberEdit>),
    /// Changed members, by id: its own for a member, which may change its default expiration alone.
    EditMembers(Vec<(u32, MemberEdit)>),
    /// New logins; for admins.
    CreateLogins(Vec<LoginEdit>),
    /// Changed logins, by id. A caller that is no admin may change its own password, email and names.
    EditLogins(Vec<(u32, LoginEdit)>),
    /// Deleted logins, by id; for admins.
    DeleteLogins(Vec<u32>),
    /// New sharing of segments of the caller's member; an admin's of any.
    CreateSharing(Vec<SharingEdit>),
    /// Changed sharing, by id.
    EditSharing(Vec<(u32, SharingEdit)>),
    /// Deleted sharing, by id.
    DeleteSharing(Vec<u32>),
    /// New set-ups of batch files, by member; for admins.
    CreateBatch(Vec<(u32, BatchEdit)>),
    /// Changed set-ups of batch files, by member; for admins.
    EditBatch(Vec<(u32, BatchEdit)>),
}

/// The members, logins and sharing behind the API's services.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The page of the members that `by` may see: its own, an admin's all.
    async fn list_members(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError>;

    /// The page of the set-ups of batch files, one for each member; for admins.
    async fn list_batch(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError>;

    /// The set-up of a member's batch files; the usual one where nothing was set.
    async fn batch_files(&self, member: MemberId) -> Result<BatchFiles, CatalogError>;

    /// The page of the logins that `by` may see: its member's, an admin's all.
    async fn list_logins(&self, by: &Login, query: &ListQuery) -> Result<Page<LoginRecord>, CatalogError>;

    /// The page of the sharing that `by` may see: what its member gives and is given, an admin's all.
    async fn list_sharing(&self, by: &Login, query: &ListQuery) -> Result<Page<SharingRecord>, CatalogError>;

    /// Makes a change in the name of `by` and returns the ids of the objects, in their order. Durable on
    /// return. `now_ms` dates it, in milliseconds since 1970.
    ///
    /// Fails with `Forbidden` where the caller may see an object and not change it, with `NotFound` where it may not
    /// see the object or there is none, with `Invalid` for a value that breaks a rule, and with `Conflict` for a value
    /// that contradicts stored ones.
    async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
        now_ms: u64,
    ) -> Result<Changed<Vec<u32>>, CatalogError>;
}
