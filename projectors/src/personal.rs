//! Opens personal fields for the read models.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use event_store::StoreError;
use event_store::lookup;
use event_store::reader::LogEntry;
use ledger_core::Envelope;
use ledger_core::event::{Event, PaymentDetails};
use ledger_core::ids::StreamId;
use ledger_core::personal::{Reason, Reference, Sealed, SecretKey};
use ledger_core::reconciliation::item::Item;
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
///
/// Nothing is kept from one chunk to the next: a key that was deleted must not open anything any more.
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
    ///
    /// Ends before an event that can't be read; fails only if that is the first one.
    pub async fn decode(&self, entries: Vec<LogEntry>) -> Result<Vec<Decoded>, StoreError> {
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.envelope() {
                Ok(envelope) => read.push((entry, envelope)),
                Err(error) if read.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        let subjects: BTreeSet<StreamId> =
            read.iter().flat_map(|(_, envelope)| sealed(envelope)).map(|sealed| sealed.subject).collect();
        let keys = self.keys(&subjects).await?;
        Ok(read
            .into_iter()
            .map(|(entry, envelope)| Decoded { entry, envelope, keys: keys.clone() })
            .collect())
    }

    async fn keys(&self, subjects: &BTreeSet<StreamId>) -> Result<Keys, StoreError> {
        if subjects.is_empty() {
            return Ok(Keys::default());
        }
        let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let wrapped = lookup::subject_keys(&self.log, &subjects).await?;
        let keys = wrapped
            .into_iter()
            .filter_map(|(subject, wrapped)| Some((subject, self.master.unwrap_key(&wrapped, subject)?)));
        Ok(Keys(Arc::new(keys.collect())))
    }
}

/// Lists an event's personal fields.
fn sealed(envelope: &Envelope) -> Vec<&Sealed> {
    match envelope.event() {
        Event::ClientOpened(opened) => [Some(&opened.name), opened.email.as_ref(), opened.metadata.as_ref()]
            .into_iter()
            .flatten()
            .collect(),
        Event::ClientDeposited(moved) | Event::ClientWithdrawn(moved) | Event::MerchantDeposited(moved) => {
            moved.reference.iter().collect()
        }
        Event::ClientClosed(closed) => person(closed.reason.as_ref()),
        Event::CardBlocked(because) | Event::CardUnblocked(because) => person(because.reason.as_ref()),
        Event::MerchantSuspended(changed) | Event::MerchantReinstated(changed) => {
            person(changed.reason.as_ref())
        }
        Event::MerchantBalanceWrittenOff(of) => person(Some(&of.reason)),
        Event::PaymentAuthorized(authorized) => details(&authorized.details),
        Event::PaymentDeclined(declined) => details(&declined.details),
        Event::PaymentVoided(voided) => person(voided.reason.as_ref()),
        Event::PaymentRefunded(refunded) => person(refunded.reason.as_ref()),
        Event::PaymentDisputed(disputed) => person(Some(&disputed.reason)),
        Event::PaymentDisputeEvidenceSubmitted(evidence) => vec![&evidence.text],
        Event::PaymentDisputeWon(decided) | Event::PaymentDisputeLost(decided) => {
            person(decided.reason.as_ref())
        }
        Event::PaymentDisputeReopened(reopened) => person(reopened.reason.as_ref()),
        Event::PayoutPaid(changed) | Event::PayoutFailed(changed) | Event::PayoutReturned(changed) => {
            person(changed.reason.as_ref())
        }
        Event::CorrectionRequested(of) => person(Some(&of.reason)),
        Event::ReconciliationItems(more) => more.items.iter().flat_map(of_item).collect(),
        Event::CardIssued(_)
        | Event::MerchantOpened(_)
        | Event::MerchantSettingsChanged(_)
        | Event::ApiKeyCreated(_)
        | Event::ApiKeyRevoked(_)
        | Event::PaymentAuthorizationIncremented(_)
        | Event::PaymentAuthorizationExpiring(_)
        | Event::PaymentCaptured(_)
        | Event::PaymentExpired(_)
        | Event::SettlementClosed(_)
        | Event::PayoutRequested(_)
        | Event::CorrectionApproved(_)
        | Event::JournalCorrected(_)
        | Event::FxRateSet(_)
        | Event::ReconciliationRun(_) => Vec::new(),
    }
}

fn person(reason: Option<&Reason>) -> Vec<&Sealed> {
    match reason {
        Some(Reason::Person(sealed)) => vec![sealed],
        Some(Reason::Machine(_)) | None => Vec::new(),
    }
}

fn of_item(item: &Item) -> impl Iterator<Item = &Sealed> {
    let line = item.line.as_ref().and_then(|line| line.reference.as_ref());
    let movement = match item.movement.as_ref().and_then(|movement| movement.reference.as_ref()) {
        Some(Reference::Person(sealed)) => Some(sealed),
        Some(Reference::Clear(_)) | None => None,
    };
    line.into_iter().chain(movement)
}

fn details(details: &PaymentDetails) -> Vec<&Sealed> {
    [&details.description, &details.metadata].into_iter().flatten().collect()
}
