//! Logging in: limits first, then the password or the signature, then a token.

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

/// The most hashes that run at once: each takes 19 MiB and a core. Half of the cores stay for requests: a thread
/// that hashes keeps its core for some milliseconds also when a more urgent one wakes.
const MAX_HASHES_AT_ONCE: usize = 2;

/// Logins that wait for a hash or are at it; beyond it the answer is "try again".
const WAITING_LOGINS: usize = 64;

/// What a catalog file takes as a name. A longer one is nobody's, and must not become a key of a limiter.
const MAX_NAME_CHARACTERS: usize = 255;

/// Longer than any password that a catalog file takes.
const MAX_PASSWORD_BYTES: usize = 1024;

/// How often one may log in or fail to, in any five minutes; 0 lifts a limit.
#[derive(Debug, Clone, Copy)]
pub struct LoginLimits {
    /// Successes of one user.
    pub successes_per_user: u32,
    /// Failures under one user name.
    pub failures_per_user: u32,
    /// Failures from one address, or from one /64 of IPv6: who has one address of it has them all.
    pub failures_per_address: u32,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong name or password, or a login that is switched off.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A signed token that nobody's key has signed, or that is too old or made wrongly: the caller must not learn
    /// which, since it would learn who has keys.
    #[error("The signed token is not accepted")]
    SignedToken,
    /// Too many logins, good or bad.
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
    key_of_nobody: RsaKey,
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
    /// An authenticator with nothing counted yet.
    ///
    /// Panics when the system starts no thread.
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
            key_of_nobody: RsaKey::of_nobody(),
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

    /// The token for a name and a password.
    pub async fn login(&self, username: &str, password: String, from: IpAddr) -> Result<String, LoginError> {
        // No hash is spent on it to hide that nobody has such a name: who sent it knows its length.
        if username.chars().nth(MAX_NAME_CHARACTERS).is_some() || password.len() > MAX_PASSWORD_BYTES {
            return Err(CredentialError::NoMatch.into());
        }
        let now_ms = self.clock.now_ms();
        self.limited(username, from, now_ms, self.check(username, password, now_ms)).await
    }

    /// The token for a JWT, as the login that it names has signed it.
    pub async fn login_signed(&self, jwt: &[u8], from: IpAddr) -> Result<String, LoginError> {
        let jwt =
            SignedToken::parse(jwt).filter(|jwt| jwt.username().chars().nth(MAX_NAME_CHARACTERS).is_none());
        let now_ms = self.clock.now_ms();
        // What is no JWT at all is counted under no name, as one failure of its address.
        let username = jwt.as_ref().map_or("", SignedToken::username);
        self.limited(username, from, now_ms, self.check_signed(jwt.as_ref(), now_ms)).await
    }

    /// Counts a login under a name and from an address, and lets it be checked within the limits.
    async fn limited(
        &self,
        username: &str,
        from: IpAddr,
        now_ms: u64,
        check: impl Future<Output = Result<String, LoginError>>,
    ) -> Result<String, LoginError> {
        let from = network(from);
        // Counted as failures before anything is looked at, and given back after: many guesses at once must
        // not slip through together.
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

    /// The hash of a new password, made where those of logins are and within the same bounds.
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
            // Its password was changed, or it was switched off, between the check and now.
            Err(CatalogError::Overtaken(_)) => Err(CredentialError::NoMatch.into()),
            issued => Ok(issued?),
        }
    }

    async fn check_signed(&self, jwt: Option<&SignedToken<'_>>, now_ms: u64) -> Result<String, LoginError> {
        // Looked for and checked also where there is nothing to find, so that all refusals take as long.
        let (username, key_name) = jwt.map_or(("", ""), |jwt| (jwt.username(), jwt.key_name()));
        let found = self.public_keys.public_key_of(username, key_name).await?;
        let key = found.as_ref().map_or(&self.key_of_nobody, |(_, stored)| &stored.key);
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
        // Only who has the key learns that the login is off.
        if !login.active {
            return Err(CredentialError::Disabled.into());
        }
        self.count_success(&login, now_ms)?;
        match self.tokens.issue_by_key(&login, stored.id, now_ms).await {
            // The key or the login was switched off, or got another password, between the check and now.
            Err(CatalogError::Overtaken(_)) => Err(LoginError::SignedToken),
            issued => Ok(issued?),
        }
    }

    fn count_success(&self, login: &StoredLogin, now_ms: u64) -> Result<(), LoginError> {
        let limit = self.limits.successes_per_user;
        self.successes.take(login.login.user_id, 1, limit, now_ms).map_err(LoginError::TooMany)
    }
}

/// What calls that carry no token are counted under: an IPv4 address, also one that comes as an IPv6 address, or the /64 of
/// an IPv6 address.
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
