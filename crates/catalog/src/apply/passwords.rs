use crate::file::Secret;
use crate::state::State;
use crate::{CatalogError, PasswordHash};
use std::collections::BTreeMap;

/// The password hashes that a file leads to.
///
/// Hashing takes 20 ms each, too long to hold a write transaction open. So it is done before, against
/// the hashes stored then; inside the transaction [`SettledPasswords::still_holds`] tells whether they
/// are still the same.
#[derive(Debug, Default)]
pub(crate) struct SettledPasswords {
    /// By the login's key: what was stored, and what is to be.
    by_login: BTreeMap<String, (Option<PasswordHash>, PasswordHash)>,
}

impl SettledPasswords {
    /// `wanted` is the passwords of the file by the login's key, `stored` the hashes of all logins. Slow:
    /// one or two password hashes for each of `wanted`.
    pub(crate) fn settle(
        wanted: Vec<(String, Secret)>,
        stored: &BTreeMap<String, PasswordHash>,
    ) -> Result<SettledPasswords, CatalogError> {
        let settle_one = |(key, password): (String, Secret)| {
            let before = stored.get(&key).cloned();
            let after = match &before {
                // Applied again, a file must find the password as it wants it.
                Some(hash) if hash.verify(password.expose()) => hash.clone(),
                _ => PasswordHash::new(password.expose())?,
            };
            Ok((key, (before, after)))
        };
        let by_login = wanted.into_iter().map(settle_one).collect::<Result<_, CatalogError>>()?;
        Ok(SettledPasswords { by_login })
    }

    /// Whether `state` still has the hashes that the passwords were compared with.
    pub(crate) fn still_holds(&self, state: &State) -> bool {
        self.by_login
            .iter()
            .all(|(key, (before, _))| state.logins.get(key).map(|row| &row.password_hash) == before.as_ref())
    }

    /// The hash that the login of that key gets; `None` when the file names no password.
    pub(super) fn for_login(&self, key: &str) -> Option<&PasswordHash> {
        self.by_login.get(key).map(|(_, after)| after)
    }
}
