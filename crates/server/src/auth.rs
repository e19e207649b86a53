//! Logging in: limits first, then the password, then a token.

use crate::rate::{Exceeded, RateLimiter};
use ia_catalog::{Catalog, CatalogError, CredentialError, Tokens, check_credentials};
use ia_model::Clock;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

const FIVE_MINUTES_MS: u64 = 5 * 60_000;

/// Hashes that run at once: each takes 19 MiB and a core.
const HASHES_AT_ONCE: usize = 2;

/// Logins that wait for a hash; beyond it the answer is "try again".
const WAITING_LOGINS: usize = 64;

/// How often one may log in or fail to, in any five minutes; 0 lifts a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginLimits {
    /// Successes of one user.
    pub successes_per_user: u32,
    /// Failures under one user name.
    pub failures_per_user: u32,
    /// Failures from one address.
    pub failures_per_address: u32,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// Wrong name or password, or a login that is switched off.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// Too many logins, good or bad.
    #[error("Too many logins, please wait and try again")]
    TooMany(Exceeded),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Checks passwords and issues tokens.
pub(crate) struct Authenticator {
    catalog: Arc<dyn Catalog>,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    limits: LoginLimits,
    successes: RateLimiter<u32>,
    failures_by_user: RateLimiter<String>,
    failures_by_address: RateLimiter<IpAddr>,
    waiting: Semaphore,
    hashing: Arc<Semaphore>,
}

impl Authenticator {
    /// An authenticator with nothing counted yet.
    pub(crate) fn new(
        catalog: Arc<dyn Catalog>,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        limits: LoginLimits,
    ) -> Authenticator {
        Authenticator {
            catalog,
            tokens,
            clock,
            limits,
            successes: RateLimiter::per_ms(FIVE_MINUTES_MS),
            failures_by_user: RateLimiter::per_ms(FIVE_MINUTES_MS),
            failures_by_address: RateLimiter::per_ms(FIVE_MINUTES_MS),
            waiting: Semaphore::new(WAITING_LOGINS),
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        }
    }

    /// The token for a name and a password.
    pub(crate) async fn login(
        &self,
        username: &str,
        password: String,
        from: IpAddr,
    ) -> Result<String, LoginError> {
        let now_ms = self.clock.now_ms();
        // Counted as failures before the password is looked at, and given back after: many guesses at
        // once must not slip through together.
        let name = username.to_lowercase();
        self.failures_by_address
            .take(from, 1, self.limits.failures_per_address, now_ms)
            .map_err(LoginError::TooMany)?;
        if let Err(exceeded) =
            self.failures_by_user.take(name.clone(), 1, self.limits.failures_per_user, now_ms)
        {
            self.failures_by_address.give_back(&from);
            return Err(LoginError::TooMany(exceeded));
        }
        let outcome = self.check(username, password, now_ms).await;
        if !matches!(outcome, Err(LoginError::Credentials(_))) {
            self.failures_by_address.give_back(&from);
            self.failures_by_user.give_back(&name);
        }
        outcome
    }

    async fn check(&self, username: &str, password: String, now_ms: u64) -> Result<String, LoginError> {
        let busy = |_| LoginError::TooMany(Exceeded { retry_after_seconds: 1 });
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        let found = self.catalog.login_by_name(username).await?;
        let permit = Arc::clone(&self.hashing).acquire_owned().await.expect("the semaphore is never closed");
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            check_credentials(found, &password)
        });
        let login = checked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        self.successes
            .take(login.login.user_id, 1, self.limits.successes_per_user, now_ms)
            .map_err(LoginError::TooMany)?;
        match self.tokens.issue(&login, now_ms).await {
            // Its password was changed, or it was switched off, between the check and now.
            Err(CatalogError::Overtaken(_)) => Err(CredentialError::NoMatch.into()),
            issued => Ok(issued?),
        }
    }
}
