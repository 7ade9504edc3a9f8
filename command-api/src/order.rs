//! A command on its way: prepared before the queue, answered after the commit.

use event_store::batch::Outcome;
use ledger_core::Command;
use ledger_core::ids::{EventId, KeyId};
use serde_json::Value;

use crate::idempotency::Idempotency;
use crate::sealing::SubjectKey;

/// A command with all that was drawn and looked up for it, so that running it again does the same.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to do.
    pub command: Command,
    /// What the request is recognised by.
    pub idempotency: Idempotency,
    /// The id of its first event; those of the others follow.
    pub event_id: EventId,
    /// Who asked: the API key's id, or `system:` and a part of the ledger.
    pub actor: String,
    /// The API key, which must be live when the order is carried out; `None` where the ledger acts by itself.
    pub api_key: Option<KeyId>,
    /// The request; `None` where the ledger acts by itself.
    pub request_id: Option<String>,
    /// The key of a new subject, wrapped; stored if anything is appended.
    pub subject_key: Option<SubjectKey>,
    /// Roughly how large the command is, in bytes.
    pub size: usize,
}

impl Order {
    /// Draws the id of a command's first event.
    pub fn draw_event_id() -> EventId {
        EventId::new(event_store::entropy::uuid())
    }
}

/// What became of an order.
#[derive(Clone, PartialEq, Debug)]
pub enum Answered {
    /// It has an outcome that is durable.
    Outcome {
        /// The outcome.
        outcome: Outcome,
        /// Whether an earlier request made it.
        replayed: bool,
    },
    /// It has none; the key is free again.
    Refused(Refusal),
}

/// Why an order has no outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The API key was revoked.
    KeyRevoked,
    /// The object does not exist for this caller.
    NotFound,
    /// The amount is in another currency than the object.
    CurrencyMismatch,
    /// The date is later than today, or earlier than what it is about.
    DateOutOfRange,
    /// Its time is still to come: the scheduler comes again, and `as_of` of a request may not be later.
    TooEarly,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// PostgreSQL's clock is behind the log.
    ClockSkew,
    /// The queue waits too long already.
    QueueFull,
    /// Not decided before its deadline: certainly not run.
    DeadlinePassed,
    /// The store can't be reached: certainly not run.
    StoreUnavailable,
    /// The store refused it.
    Failed,
    /// It may have run, or may yet run.
    Unknown,
}

/// Values for the first answer only: they are not stored, and a replay has `null` in their place.
pub type Secrets = Vec<(&'static str, Value)>;
