use crate::CatalogError;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;

/// Memory in KiB, passes and lanes of argon2id: OWASP's first recommendation, about 20 ms of one core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const MIN_CHARACTERS: usize = 10;
const MAX_CHARACTERS: usize = 64;

/// The rule that a password breaks. It never quotes the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRuleError {
    /// Under 10 or over 64 characters.
    #[error("a password has 10 to 64 characters")]
    Length,
    /// No upper-case letter.
    #[error("a password needs an upper-case letter")]
    NoUpperCase,
    /// No lower-case letter.
    #[error("a password needs a lower-case letter")]
    NoLowerCase,
    /// No digit.
    #[error("a password needs a digit")]
    NoDigit,
    /// Letters and digits only.
    #[error("a password needs a special character")]
    NoSpecial,
}

/// Whether a new password is good enough: 10 to 64 characters, among them an upper-case letter, a
/// lower-case letter, a digit and a special character (anything that is neither letter nor digit).
pub fn check_password_rules(password: &str) -> Result<(), PasswordRuleError> {
    if !(MIN_CHARACTERS..=MAX_CHARACTERS).contains(&password.chars().count()) {
        return Err(PasswordRuleError::Length);
    }
    let has = |rule: fn(char) -> bool| password.chars().any(rule);
    if !has(char::is_uppercase) {
        return Err(PasswordRuleError::NoUpperCase);
    }
    if !has(char::is_lowercase) {
        return Err(PasswordRuleError::NoLowerCase);
    }
    if !has(char::is_numeric) {
        return Err(PasswordRuleError::NoDigit);
    }
    if !has(|character| !character.is_alphanumeric()) {
        return Err(PasswordRuleError::NoSpecial);
    }
    Ok(())
}

/// The argon2id hash of a password, in the PHC string format with its parameters and salt.
///
/// Making and checking one takes about 20 ms of CPU and 19 MiB: call it off the async workers, and bound
/// how many run at once.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes `password` with a new random salt. Does not look at the password rules.
    ///
    /// Fails only when the system gives no random bytes or no memory.
    pub fn new(password: &str) -> Result<PasswordHash, CatalogError> {
        let hash: password_hash::phc::PasswordHash =
            hasher()?.hash_password(password.as_bytes()).map_err(CatalogError::secret)?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether it is the hash of `password`. A malformed hash is that of no password.
    pub fn verify(&self, password: &str) -> bool {
        let Ok(hash) = password_hash::phc::PasswordHash::new(&self.0) else { return false };
        // The parameters of the stored hash are used, so that older hashes stay good when ours rise.
        hasher().is_ok_and(|hasher| hasher.verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// The hash of no password that anyone knows, as costly to check as any other.
    pub(crate) fn of_nobody() -> PasswordHash {
        PasswordHash(
            "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbCE$vKq0Y7sU3m5nJxR1tWcE8bZf2hLdPaGoTiVyNwXuCkA"
                .to_owned(),
        )
    }

    /// Takes a hash as [`PasswordHash::as_phc`] gave it.
    pub(crate) fn from_phc(phc: String) -> PasswordHash {
        PasswordHash(phc)
    }

    pub(crate) fn as_phc(&self) -> &str {
        &self.0
    }
}

/// A hash can be attacked offline, so it stays out of logs.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn hasher() -> Result<Argon2<'static>, CatalogError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(CatalogError::secret)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_its_password_alone() {
        let hash = PasswordHash::new("Correct-horse-1").unwrap();
        assert!(hash.verify("Correct-horse-1"));
        assert!(!hash.verify("correct-horse-1"));
        assert!(!hash.verify(""));
        assert_ne!(hash, PasswordHash::new("Correct-horse-1").unwrap(), "each hash has its own salt");
        assert!(!PasswordHash::from_phc("not a hash".into()).verify("not a hash"));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_others_cost() {
        let parts = |hash: &PasswordHash| {
            let hash = password_hash::phc::PasswordHash::new(hash.as_phc()).unwrap();
            let (salt, output) = (hash.salt.unwrap(), hash.hash.unwrap());
            (hash.algorithm.to_string(), hash.version, hash.params.to_string(), salt.len(), output.len())
        };
        let real = PasswordHash::new("Correct-horse-1").unwrap();
        // The length of the salt is hashed in one block either way; all else must be equal.
        let (a, b) = (parts(&real), parts(&PasswordHash::of_nobody()));
        assert_eq!((a.0, a.1, a.2, a.4), (b.0, b.1, b.2, b.4));
        assert!(real.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn each_rule_is_named() {
        use PasswordRuleError::{Length, NoDigit, NoLowerCase, NoSpecial, NoUpperCase};
        let cases = [
            ("Abcdefg1!", Err(Length)),
            ("Abcdefgh1!", Ok(())),
            ("abcdefgh1!", Err(NoUpperCase)),
            ("ABCDEFGH1!", Err(NoLowerCase)),
            ("Abcdefghi!", Err(NoDigit)),
            ("Abcdefghi1", Err(NoSpecial)),
            ("", Err(Length)),
            ("Pässwörter 1", Ok(())),
        ];
        for (password, expected) in cases {
            assert_eq!(check_password_rules(password), expected, "{password}");
        }
        let longest = format!("Aa1!{}", "x".repeat(60));
        assert_eq!(check_password_rules(&longest), Ok(()));
        assert_eq!(check_password_rules(&format!("{longest}x")), Err(Length));
    }
}
