//! Events for the tests beside the folds.

use async_trait::async_trait;
use event_store::read_model::ReadModel;
use event_store::reader::LogEntry;
use ledger_core::event::{CashMoved, Event};
use ledger_core::ids::{ClientId, EventId, MerchantId, PaymentId, StreamId};
use ledger_core::journal::{JournalEntry, Move};
use ledger_core::{Account, Draft, Envelope, LeafHash, Money};
use sqlx::PgConnection;
use sqlx::types::Uuid;

use crate::personal::Keys;
use crate::projection::{ApplyError, Decoded, Projection};

pub(crate) fn client(n: u128) -> ClientId {
    ClientId::new(Uuid::from_u128(n))
}

pub(crate) fn merchant(n: u128) -> MerchantId {
    MerchantId::new(Uuid::from_u128(n))
}

pub(crate) fn payment(n: u128) -> StreamId {
    StreamId::Payment(PaymentId::new(Uuid::from_u128(n)))
}

pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().unwrap())
}

/// An event in its place.
pub(crate) fn event(position: u64, stream_id: StreamId, event: Event, postings: JournalEntry) -> Decoded {
    let draft =
        Draft { event_id: EventId::new(Uuid::from_u128(position.into())), stream_id, event, postings };
    let recorded_at = "2026-11-24T08:00:00Z".parse().unwrap();
    let envelope =
        Envelope { position, version: 1, recorded_at, actor: String::new(), request_id: None, draft };
    let canonical = envelope.canonical().unwrap();
    let leaf_hash = LeafHash::of(&canonical);
    Decoded { entry: LogEntry { position, canonical, leaf_hash }, envelope, keys: Keys::default() }
}

/// An event of money that moves.
pub(crate) fn moving(position: u64, stream_id: StreamId, moves: &[(Account, Account, i64)]) -> Decoded {
    let postings = JournalEntry::of(
        moves.iter().map(|(debit, credit, amount)| Move::new(*debit, *credit, eur(*amount))),
    );
    event(
        position,
        stream_id,
        Event::ClientDeposited(CashMoved { amount: eur(1), reference: None }),
        postings,
    )
}

/// A projection whose keys are named by the event itself.
pub(crate) struct Named;

/// An event of the given keys for [`Named`].
pub(crate) fn named(position: u64, keys: &[&str]) -> Decoded {
    let mut event = moving(position, StreamId::Client(client(1)), &[]);
    event.envelope.actor = keys.join(",");
    event
}

#[async_trait]
impl Projection for Named {
    fn model(&self) -> ReadModel {
        ReadModel { name: "named", sql: "", readers: &[] }
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        event.actor.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    async fn apply(&self, _: &mut PgConnection, _: &[&Decoded]) -> Result<(), ApplyError> {
        Ok(())
    }
}
