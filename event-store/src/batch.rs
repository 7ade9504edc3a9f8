//! What one transaction appends.

use std::collections::HashMap;

use ledger_core::card_number::Fingerprint;
use ledger_core::ids::{CardId, KeyId, StreamId};
use ledger_core::state::{Key, Record};
use ledger_core::{LeafHash, Timestamp};
use uuid::Uuid;

/// The first answer to a request, kept as long as the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The request's idempotency key: 16 bytes of an HMAC over owner and key.
    pub key: Uuid,
    /// What was asked: 16 bytes of an HMAC over method, path and body.
    pub fingerprint: Uuid,
    /// The HTTP status.
    pub status: u16,
    /// The position of the last event, or of the head that it was decided on.
    pub position: u64,
    /// The answer, secrets null and personal fields as ciphertext.
    pub answer: String,
}

/// One event as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Place in the log.
    pub position: u64,
    /// The stream.
    pub stream_id: String,
    /// Place in the stream.
    pub version: u64,
    /// The type's name.
    pub type_name: &'static str,
    /// The canonical text.
    pub canonical: String,
    /// Its hash.
    pub leaf_hash: LeafHash,
}

/// One record that events have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which one.
    pub key: Key,
    /// What it is now.
    pub record: Record,
    /// The version of the row that was decided on; 0 where there was none.
    pub expected_version: u64,
}

/// Everything that commits together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The moment of all its events; none where it has none.
    pub recorded_at: Option<Timestamp>,
    /// The events, in order of their positions.
    pub events: Vec<StoredEvent>,
    /// The first answers.
    pub outcomes: Vec<Outcome>,
    /// The write side's rows.
    pub changes: Vec<Change>,
    /// Of cards that were issued: what their numbers are known by.
    pub fingerprints: HashMap<CardId, Fingerprint>,
    /// Of API keys that were created: SHA-256 of the secrets.
    pub secret_hashes: HashMap<KeyId, [u8; 32]>,
    /// Keys of new subjects, wrapped.
    pub subject_keys: Vec<(StreamId, Vec<u8>)>,
}

impl Batch {
    /// Begins a batch of nothing.
    pub fn new(recorded_at: Option<Timestamp>) -> Self {
        Self {
            recorded_at,
            events: Vec::new(),
            outcomes: Vec::new(),
            changes: Vec::new(),
            fingerprints: HashMap::new(),
            secret_hashes: HashMap::new(),
            subject_keys: Vec::new(),
        }
    }
}
