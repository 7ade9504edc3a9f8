//! `fx-rate`: one row for each time that a rate was set.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, of};

static SHAPES: [Shape; 1] = [Shape {
    name: "fx_rates",
    columns: &[
        ("position", Kind::Plain),
        ("pair", Kind::Plain),
        ("from_currency", Kind::Plain),
        ("to_currency", Kind::Plain),
        ("rate", Kind::Plain),
        ("valid_until", Kind::Moment),
        ("created_at", Kind::Moment),
    ],
    key: 1,
    parked_by: ParkedBy::Column(1),
}];

/// The model.
pub(super) struct FxRates;

impl Model for FxRates {
    fn name(&self) -> &'static str {
        "fx-rate"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], ledger: &Ledger, tables: &mut [Table]) {
        if let StreamId::FxPair(from, to) = event.stream
            && let Some(quote) = ledger.rates.get(&to).and_then(|rates| rates.get(&from))
        {
            tables[0].expect(&[
                of(event.position),
                of(event.stream),
                of(from),
                of(to),
                of(quote.rate),
                of(quote.valid_until),
                of(event.at),
            ]);
        }
    }

    fn close(&self, _: &Ledger, _: &mut [Table]) {}
}
