//! Logs callers in: checks the limits, then the password or the signature, then issues a token.

mod jwt;

use crate::rate::{Exceeded, RateLimiter};
use crate::threads::{QueueFull, Urgency, WorkThreads};
use ia_catalog::{
    Catalog, CatalogError, CredentialError, PasswordHash, PublicKeyStore, RsaKey, StoredLogin, Tokens,
    check_credentials,
};
use ia_model::Clock;
use jwt::SignedToken;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::Semaphore;

const FIVE_MINUTES_MS: u64 = 5 * 60_000;

/// The most hashes at once: each takes 19 MiB and a core. At most half of the cores hash, because a hashing thread
/// keeps its core for some milliseconds even when a thread with a higher priority wakes.
const MAX_HASHES_AT_ONCE: usize = 2;

/// The most logins that wait for a hash or run one; further logins are told to try again.
const WAITING_LOGINS: usize = 64;

/// The longest name in a catalog file. No login has a longer name, and it must not become a key of a limiter.
const MAX_NAME_CHARACTERS: usize = 255;

/// Longer than any password in a catalog file.
const MAX_PASSWORD_BYTES: usize = 1024;

/// The most logins and failures in any five minutes; 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub struct LoginLimits {
    /// Successes of one user.
    pub successes_per_user: u32,
    /// Failures under one user name.
    pub failures_per_user: u32,
    /// Failures from one IPv4 address or one IPv6 /64: a client with one address of a /64 has them all.
    pub failures_per_address: u32,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The name or password is wrong, or the login is inactive.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The signed token is not signed by a known key, too old, or malformed. The caller must not learn which: it would
    /// learn which logins have keys.
    #[error("The signed token is not accepted")]
    SignedToken,
    /// There are too many logins or failures.
    #[error("Too many logins, please wait and try again")]
    TooMany(Exceeded),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Checks passwords and issues tokens.
pub struct Authenticator {
    catalog: Arc<dyn Catalog>,
    public_keys: Arc<dyn PublicKeyStore>,
    /// Checked when no key is found, so that the refusal takes as long.
    dummy_key: RsaKey,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    limits: LoginLimits,
    successes: RateLimiter<u32>,
    failures_by_user: RateLimiter<String>,
    failures_by_address: RateLimiter<IpAddr>,
    waiting: Semaphore,
    hashing: WorkThreads,
}

fn hashes_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MAX_HASHES_AT_ONCE)
}

