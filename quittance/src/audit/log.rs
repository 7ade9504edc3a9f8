//! The log itself: its rows, and the chain that they must form.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::canonical;
use super::copy::Row;
use super::event::Event;
use super::fields::Malformed;
use super::moment::Moment;
use super::report::{Check, Findings};

/// How large an event's text may be.
const BYTES_MAX: usize = 128 * 1024;

/// A row of `events`.
#[derive(Clone, Debug)]
pub(super) struct LogRow {
    pub(super) position: i64,
    pub(super) stream_id: String,
    pub(super) version: i64,
    pub(super) kind: String,
    pub(super) recorded_at: Moment,
    pub(super) canonical: String,
    pub(super) leaf_hash: Vec<u8>,
}

impl LogRow {
    /// The columns, in order.
    pub(super) const COLUMNS: &str = "position, stream_id, version, type, recorded_at, canonical, leaf_hash";

    /// Takes a row's columns.
    pub(super) fn of(mut row: Row<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            position: row.number()?,
            stream_id: row.text()?.to_owned(),
            version: row.number()?,
            kind: row.text()?.to_owned(),
            recorded_at: row.moment()?,
            canonical: row.text()?.to_owned(),
            leaf_hash: row.bytes()?.to_owned(),
        })
    }
}

/// A row and the event in it, checked as far as that takes no row before it: any number at a time.
#[derive(Debug)]
pub(super) struct Leaf {
    position: u64,
    at: Moment,
    pub(super) hash: Vec<u8>,
    event: Option<Event>,
    findings: Findings,
}

impl Leaf {
    /// Checks a row against its own text, and reads the event from the text.
    pub(super) fn of(row: LogRow) -> Self {
        let mut findings = Findings::default();
        let position = row.position.unsigned_abs();
        let event = check(&row, &mut findings.at(position));
        Self { position, at: row.recorded_at, hash: row.leaf_hash, event, findings }
    }
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
    /// Checks a row against those before it, takes over what was found in itself, and returns its event.
    pub(super) fn follow(&mut self, leaf: Leaf, findings: &mut Findings) -> Option<Event> {
        let Leaf { position, at, event, findings: own, .. } = leaf;
        let mut check = findings.at(position);
        check.same("position", self.position + 1, position);
        if at < self.at {
            check.note("recorded_at", format!("no earlier than {}", self.at), at);
        }
        *self = Self { position, at };
        findings.append(own);
        event
    }
}

/// Checks a row against its own text; returns the event if it can be read.
fn check(row: &LogRow, check: &mut Check<'_>) -> Option<Event> {
    let hash = leaf_hash(&row.canonical);
    if row.leaf_hash != hash {
        check.note("leaf_hash", hex::encode(hash), hex::encode(&row.leaf_hash));
    }
    check.holds(row.canonical.len() <= BYTES_MAX, "size", "128 KiB at most", row.canonical.len());
    let event = read(&row.canonical, check)?;
    check.same("position in the canonical text", row.position.unsigned_abs(), event.position);
    check.same("stream_id", event.stream.to_string().as_str(), row.stream_id.as_str());
    check.same("version", event.version, row.version.unsigned_abs());
    check.same("type", event.kind.as_str(), row.kind.as_str());
    check.same("recorded_at", event.at, row.recorded_at);
    Some(event)
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
