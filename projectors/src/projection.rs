//! What a read model is: a name, tables, and a fold.

use async_trait::async_trait;
use event_store::reader::LogEntry;
use ledger_core::Envelope;
use ledger_core::personal::Sealed;
use serde_json::Value;
use sqlx::PgConnection;

use crate::personal::Keys;

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
    /// Opens a personal field; `None` if there is none, or it was erased.
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
        serde_json_canonicalizer::to_string(&self.open(sealed, field)?).ok()
    }

    /// Returns the position as the database keeps it.
    pub const fn position(&self) -> i64 {
        self.envelope.position.cast_signed()
    }
}

/// A read model: a deterministic function of the log into tables. No clock, no randomness, no order but
/// the log's.
#[async_trait]
pub trait Projection: Send + Sync {
    /// The name that queries and operators use.
    fn name(&self) -> &'static str;

    /// The tables, unqualified: they are made in each generation's schema.
    fn tables(&self) -> &'static str;

    /// Returns the owners of the rows that an event touches: what stands still if it can't be applied.
    fn keys(&self, event: &Envelope) -> Vec<String>;

    /// Folds events into the tables, which the search path leads to; in order, each exactly once.
    async fn apply(&self, tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error>;
}
