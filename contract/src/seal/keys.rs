//! Ed25519 keys: from a seed, in and out as PEM, named by the digest of their public half.
//!
//! Private keys are written as PKCS#8 version 1, without the public key inside, because openssl 3.0 cannot read version 2.
//! Randomness never enters here: seeds are arguments.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::code::{self, Code};
use crate::digest::{Digest, InvalidDigest};

/// No key file is larger; a certificate chain or a key ring given by mistake is refused before it is parsed.
const MAX_PEM_BYTES: usize = 4096;

/// The name of a key: SHA-256 of the DER form of its SubjectPublicKeyInfo, in lowercase hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Digest);

/// Why a key could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No PKCS#8 PEM of an Ed25519 private key.
    #[error("no Ed25519 private key in PKCS#8 PEM: {0}")]
    Private(String),
    /// No SPKI PEM of an Ed25519 public key.
    #[error("no Ed25519 public key in SPKI PEM: {0}")]
    Public(String),
    /// A public key of small order, for which everyone can make signatures.
    #[error("public key is weak: everyone can sign for it")]
    Weak,
    /// The key did not fit the format when it was written.
    #[error("key cannot be written: {0}")]
    Write(String),
}

/// An Ed25519 private key. Its `Debug` shows only the key id; its bytes are wiped when dropped.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// An Ed25519 public key that is not weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// The key that belongs to a seed of 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads `-----BEGIN PRIVATE KEY-----`.
    pub fn from_pem(pem: &str) -> Result<Self, KeyFault> {
        if pem.len() > MAX_PEM_BYTES {
            return Err(KeyFault::Private(format!(
                "longer than {MAX_PEM_BYTES} bytes"
            )));
        }
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|e| KeyFault::Private(e.to_string()))
    }

    /// Writes PKCS#8 version 1 PEM with LF line ends. The text is the secret: write it to a file of mode 0600.
    pub fn to_pem(&self) -> Result<String, KeyFault> {
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = bytes
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| KeyFault::Write(e.to_string()))?;
        Ok(pem.to_string())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The 64 bytes of an Ed25519 signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`. Keys of small order are refused.
    pub fn from_pem(pem: &str) -> Result<Self, KeyFault> {
        if pem.len() > MAX_PEM_BYTES {
            return Err(KeyFault::Public(format!(
                "longer than {MAX_PEM_BYTES} bytes"
            )));
        }
        let key =
            VerifyingKey::from_public_key_pem(pem).map_err(|e| KeyFault::Public(e.to_string()))?;
        if key.is_weak() {
            Err(KeyFault::Weak)
        } else {
            Ok(Self(key))
        }
    }

    /// Writes SPKI PEM with LF line ends.
    pub fn to_pem(&self) -> Result<String, KeyFault> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| KeyFault::Write(e.to_string()))
    }

    /// SHA-256 of the SPKI DER. The DER of an Ed25519 key is a fixed prefix of 12 bytes (RFC 8410) and the key.
    pub fn key_id(&self) -> KeyId {
        const SPKI_PREFIX: [u8; 12] = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        KeyId(Digest::of(
            &[SPKI_PREFIX.as_slice(), self.0.as_bytes()].concat(),
        ))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is this key's over `message`, by the strict rule that leaves a signature one spelling.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl KeyId {
    /// The digest that is the name.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.parse().map(Self)
    }
}

impl KeyFault {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        code::KEY_UNREADABLE
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn pem_round_trips_without_the_public_key() {
        let key = PrivateKey::from_seed(&[7; 32]);
        let pem = key.to_pem().unwrap();
        // 48 bytes of DER are one line of 64 digits; version 2 would need two.
        assert_eq!(pem.lines().count(), 3, "{pem}");
        assert_eq!(PrivateKey::from_pem(&pem).unwrap().public(), key.public());
        let public = key.public().to_pem().unwrap();
        assert_eq!(PublicKey::from_pem(&public).unwrap(), key.public());
        assert!(PublicKey::from_pem(&pem).is_err());
        assert!(PrivateKey::from_pem(&public).is_err());
        assert!(!format!("{key:?}").contains("070707"));
    }

    #[test]
    fn weak_keys_are_refused() {
        // The neutral element as a key: signatures for it can be made by everyone.
        let mut bytes = [0_u8; 32];
        bytes[0] = 1;
        let pem = PublicKey(VerifyingKey::from_bytes(&bytes).unwrap())
            .to_pem()
            .unwrap();
        assert_eq!(PublicKey::from_pem(&pem), Err(KeyFault::Weak));
    }

    #[test]
    fn key_id_is_the_digest_of_the_der_form() {
        let key = PrivateKey::from_seed(&[9; 32]).public();
        let der = key.0.to_public_key_der().unwrap();
        assert_eq!(key.key_id().digest(), &Digest::of(der.as_bytes()));
    }
}
