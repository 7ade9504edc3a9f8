//! `house-account`: the totals of the house's accounts, and one entry per account and event.

use std::collections::BTreeMap;

use super::Model;
use crate::audit::account::{Account, Side};
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, of, text};

const BALANCES: usize = 0;
const ENTRIES: usize = 1;

static SHAPES: [Shape; 2] = [
    Shape {
        name: "house_balances",
        columns: &[
            ("account", Kind::Plain),
            ("currency", Kind::Plain),
            ("debits", Kind::Plain),
            ("credits", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 2,
        parked_by: ParkedBy::Key("house"),
    },
    Shape {
        name: "house_entries",
        columns: &[
            ("account", Kind::Plain),
            ("currency", Kind::Plain),
            ("position", Kind::Plain),
            ("debit", Kind::Plain),
            ("credit", Kind::Plain),
            ("debits_after", Kind::Plain),
            ("credits_after", Kind::Plain),
        ],
        key: 3,
        parked_by: ParkedBy::Key("house"),
    },
];

/// The model.
pub(super) struct HouseAccount;

impl Model for HouseAccount {
    fn name(&self) -> &'static str {
        "house-account"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], ledger: &Ledger, tables: &mut [Table]) {
        let mut sums: BTreeMap<_, [i128; 2]> = BTreeMap::new();
        for posting in &event.postings {
            if let Account::House(house) = posting.account {
                let [debit, credit] = sums.entry((house, posting.money.currency)).or_default();
                match posting.side {
                    Side::Debit => *debit += posting.money.minor,
                    Side::Credit => *credit += posting.money.minor,
                }
            }
        }
        for ((house, currency), [debit, credit]) in sums {
            let after = ledger.house.get(&(house, currency)).copied().unwrap_or_default();
            tables[ENTRIES].expect(&[
                text(house.name()),
                of(currency),
                of(event.position),
                of(debit),
                of(credit),
                of(after.debits),
                of(after.credits),
            ]);
        }
    }

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for ((house, currency), totals) in &ledger.house {
            tables[BALANCES].expect(&[
                text(house.name()),
                of(currency),
                of(totals.debits),
                of(totals.credits),
                of(totals.position),
            ]);
        }
    }
}
