//! `reconciliation`: one row a run, and one an item of it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{Event, ReconciliationRun};
use ledger_core::ids::{ReconciliationId, StreamId};
use ledger_core::personal::Reference;
use ledger_core::reconciliation::item::{Item, ItemLine, reference_field};
use ledger_core::reconciliation::movement::Movement;
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection, expect_rows, json_text, stream_key};

/// The projection.
pub(super) struct Reconciliations;

#[async_trait]
impl Projection for Reconciliations {
    fn model(&self) -> ReadModel {
        read_model::RECONCILIATION
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        stream_key(event, |stream| matches!(stream, StreamId::Reconciliation(_)))
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let (mut begun, mut items) = (Vec::new(), Vec::new());
        // The last event of each run that goes on.
        let mut last: BTreeMap<ReconciliationId, &Decoded> = BTreeMap::new();
        for event in events {
            let StreamId::Reconciliation(id) = event.envelope.stream_id() else { continue };
            match event.envelope.event() {
                Event::ReconciliationRun(run) => begun.push((id, *event, run)),
                Event::ReconciliationItems(more) => {
                    items.extend(
                        more.items.iter().zip(0..).map(|(item, ordinal)| Row::of(id, event, item, ordinal)),
                    );
                    last.insert(id, event);
                }
                _ => {}
            }
        }
        if !begun.is_empty() {
            insert_runs(tables, &begun).await?;
        }
        if !items.is_empty() {
            insert_items(tables, &items).await?;
        }
        if !last.is_empty() {
            advance(tables, &last).await?;
        }
        Ok(())
    }
}

/// An item with its place, its references opened.
struct Row<'a> {
    id: ReconciliationId,
    position: i64,
    ordinal: i32,
    result: &'static str,
    line: Option<&'a ItemLine>,
    line_reference: Option<String>,
    movement: Option<&'a Movement>,
    movement_reference: Option<String>,
}

impl<'a> Row<'a> {
    fn of(id: ReconciliationId, event: &Decoded, item: &'a Item, ordinal: i32) -> Self {
        let (line, movement) = (item.line.as_ref(), item.movement.as_ref());
        Self {
            id,
            position: event.position(),
            ordinal,
            result: item.result.name(),
            line,
            line_reference: line
                .and_then(|line| event.open_text(line.reference.as_ref(), &reference_field(line.number))),
            movement,
            movement_reference: movement.and_then(|movement| open_reference(event, movement)),
        }
    }
}

/// Opens a movement's reference, which is sealed for the movement's own event.
fn open_reference(event: &Decoded, movement: &Movement) -> Option<String> {
    match movement.reference.as_ref()? {
        Reference::Person(sealed) => {
            let opened = sealed.open(event.keys.of(sealed.subject)?, movement.event_id, "reference")?;
            opened.as_str().map(str::to_owned)
        }
        Reference::Clear(text) => Some(text.clone()),
    }
}

