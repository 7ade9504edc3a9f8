//! `correction`: one row a correction.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, maybe, of, text};

static SHAPES: [Shape; 1] = [Shape {
    name: "corrections",
    columns: &[
        ("id", Kind::Plain),
        ("status", Kind::Plain),
        ("reverses", Kind::Plain),
        ("reverses_type", Kind::Plain),
        ("reverses_position", Kind::Plain),
        ("reverses_stream", Kind::Plain),
        ("currency", Kind::Plain),
        ("amount", Kind::Plain),
        ("effective_date", Kind::Plain),
        ("reason", Kind::Personal),
        ("requested_by", Kind::Plain),
        ("approved_by", Kind::Plain),
        ("created_at", Kind::Moment),
        ("updated_at", Kind::Moment),
        ("position", Kind::Plain),
    ],
    key: 1,
    parked_by: ParkedBy::Column(0),
}];

/// The model.
pub(super) struct Corrections;

impl Model for Corrections {
    fn name(&self) -> &'static str {
        "correction"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, _: &Event, _: &[Effect], _: &Ledger, _: &mut [Table]) {}

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, correction) in &ledger.corrections {
            let Some(stamp) = ledger.streams.get(&StreamId::Correction(*id)) else { continue };
            let Some(reversed) = ledger.correctable.get(&correction.reverses) else { continue };
            // What can't be read was told as the event's finding.
            let Ok(amount) = reversed.data().money("amount") else { continue };
            tables[0].expect(&[
                of(id),
                text(if correction.approved_by.is_some() { "approved" } else { "requested" }),
                of(correction.reverses),
                text(reversed.kind.as_str()),
                of(reversed.position),
                of(reversed.stream),
                of(amount.currency),
                of(amount.minor),
                of(correction.effective_date),
                maybe(correction.reason.as_deref()),
                text(correction.requested_by.as_str()),
                maybe(correction.approved_by.as_deref()),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
    }
}
