//! Clients: opened once, then money comes and goes.

use serde::{Deserialize, Serialize};

use crate::balance::ClientBalance;
use crate::command::{Context, MoveCash, OpenClient};
use crate::envelope::{Draft, Envelope};
use crate::event::{CashMoved, ClientOpened, Event};
use crate::ids::{ClientId, EventId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::money::{BALANCE_MAX, Money};
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;

/// A client, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// The client.
    pub id: ClientId,
    /// The event that opened it: its personal fields are bound to it.
    pub origin: EventId,
    /// The personal fields.
    #[serde(flatten)]
    pub opened: ClientOpened,
    /// Where the stream stands.
    #[serde(flatten)]
    pub stamp: Stamp,
}

impl Client {
    /// Begins a client with its first event.
    pub fn open(id: ClientId, opened: &ClientOpened, envelope: &Envelope) -> Self {
        let origin = envelope.draft.event_id;
        Self { id, origin, opened: opened.clone(), stamp: Stamp::first(envelope) }
    }
}

/// Opens a client.
pub fn open(command: &OpenClient, context: &Context) -> Vec<Draft> {
    let OpenClient { id, name, email, metadata } = command.clone();
    vec![Draft {
        event_id: context.event_ids[0],
        stream_id: StreamId::Client(id),
        event: Event::ClientOpened(ClientOpened { name, email, metadata }),
        postings: JournalEntry::none(),
    }]
}

/// Moves money from the bank to a client.
pub fn deposit(
    command: &MoveCash,
    balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let MoveCash { client_id, amount, reference } = command.clone();
    if !balance.has_room_for(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, amount.currency) }.into());
    }
    let entry =
        JournalEntry::of([Move::new(Account::HouseBank, Account::ClientAvailable(client_id), amount)]);
    Ok(vec![Draft {
        event_id: context.event_ids[0],
        stream_id: StreamId::Client(client_id),
        event: Event::ClientDeposited(CashMoved { amount, reference }),
        postings: entry,
    }])
}

/// Moves money from a client to the bank; never more than is available.
pub fn withdraw(
    command: &MoveCash,
    balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let MoveCash { client_id, amount, reference } = command.clone();
    if amount.amount > balance.available {
        let available = Money::new(balance.available, amount.currency);
        return Err(Conflict::InsufficientAvailableBalance { available, requested: amount }.into());
    }
    let entry =
        JournalEntry::of([Move::new(Account::ClientAvailable(client_id), Account::HouseBank, amount)]);
    Ok(vec![Draft {
        event_id: context.event_ids[0],
        stream_id: StreamId::Client(client_id),
        event: Event::ClientWithdrawn(CashMoved { amount, reference }),
        postings: entry,
    }])
}
