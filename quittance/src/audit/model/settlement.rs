//! `settlement`: one row a settlement, and one a capture. Which settlement takes which capture follows from
//! the order of both.

use super::Model;
use crate::audit::event::Event;
use crate::audit::fields::{Fields, Malformed};
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Cell, Kind, ParkedBy, Shape, Table, of, text};

const SETTLEMENTS: usize = 0;
const CAPTURES: usize = 1;

static SHAPES: [Shape; 2] = [
    Shape {
        name: "settlements",
        columns: &[
            ("id", Kind::Plain),
            ("merchant_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("through_day", Kind::Plain),
            ("count", Kind::Plain),
            ("gross", Kind::Plain),
            ("fees", Kind::Plain),
            ("absorbed", Kind::Plain),
            ("amount", Kind::Plain),
            ("created_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(1),
    },
    Shape {
        name: "captures",
        columns: &[
            ("merchant_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("settles_on", Kind::Plain),
            ("position", Kind::Plain),
            ("payment_id", Kind::Plain),
            ("amount", Kind::Plain),
            ("fee", Kind::Plain),
            ("captured_at", Kind::Moment),
        ],
        key: 4,
        parked_by: ParkedBy::Column(0),
    },
];

/// The model.
pub(super) struct Settlements;

impl Model for Settlements {
    fn name(&self) -> &'static str {
        "settlement"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], _: &Ledger, tables: &mut [Table]) {
        // What can't be read was told as the event's finding.
        match event.kind.as_str() {
            "settlement.closed" => {
                settlement(event).into_iter().for_each(|cells| tables[SETTLEMENTS].expect(&cells));
            }
            "payment.captured" => {
                capture(event).into_iter().for_each(|cells| tables[CAPTURES].expect(&cells));
            }
            _ => {}
        }
    }

    fn close(&self, _: &Ledger, _: &mut [Table]) {}
}

fn settlement(event: &Event) -> Result<[Cell<'_>; 11], Malformed> {
    let data = event.data();
    Ok([
        of(event.stream),
        text(data.text("merchant_id")?),
        text(data.text("currency")?),
        text(data.text("through_day")?),
        of(data.number("count")?),
        minor(data, "gross")?,
        minor(data, "fees")?,
        minor(data, "absorbed")?,
        minor(data, "amount")?,
        of(event.at),
        of(event.position),
    ])
}

fn capture(event: &Event) -> Result<[Cell<'_>; 8], Malformed> {
    let data = event.data();
    Ok([
        text(data.text("merchant_id")?),
        of(data.money("amount")?.currency),
        text(data.text("settles_on")?),
        of(event.position),
        of(event.stream),
        minor(data, "amount")?,
        minor(data, "fee")?,
        of(event.at),
    ])
}

fn minor(data: Fields<'_>, name: &'static str) -> Result<Cell<'static>, Malformed> {
    Ok(of(data.money(name)?.minor))
}
