//! Clients: opened, then money comes from the bank and goes back.

use ledger_core::ids::{ClientId, EventId, StreamId};
use serde_json::{Map, Value};

use super::account::{Account, House, Move, Purpose};
use super::event::Event;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};
use super::money::{AMOUNT_MAX, Money};
use super::subject::{Form, Opened};

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The event that opened it: its personal fields are bound to it.
    pub(super) origin: EventId,
    /// The data of that event.
    pub(super) opened: Map<String, Value>,
    pub(super) name: Opened,
    pub(super) email: Opened,
    pub(super) metadata: Opened,
}

impl Ledger {
    pub(super) fn client_opened(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = client_id(event)?;
        let data = event.data_of(&[&["name", "email", "metadata"]])?;
        data.object("name")?;
        let client = Client {
            origin: event.id,
            opened: data.0.clone(),
            name: desk.open(event, data, ("name", Form::Text), event.stream)?,
            email: desk.open(event, data, ("email", Form::Text), event.stream)?,
            metadata: desk.open(event, data, ("metadata", Form::Metadata), event.stream)?,
        };
        self.clients.insert(id, client);
        Ok(Vec::new())
    }

    pub(super) fn client_deposited(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (available, money) = cash_moved(event, desk)?;
        Ok(vec![Move { debit: Account::House(House::Bank), credit: available, money }])
    }

    pub(super) fn client_withdrawn(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (available, money) = cash_moved(event, desk)?;
        Ok(vec![Move { debit: available, credit: Account::House(House::Bank), money }])
    }
}

/// Reads a deposit or a withdrawal: the account and how much.
fn cash_moved(event: &Event, desk: &mut Desk<'_>) -> Result<(Account, Money), Malformed> {
    let available = Account::client(client_id(event)?, Purpose::Available);
    let data = event.data_of(&[&["amount", "reference"]])?;
    let money = data.money("amount")?;
    desk.check.holds((1..=AMOUNT_MAX).contains(&money.minor), "amount", "what a request may ask for", money);
    desk.open(event, data, ("reference", Form::Text), event.stream)?;
    Ok((available, money))
}

fn client_id(event: &Event) -> Result<ClientId, Malformed> {
    match event.stream {
        StreamId::Client(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a client's")),
    }
}
