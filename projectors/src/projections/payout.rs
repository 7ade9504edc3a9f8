//! `payout`: one row a payout, as the bank's last news has it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{Event, PayoutRequested};
use ledger_core::ids::{PayoutId, StreamId};
use ledger_core::payout::PayoutStatus;
use ledger_core::personal::Reason;
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection, expect_rows, stream_key};

/// The projection.
pub(super) struct Payouts;

#[async_trait]
impl Projection for Payouts {
    fn model(&self) -> ReadModel {
        read_model::PAYOUT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        stream_key(event, |stream| matches!(stream, StreamId::Payout(_)))
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let mut requested: Vec<(PayoutId, &Decoded, &PayoutRequested)> = Vec::new();
        let mut news: BTreeMap<PayoutId, News<'_>> = BTreeMap::new();
        for event in events {
            let StreamId::Payout(id) = event.envelope.stream_id() else { continue };
            if let Event::PayoutRequested(payout) = event.envelope.event() {
                requested.push((id, event, payout));
            } else if let Some(of_it) = News::of(event) {
                news.insert(id, of_it);
            }
        }
        if !requested.is_empty() {
            insert(tables, &requested).await?;
        }
        if !news.is_empty() {
            update(tables, &news).await?;
        }
        Ok(())
    }
}

/// What the bank said of a payout, or that what it said was a mistake.
struct News<'a> {
    event: &'a Decoded,
    status: PayoutStatus,
    reason: Option<&'a Reason>,
}

impl<'a> News<'a> {
    fn of(event: &'a Decoded) -> Option<Self> {
        let (status, reason) = match event.envelope.event() {
            Event::PayoutPaid(changed) => (PayoutStatus::Paid, changed.reason.as_ref()),
            Event::PayoutFailed(changed) => (PayoutStatus::Failed, changed.reason.as_ref()),
            Event::PayoutReturned(changed) => (PayoutStatus::Returned, changed.reason.as_ref()),
            Event::JournalCorrected(_) => (PayoutStatus::Requested, None),
            _ => return None,
        };
        Some(Self { event, status, reason })
    }
}

async fn insert(
    tables: &mut PgConnection,
    requested: &[(PayoutId, &Decoded, &PayoutRequested)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payouts
             (id, merchant_id, currency, amount, status, reference, created_at, updated_at, position)
         SELECT id, merchant_id, currency, amount, 'requested', reference, created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::bigint[])
              AS new (id, merchant_id, currency, amount, reference, created_at, position)",
    )
    .bind(requested.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(.., payout)| payout.merchant_id.to_string()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(.., payout)| payout.amount.currency.to_string()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(.., payout)| payout.amount.amount).collect::<Vec<_>>())
    .bind(requested.iter().map(|(.., payout)| payout.reference.as_deref()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(requested.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn update(tables: &mut PgConnection, news: &BTreeMap<PayoutId, News<'_>>) -> Result<(), ApplyError> {
    let reasons = news.values().map(|of| of.event.open_reason(of.reason));
    let done = sqlx::query(
        "UPDATE payouts SET status = new.status, reason = new.reason, updated_at = new.updated_at,
                position = new.position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
              AS new (id, status, reason, updated_at, position)
         WHERE payouts.id = new.id",
    )
    .bind(news.keys().map(PayoutId::to_string).collect::<Vec<_>>())
    .bind(news.values().map(|of| of.status.name()).collect::<Vec<_>>())
    .bind(reasons.collect::<Vec<_>>())
    .bind(news.values().map(|of| of.event.recorded_at()).collect::<Vec<_>>())
    .bind(news.values().map(|of| of.event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("payouts", news.len(), done.rows_affected())
}
