use crate::apply::ApplyReport;
use crate::error::CatalogError;
use crate::file::CatalogFile;
use crate::login::StoredLogin;
use crate::snapshot::Snapshot;
use async_trait::async_trait;
use ia_model::SegmentId;

/// Members, logins, segments and the rights between them.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The catalog as it is now, read at one point in time.
    async fn snapshot(&self) -> Result<Snapshot, CatalogError>;

    /// A number that has risen when a snapshot, a login or the tokens may differ from before, also by
    /// another process. Cheap enough to ask a few times a second.
    async fn generation(&self) -> Result<u64, CatalogError>;

    /// Makes the catalog say what the file says: all of it or, on any error, nothing. What the file does
    /// not name stays as it is, optional fields of named objects included; null empties such a field.
    ///
    /// The tokens of a login die when its password or its member changes or when it is switched off.
    /// Fails with `Conflict` or `Invalid`, which name the place in the file, when the file does not go
    /// with what is stored.
    async fn apply(&self, file: &CatalogFile) -> Result<ApplyReport, CatalogError>;

    /// Deletes a segment: it is gone from the next snapshot, its code is free, its id is not.
    /// Fails with `NotFound` when there is none.
    async fn delete_segment(&self, id: SegmentId) -> Result<(), CatalogError>;

    /// The login of that name, without regard to case.
    async fn login_by_name(&self, username: &str) -> Result<Option<StoredLogin>, CatalogError>;
}
