//! Clients: opened, then money comes from the bank and goes back, until they are closed.

use std::collections::BTreeSet;

use ledger_core::Currency;
use ledger_core::ids::{ClientId, EventId, StreamId};
use serde_json::{Map, Value};

use super::account::{Account, Holder, House, Move, Purpose};
use super::event::Event;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};
use super::moment::Moment;
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
    /// Since when it is closed.
    pub(super) closed_at: Option<Moment>,
    /// Every currency that money was ever deposited in.
    pub(super) currencies: BTreeSet<Currency>,
}

impl Client {
    /// The name of the status in the write side and in the read models.
    pub(super) const fn status(&self) -> &'static str {
        if self.closed_at.is_some() { "closed" } else { "open" }
    }
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
            closed_at: None,
            currencies: BTreeSet::new(),
        };
        self.clients.insert(id, client);
        Ok(Vec::new())
    }

    pub(super) fn client_deposited(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = client_id(event)?;
        let money = cash_moved(event, desk)?;
        self.check_open(id, desk);
        if let Some(client) = self.clients.get_mut(&id) {
            client.currencies.insert(money.currency);
        }
        let credit = Account::client(id, Purpose::Available);
        Ok(vec![Move { debit: Account::House(House::Bank), credit, money }])
    }

    pub(super) fn client_withdrawn(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let debit = Account::client(client_id(event)?, Purpose::Available);
        let money = cash_moved(event, desk)?;
        Ok(vec![Move { debit, credit: Account::House(House::Bank), money }])
    }

    pub(super) fn client_closed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = client_id(event)?;
        let data = event.data_of(&[&["reason"]])?;
        desk.open(event, data, ("reason", Form::Text), event.stream)?;
        self.check_open(id, desk);
        for (currency, balance) in self.balances_of(Holder::Client(id)) {
            let [available, held] = [Purpose::Available, Purpose::Held].map(|at| balance.amount(at));
            let is_empty = available == 0 && held == 0;
            let found = format!("{available} available and {held} held {currency}");
            desk.check.holds(is_empty, "balances of the client", "nothing in any currency", found);
            let what = "authorizations and disputes of the client";
            desk.check.holds(balance.open == 0, what, "none that is open", balance.open);
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.closed_at = Some(event.at);
        }
        Ok(Vec::new())
    }

    /// Checks that a client is open, which what it accepts no more asks for.
    pub(super) fn check_open(&self, id: ClientId, desk: &mut Desk<'_>) {
        if let Some(closed_at) = self.clients.get(&id).and_then(|client| client.closed_at) {
            desk.check.note("client", "one that is open", format!("{id}, closed at {closed_at}"));
        }
    }
}

/// Reads a deposit or a withdrawal, a client's or a merchant's.
pub(super) fn cash_moved(event: &Event, desk: &mut Desk<'_>) -> Result<Money, Malformed> {
    let data = event.data_of(&[&["amount", "reference"]])?;
    let money = data.money("amount")?;
    desk.check.holds((1..=AMOUNT_MAX).contains(&money.minor), "amount", "what a request may ask for", money);
    desk.open(event, data, ("reference", Form::Text), event.stream)?;
    Ok(money)
}

fn client_id(event: &Event) -> Result<ClientId, Malformed> {
    match event.stream {
        StreamId::Client(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a client's")),
    }
}
