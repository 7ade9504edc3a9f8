//! `correction`: one row a correction, requested and then approved.

use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{CorrectionRequested, Event};
use ledger_core::ids::{CorrectionId, StreamId};
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection, expect_rows, stream_key};

/// The projection.
pub(super) struct Corrections;

#[async_trait]
impl Projection for Corrections {
    fn model(&self) -> ReadModel {
        read_model::CORRECTION
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        stream_key(event, |stream| matches!(stream, StreamId::Correction(_)))
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let mut requested: Vec<(CorrectionId, &Decoded, &CorrectionRequested)> = Vec::new();
        let mut approved: BTreeMap<CorrectionId, &Decoded> = BTreeMap::new();
        for event in events {
            let StreamId::Correction(id) = event.envelope.stream_id() else { continue };
            match event.envelope.event() {
                Event::CorrectionRequested(of) => requested.push((id, event, of)),
                Event::CorrectionApproved(_) => drop(approved.insert(id, event)),
                _ => {}
            }
        }
        if !requested.is_empty() {
            insert(tables, &requested).await?;
        }
        if !approved.is_empty() {
            update(tables, &approved).await?;
        }
        Ok(())
    }
}

async fn insert(
    tables: &mut PgConnection,
    requested: &[(CorrectionId, &Decoded, &CorrectionRequested)],
) -> Result<(), sqlx::Error> {
    let text = |of: fn(&CorrectionRequested) -> String| {
        requested.iter().map(|(.., correction)| of(correction)).collect::<Vec<_>>()
    };
    let reasons = requested.iter().map(|(_, event, of)| event.open_reason(Some(&of.reason)));
    sqlx::query(
        "INSERT INTO corrections
             (id, status, reverses, reverses_type, reverses_position, reverses_stream, currency, amount,
              effective_date, reason, requested_by, created_at, updated_at, position)
         SELECT id, 'requested', reverses, reverses_type, reverses_position, reverses_stream, currency, amount,
                effective_date::date, reason, requested_by, created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::bigint[])
              AS new (id, reverses, reverses_type, reverses_position, reverses_stream, currency, amount,
                      effective_date, reason, requested_by, created_at, position)",
    )
    .bind(requested.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(text(|of| of.reverses.to_string()))
    .bind(text(|of| of.reversed.type_name().to_owned()))
    .bind(requested.iter().map(|(.., of)| of.reverses_position.cast_signed()).collect::<Vec<_>>())
    .bind(text(|of| of.reverses_stream.to_string()))
    .bind(text(|of| of.reversed.amount().currency.to_string()))
    .bind(requested.iter().map(|(.., of)| of.reversed.amount().amount).collect::<Vec<_>>())
    .bind(text(|of| of.effective_date.to_string()))
    .bind(reasons.collect::<Vec<_>>())
    .bind(requested.iter().map(|(_, event, _)| event.envelope.actor.as_str()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn update(
    tables: &mut PgConnection,
    approved: &BTreeMap<CorrectionId, &Decoded>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE corrections SET status = 'approved', approved_by = new.approved_by, updated_at = new.updated_at,
                position = new.position
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
              AS new (id, approved_by, updated_at, position)
         WHERE corrections.id = new.id",
    )
    .bind(approved.keys().map(CorrectionId::to_string).collect::<Vec<_>>())
    .bind(approved.values().map(|event| event.envelope.actor.as_str()).collect::<Vec<_>>())
    .bind(approved.values().map(|event| event.recorded_at()).collect::<Vec<_>>())
    .bind(approved.values().map(|event| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("corrections", approved.len(), done.rows_affected())
}
