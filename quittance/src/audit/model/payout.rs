//! `payout`: one row a payout.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, maybe, of, text};

static SHAPES: [Shape; 1] = [Shape {
    name: "payouts",
    columns: &[
        ("id", Kind::Plain),
        ("merchant_id", Kind::Plain),
        ("currency", Kind::Plain),
        ("amount", Kind::Plain),
        ("status", Kind::Plain),
        ("reference", Kind::Plain),
        ("reason", Kind::Personal),
        ("created_at", Kind::Moment),
        ("updated_at", Kind::Moment),
        ("position", Kind::Plain),
    ],
    key: 1,
    parked_by: ParkedBy::Column(0),
}];

/// The model.
pub(super) struct Payouts;

impl Model for Payouts {
    fn name(&self) -> &'static str {
        "payout"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, _: &Event, _: &[Effect], _: &Ledger, _: &mut [Table]) {}

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, payout) in &ledger.payouts {
            let Some(stamp) = ledger.streams.get(&StreamId::Payout(*id)) else { continue };
            tables[0].expect(&[
                of(id),
                of(payout.merchant),
                of(payout.amount.currency),
                of(payout.amount.minor),
                text(payout.status.name()),
                maybe(payout.reference.as_deref()),
                maybe(payout.reason.as_deref()),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
    }
}
