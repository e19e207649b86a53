//! Members, logins, sharing and batch files, as the API's services show and change them.
//!
//! Who may see and change what is decided here, in the transaction of the change, so that it goes by what
//! the caller may do at that moment.

mod batch;
mod logins;
mod members;
mod plan;
mod records;
mod resources;
mod sharing;
mod text;

pub use batch::{BatchEdit, BatchFiles, SEGMENT_FIELDS};
pub use logins::LoginEdit;
pub use members::MemberEdit;
pub(crate) use plan::{AccountPlan, plan_accounts};
pub use records::{LoginRecord, MemberRecord, SharingRecord};
pub(crate) use records::{batch_page, login_page, member_page, sharing_page};
pub use resources::{BATCH_SEGMENT_CONFIG, EXPOSURES, MEMBER, MEMBER_DATA_SHARING, USER, USER_TYPES};
pub use sharing::SharingEdit;

use crate::listing::{ListQuery, Page};
use crate::{CatalogError, Changed, Login};
use async_trait::async_trait;

/// A change of one or several objects of a kind: all of them or, on any error, none.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// New members; for admins.
    CreateMembers(Vec<MemberEdit>),
    /// Changed members, by id: its own for a member, which may change its default expiration alone.
    EditMembers(Vec<(u32, MemberEdit)>),
    /// New logins; for admins.
    CreateLogins(Vec<LoginEdit>),
    /// Changed logins, by id: its own for who is no admin, and there password, email and names alone.
    EditLogins(Vec<(u32, LoginEdit)>),
    /// Deleted logins, by id; for admins.
    DeleteLogins(Vec<u32>),
    /// New sharing of segments of the caller's member; an admin's of any.
    CreateSharing(Vec<SharingEdit>),
    /// Changed sharing, by id.
    EditSharing(Vec<(u32, SharingEdit)>),
    /// Deleted sharing, by id.
    DeleteSharing(Vec<u32>),
    /// How files of members are laid out, by member, where nobody has set it yet; for admins.
    CreateBatch(Vec<(u32, BatchEdit)>),
    /// How files of members are laid out, by member; for admins.
    EditBatch(Vec<(u32, BatchEdit)>),
}

/// The members, logins and sharing behind the API's services.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The page of the members that `by` may see: its own, an admin's all.
    async fn list_members(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError>;

    /// The page of the set-ups of batch files; an admin's alone, who sees one for each member.
    async fn list_batch(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError>;

    /// The page of the logins that `by` may see: its member's, an admin's all.
    async fn list_logins(&self, by: &Login, query: &ListQuery) -> Result<Page<LoginRecord>, CatalogError>;

    /// The page of the sharing that `by` may see: what its member gives and is given, an admin's all.
    async fn list_sharing(&self, by: &Login, query: &ListQuery) -> Result<Page<SharingRecord>, CatalogError>;

    /// Makes a change in the name of `by` and gives the ids of the objects, in their order. Durable on
    /// return. `now_ms` dates it, in milliseconds since 1970.
    ///
    /// Fails with `Forbidden` for what the caller may see and not change, with `NotFound` for what it may
    /// not see or what does not exist, with `Invalid` for a value that cannot be, and with `Conflict` for
    /// one that does not go with what is stored.
    async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
        now_ms: u64,
    ) -> Result<Changed<Vec<u32>>, CatalogError>;
}
