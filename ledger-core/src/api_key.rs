//! API keys: created, shown once, revoked. The log knows that they exist, never what they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::command::{Context, CreateKey};
use crate::envelope::{Draft, Envelope};
use crate::event::{ApiKeyCreated, ApiKeyRevoked, Event};
use crate::ids::{EventId, KeyId, StreamId};
use crate::journal::JournalEntry;
use crate::stamp::Stamp;

/// What a key may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the house: clients, cards, merchants, keys.
    Operator,
    /// One merchant: its payments.
    Merchant,
    /// Reads everything that proves.
    Auditor,
    /// Reads figures.
    Analyst,
}

impl Role {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Merchant => "merchant",
            Self::Auditor => "auditor",
            Self::Analyst => "analyst",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown role: use operator, merchant, auditor or analyst")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Operator, Self::Merchant, Self::Auditor, Self::Analyst]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or(UnknownRole)
    }
}

/// An API key, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// The key's public id.
    pub id: KeyId,
    /// What it may do, and for whom.
    pub created: ApiKeyCreated,
    /// Whether it can still be used.
    pub revoked: bool,
    /// Where the stream stands.
    pub stamp: Stamp,
}

impl ApiKey {
    /// Begins a key with its first event.
    pub fn create(id: KeyId, created: &ApiKeyCreated, envelope: &Envelope) -> Self {
        Self { id, created: created.clone(), revoked: false, stamp: Stamp::first(envelope) }
    }

    /// Ends the key's use.
    pub const fn revoke(&mut self, envelope: &Envelope) {
        self.revoked = true;
        self.stamp.advance(envelope);
    }
}

/// Creates a key.
pub fn create(command: &CreateKey, context: &Context) -> Vec<Draft> {
    let created = ApiKeyCreated { role: command.role, merchant_id: command.merchant_id };
    vec![draft(command.id, context.event_ids[0], Event::ApiKeyCreated(created))]
}

/// Revokes a key; nothing happens if it is revoked.
pub fn revoke(key: &ApiKey, context: &Context) -> Vec<Draft> {
    if key.revoked {
        return Vec::new();
    }
    vec![draft(key.id, context.event_ids[0], Event::ApiKeyRevoked(ApiKeyRevoked {}))]
}

fn draft(id: KeyId, event_id: EventId, event: Event) -> Draft {
    Draft { event_id, stream_id: StreamId::Key(id), event, postings: JournalEntry::none() }
}
