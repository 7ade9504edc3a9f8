//! `settlement`: settlements, and the captures that they take. Closing one writes one row, however many it takes:
//! which those are follows from the order of both.

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{Event, PaymentCaptured, SettlementClosed};
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection};

/// The projection.
pub(super) struct Settlements;

#[async_trait]
impl Projection for Settlements {
    fn model(&self) -> ReadModel {
        read_model::SETTLEMENT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        match event.event() {
            Event::PaymentCaptured(capture) => vec![capture.merchant_id.to_string()],
            Event::SettlementClosed(settlement) => vec![settlement.merchant_id.to_string()],
            _ => Vec::new(),
        }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let (mut captured, mut closed) = (Vec::new(), Vec::new());
        for event in events {
            match event.envelope.event() {
                Event::PaymentCaptured(capture) => captured.push((*event, capture)),
                Event::SettlementClosed(settlement) => closed.push((*event, settlement)),
                _ => {}
            }
        }
        if !captured.is_empty() {
            insert_captures(tables, &captured).await?;
        }
        if !closed.is_empty() {
            insert_settlements(tables, &closed).await?;
        }
        Ok(())
    }
}

async fn insert_captures(
    tables: &mut PgConnection,
    captured: &[(&Decoded, &PaymentCaptured)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO captures
             (merchant_id, currency, settles_on, position, payment_id, amount, fee, captured_at)
         SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[])::date, unnest($4::bigint[]),
                unnest($5::text[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::timestamptz[])",
    )
    .bind(captured.iter().map(|(_, capture)| capture.merchant_id.to_string()).collect::<Vec<_>>())
    .bind(captured.iter().map(|(_, capture)| capture.amount.currency.to_string()).collect::<Vec<_>>())
    .bind(captured.iter().map(|(_, capture)| capture.settles_on.to_string()).collect::<Vec<_>>())
    .bind(captured.iter().map(|(event, _)| event.position()).collect::<Vec<_>>())
    .bind(captured.iter().map(|(event, _)| event.envelope.stream_id().to_string()).collect::<Vec<_>>())
    .bind(captured.iter().map(|(_, capture)| capture.amount.amount).collect::<Vec<_>>())
    .bind(captured.iter().map(|(_, capture)| capture.fee.amount).collect::<Vec<_>>())
    .bind(captured.iter().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn insert_settlements(
    tables: &mut PgConnection,
    closed: &[(&Decoded, &SettlementClosed)],
) -> Result<(), sqlx::Error> {
    let amounts = |column: fn(&SettlementClosed) -> i64| {
        closed.iter().map(|(_, settlement)| column(settlement)).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO settlements
             (id, merchant_id, currency, through_day, count, gross, fees, absorbed, amount, created_at, position)
         SELECT id, merchant_id, currency, through_day::date, count, gross, fees, absorbed, amount, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::timestamptz[], $11::bigint[])
              AS new (id, merchant_id, currency, through_day, count, gross, fees, absorbed, amount, created_at,
                      position)",
    )
    .bind(closed.iter().map(|(event, _)| event.envelope.stream_id().to_string()).collect::<Vec<_>>())
    .bind(closed.iter().map(|(_, settlement)| settlement.merchant_id.to_string()).collect::<Vec<_>>())
    .bind(closed.iter().map(|(_, settlement)| settlement.currency.to_string()).collect::<Vec<_>>())
    .bind(closed.iter().map(|(_, settlement)| settlement.through_day.to_string()).collect::<Vec<_>>())
    .bind(amounts(|settlement| settlement.count.cast_signed()))
    .bind(amounts(|settlement| settlement.gross.amount))
    .bind(amounts(|settlement| settlement.fees.amount))
    .bind(amounts(|settlement| settlement.absorbed.amount))
    .bind(amounts(|settlement| settlement.amount.amount))
    .bind(closed.iter().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(closed.iter().map(|(event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
