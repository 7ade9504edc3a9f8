//! `payment`: one row a payment, found by the filters of the API, and its refunds.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ledger_core::card_number::Brand;
use ledger_core::event::{CaptureMode, Event, PaymentDetails};
use ledger_core::ids::StreamId;
use ledger_core::payment::{Amounts, Status};
use ledger_core::personal::Reason;
use ledger_core::{Envelope, Timestamp};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::projection::{Decoded, Projection};

/// The projection.
pub(crate) struct PaymentSearch;

#[async_trait]
impl Projection for PaymentSearch {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/payment.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        match event.stream_id() {
            StreamId::Payment(id) => vec![id.to_string()],
            _ => Vec::new(),
        }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
        let mut begun: BTreeMap<String, Begun<'_>> = BTreeMap::new();
        let mut later: Vec<(String, &Decoded)> = Vec::new();
        for event in events {
            let StreamId::Payment(id) = event.envelope.stream_id() else { continue };
            match Begun::of(event) {
                Some(payment) => drop(begun.insert(id.to_string(), payment)),
                None => later.push((id.to_string(), event)),
            }
        }
        let older: BTreeSet<&str> =
            later.iter().map(|(id, _)| id.as_str()).filter(|id| !begun.contains_key(*id)).collect();
        let mut going = load(tables, &older).await?;
        for (id, event) in &later {
            let known = begun.get_mut(id).map(|payment| &mut payment.progress).or_else(|| going.get_mut(id));
            if let Some(progress) = known {
                progress.evolve(event);
            }
        }
        insert(tables, &begun).await?;
        update(tables, &going).await?;
        insert_refunds(tables, events).await
    }
}

/// What of a payment changes.
struct Progress {
    /// `None`: declined.
    amounts: Option<Amounts>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl Progress {
    fn evolve(&mut self, event: &Decoded) {
        self.updated_at = event.envelope.recorded_at.get();
        self.position = event.position();
        let Some(amounts) = &mut self.amounts else { return };
        match event.envelope.event() {
            Event::PaymentCaptured(captured) => {
                amounts.captured += captured.amount.amount;
                amounts.released += captured.released.amount;
                amounts.fee_taken += captured.fee.amount;
            }
            Event::PaymentVoided(voided) => amounts.released += voided.amount.amount,
            Event::PaymentRefunded(refunded) => {
                amounts.refunded += refunded.amount.amount;
                amounts.fee_returned += refunded.fee_returned.amount;
            }
            _ => {}
        }
    }

    fn status(&self) -> &'static str {
        self.amounts.as_ref().map_or(Status::Declined, Amounts::status).name()
    }

    fn amount(&self, column: fn(&Amounts) -> i64) -> i64 {
        self.amounts.as_ref().map_or(0, column)
    }
}

/// A payment that begins in this batch.
struct Begun<'a> {
    event: &'a Decoded,
    details: &'a PaymentDetails,
    client_id: Option<String>,
    decline_code: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    progress: Progress,
}

impl<'a> Begun<'a> {
    fn of(event: &'a Decoded) -> Option<Self> {
        let (updated_at, position) = (event.envelope.recorded_at.get(), event.position());
        match event.envelope.event() {
            Event::PaymentAuthorized(authorized) => {
                let amounts = Amounts {
                    client_id: authorized.client_id,
                    expires_at: authorized.expires_at,
                    authorized: authorized.details.amount.amount,
                    captured: 0,
                    released: 0,
                    refunded: 0,
                    fee_taken: 0,
                    fee_returned: 0,
                };
                Some(Self {
                    event,
                    details: &authorized.details,
                    client_id: Some(authorized.client_id.to_string()),
                    decline_code: None,
                    expires_at: Some(authorized.expires_at.get()),
                    progress: Progress { amounts: Some(amounts), updated_at, position },
                })
            }
            Event::PaymentDeclined(declined) => Some(Self {
                event,
                details: &declined.details,
                client_id: declined.client_id.map(|id| id.to_string()),
                decline_code: serde_json::to_value(declined.decline_code).ok()?.as_str().map(str::to_owned),
                expires_at: None,
                progress: Progress { amounts: None, updated_at, position },
            }),
            _ => None,
        }
    }
}

/// Loads the payments that began in earlier batches.
async fn load(
    tables: &mut PgConnection,
    ids: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Progress>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "SELECT id, client_id, authorized, captured, released, refunded, fee, expires_at, updated_at, position
         FROM payments WHERE id = ANY ($1)",
    )
    .bind(ids.iter().copied().collect::<Vec<_>>())
    .fetch_all(tables)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let client_id: Option<String> = row.try_get("client_id")?;
        let expires_at: Option<DateTime<Utc>> = row.try_get("expires_at")?;
        let amount = |column| row.try_get::<i64, _>(column);
        let amounts = match (client_id.and_then(|id| id.parse().ok()), expires_at) {
            (Some(client_id), Some(expires_at)) => Some(Amounts {
                client_id,
                expires_at: Timestamp::new(expires_at),
                authorized: amount("authorized")?,
                captured: amount("captured")?,
                released: amount("released")?,
                refunded: amount("refunded")?,
                // The row keeps taken − returned; only the difference counts here.
                fee_taken: amount("fee")?,
                fee_returned: 0,
            }),
            _ => None,
        };
        let progress =
            Progress { amounts, updated_at: row.try_get("updated_at")?, position: row.try_get("position")? };
        found.insert(row.try_get("id")?, progress);
    }
    Ok(found)
}

