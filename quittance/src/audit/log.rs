//! The log itself: its rows, and the chain that they must form.

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::types::chrono::{DateTime, Utc};

use super::canonical;
use super::event::Event;
use super::fields::Malformed;
use super::moment::Moment;
use super::report::{Check, Findings};

/// How large an event's text may be.
const BYTES_MAX: usize = 128 * 1024;

/// A row of `events`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct LogRow {
    pub(super) position: i64,
    pub(super) stream_id: String,
    pub(super) version: i64,
    #[sqlx(rename = "type")]
    pub(super) kind: String,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) canonical: String,
    pub(super) leaf_hash: Vec<u8>,
}

/// Hashes a canonical text as a leaf of RFC 6962: SHA-256(0x00 ‖ text).
pub(super) fn leaf_hash(canonical: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0x00]);
    hash.update(canonical.as_bytes());
    hash.finalize().into()
}

/// The rows so far: positions without a gap, moments that never go back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    pub(super) position: u64,
    at: Moment,
}

impl Chain {
    /// Checks a row against those before it and against its own text, and reads the event from the text.
    pub(super) fn follow(&mut self, row: &LogRow, findings: &mut Findings) -> Option<Event> {
        let position = row.position.unsigned_abs();
        let mut check = findings.at(position);
        check.same("position", self.position + 1, position);
        self.position = position;
        let at = Moment::of(row.recorded_at);
        check.holds(at >= self.at, "recorded_at", format!("no earlier than {}", self.at), at);
        self.at = at;
        check.same("leaf_hash", hex::encode(leaf_hash(&row.canonical)), hex::encode(&row.leaf_hash));
        check.holds(row.canonical.len() <= BYTES_MAX, "size", "128 KiB at most", row.canonical.len());
        let event = read(&row.canonical, &mut check)?;
        check.same("position in the canonical text", position, event.position);
        check.same("stream_id", event.stream.to_string(), row.stream_id.clone());
        check.same("version", event.version, row.version.unsigned_abs());
        check.same("type", event.kind.as_str(), row.kind.as_str());
        check.same("recorded_at", event.at, at);
        Some(event)
    }
}

/// Reads a canonical text, and checks that it is canonical.
fn read(canonical: &str, check: &mut Check<'_>) -> Option<Event> {
    let Ok(envelope) = serde_json::from_str::<Value>(canonical) else {
        check.note("canonical text", "JSON", "something else");
        return None;
    };
    let again = canonical::text(&envelope);
    check.holds(
        again.as_deref() == Ok(canonical),
        "canonical text",
        "the RFC 8785 text of its envelope",
        "another",
    );
    match Event::read(envelope) {
        Ok(event) => Some(event),
        Err(Malformed { field, wanted }) => {
            check.note(field, wanted, "something else");
            None
        }
    }
}
