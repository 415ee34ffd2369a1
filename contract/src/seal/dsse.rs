//! DSSE envelopes: a payload, its type, and signatures over both.
//!
//! A `keyid` in an envelope is a hint and decides nothing: every signature is tried against every candidate key. We write
//! none, so that no byte of an envelope of ours can change without being noticed. The interesting function is [`Envelope::verify`].

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::keys::{KeyId, PrivateKey, PublicKey};

/// The payload type of everything that we sign.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// More signatures than any threshold needs would only cost time to refuse.
const MAX_SIGNATURES: usize = 32;

/// A parsed envelope. Nothing in it is trusted before [`Envelope::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload claims to be; signed together with it.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// Signatures in file order.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// A hint for people; decides nothing.
    pub keyid: Option<String>,
    /// The raw signature.
    pub sig: Vec<u8>,
}

/// Which of the candidate keys signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signers {
    /// Each key once, however often it signed.
    pub keys: BTreeSet<KeyId>,
    /// Positions of signatures that no candidate key made.
    pub unknown: Vec<usize>,
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// No JSON object of the DSSE fields.
    #[error("not a DSSE envelope: {0}")]
    Shape(String),
    /// A field is neither standard nor URL-safe base64.
    #[error("`{0}` of the envelope is no base64")]
    Base64(&'static str),
    /// Too many signatures.
    #[error("envelope has {0} signatures, at most {MAX_SIGNATURES} are read")]
    TooManySignatures(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// The bytes that are signed: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Envelope {
    /// An envelope of our payload type, signed by each of these keys.
    pub fn sign(payload: Vec<u8>, keys: &[&PrivateKey]) -> Self {
        let mut envelope = Self {
            payload_type: PAYLOAD_TYPE.into(),
            payload,
            signatures: Vec::new(),
        };
        for key in keys {
            envelope.add_signature(key);
        }
        envelope
    }

    /// Adds one more signature over the same payload.
    pub fn add_signature(&mut self, key: &PrivateKey) {
        let sig = key.sign(&pae(&self.payload_type, &self.payload)).to_vec();
        self.signatures.push(Signature { keyid: None, sig });
    }

    /// Reads an envelope. Unknown and duplicate fields, other encodings and trailing bytes are refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EnvelopeFault> {
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|e| EnvelopeFault::Shape(e.to_string()))?;
        if wire.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeFault::TooManySignatures(wire.signatures.len()));
        }
        let signatures = wire
            .signatures
            .into_iter()
            .map(|s| {
                Ok(Signature {
                    keyid: s.keyid,
                    sig: decode(&s.sig).ok_or(EnvelopeFault::Base64("sig"))?,
                })
            })
            .collect::<Result<_, _>>()?;
        let payload = decode(&wire.payload).ok_or(EnvelopeFault::Base64("payload"))?;
        Ok(Self {
            payload_type: wire.payload_type,
            payload,
            signatures,
        })
    }

    /// One line of JSON without a line end; standard base64.
    pub fn to_json(&self) -> String {
        let signatures: Vec<serde_json::Value> = self
            .signatures
            .iter()
            .map(|s| match &s.keyid {
                Some(keyid) => serde_json::json!({"keyid": keyid, "sig": STANDARD.encode(&s.sig)}),
                None => serde_json::json!({"sig": STANDARD.encode(&s.sig)}),
            })
            .collect();
        serde_json::json!({
            "payload": STANDARD.encode(&self.payload),
            "payloadType": self.payload_type,
            "signatures": signatures,
        })
        .to_string()
    }

    /// Which of these keys signed the payload and its type. Tries every key on every signature.
    pub fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey> + Clone) -> Signers {
        let message = pae(&self.payload_type, &self.payload);
        let mut signers = Signers::default();
        for (position, signature) in self.signatures.iter().enumerate() {
            match keys
                .clone()
                .into_iter()
                .find(|key| key.verify(&message, &signature.sig))
            {
                Some(key) => {
                    signers.keys.insert(key.key_id());
                }
                None => signers.unknown.push(position),
            }
        }
        signers
    }
}

/// Standard or URL-safe alphabet, with padding, without stray trailing bits; never a mixture of both.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_the_published_vector() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn both_alphabets_are_read_and_no_mixture() {
        let key = PrivateKey::from_seed(&[1; 32]);
        // These bytes use `+` and `/` in the standard alphabet.
        let envelope = Envelope::sign(vec![0xfb, 0xff, 0xbf, 0xfb, 0xef, 0xff], &[&key]);
        let json = envelope.to_json();
        assert!(json.contains("+/+/++//") || json.contains("+/"), "{json}");
        assert_eq!(Envelope::from_json(json.as_bytes()).unwrap(), envelope);
        let payload = STANDARD.encode(&envelope.payload);
        let url_safe = json.replace(&payload, &payload.replace('+', "-").replace('/', "_"));
        assert_eq!(Envelope::from_json(url_safe.as_bytes()).unwrap(), envelope);
        let mixed = json.replace(&payload, &payload.replace('+', "-"));
        assert_eq!(
            Envelope::from_json(mixed.as_bytes()),
            Err(EnvelopeFault::Base64("payload"))
        );
    }

    #[test]
    fn a_keyid_decides_nothing_and_a_key_counts_once() {
        let (a, b) = (
            PrivateKey::from_seed(&[1; 32]),
            PrivateKey::from_seed(&[2; 32]),
        );
        let mut envelope = Envelope::sign(b"x".to_vec(), &[&a, &a]);
        envelope.signatures[0].keyid = Some(b.public().key_id().to_string());
        let signers = envelope.verify(&[a.public(), b.public()]);
        assert_eq!(signers.keys, BTreeSet::from([a.public().key_id()]));
        assert!(signers.unknown.is_empty());
        assert_eq!(envelope.verify(&[b.public()]).unknown, [0, 1]);
    }

    #[test]
    fn the_type_is_signed_too() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let mut envelope = Envelope::sign(b"x".to_vec(), &[&key]);
        envelope.payload_type = "application/json".into();
        assert!(envelope.verify(&[key.public()]).keys.is_empty());
    }

    #[test]
    fn duplicate_and_unknown_fields_are_refused() {
        for wrong in [
            r#"{"payload":"","payload":"","payloadType":"t","signatures":[]}"#,
            r#"{"payload":"","payloadType":"t","signatures":[],"x":1}"#,
            r#"{"payload":"","payloadType":"t","signatures":[{"sig":"","sig":""}]}"#,
            r#"{"payload":"","payloadType":"t"}"#,
            r#"{"payload":"","payloadType":"t","signatures":[]} x"#,
            r#"{"payload":"AB==","payloadType":"t","signatures":[]}"#,
            r#"{"payload":"AA","payloadType":"t","signatures":[]}"#,
        ] {
            assert!(Envelope::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
