//! A small language for the tests.

use ia_catalog::segments::SegmentStore;
use ia_catalog::{
    ApplyReport, Catalog, CatalogError, CatalogFile, KnownUserStore, PublicKeyStore, Snapshot, SqliteCatalog,
    StoredLogin, TokenStore,
};
use ia_model::{ManualClock, MemberId, SegmentId};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// 2023-11-30 12:00:00.
pub(crate) const NOON_MS: u64 = 1_701_345_600_000;
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 3_600_000;

pub(crate) const PASSWORD: &str = "Correct-horse-1";
pub(crate) const OTHER_PASSWORD: &str = "Battery-staple-2";

/// Members 1 (data), 2 (buyer) and 3 (stranger), a login of member 1, three segments.
pub(crate) const SMALL: &str = r#"{
    "members": [
        {"id": 1, "name": "Data", "default_expiration": 1440, "limits": {"posts_per_second": 5}},
        {"id": 2, "name": "Buyer", "segment_access": [1]},
        {"id": 3, "name": "Stranger"}
    ],
    "users": [{"username": "Ann", "password": "Correct-horse-1", "member_id": 1}],
    "segments": [
        {"id": 11, "member_id": 1, "code": "Sports", "short_name": "Sports fans", "expire_minutes": 60},
        {"id": 12, "member_id": 1, "code": "news", "state": "inactive"},
        {"id": 13, "member_id": 1}
    ],
    "sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "list", "segments": [11]}]
}"#;

/// What the conformance suites ask of a store.
pub(crate) trait Store: Catalog + TokenStore + SegmentStore + KnownUserStore + PublicKeyStore {}
impl<T: Catalog + TokenStore + SegmentStore + KnownUserStore + PublicKeyStore> Store for T {}

/// A store, and the directory that it lives in.
pub(crate) struct Rig {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) _directory: TempDir,
}

pub(crate) async fn sqlite() -> Rig {
    let (directory, path) = place();
    Rig { store: Arc::new(open(&path).await), _directory: directory }
}

pub(crate) async fn open(path: &std::path::Path) -> SqliteCatalog {
    SqliteCatalog::open(path, Arc::new(ManualClock::at(NOON_MS))).await.unwrap()
}

/// A directory, and the path of a catalog in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    (directory, path)
}

pub(crate) fn file(text: &str) -> CatalogFile {
    CatalogFile::parse(text.as_bytes()).unwrap()
}

pub(crate) async fn apply(store: &(impl Catalog + ?Sized), text: &str) -> ApplyReport {
    store.apply(&file(text)).await.unwrap()
}

pub(crate) async fn refused(store: &(impl Catalog + ?Sized), text: &str) -> CatalogError {
    store.apply(&file(text)).await.unwrap_err()
}

pub(crate) async fn ann(store: &(impl Catalog + ?Sized)) -> StoredLogin {
    store.login_by_name("ann").await.unwrap().unwrap()
}

/// All that a snapshot shows of the small catalog and of ids up to 30, as text to compare.
pub(crate) async fn shown(store: &(impl Catalog + ?Sized)) -> String {
    shown_in(&store.snapshot().await.unwrap())
}

/// The same of a snapshot.
pub(crate) fn shown_in(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for id in 1..30 {
        let member = MemberId(id);
        if let Some(found) = snapshot.member(member) {
            text += &format!("{found:?}\n");
        }
        if let Some(segment) = snapshot.segment(SegmentId(id)) {
            let viewers: Vec<u32> = (1..30).filter(|&id| snapshot.may_see(MemberId(id), segment)).collect();
            text += &format!("{segment:?} seen by {viewers:?}\n");
        }
        let owners: Vec<u32> = (1..30).filter(|&id| snapshot.may_write(member, MemberId(id))).collect();
        text += &format!("{id} writes {owners:?}\n");
    }
    text
}
