//! What a projection is: the fold of the log into a read model.

use async_trait::async_trait;
use event_store::error::is_transient;
use event_store::read_model::ReadModel;
use event_store::reader::LogEntry;
use ledger_core::ids::StreamId;
use ledger_core::personal::{Reason, Sealed};
use ledger_core::{Envelope, canonical};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::personal::Keys;

/// A deterministic function of the log into a read model's tables. No clock, no randomness, no order but
/// the log's.
#[async_trait]
pub trait Projection: Send + Sync {
    /// What is folded into.
    fn model(&self) -> ReadModel;

    /// The name that queries and operators use.
    fn name(&self) -> &'static str {
        self.model().name
    }

    /// Returns the owners of the rows that an event touches: what stands still if it can't be applied.
    /// An event without any touches no row, and is not applied.
    fn keys(&self, event: &Envelope) -> Vec<String>;

    /// Folds events into the tables, which the search path leads to; in order, each exactly once.
    ///
    /// Set-based: the batch is folded in memory and each table is written by one or two statements.
    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError>;
}

/// Why events could not be folded in.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// PostgreSQL refused a row, or could not be reached.
    #[error("read model's database failed")]
    Database(#[from] sqlx::Error),
    /// An event changes what none before it has made.
    #[error("{changed} of {expected} rows are there to change in {table}")]
    Missing {
        /// The table.
        table: &'static str,
        /// How many rows the events change.
        expected: usize,
        /// How many are there.
        changed: u64,
    },
    /// A balance passes what its column holds.
    #[error("a balance of {owner} in {currency} is out of range")]
    OutOfRange {
        /// Whose.
        owner: String,
        /// In which currency.
        currency: String,
    },
}

impl ApplyError {
    /// Tells whether to wait and try again, rather than to look for an event at fault.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_transient(error),
            Self::Missing { .. } | Self::OutOfRange { .. } => false,
        }
    }

    /// Says in one line what the cause is.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Database(sqlx::Error::Database(refusal)) => match refusal.code() {
                Some(code) => format!("{} ({code})", refusal.message()),
                None => refusal.message().to_owned(),
            },
            Self::Database(error) => error.to_string(),
            Self::Missing { .. } | Self::OutOfRange { .. } => self.to_string(),
        }
    }
}

/// Returns the keys of an event where each row is of one stream: the event's own, if it is one of them.
pub(crate) fn stream_key(event: &Envelope, is_kept: impl FnOnce(StreamId) -> bool) -> Vec<String> {
    let stream = event.stream_id();
    if is_kept(stream) { vec![stream.to_string()] } else { Vec::new() }
}

/// Checks that as many rows were changed as the events change.
pub(crate) const fn expect_rows(
    table: &'static str,
    expected: usize,
    changed: u64,
) -> Result<(), ApplyError> {
    if expected as u64 == changed { Ok(()) } else { Err(ApplyError::Missing { table, expected, changed }) }
}

/// Writes RFC 8785 JSON: the same text whoever folds the log.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    canonical::to_string(value).unwrap_or_default()
}

/// An event with what is needed to read it.
#[derive(Clone)]
pub struct Decoded {
    /// The event as it is stored.
    pub entry: LogEntry,
    /// The event.
    pub envelope: Envelope,
    /// Keys of the subjects in it.
    pub keys: Keys,
}

impl Decoded {
    /// Opens a personal field; `None` if there is none, or if it can't be decrypted any more.
    pub fn open(&self, sealed: Option<&Sealed>, field: &str) -> Option<Value> {
        let sealed = sealed?;
        sealed.open(self.keys.of(sealed.subject)?, self.envelope.draft.event_id, field)
    }

    /// Opens a personal field that is text.
    pub fn open_text(&self, sealed: Option<&Sealed>, field: &str) -> Option<String> {
        self.open(sealed, field)?.as_str().map(str::to_owned)
    }

    /// Opens a personal field that is an object, as RFC 8785 writes it.
    pub fn open_object(&self, sealed: Option<&Sealed>, field: &str) -> Option<String> {
        self.open(sealed, field).as_ref().map(json_text)
    }

    /// Opens a reason: a person's words, or a machine's code.
    pub fn open_reason(&self, reason: Option<&Reason>) -> Option<String> {
        match reason? {
            Reason::Person(sealed) => self.open_text(Some(sealed), "reason"),
            Reason::Machine(code) => Some(code.clone()),
        }
    }

    /// Returns the position as the database keeps it.
    pub const fn position(&self) -> i64 {
        self.envelope.position.cast_signed()
    }

    /// Returns the moment as the database keeps it.
    pub const fn recorded_at(&self) -> DateTime<Utc> {
        self.envelope.recorded_at.get()
    }
}
