//! The catalog as requests use it: the snapshot in memory, the stores under it, and the one way to change them.

use arc_swap::{ArcSwap, Guard};
use ia_catalog::segments::SegmentStore;
use ia_catalog::{
    AccountChange, Accounts, Catalog, CatalogError, Changed, Delta, Login, PublicKeyStore, Snapshot, Tokens,
};
use ia_model::Clock;
use std::sync::Arc;

/// Members, logins, segments and tokens: what is in force now, and how it changes.
pub struct CatalogView {
    /// Tokens that are good.
    pub tokens: Arc<Tokens>,
    /// Segments, to be listed and changed.
    pub segments: Arc<dyn SegmentStore>,
    /// Keys with which logins sign in.
    pub public_keys: Arc<dyn PublicKeyStore>,
    /// Members, logins, sharing and batch set-ups, to be listed.
    pub accounts: Arc<dyn Accounts>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while the catalog is changed or the snapshot replaced, so that no older one replaces a newer one.
    change: tokio::sync::Mutex<()>,
}

impl CatalogView {
    /// A view of `store`, with what was read of it: the snapshot first, then the tokens.
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

    /// The snapshot in force now, for the length of a function.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The snapshot in force now, to be kept over an await.
    pub fn snapshot_to_keep(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Makes a change of the catalog and shows it: every request that starts after this returns sees it.
    ///
    /// Where it fails after the change was made (the catalog could not be read again), the change shows a moment
    /// later, by [`CatalogView::follow`].
    pub async fn change<T>(
        &self,
        change: impl Future<Output = Result<Changed<T>, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let _alone = self.change.lock().await;
        let Changed { value, generation, delta } = change.await?;
        let before = self.snapshot.load_full();
        let is_about_logins = matches!(delta, Delta::Accounts(_) | Delta::Logins);
        // Off the async workers: now and then it packs all segments.
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

    /// Changes accounts in the name of `by`, as [`CatalogView::change`] does, and gives their ids.
    pub async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
    ) -> Result<Vec<u32>, CatalogError> {
        self.change(self.accounts.change_accounts(change, by, self.clock.now_ms())).await
    }

    /// Takes over what another process has changed in the catalog.
    pub async fn follow(&self) -> Result<(), CatalogError> {
        let _alone = self.change.lock().await;
        self.read_again().await
    }

    /// The caller holds `change`.
    async fn read_again(&self) -> Result<(), CatalogError> {
        if self.catalog.generation().await? != self.snapshot.load().generation() {
            // The snapshot first, since it carries the generation: what changes after it was read, a token
            // that is taken back for one, shows as a new generation the next time.
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
