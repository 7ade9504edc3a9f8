//! `reconciliation`: one row a run, and one an item of it.

use ledger_core::ids::StreamId;
use serde_json::Value;

use super::Model;
use crate::audit::event::Event;
use crate::audit::fields::{Fields, Malformed};
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::reconciliation::Said;
use crate::audit::table::{Cell, Kind, ParkedBy, Shape, Table, json, maybe, of, text};

const RUNS: usize = 0;
const ITEMS: usize = 1;

static SHAPES: [Shape; 2] = [
    Shape {
        name: "reconciliations",
        columns: &[
            ("id", Kind::Plain),
            ("format", Kind::Plain),
            ("file_hash", Kind::Plain),
            ("from_day", Kind::Plain),
            ("to_day", Kind::Plain),
            ("currencies", Kind::Json),
            ("lines", Kind::Plain),
            ("through_position", Kind::Plain),
            ("missing_here", Kind::Plain),
            ("missing_there", Kind::Plain),
            ("amount_differs", Kind::Plain),
            ("duplicate", Kind::Plain),
            ("matched", Kind::Plain),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "reconciliation_items",
        columns: &[
            ("reconciliation_id", Kind::Plain),
            ("position", Kind::Plain),
            ("ordinal", Kind::Plain),
            ("result", Kind::Plain),
            ("line_number", Kind::Plain),
            ("line_date", Kind::Plain),
            ("line_direction", Kind::Plain),
            ("line_amount", Kind::Plain),
            ("line_currency", Kind::Plain),
            ("line_reference", Kind::Personal),
            ("movement_event_id", Kind::Plain),
            ("movement_position", Kind::Plain),
            ("movement_type", Kind::Plain),
            ("movement_stream_id", Kind::Plain),
            ("movement_date", Kind::Plain),
            ("movement_amount", Kind::Plain),
            ("movement_currency", Kind::Plain),
            ("movement_reference", Kind::Personal),
        ],
        key: 3,
        parked_by: ParkedBy::Column(0),
    },
];

/// The model.
pub(super) struct Reconciliations;

impl Model for Reconciliations {
    fn name(&self) -> &'static str {
        "reconciliation"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], ledger: &Ledger, tables: &mut [Table]) {
        if event.kind != "reconciliation.items" {
            return;
        }
        // What can't be read was told as the event's finding.
        let items = event.data().list("items").unwrap_or_default();
        for ((item, said), ordinal) in items.iter().zip(&ledger.bank.said).zip(0..) {
            if let Ok(cells) = cells(event, ordinal, item, said) {
                tables[ITEMS].expect(&cells);
            }
        }
    }

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, run) in &ledger.bank.runs {
            let Some(stamp) = ledger.streams.get(&StreamId::Reconciliation(*id)) else { continue };
            let currencies = run.currencies.iter().map(ToString::to_string).collect::<Vec<_>>();
            let [missing_here, missing_there, amount_differs, duplicate, matched] = run.counts;
            tables[RUNS].expect(&[
                of(id),
                text(run.format),
                text(&*run.file),
                of(run.from),
                of(run.to),
                json(&Value::from(currencies)),
                of(run.lines),
                of(run.through),
                of(missing_here),
                of(missing_there),
                of(amount_differs),
                of(duplicate),
                of(matched),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
    }
}

fn cells<'a>(
    event: &Event,
    ordinal: i32,
    item: &'a Value,
    said: &'a Said,
) -> Result<[Cell<'a>; 18], Malformed> {
    let item = Fields::of(item, "items")?;
    let [number, day, direction, amount, currency] =
        if item.has("line") { line(item.object("line")?)? } else { [const { None }; 5] };
    let [event_id, position, kind, stream, moved_day, moved_amount, moved_currency] =
        if item.has("movement") { movement(item.object("movement")?)? } else { [const { None }; 7] };
    Ok([
        of(event.stream),
        of(event.position),
        of(ordinal),
        text(item.text("result")?),
        number,
        day,
        direction,
        amount,
        currency,
        maybe(said.line.as_deref()),
        event_id,
        position,
        kind,
        stream,
        moved_day,
        moved_amount,
        moved_currency,
        maybe(said.movement.as_deref()),
    ])
}

fn line(line: Fields<'_>) -> Result<[Cell<'_>; 5], Malformed> {
    let money = line.money("amount")?;
    Ok([
        of(line.number("number")?),
        text(line.text("date")?),
        text(line.text("direction")?),
        of(money.minor),
        of(money.currency),
    ])
}

fn movement(movement: Fields<'_>) -> Result<[Cell<'_>; 7], Malformed> {
    let money = movement.money("amount")?;
    Ok([
        text(movement.text("event_id")?),
        of(movement.number("position")?),
        text(movement.text("type")?),
        text(movement.text("stream_id")?),
        text(movement.text("date")?),
        of(money.minor),
        of(money.currency),
    ])
}
