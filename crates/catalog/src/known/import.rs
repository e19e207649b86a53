//! Adding many ids at once.

use super::KnownUserStore;
use crate::CatalogError;

/// The result of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Ids that were not known before.
    pub new: usize,
    /// Ids that were known already.
    pub known: usize,
}

/// Adds ids by their hashes: all of them, durable on return, or on an error none. Duplicates in `hashes`
/// count once.
pub async fn import_known_users(
    store: &dyn KnownUserStore,
    mut hashes: Vec<u64>,
) -> Result<Imported, CatalogError> {
    hashes.sort_unstable();
    hashes.dedup();
    let all = hashes.len();
    let mut before = Vec::new();
    loop {
        // Hashes that another process adds meanwhile are stored twice, which takes room and does no harm.
        let some = store.known_users_after(before.len() as u64).await?;
        if some.is_empty() {
            break;
        }
        before.extend(some);
    }
    before.sort_unstable();
    let mut before = before.into_iter().peekable();
    hashes.retain(|hash| {
        while before.next_if(|known| known < hash).is_some() {}
        before.peek() != Some(hash)
    });
    if !hashes.is_empty() {
        store.add_known_users(&hashes).await?;
    }
    Ok(Imported { new: hashes.len(), known: all - hashes.len() })
}
