//! Personal data in events: only as ciphertext under a key of the person it is about.
//!
//! A field is sealed with AES-256-GCM under its subject's key; the subject's keys are stored wrapped by
//! a master key that is not in the database. When a subject's key is deleted, its fields are gone from
//! the log and from every copy of it, while the log's hashes still verify.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{EventId, StreamId};

/// A 256-bit key: of one subject, or the master key that wraps them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

/// A 96-bit nonce, drawn fresh for every sealing.
pub type SealNonce = [u8; 12];

impl SecretKey {
    /// Takes 32 bytes as a key.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Wraps a subject's key under this master key: nonce ‖ ciphertext ‖ tag, bound to the subject.
    pub fn wrap(&self, key: &Self, subject: StreamId, nonce: SealNonce) -> Vec<u8> {
        self.encrypt(&key.0, subject.to_string().as_bytes(), nonce)
    }

    /// Unwraps a subject's key; `None` if it was not wrapped under this key for this subject.
    pub fn unwrap_key(&self, wrapped: &[u8], subject: StreamId) -> Option<Self> {
        let mut plain = self.decrypt(wrapped, subject.to_string().as_bytes())?;
        let key = plain.as_slice().try_into().ok().map(Self);
        plain.zeroize();
        key
    }

    fn encrypt(&self, plain: &[u8], aad: &[u8], nonce: SealNonce) -> Vec<u8> {
        let cipher = Aes256Gcm::new(&self.0.into());
        let payload = Payload { msg: plain, aad };
        #[expect(clippy::expect_used, reason = "the texts are kilobytes, AES-GCM takes 64 GiB")]
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).expect("AES-GCM takes texts up to 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    fn decrypt(&self, boxed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = boxed.split_first_chunk::<12>()?;
        let payload = Payload { msg: sealed, aad };
        Aes256Gcm::new(&self.0.into()).decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

/// A personal field as events keep it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// Whose key it is sealed under: a client, or the stream that the event is in.
    pub subject: StreamId,
    /// Base64 of nonce ‖ ciphertext ‖ tag; the plain text is the field's JSON (RFC 8785).
    #[serde(rename = "box")]
    pub boxed: String,
}

impl Sealed {
    /// Seals a field of an event; the box opens only for this event and field.
    pub fn seal(
        key: &SecretKey,
        subject: StreamId,
        event: EventId,
        field: &str,
        nonce: SealNonce,
        plain: &Value,
    ) -> Self {
        let mut text = serde_json_canonicalizer::to_string(plain).unwrap_or_default();
        let boxed = key.encrypt(text.as_bytes(), &aad(event, field), nonce);
        text.zeroize();
        Self { subject, boxed: STANDARD.encode(boxed) }
    }

    /// Opens the box; `None` if it was not sealed under this key for this event and field.
    pub fn open(&self, key: &SecretKey, event: EventId, field: &str) -> Option<Value> {
        let boxed = STANDARD.decode(&self.boxed).ok()?;
        let plain = key.decrypt(&boxed, &aad(event, field))?;
        serde_json::from_slice(&plain).ok()
    }
}

fn aad(event: EventId, field: &str) -> Vec<u8> {
    format!("{event}{field}").into_bytes()
}

/// Why something was done: a machine's code in clear, or a person's words as ciphertext.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reason {
    /// A person wrote it.
    Person(Sealed),
    /// The ledger says so, in a stable code.
    Machine(String),
}

/// What a movement of money is called: a merchant's word in clear, or a person's as ciphertext.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// Bank or operator wrote it of a person.
    Person(Sealed),
    /// A merchant wrote it.
    Clear(String),
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::ClientId;

    #[test]
    fn opens_only_for_its_key_event_and_field() {
        let (key, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let subject = StreamId::Client(ClientId::new(Uuid::from_u128(1)));
        let (event, next) = (EventId::new(Uuid::from_u128(2)), EventId::new(Uuid::from_u128(3)));
        let name = Value::from("Ada Lovelace");
        let sealed = Sealed::seal(&key, subject, event, "name", [9; 12], &name);
        assert_eq!(sealed.open(&key, event, "name"), Some(name));
        assert_eq!(sealed.open(&other, event, "name"), None);
        assert_eq!(sealed.open(&key, next, "name"), None);
        assert_eq!(sealed.open(&key, event, "email"), None);
        assert_eq!(Sealed { boxed: "AAAA".into(), ..sealed }.open(&key, event, "name"), None);
    }

    #[test]
    fn a_wrapped_key_opens_under_its_master_for_its_subject() {
        let (master, key) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let subject = StreamId::Client(ClientId::new(Uuid::from_u128(1)));
        let other = StreamId::Client(ClientId::new(Uuid::from_u128(2)));
        let wrapped = master.wrap(&key, subject, [3; 12]);
        assert!(master.unwrap_key(&wrapped, subject).is_some_and(|found| found.0 == key.0));
        assert!(master.unwrap_key(&wrapped, other).is_none());
        assert!(key.unwrap_key(&wrapped, subject).is_none());
        assert!(master.unwrap_key(&[], subject).is_none());
    }
}
