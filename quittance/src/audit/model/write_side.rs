//! The rows that commands are decided on.

use ledger_core::ids::StreamId;
use serde_json::{Map, Value, json as value};

use super::Model;
use crate::audit::account::Purpose;
use crate::audit::balance::Captures;
use crate::audit::card::{Card, Status};
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger, Stamp};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, json, maybe, of, text};

const BALANCES: usize = 0;
const OWNERS: usize = 1;
const CARDS: usize = 2;
const API_KEYS: usize = 3;

static SHAPES: [Shape; 4] = [
    Shape {
        name: "balances",
        columns: &[
            ("owner", Kind::Plain),
            ("currency", Kind::Plain),
            ("available", Kind::Plain),
            ("held", Kind::Plain),
            ("open", Kind::Plain),
            ("pending", Kind::Plain),
            ("reserved", Kind::Plain),
            ("in_transit", Kind::Plain),
            ("drawn", Kind::Plain),
            ("unsettled", Kind::Json),
            ("version", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 2,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "owners",
        columns: &[
            ("id", Kind::Plain),
            ("state", Kind::Json),
            ("version", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "cards",
        columns: &[
            ("id", Kind::Plain),
            ("state", Kind::Json),
            ("version", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "api_keys",
        columns: &[
            ("id", Kind::Plain),
            ("role", Kind::Plain),
            ("merchant_id", Kind::Plain),
            ("revoked", Kind::Plain),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("version", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
];

/// The write side.
pub(super) struct WriteSide;

impl Model for WriteSide {
    fn name(&self) -> &'static str {
        "write side"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, _: &Event, _: &[Effect], _: &Ledger, _: &mut [Table]) {}

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        expect_balances(ledger, &mut tables[BALANCES]);
        expect_owners(ledger, &mut tables[OWNERS]);
        expect_cards(ledger, &mut tables[CARDS]);
        expect_api_keys(ledger, &mut tables[API_KEYS]);
    }
}

fn expect_balances(ledger: &Ledger, table: &mut Table) {
    for ((holder, currency), balance) in &ledger.balances {
        let amount = |purpose| of(balance.amount(purpose));
        let days = balance.unsettled.iter().map(|(day, Captures { count, gross, fees })| {
            format!("\"{day}\":{{\"count\":{count},\"fees\":{fees},\"gross\":{gross}}}")
        });
        table.expect(&[
            of(holder),
            of(currency),
            amount(Purpose::Available),
            amount(Purpose::Held),
            of(balance.open),
            amount(Purpose::Pending),
            amount(Purpose::Reserved),
            amount(Purpose::InTransit),
            of(balance.drawn),
            text(format!("{{{}}}", days.collect::<Vec<_>>().join(","))),
            of(balance.version),
            of(balance.position),
        ]);
    }
}

fn expect_owners(ledger: &Ledger, table: &mut Table) {
    for (id, client) in &ledger.clients {
        let Some(stamp) = ledger.streams.get(&StreamId::Client(*id)) else { continue };
        let own = [
            ("id", value!(id)),
            ("origin", value!(client.origin)),
            ("status", value!(client.status())),
            ("currencies", value!(client.currencies)),
        ];
        let mut state = state(own, &client.opened, stamp);
        if let Some(closed_at) = client.closed_at {
            state["closed_at"] = value!(closed_at.to_string());
        }
        table.expect(&[of(id), json(&state), of(stamp.version), of(stamp.position)]);
    }
    for (id, merchant) in &ledger.merchants {
        let Some(stamp) = ledger.streams.get(&StreamId::Merchant(*id)) else { continue };
        let own = [
            ("id", value!(id)),
            ("name", value!(merchant.name)),
            ("metadata", merchant.metadata.clone()),
            ("status", value!(merchant.status())),
        ];
        let mut state = state(own, &merchant.settings.json, stamp);
        if let Some(suspended_at) = merchant.suspended_at {
            state["suspended_at"] = value!(suspended_at.to_string());
        }
        table.expect(&[of(id), json(&state), of(stamp.version), of(stamp.position)]);
    }
}

fn expect_cards(ledger: &Ledger, table: &mut Table) {
    for (id, card) in &ledger.cards {
        let Some(stamp) = ledger.streams.get(&StreamId::Card(*id)) else { continue };
        let Card { issued, status, changes, position, .. } = card;
        let mut state = state([("id", value!(id)), ("status", value!(status.name()))], issued, stamp);
        if let Status::Active(attempts) = status {
            state["wrong_attempts"] = value!(attempts);
        }
        // The row counts attempts to pay too, the state's own stamp only the card's events.
        table.expect(&[of(id), json(&state), of(changes), of(position)]);
    }
}

fn expect_api_keys(ledger: &Ledger, table: &mut Table) {
    for (id, key) in &ledger.keys {
        let Some(stamp) = ledger.streams.get(&StreamId::Key(*id)) else { continue };
        let merchant = key.merchant.map(|id| id.to_string());
        table.expect(&[
            of(id),
            text(key.role),
            maybe(merchant.as_deref()),
            of(key.revoked),
            of(stamp.created_at),
            of(stamp.updated_at),
            of(stamp.version),
            of(stamp.position),
        ]);
    }
}

/// Puts a state together: what is its own, what its events said, and its stamp.
fn state<const N: usize>(own: [(&str, Value); N], said: &Map<String, Value>, stamp: &Stamp) -> Value {
    let mut state = said.clone();
    state.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let moments = [("created_at", stamp.created_at), ("updated_at", stamp.updated_at)];
    state.extend(moments.map(|(name, at)| (name.to_owned(), value!(at.to_string()))));
    let numbers = [("version", stamp.version), ("position", stamp.position)];
    state.extend(numbers.map(|(name, number)| (name.to_owned(), value!(number))));
    Value::Object(state)
}
