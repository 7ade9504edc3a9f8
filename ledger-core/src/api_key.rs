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
    vec![draft(command.id, context.event_id, Event::ApiKeyCreated(created))]
}

/// Revokes a key; nothing happens if it is revoked.
pub fn revoke(key: &ApiKey, context: &Context) -> Vec<Draft> {
    if key.revoked {
        return Vec::new();
    }
    vec![draft(key.id, context.event_id, Event::ApiKeyRevoked(ApiKeyRevoked {}))]
}

fn draft(id: KeyId, event_id: EventId, event: Event) -> Draft {
    Draft { event_id, stream_id: StreamId::Key(id), event, postings: JournalEntry::none() }
}

#[cfg(test)]
mod tests {
    use crate::api_key::{Role, UnknownRole};
    use crate::command::Command;
    use crate::event::{ApiKeyCreated, ApiKeyRevoked, Event};
    use crate::rejection::Rejection;
    use crate::testing::*;

    const ROLES: [Role; 4] = [Role::Operator, Role::Merchant, Role::Auditor, Role::Analyst];

    #[test]
    fn a_key_is_created_and_its_secret_is_nowhere() {
        for role in [Role::Operator, Role::Auditor, Role::Analyst] {
            let ledger = Ledger::new().when(create_key(7, role, None));
            let text = ledger.appended()[0].canonical().unwrap();
            assert!(!text.contains("secret") && !text.contains(&"07".repeat(32)), "{text}");
            let found = ledger.state.api_key(key(7)).unwrap();
            assert!(found.created.role == role && !found.revoked);
            ledger.then([Event::ApiKeyCreated(ApiKeyCreated { role, merchant_id: None })]);
        }
    }

    #[test]
    fn a_merchants_key_is_bound_to_it() {
        let created = ApiKeyCreated { role: Role::Merchant, merchant_id: Some(merchant(1)) };
        Ledger::shop()
            .when(create_key(7, Role::Merchant, Some(merchant(1))))
            .then([Event::ApiKeyCreated(created)]);
    }

    #[test]
    fn no_key_for_nobody() {
        Ledger::shop()
            .when(create_key(7, Role::Merchant, Some(merchant(2))))
            .then_rejected(Rejection::NotFound);
    }

    #[test]
    fn a_key_is_revoked_once() {
        let ledger = Ledger::new()
            .given(create_key(7, Role::Auditor, None))
            .when(Command::RevokeKey(key(7)))
            .then([Event::ApiKeyRevoked(ApiKeyRevoked {})])
            .when(Command::RevokeKey(key(7)))
            .then_nothing();
        let found = ledger.state.api_key(key(7)).unwrap();
        assert!(found.revoked);
        assert_eq!(found.stamp.version, 2);
    }

    #[test]
    fn an_unknown_key_is_not_found() {
        Ledger::new().when(Command::RevokeKey(key(7))).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn roles_are_told_by_name() {
        for role in ROLES {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }
}
