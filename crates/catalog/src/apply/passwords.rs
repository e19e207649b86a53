use crate::file::CatalogFile;
use crate::state::{State, login_key};
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
    /// `stored` maps a login's key to its hash. Slow: one or two password hashes for each password of
    /// the file.
    pub(crate) fn settle(
        file: &CatalogFile,
        stored: &BTreeMap<String, PasswordHash>,
    ) -> Result<SettledPasswords, CatalogError> {
        let mut by_login = BTreeMap::new();
        for user in &file.users {
            let Some(password) = &user.password else { continue };
            let key = login_key(&user.username);
            let before = stored.get(&key).cloned();
            let after = match &before {
                // Applied again, a file must find the password as it wants it.
                Some(hash) if hash.verify(password.expose()) => hash.clone(),
                _ => PasswordHash::new(password.expose())?,
            };
            by_login.insert(key, (before, after));
        }
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
