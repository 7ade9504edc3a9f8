//! The stored form of an event: its canonical text and the hash of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::event::{DecodeError, Event};
use crate::ids::{EventId, StreamId};
use crate::journal::JournalEntry;
use crate::time::Timestamp;

/// An event that was decided, before the log gives it its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The id, drawn before the command was queued.
    pub event_id: EventId,
    /// The stream that it belongs to.
    pub stream_id: StreamId,
    /// What happened.
    pub event: Event,
    /// The money that it moves.
    pub postings: JournalEntry,
}

/// An event in its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Place in the log: 1, 2, 3 … in commit order, without a gap (I2).
    pub position: u64,
    /// Place in the stream: 1, 2, 3 …
    pub version: u64,
    /// When the batch that appended it held the log's lock.
    pub recorded_at: Timestamp,
    /// The API key's id, or `system:` and the part of the ledger that acted.
    pub actor: String,
    /// The request that caused it; `None` where no request did.
    pub request_id: Option<String>,
    /// What was decided.
    pub draft: Draft,
}

/// The envelope object of the contract.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    actor: String,
    #[serde(borrow)]
    data: &'a RawValue,
    event_id: EventId,
    position: u64,
    postings: JournalEntry,
    recorded_at: Timestamp,
    request_id: Option<String>,
    schema_version: u32,
    stream_id: StreamId,
    r#type: String,
    version: u64,
}

/// What stands before `data` in the envelope object.
#[derive(Serialize)]
struct Before<'a> {
    actor: &'a str,
}

/// What stands behind `data`, in the order of RFC 8785.
#[derive(Serialize)]
struct Behind<'a> {
    event_id: EventId,
    position: u64,
    postings: &'a JournalEntry,
    recorded_at: Timestamp,
    request_id: Option<&'a str>,
    schema_version: u32,
    stream_id: StreamId,
    r#type: &'static str,
    version: u64,
}

impl Envelope {
    /// Returns what happened.
    pub const fn event(&self) -> &Event {
        &self.draft.event
    }

    /// Returns the stream that the event belongs to.
    pub const fn stream_id(&self) -> StreamId {
        self.draft.stream_id
    }

    /// Writes the canonical form: the RFC 8785 text of the envelope object. It is final.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        let Draft { event_id, stream_id, event, postings } = &self.draft;
        let before = canonical::to_string(&Before { actor: &self.actor })?;
        let tagged = canonical::to_string(event)?;
        let behind = canonical::to_string(&Behind {
            event_id: *event_id,
            position: self.position,
            postings,
            recorded_at: self.recorded_at,
            request_id: self.request_id.as_deref(),
            schema_version: event.schema_version(),
            stream_id: *stream_id,
            r#type: event.type_name(),
            version: self.version,
        })?;
        // {"data":…,"type":…}, of which the data stand in the envelope as they are.
        let data = tagged.rsplit_once(",\"type\":").and_then(|(data, _)| data.strip_prefix('{'));
        let data = data.ok_or_else(|| serde::ser::Error::custom("an event without data"))?;
        Ok([&before[..before.len() - 1], ",", data, ",", &behind[1..]].concat())
    }

    /// Reads a canonical form, of today's or of any earlier schema version.
    pub fn parse(canonical: &str) -> Result<Self, DecodeError> {
        let stored: Stored<'_> = serde_json::from_str(canonical)?;
        let event = Event::decode(&stored.r#type, stored.schema_version, stored.data)?;
        Ok(Self {
            position: stored.position,
            version: stored.version,
            recorded_at: stored.recorded_at,
            actor: stored.actor,
            request_id: stored.request_id,
            draft: Draft {
                event_id: stored.event_id,
                stream_id: stored.stream_id,
                event,
                postings: stored.postings,
            },
        })
    }
}

/// The hash of one event, a leaf of the log's Merkle tree (RFC 6962 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafHash(pub [u8; 32]);

impl LeafHash {
    /// What stands for the leaf before the first event.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes a canonical text: SHA-256(0x00 ‖ text).
    pub fn of(canonical: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update([0x00]);
        hash.update(canonical.as_bytes());
        Self(hash.finalize().into())
    }
}

impl fmt::Display for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LeafHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}
