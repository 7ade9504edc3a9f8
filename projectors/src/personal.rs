//! Opens personal fields for the read models.

use std::collections::HashMap;
use std::sync::Arc;

use event_store::StoreError;
use event_store::lookup;
use event_store::reader::LogEntry;
use ledger_core::Envelope;
use ledger_core::event::Event;
use ledger_core::ids::StreamId;
use ledger_core::personal::{Reason, Sealed, SecretKey};
use sqlx::PgPool;

use crate::projection::Decoded;

/// The keys of a chunk's subjects.
#[derive(Clone, Default)]
pub struct Keys(Arc<HashMap<StreamId, SecretKey>>);

impl Keys {
    /// Finds a subject's key; an erased subject has none.
    pub fn of(&self, subject: StreamId) -> Option<&SecretKey> {
        self.0.get(&subject)
    }
}

/// Finds subjects' keys in the log's database, and unwraps them.
#[derive(Clone)]
pub struct Vault {
    log: PgPool,
    master: SecretKey,
}

impl Vault {
    /// Makes a vault.
    pub const fn new(log: PgPool, master: SecretKey) -> Self {
        Self { log, master }
    }

    /// Reads events, with the keys of all of their subjects.
    pub async fn decode(&self, entries: Vec<LogEntry>) -> Result<Vec<Decoded>, StoreError> {
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            let envelope = entry.envelope()?;
            read.push((entry, envelope));
        }
        let mut subjects: Vec<String> = read
            .iter()
            .flat_map(|(_, envelope)| sealed(envelope))
            .map(|sealed| sealed.subject.to_string())
            .collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut keys = HashMap::new();
        if !subjects.is_empty() {
            for (subject, wrapped) in lookup::subject_keys(&self.log, &subjects).await? {
                keys.extend(self.master.unwrap_key(&wrapped, subject).map(|key| (subject, key)));
            }
        }
        let keys = Keys(Arc::new(keys));
        Ok(read
            .into_iter()
            .map(|(entry, envelope)| Decoded { entry, envelope, keys: keys.clone() })
            .collect())
    }
}

/// Lists an event's personal fields.
fn sealed(envelope: &Envelope) -> Vec<&Sealed> {
    match envelope.event() {
        Event::ClientOpened(opened) => [Some(&opened.name), opened.email.as_ref(), opened.metadata.as_ref()]
            .into_iter()
            .flatten()
            .collect(),
        Event::ClientDeposited(moved) | Event::ClientWithdrawn(moved) => moved.reference.iter().collect(),
        Event::PaymentAuthorized(authorized) => details(&authorized.details),
        Event::PaymentDeclined(declined) => details(&declined.details),
        Event::PaymentRefunded(refunded) => person(&refunded.reason).into_iter().collect(),
        Event::PaymentVoided(voided) => person(&voided.reason).into_iter().collect(),
        Event::CardBlocked(because) | Event::CardUnblocked(because) => {
            person(&because.reason).into_iter().collect()
        }
        Event::CardIssued(_)
        | Event::MerchantOpened(_)
        | Event::MerchantSettingsChanged(_)
        | Event::ApiKeyCreated(_)
        | Event::ApiKeyRevoked(_)
        | Event::PaymentCaptured(_) => Vec::new(),
    }
}

fn person(reason: &Option<Reason>) -> Option<&Sealed> {
    match reason {
        Some(Reason::Person(sealed)) => Some(sealed),
        Some(Reason::Machine(_)) | None => None,
    }
}

fn details(details: &ledger_core::event::PaymentDetails) -> Vec<&Sealed> {
    [&details.description, &details.metadata].into_iter().flatten().collect()
}