async fn insert(tables: &mut PgConnection, begun: &BTreeMap<String, Begun<'_>>) -> Result<(), sqlx::Error> {
    if begun.is_empty() {
        return Ok(());
    }
    let details = |column: fn(&PaymentDetails) -> String| {
        begun.values().map(|new| column(new.details)).collect::<Vec<_>>()
    };
    let amounts = |column: fn(&Amounts) -> i64| {
        begun.values().map(|new| new.progress.amount(column)).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO payments
             (id, merchant_id, client_id, status, currency, amount, authorized, captured, released, refunded, fee,
              card_id, card_brand, card_last4, exp_month, exp_year, capture, reference, description, metadata,
              decline_code, expires_at, created_at, updated_at, position)
         SELECT * FROM unnest(
             $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
             $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::smallint[],
             $16::smallint[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::timestamptz[],
             $23::timestamptz[], $24::timestamptz[], $25::bigint[])",
    )
    .bind(begun.keys().map(String::as_str).collect::<Vec<_>>())
    .bind(details(|of| of.merchant_id.to_string()))
    .bind(begun.values().map(|new| new.client_id.as_deref()).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.progress.status()).collect::<Vec<_>>())
    .bind(details(|of| of.amount.currency.to_string()))
    .bind(begun.values().map(|new| new.details.amount.amount).collect::<Vec<_>>())
    .bind(amounts(|of| of.authorized))
    .bind(amounts(|of| of.captured))
    .bind(amounts(|of| of.released))
    .bind(amounts(|of| of.refunded))
    .bind(amounts(|of| of.fee_taken - of.fee_returned))
    .bind(begun.values().map(|new| new.details.card.id.map(|id| id.to_string())).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.details.card.brand.map(Brand::name)).collect::<Vec<_>>())
    .bind(details(|of| of.card.last4.clone()))
    .bind(begun.values().map(|new| i16::from(new.details.card.expiry.month)).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.details.card.expiry.year.cast_signed()).collect::<Vec<_>>())
    .bind(details(|of| match of.capture {
        CaptureMode::Automatic => "automatic".to_owned(),
        CaptureMode::Manual => "manual".to_owned(),
    }))
    .bind(begun.values().map(|new| new.details.reference.as_deref()).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.event.open_text(new.details.description.as_ref(), "description")).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.event.open_object(new.details.metadata.as_ref(), "metadata")).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.decline_code.as_deref()).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.expires_at).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.event.envelope.recorded_at.get()).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.progress.updated_at).collect::<Vec<_>>())
    .bind(begun.values().map(|new| new.progress.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn update(tables: &mut PgConnection, going: &BTreeMap<String, Progress>) -> Result<(), sqlx::Error> {
    if going.is_empty() {
        return Ok(());
    }
    let amounts =
        |column: fn(&Amounts) -> i64| going.values().map(|new| new.amount(column)).collect::<Vec<_>>();
    sqlx::query(
        "UPDATE payments SET status = new.status, authorized = new.authorized, captured = new.captured,
                released = new.released, refunded = new.refunded, fee = new.fee,
                updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::timestamptz[], $9::bigint[])
              AS new (id, status, authorized, captured, released, refunded, fee, updated_at, position)
         WHERE payments.id = new.id",
    )
    .bind(going.keys().map(String::as_str).collect::<Vec<_>>())
    .bind(going.values().map(Progress::status).collect::<Vec<_>>())
    .bind(amounts(|of| of.authorized))
    .bind(amounts(|of| of.captured))
    .bind(amounts(|of| of.released))
    .bind(amounts(|of| of.refunded))
    .bind(amounts(|of| of.fee_taken - of.fee_returned))
    .bind(going.values().map(|new| new.updated_at).collect::<Vec<_>>())
    .bind(going.values().map(|new| new.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn insert_refunds(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let refunds: Vec<_> = events
        .iter()
        .filter_map(|event| match (event.envelope.stream_id(), event.envelope.event()) {
            (StreamId::Payment(id), Event::PaymentRefunded(refunded)) => {
                Some((event, id.to_string(), refunded))
            }
            _ => None,
        })
        .collect();
    if refunds.is_empty() {
        return Ok(());
    }
    let reason = |event: &Decoded, reason: &Option<Reason>| match reason {
        Some(Reason::Person(sealed)) => event.open_text(Some(sealed), "reason"),
        Some(Reason::Machine(code)) => Some(code.clone()),
        None => None,
    };
    sqlx::query(
        "INSERT INTO refunds (id, payment_id, currency, amount, reason, created_at, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::bigint[])",
    )
    .bind(refunds.iter().map(|(.., refunded)| refunded.refund_id.to_string()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(.., refunded)| refunded.amount.currency.to_string()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(.., refunded)| refunded.amount.amount).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, _, refunded)| reason(event, &refunded.reason)).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, ..)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, ..)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
