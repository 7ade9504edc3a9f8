//! `merchant-account`: merchants, their balances, one entry per posting, and what was paid out.

use ledger_core::ids::StreamId;
use serde_json::Value;

use super::Model;
use crate::audit::account::{Holder, Purpose};
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::payout::Payout;
use crate::audit::table::{Kind, ParkedBy, Shape, Table, json, of, text};

const MERCHANTS: usize = 0;
const BALANCES: usize = 1;
const ENTRIES: usize = 2;
const PAID_OUT: usize = 3;

static SHAPES: [Shape; 4] = [
    Shape {
        name: "merchants",
        columns: &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("status", Kind::Plain),
            ("settings", Kind::Json),
            ("metadata", Kind::Json),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "merchant_balances",
        columns: &[
            ("merchant_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("pending", Kind::Plain),
            ("available", Kind::Plain),
            ("reserved", Kind::Plain),
            ("in_transit", Kind::Plain),
            ("position", Kind::Plain),
        ],
        key: 2,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "merchant_entries",
        columns: &[
            ("merchant_id", Kind::Plain),
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
    Shape {
        name: "merchant_paid_out",
        columns: &[
            ("merchant_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("position", Kind::Plain),
            ("paid_out_after", Kind::Plain),
        ],
        key: 3,
        parked_by: ParkedBy::Column(0),
    },
];

/// The model.
pub(super) struct MerchantAccount;

impl Model for MerchantAccount {
    fn name(&self) -> &'static str {
        "merchant-account"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, effects: &[Effect], ledger: &Ledger, tables: &mut [Table]) {
        let is_merchants = |effect: &&Effect| matches!(effect.holder, Holder::Merchant(_));
        super::expect_entries(event, effects.iter().filter(is_merchants), &mut tables[ENTRIES]);
        if matches!(event.kind.as_str(), "payout.paid" | "payout.returned" | "journal.corrected")
            && let StreamId::Payout(id) = event.stream
            && let Some(Payout { merchant, amount, .. }) = ledger.payouts.get(&id)
            && let Some(balance) = ledger.balances.get(&(Holder::Merchant(*merchant), amount.currency))
        {
            let cells = [of(merchant), of(amount.currency), of(event.position), of(balance.paid_out)];
            tables[PAID_OUT].expect(&cells);
        }
    }

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, merchant) in &ledger.merchants {
            let Some(stamp) = ledger.streams.get(&StreamId::Merchant(*id)) else { continue };
            let metadata = (!merchant.metadata.is_null()).then(|| json(&merchant.metadata));
            tables[MERCHANTS].expect(&[
                of(id),
                text(merchant.name.as_str()),
                text(merchant.status()),
                json(&Value::Object(merchant.settings.json.clone())),
                metadata.flatten(),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
        for ((holder, currency), balance) in &ledger.balances {
            if let Holder::Merchant(id) = holder
                && balance.posted > 0
            {
                tables[BALANCES].expect(&[
                    of(id),
                    of(currency),
                    of(balance.amount(Purpose::Pending)),
                    of(balance.amount(Purpose::Available)),
                    of(balance.amount(Purpose::Reserved)),
                    of(balance.amount(Purpose::InTransit)),
                    of(balance.posted),
                ]);
            }
        }
    }
}
