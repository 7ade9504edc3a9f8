//! Movements: what the ledger says has moved between the house's bank account and others.

use serde::{Deserialize, Serialize};

use super::statement::Direction;
use crate::envelope::Envelope;
use crate::event::Event;
use crate::ids::{EventId, StreamId};
use crate::money::Money;
use crate::personal::Reference;
use crate::time::Day;

/// The events that move money at the bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MovementKind {
    /// Money came in for a client.
    #[serde(rename = "client.deposited")]
    ClientDeposited,
    /// A client's money went out.
    #[serde(rename = "client.withdrawn")]
    ClientWithdrawn,
    /// Money came in for a merchant.
    #[serde(rename = "merchant.deposited")]
    MerchantDeposited,
    /// A payout went out.
    #[serde(rename = "payout.paid")]
    PayoutPaid,
    /// A payout came back in.
    #[serde(rename = "payout.returned")]
    PayoutReturned,
}

impl MovementKind {
    /// Returns the event's type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientDeposited => "client.deposited",
            Self::ClientWithdrawn => "client.withdrawn",
            Self::MerchantDeposited => "merchant.deposited",
            Self::PayoutPaid => "payout.paid",
            Self::PayoutReturned => "payout.returned",
        }
    }

    /// Returns which way the money went.
    pub const fn direction(self) -> Direction {
        match self {
            Self::ClientDeposited | Self::MerchantDeposited | Self::PayoutReturned => Direction::In,
            Self::ClientWithdrawn | Self::PayoutPaid => Direction::Out,
        }
    }
}

/// One event that moved money at the bank, as far as a run cites it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Movement {
    /// The event.
    pub event_id: EventId,
    /// Its position.
    pub position: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: MovementKind,
    /// Its stream: the client, the merchant or the payout.
    pub stream_id: StreamId,
    /// The UTC day on which it was recorded.
    pub date: Day,
    /// How much.
    pub amount: Money,
    /// Its reference: of a payout the merchant's, in clear; else the event's own box.
    pub reference: Option<Reference>,
}

impl Movement {
    /// Takes the movement of an event; `None` if the event moves nothing at the bank. A payout's reference
    /// stands in the first event of its stream.
    fn of(envelope: &Envelope, payout_reference: Option<String>) -> Option<Self> {
        let sealed = |moved: &crate::event::CashMoved| moved.reference.clone().map(Reference::Person);
        let clear = payout_reference.map(Reference::Clear);
        let (kind, amount, reference) = match envelope.event() {
            Event::ClientDeposited(moved) => (MovementKind::ClientDeposited, moved.amount, sealed(moved)),
            Event::ClientWithdrawn(moved) => (MovementKind::ClientWithdrawn, moved.amount, sealed(moved)),
            Event::MerchantDeposited(moved) => (MovementKind::MerchantDeposited, moved.amount, sealed(moved)),
            Event::PayoutPaid(changed) => (MovementKind::PayoutPaid, changed.amount, clear),
            Event::PayoutReturned(changed) => (MovementKind::PayoutReturned, changed.amount, clear),
            _ => return None,
        };
        Some(Self {
            event_id: envelope.draft.event_id,
            position: envelope.position,
            kind,
            stream_id: envelope.stream_id(),
            date: envelope.recorded_at.day(),
            amount,
            reference,
        })
    }
}

/// Takes the movements of events in the log's order, each with its payout's reference.
pub fn movements_of(events: impl IntoIterator<Item = (Envelope, Option<String>)>) -> Vec<Movement> {
    events.into_iter().filter_map(|(envelope, reference)| Movement::of(&envelope, reference)).collect()
}

/// A movement with what the bank may call it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The movement.
    pub movement: Movement,
    /// Its readable references, the surest first: the payout's id, which we send along; then what stands in
    /// the event, unless it was erased.
    pub references: Vec<String>,
}

impl Expected {
    /// Joins a movement with its reference, opened.
    pub fn of(movement: Movement, opened: Option<String>) -> Self {
        let payout = match movement.stream_id {
            StreamId::Payout(id) => Some(id.to_string()),
            _ => None,
        };
        Self { references: payout.into_iter().chain(opened).collect(), movement }
    }
}
