//! The catalog for requests: the snapshot in memory, the stores below it, and the only way to change them.
//!
//! A change of a segment reads nothing back, whatever the size of the catalog: `Snapshot::after` lays the change over
//! the current snapshot, and every thousandth change packs the snapshot anew. If another process has changed the
//! catalog in between, the whole catalog is read again.

use arc_swap::{ArcSwap, Guard};
use ia_catalog::segments::SegmentStore;
use ia_catalog::{
    AccountChange, Accounts, Catalog, CatalogError, Changed, Delta, Login, PublicKeyStore, Snapshot, Tokens,
};
use ia_model::Clock;
use std::sync::Arc;

/// Members, logins, segments and tokens as they are now, and the methods that change them.
pub struct CatalogView {
    /// The valid tokens.
    pub tokens: Arc<Tokens>,
    /// Lists and changes segments.
    pub segments: Arc<dyn SegmentStore>,
    /// Public keys of logins that log in by a signed token.
    pub public_keys: Arc<dyn PublicKeyStore>,
    /// Lists members, logins, sharing and batch set-ups.
    pub accounts: Arc<dyn Accounts>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while the catalog is changed or the snapshot is replaced: an older snapshot must not replace a newer one.
    change: tokio::sync::Mutex<()>,
}

impl CatalogView {
    /// A view of `store`. The caller has read the snapshot first, then the tokens.
    pub fn new<S>(
        store: &Arc<S>,
        snapshot: Snapshot,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
    ) -> CatalogView
    where
        S: Catalog + Accounts + SegmentStore + PublicKeyStore + 'static,
    {
        CatalogView {
            tokens,
            segments: Arc::clone(store) as _,
            public_keys: Arc::clone(store) as _,
            accounts: Arc::clone(store) as _,
            catalog: Arc::clone(store) as _,
            clock,
            snapshot: ArcSwap::from_pointee(snapshot),
            change: tokio::sync::Mutex::default(),
        }
    }

    /// The current snapshot, for use within one function.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The current snapshot, to keep over an await.
    pub fn snapshot_to_keep(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Changes the catalog. Every request that starts after this returns sees the change.
    ///
    /// If the change succeeds but reading the catalog again fails, this returns the error, and
    /// [`CatalogView::follow`] shows the change a moment later.
    pub async fn change<T>(
        &self,
        change: impl Future<Output = Result<Changed<T>, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let _alone = self.change.lock().await;
        let Changed { value, generation, delta } = change.await?;
        let before = self.snapshot.load_full();
        let is_about_logins = matches!(delta, Delta::Accounts(_) | Delta::Logins);
        // Not on an async worker: sometimes this packs all segments.
        let after = tokio::task::spawn_blocking(move || before.after(generation, &delta)).await;
        match after.ok().flatten() {
            Some(after) => {
                if is_about_logins {
                    self.tokens.reload().await?;
                }
                self.snapshot.store(Arc::new(after));
            }
            None => self.read_again().await?,
        }
        Ok(value)
    }

    /// Changes accounts for the login `by`, as [`CatalogView::change`] does, and returns their ids.
    pub async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
    ) -> Result<Vec<u32>, CatalogError> {
        self.change(self.accounts.change_accounts(change, by, self.clock.now_ms())).await
    }

    /// Loads the changes that another process made to the catalog.
    pub async fn follow(&self) -> Result<(), CatalogError> {
        let _alone = self.change.lock().await;
        self.read_again().await
    }

    /// The caller holds `change`.
    async fn read_again(&self) -> Result<(), CatalogError> {
        if self.catalog.generation().await? != self.snapshot.load().generation() {
            // The snapshot first, because it carries the generation: a later change (for example a revoked
            // token) then shows as a new generation the next time.
            let snapshot = self.catalog.snapshot().await?;
            self.tokens.reload().await?;
            tracing::info!(
                generation = snapshot.generation(),
                segments = snapshot.segment_count(),
                "the catalog changed"
            );
            self.snapshot.store(Arc::new(snapshot));
        }
        Ok(())
    }
}