impl Authenticator {
    /// An authenticator with all counts at 0.
    ///
    /// # Panics
    ///
    /// If the system cannot start a thread.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        public_keys: Arc<dyn PublicKeyStore>,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        limits: LoginLimits,
    ) -> Authenticator {
        Authenticator {
            catalog,
            public_keys,
            dummy_key: RsaKey::of_nobody(),
            tokens,
            clock,
            limits,
            successes: RateLimiter::per_ms(FIVE_MINUTES_MS),
            failures_by_user: RateLimiter::per_ms(FIVE_MINUTES_MS),
            failures_by_address: RateLimiter::per_ms(FIVE_MINUTES_MS),
            waiting: Semaphore::new(WAITING_LOGINS),
            hashing: WorkThreads::start("ia-hash", hashes_at_once(), WAITING_LOGINS, Urgency::Low)
                .expect("the system starts a few threads"),
        }
    }

    /// A token for a name and a password.
    pub async fn login(&self, username: &str, password: String, from: IpAddr) -> Result<String, LoginError> {
        // No hash hides that such a name or password does not exist: the client knows that it is too long.
        if username.chars().nth(MAX_NAME_CHARACTERS).is_some() || password.len() > MAX_PASSWORD_BYTES {
            return Err(CredentialError::NoMatch.into());
        }
        let now_ms = self.clock.now_ms();
        self.limited(username, from, now_ms, self.check(username, password, now_ms)).await
    }

    /// A token for a JWT, signed by the login that it names.
    pub async fn login_signed(&self, jwt: &[u8], from: IpAddr) -> Result<String, LoginError> {
        let jwt =
            SignedToken::parse(jwt).filter(|jwt| jwt.username().chars().nth(MAX_NAME_CHARACTERS).is_none());
        let now_ms = self.clock.now_ms();
        // Bytes that are not a JWT count as a failure of the address, under an empty name.
        let username = jwt.as_ref().map_or("", SignedToken::username);
        self.limited(username, from, now_ms, self.check_signed(jwt.as_ref(), now_ms)).await
    }

    /// Counts a login by name and address, and runs `check` if it is within the limits.
    async fn limited(
        &self,
        username: &str,
        from: IpAddr,
        now_ms: u64,
        check: impl Future<Output = Result<String, LoginError>>,
    ) -> Result<String, LoginError> {
        let from = network(from);
        // Counted as a failure before the check and given back after a success: many guesses at the same time
        // must not all pass the limit.
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
        let outcome = check.await;
        if !matches!(outcome, Err(LoginError::Credentials(_) | LoginError::SignedToken)) {
            self.failures_by_address.give_back(&from);
            self.failures_by_user.give_back(&name);
        }
        outcome
    }

    /// Hashes a new password on the threads of the logins, with the same limits.
    pub async fn hash(&self, password: String) -> Result<PasswordHash, LoginError> {
        let busy = || LoginError::TooMany(Exceeded { retry_after_seconds: 1 });
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let hashed = self.hashing.run(move || PasswordHash::new(&password)).await;
        Ok(hashed.map_err(|QueueFull| busy())??)
    }

    async fn check(&self, username: &str, password: String, now_ms: u64) -> Result<String, LoginError> {
        let busy = || LoginError::TooMany(Exceeded { retry_after_seconds: 1 });
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let found = self.catalog.login_by_name(username).await?;
        let checked = self.hashing.run(move || check_credentials(found, &password)).await;
        let login = checked.map_err(|QueueFull| busy())??;
        self.count_success(&login, now_ms)?;
        match self.tokens.issue(&login, now_ms).await {
            // The login was switched off or got a new password after the check.
            Err(CatalogError::Overtaken(_)) => Err(CredentialError::NoMatch.into()),
            issued => Ok(issued?),
        }
    }

    async fn check_signed(&self, jwt: Option<&SignedToken<'_>>, now_ms: u64) -> Result<String, LoginError> {
        // A lookup and a check even for a malformed JWT, so that all refusals take equally long.
        let (username, key_name) = jwt.map_or(("", ""), |jwt| (jwt.username(), jwt.key_name()));
        let found = self.public_keys.public_key_of(username, key_name).await?;
        let key = found.as_ref().map_or(&self.dummy_key, |(_, stored)| &stored.key);
        let is_signed = match jwt {
            Some(jwt) => {
                let busy = || LoginError::TooMany(Exceeded { retry_after_seconds: 1 });
                let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
                self.hashing.run(jwt.signature_check(key.clone())).await.map_err(|QueueFull| busy())?
            }
            None => false,
        };
        let Some((login, stored)) = found.filter(|_| is_signed) else { return Err(LoginError::SignedToken) };
        if !jwt.is_some_and(|jwt| jwt.is_current(now_ms)) {
            return Err(LoginError::SignedToken);
        }
        // Only the owner of the key learns that the login is inactive.
        if !login.active {
            return Err(CredentialError::Disabled.into());
        }
        self.count_success(&login, now_ms)?;
        match self.tokens.issue_by_key(&login, stored.id, now_ms).await {
            // The login or the key was switched off, or the login got a new password, after the check.
            Err(CatalogError::Overtaken(_)) => Err(LoginError::SignedToken),
            issued => Ok(issued?),
        }
    }

    fn count_success(&self, login: &StoredLogin, now_ms: u64) -> Result<(), LoginError> {
        let limit = self.limits.successes_per_user;
        self.successes.take(login.login.user_id, 1, limit, now_ms).map_err(LoginError::TooMany)
    }
}

/// The key under which calls without a token are counted: the IPv4 address (also of an IPv4-mapped IPv6 address), or
/// the /64 of the IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_64_count_as_one() {
        let network_of = |address: &str| network(address.parse().unwrap());
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), network_of("2001:db8:1:2::1"));
        assert_ne!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:3::1"));
        assert_ne!(network_of("192.0.2.1"), network_of("192.0.2.2"));
        assert_ne!(network_of("::ffff:192.0.2.1"), network_of("::ffff:192.0.2.2"));
        assert_eq!(network_of("::ffff:192.0.2.1"), network_of("192.0.2.1"));
    }
}