async fn insert_runs(
    tables: &mut PgConnection,
    begun: &[(ReconciliationId, &Decoded, &ReconciliationRun)],
) -> Result<(), sqlx::Error> {
    let numbers = |column: fn(&ReconciliationRun) -> u64| {
        begun.iter().map(|(.., run)| column(run).cast_signed()).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO reconciliations
             (id, format, file_hash, from_day, to_day, currencies, lines, through_position, matched, missing_here,
              missing_there, amount_differs, duplicate, created_at, updated_at, position)
         SELECT id, format, file_hash, from_day::date, to_day::date, currencies, lines, through_position, matched,
                missing_here, missing_there, amount_differs, duplicate, created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                     $14::timestamptz[], $15::bigint[])
              AS new (id, format, file_hash, from_day, to_day, currencies, lines, through_position, matched,
                      missing_here, missing_there, amount_differs, duplicate, created_at, position)",
    )
    .bind(begun.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(.., run)| run.format.name()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(.., run)| run.file_hash.to_string()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(.., run)| run.from.to_string()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(.., run)| run.to.to_string()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(.., run)| json_text(&run.currencies)).collect::<Vec<_>>())
    .bind(numbers(|run| run.lines))
    .bind(numbers(|run| run.through_position))
    .bind(numbers(|run| run.counts.matched))
    .bind(numbers(|run| run.counts.missing_here))
    .bind(numbers(|run| run.counts.missing_there))
    .bind(numbers(|run| run.counts.amount_differs))
    .bind(numbers(|run| run.counts.duplicate))
    .bind(begun.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn insert_items(tables: &mut PgConnection, items: &[Row<'_>]) -> Result<(), sqlx::Error> {
    let of_line =
        |column: fn(&ItemLine) -> String| items.iter().map(|row| row.line.map(column)).collect::<Vec<_>>();
    let of_movement = |column: fn(&Movement) -> String| {
        items.iter().map(|row| row.movement.map(column)).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO reconciliation_items
             (reconciliation_id, position, ordinal, result, line_number, line_date, line_direction, line_amount,
              line_currency, line_reference, movement_event_id, movement_position, movement_type,
              movement_stream_id, movement_date, movement_amount, movement_currency, movement_reference)
         SELECT reconciliation_id, position, ordinal, result, line_number, line_date::date, line_direction,
                line_amount, line_currency, line_reference, movement_event_id, movement_position, movement_type,
                movement_stream_id, movement_date::date, movement_amount, movement_currency, movement_reference
         FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                     $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[],
                     $15::text[], $16::bigint[], $17::text[], $18::text[])
              AS new (reconciliation_id, position, ordinal, result, line_number, line_date, line_direction,
                      line_amount, line_currency, line_reference, movement_event_id, movement_position,
                      movement_type, movement_stream_id, movement_date, movement_amount, movement_currency,
                      movement_reference)",
    )
    .bind(items.iter().map(|row| row.id.to_string()).collect::<Vec<_>>())
    .bind(items.iter().map(|row| row.position).collect::<Vec<_>>())
    .bind(items.iter().map(|row| row.ordinal).collect::<Vec<_>>())
    .bind(items.iter().map(|row| row.result).collect::<Vec<_>>())
    .bind(items.iter().map(|row| row.line.map(|line| line.number.cast_signed())).collect::<Vec<_>>())
    .bind(of_line(|line| line.date.to_string()))
    .bind(of_line(|line| line.direction.name().to_owned()))
    .bind(items.iter().map(|row| row.line.map(|line| line.amount.amount)).collect::<Vec<_>>())
    .bind(of_line(|line| line.amount.currency.to_string()))
    .bind(items.iter().map(|row| row.line_reference.as_deref()).collect::<Vec<_>>())
    .bind(of_movement(|movement| movement.event_id.to_string()))
    .bind(items.iter().map(|row| row.movement.map(|of| of.position.cast_signed())).collect::<Vec<_>>())
    .bind(of_movement(|movement| movement.kind.name().to_owned()))
    .bind(of_movement(|movement| movement.stream_id.to_string()))
    .bind(of_movement(|movement| movement.date.to_string()))
    .bind(items.iter().map(|row| row.movement.map(|of| of.amount.amount)).collect::<Vec<_>>())
    .bind(of_movement(|movement| movement.amount.currency.to_string()))
    .bind(items.iter().map(|row| row.movement_reference.as_deref()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

/// Moves runs on to their last events.
async fn advance(
    tables: &mut PgConnection,
    last: &BTreeMap<ReconciliationId, &Decoded>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE reconciliations SET updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS new (id, updated_at, position)
         WHERE reconciliations.id = new.id",
    )
    .bind(last.keys().map(ReconciliationId::to_string).collect::<Vec<_>>())
    .bind(last.values().map(|event| event.recorded_at()).collect::<Vec<_>>())
    .bind(last.values().map(|event| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("reconciliations", last.len(), done.rows_affected())
}
