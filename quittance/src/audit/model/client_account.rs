//! `client-account`: clients, their cards, balances, and one entry per posting.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::account::{Holder, Purpose};
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, maybe, of, text};

const CLIENTS: usize = 0;
const CARDS: usize = 1;
const BALANCES: usize = 2;
const ENTRIES: usize = 3;

static SHAPES: [Shape; 4] = [
    Shape {
        name: "clients",
        columns: &[
            ("id", Kind::Plain),
            ("name", Kind::Personal),
            ("email", Kind::Personal),
            ("metadata", Kind::Personal),
            ("status", Kind::Plain),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "client_cards",
        columns: &[
            ("id", Kind::Plain),
            ("client_id", Kind::Plain),
            ("brand", Kind::Plain),
            ("last4", Kind::Plain),
            ("exp_month", Kind::Plain),
            ("exp_year", Kind::Plain),
            ("status", Kind::Plain),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(1),
    },
    Shape {
        name: "client_balances",
        columns: &[
            ("client_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("available", Kind::Plain),
            ("held", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 2,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "client_entries",
        columns: &[
            ("client_id", Kind::Plain),
            ("position", Kind::Plain),
            ("ordinal", Kind::Plain),
            ("account", Kind::Plain),
            ("currency", Kind::Plain),
            ("amount", Kind::Plain),
            ("balance_after", Kind::Plain),
            ("type", Kind::Plain),
            ("payment_id", Kind::Plain),
            ("recorded_at", Kind::Moment),
        ],
        key: 3,
        parked_by: ParkedBy::Column(0),
    },
];

/// The model.
pub(super) struct ClientAccount;

impl Model for ClientAccount {
    fn name(&self) -> &'static str {
        "client-account"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, effects: &[Effect], _: &Ledger, tables: &mut [Table]) {
        let is_clients = |effect: &&Effect| matches!(effect.holder, Holder::Client(_));
        super::expect_entries(event, effects.iter().filter(is_clients), &mut tables[ENTRIES]);
    }

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, client) in &ledger.clients {
            let Some(stamp) = ledger.streams.get(&StreamId::Client(*id)) else { continue };
            tables[CLIENTS].expect(&[
                of(id),
                maybe(client.name.as_deref()),
                maybe(client.email.as_deref()),
                maybe(client.metadata.as_deref()),
                text(client.status()),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
        for (id, card) in &ledger.cards {
            let Some(stamp) = ledger.streams.get(&StreamId::Card(*id)) else { continue };
            tables[CARDS].expect(&[
                of(id),
                of(card.client),
                maybe(card.face.brand),
                text(&*card.face.last4),
                of(card.face.exp_month),
                of(card.face.exp_year),
                text(card.status.name()),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
        for ((holder, currency), balance) in &ledger.balances {
            if let Holder::Client(id) = holder
                && balance.posted > 0
            {
                tables[BALANCES].expect(&[
                    of(id),
                    of(currency),
                    of(balance.amount(Purpose::Available)),
                    of(balance.amount(Purpose::Held)),
                    of(balance.posted),
                ]);
            }
        }
    }
}
