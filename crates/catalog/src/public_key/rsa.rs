use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs1::der::Decode as _;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;

const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;
/// The longest exponent that is taken; 65537, which everybody has, is 17 bits long.
const MAX_EXPONENT_BITS: usize = 33;
const PEM_LINE: usize = 64;

/// Why something is no key to check signed tokens with. It never quotes what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// It is, or has beside it, a private key.
    #[error(
        "is or contains a private key, which nobody but its owner may have: make a new pair, and send its public key"
    )]
    Private,
    /// It is no public key in PEM.
    #[error("must be a public key in PEM, which begins with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    /// It is one of another algorithm.
    #[error("must be an RSA key")]
    NotRsa,
    /// It is too short to be safe, or so long that checking takes too long.
    #[error("must be an RSA key of 2048 to 8192 bits")]
    Size,
}

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaKey {
    spki: Vec<u8>,
    pkcs1: Vec<u8>,
}

impl RsaKey {
    /// Reads a key in PEM, as `openssl rsa -pubout` writes it.
    pub fn from_pem(text: &str) -> Result<RsaKey, RsaKeyError> {
        if text.contains("PRIVATE") {
            return Err(RsaKeyError::Private);
        }
        let spki =
            SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| RsaKeyError::NotPem)?;
        RsaKey::from_spki(spki.as_ref())
    }

    /// Reads a key in DER.
    pub fn from_spki(spki: &[u8]) -> Result<RsaKey, RsaKeyError> {
        let info = spki::SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| RsaKeyError::NotPem)?;
        if info.algorithm.oid != pkcs1::ALGORITHM_OID {
            return Err(RsaKeyError::NotRsa);
        }
        let pkcs1 = info.subject_public_key.raw_bytes();
        let key = pkcs1::RsaPublicKeyRef::from_der(pkcs1).map_err(|_| RsaKeyError::NotRsa)?;
        let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
        if !(MIN_BITS..=MAX_BITS).contains(&bits(modulus)) {
            return Err(RsaKeyError::Size);
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !is_odd(modulus) || !is_odd(exponent) || !(2..=MAX_EXPONENT_BITS).contains(&bits(exponent)) {
            return Err(RsaKeyError::NotRsa);
        }
        Ok(RsaKey { spki: spki.to_vec(), pkcs1: pkcs1.to_vec() })
    }

    /// A key whose private half is known to nobody: what is checked where there is no key, so that it takes as long.
    pub fn of_nobody() -> RsaKey {
        RsaKey::from_pem(include_str!("nobody.pem")).expect("it is a key")
    }

    /// The key in PEM.
    pub fn to_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.spki);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in encoded.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// The key in DER.
    pub fn as_spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `signature` is that of `message` by RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.pkcs1).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({} bytes)", self.spki.len())
    }
}

/// The bits of a big-endian number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_through_its_forms_and_other_things_are_told_what_they_are() {
        let key = RsaKey::of_nobody();
        assert_eq!(RsaKey::from_pem(&key.to_pem()), Ok(key.clone()));
        assert_eq!(key.to_pem(), include_str!("nobody.pem"));
        let windows = key.to_pem().replace('\n', "\r\n");
        assert_eq!(RsaKey::from_pem(&format!("a comment\n{windows}")), Ok(key.clone()));
        let private = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let both = format!("{}{private}", key.to_pem());
        let cut = key.to_pem().replace("AQAB", "AQA");
        for (text, expected) in [
            (private, RsaKeyError::Private),
            (both.as_str(), RsaKeyError::Private),
            ("", RsaKeyError::NotPem),
            (&key.to_pem()[..200], RsaKeyError::NotPem),
            (cut.as_str(), RsaKeyError::NotPem),
            (include_str!("../../tests/fixtures/ec.pub.pem"), RsaKeyError::NotRsa),
            (include_str!("../../tests/fixtures/rsa1024.pub.pem"), RsaKeyError::Size),
        ] {
            assert_eq!(RsaKey::from_pem(text), Err(expected), "{text}");
        }
        let mut longer = key.as_spki().to_vec();
        longer.push(0);
        assert!(RsaKey::from_spki(&longer).is_err(), "nothing may follow it");
    }
}
