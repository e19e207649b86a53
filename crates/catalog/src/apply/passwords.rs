use crate::file::Secret;
use crate::{CatalogError, PasswordHash};
use std::collections::BTreeMap;

/// The password hashes that a file leads to.
///
/// Hashing takes 20 ms each, too long to hold a write transaction open, so it is done before one. Should
/// another process set a password in between, the file's still wins, as if it had come wholly after.
#[derive(Debug, Default)]
pub(crate) struct SettledPasswords {
    by_login: BTreeMap<String, PasswordHash>,
}

impl SettledPasswords {
    /// `wanted` is the passwords of the file by the login's key, `stored` the hashes of all logins. Slow:
    /// one or two password hashes for each of `wanted`.
    pub(crate) fn settle(
        wanted: Vec<(String, Secret)>,
        stored: &BTreeMap<String, PasswordHash>,
    ) -> Result<SettledPasswords, CatalogError> {
        let settle_one = |(key, password): (String, Secret)| {
            let hash = match stored.get(&key) {
                // Applied again, a file must find the password as it wants it.
                Some(hash) if hash.verify(password.expose()) => hash.clone(),
                _ => PasswordHash::new(password.expose())?,
            };
            Ok((key, hash))
        };
        let by_login = wanted.into_iter().map(settle_one).collect::<Result<_, CatalogError>>()?;
        Ok(SettledPasswords { by_login })
    }

    /// The hash that the login of that key gets; `None` when the file names no password.
    pub(super) fn for_login(&self, key: &str) -> Option<&PasswordHash> {
        self.by_login.get(key)
    }
}
