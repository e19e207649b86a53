use crate::{PasswordHash, StoredLogin};

/// Why a name and a password are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no such login, or its password is another: the caller must not learn which.
    #[error("No match found for user/pass")]
    NoMatch,
    /// Name and password are right, and the login or its member is switched off.
    #[error("The login is switched off")]
    Disabled,
}

/// Checks `password` against what was found under the name that came with it.
///
/// `None` (no such login) takes as long as a wrong password, so that nobody can find out which names
/// exist. Takes the time of one password hash: call it off the async workers, a bounded number at once.
pub fn check_credentials(found: Option<StoredLogin>, password: &str) -> Result<StoredLogin, CredentialError> {
    check_with(found, |hash| hash.verify(password))
}

/// Calls `verify` exactly once in every case, so that all cases cost the same.
fn check_with(
    found: Option<StoredLogin>,
    verify: impl FnOnce(&PasswordHash) -> bool,
) -> Result<StoredLogin, CredentialError> {
    let Some(login) = found else {
        verify(&PasswordHash::of_nobody());
        return Err(CredentialError::NoMatch);
    };
    if !verify(&login.password_hash) {
        return Err(CredentialError::NoMatch);
    }
    // Only a caller with the right password learns that the login is off.
    if login.active { Ok(login) } else { Err(CredentialError::Disabled) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Login, UserType};
    use ia_model::MemberId;
    use std::cell::Cell;

    fn stored(active: bool) -> StoredLogin {
        let login = Login {
            user_id: 1,
            username: "ann".into(),
            member: MemberId(1),
            user_type: UserType::Member,
            read_only: false,
        };
        StoredLogin { login, active, password_hash: PasswordHash::of_nobody() }
    }

    #[test]
    fn every_outcome_hashes_once() {
        use CredentialError::{Disabled, NoMatch};
        let cases = [
            (None, true, Err(NoMatch)),
            (None, false, Err(NoMatch)),
            (Some(stored(true)), true, Ok(stored(true))),
            (Some(stored(true)), false, Err(NoMatch)),
            (Some(stored(false)), true, Err(Disabled)),
            (Some(stored(false)), false, Err(NoMatch)),
        ];
        for (found, right, expected) in cases {
            let hashed = Cell::new(0);
            let outcome = check_with(found, |_| {
                hashed.set(hashed.get() + 1);
                right
            });
            assert_eq!(outcome, expected);
            assert_eq!(hashed.get(), 1, "{expected:?}");
        }
    }
}
