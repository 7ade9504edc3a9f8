//! `payment`: one row a payment, found by the filters of the API, and its refunds.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ledger_core::card_number::Expiry;
use ledger_core::event::{CaptureMode, DeclineCode, Event, PaymentCard, PaymentDetails, PaymentRefunded};
use ledger_core::ids::{EventId, PaymentId, StreamId};
use ledger_core::payment::{Amounts, Outcome, Payment};
use ledger_core::stamp::Stamp;
use ledger_core::{Envelope, Money, Timestamp};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::projection::{ApplyError, Decoded, Projection, expect_rows};

/// The projection.
pub(super) struct Payments;

#[async_trait]
impl Projection for Payments {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/payment.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        match event.stream_id() {
            StreamId::Payment(id) => vec![id.to_string()],
            StreamId::Client(_) | StreamId::Merchant(_) | StreamId::Card(_) | StreamId::Key(_) => Vec::new(),
        }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let (mut begun, later) = begin(events);
        let older: BTreeSet<PaymentId> =
            later.iter().map(|(id, _)| *id).filter(|id| !begun.contains_key(id)).collect();
        let mut going = load(tables, &older).await?;
        expect_rows("payments", older.len(), going.len() as u64)?;
        for (id, event) in &later {
            let payment = begun.get_mut(id).map(|(payment, _)| payment).or_else(|| going.get_mut(id));
            if let Some(payment) = payment {
                payment.evolve(&event.envelope);
            }
        }
        if !begun.is_empty() {
            insert(tables, &begun).await?;
        }
        if !going.is_empty() {
            update(tables, &going).await?;
        }
        insert_refunds(tables, events).await
    }
}

/// Payments that begin in a batch, with their first events.
type Begun<'a> = BTreeMap<PaymentId, (Payment, &'a Decoded)>;

/// Begins payments with their first events, and returns the later ones.
fn begin<'a>(events: &[&'a Decoded]) -> (Begun<'a>, Vec<(PaymentId, &'a Decoded)>) {
    let (mut begun, mut later) = (Begun::new(), Vec::new());
    for event in events {
        let StreamId::Payment(id) = event.envelope.stream_id() else { continue };
        match Payment::fold([&event.envelope]) {
            Some(payment) => drop(begun.insert(id, (payment, event))),
            None => later.push((id, *event)),
        }
    }
    (begun, later)
}

/// Loads payments that began in earlier batches.
async fn load(
    tables: &mut PgConnection,
    ids: &BTreeSet<PaymentId>,
) -> Result<BTreeMap<PaymentId, Payment>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "SELECT id, merchant_id, client_id, currency, amount, authorized, captured, released, refunded, fee,
                decline_code, expires_at, created_at, updated_at, position
         FROM payments WHERE id = ANY ($1)",
    )
    .bind(ids.iter().map(PaymentId::to_string).collect::<Vec<_>>())
    .fetch_all(tables)
    .await?;
    rows.iter().map(|row| payment(row).map(|payment| (payment.id, payment))).collect()
}

/// Makes a payment of its row, as far as later events can change it: neither they nor the status look at
/// the rest.
fn payment(row: &PgRow) -> Result<Payment, sqlx::Error> {
    let amount = |column| row.try_get::<i64, _>(column);
    let moment = |column| row.try_get::<DateTime<Utc>, _>(column).map(Timestamp::new);
    let client_id = || parse(row.try_get::<String, _>("client_id")?);
    let decline_code: Option<String> = row.try_get("decline_code")?;
    let outcome = match decline_code {
        Some(code) => {
            let code: DeclineCode = serde_json::from_value(Value::String(code))
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            Outcome::Declined { client_id: client_id().ok(), code }
        }
        None => Outcome::Approved(Amounts {
            client_id: client_id()?,
            expires_at: moment("expires_at")?,
            authorized: amount("authorized")?,
            captured: amount("captured")?,
            released: amount("released")?,
            refunded: amount("refunded")?,
            // The row keeps the difference of the two, and only that is asked for.
            fee_taken: amount("fee")?,
            fee_returned: 0,
        }),
    };
    Ok(Payment {
        id: parse(row.try_get("id")?)?,
        origin: EventId::new(Uuid::nil()),
        details: PaymentDetails {
            merchant_id: parse(row.try_get("merchant_id")?)?,
            amount: Money::new(amount("amount")?, parse(row.try_get("currency")?)?),
            card: PaymentCard {
                id: None,
                brand: None,
                last4: String::new(),
                expiry: Expiry { year: 0, month: 0 },
            },
            capture: CaptureMode::Manual,
            reference: None,
            description: None,
            metadata: None,
        },
        outcome,
        stamp: Stamp {
            version: 0,
            position: amount("position")?.unsigned_abs(),
            created_at: moment("created_at")?,
            updated_at: moment("updated_at")?,
        },
    })
}

fn parse<T>(text: String) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}

/// A payment's amounts as its row has them; all zero if it was declined.
#[derive(Default)]
struct Totals {
    authorized: i64,
    captured: i64,
    released: i64,
    refunded: i64,
    fee: i64,
}

impl Totals {
    fn of(payment: &Payment) -> Self {
        match &payment.outcome {
            Outcome::Declined { .. } => Self::default(),
            Outcome::Approved(amounts) => Self {
                authorized: amounts.authorized,
                captured: amounts.captured,
                released: amounts.released,
                refunded: amounts.refunded,
                fee: amounts.fee_taken - amounts.fee_returned,
            },
        }
    }
}

async fn insert(tables: &mut PgConnection, begun: &Begun<'_>) -> Result<(), sqlx::Error> {
    let payments: Vec<&Payment> = begun.values().map(|(payment, _)| payment).collect();
    let totals: Vec<Totals> = payments.iter().map(|payment| Totals::of(payment)).collect();
    let amounts = |column: fn(&Totals) -> i64| totals.iter().map(column).collect::<Vec<_>>();
    let text = |column: fn(&Payment) -> String| payments.iter().map(|of| column(of)).collect::<Vec<_>>();
    let maybe =
        |column: fn(&Payment) -> Option<String>| payments.iter().map(|of| column(of)).collect::<Vec<_>>();
    let opened = |field: fn(&Decoded, &PaymentDetails) -> Option<String>| {
        begun.values().map(|(payment, first)| field(first, &payment.details)).collect::<Vec<_>>()
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
    .bind(text(|payment| payment.id.to_string()))
    .bind(text(|payment| payment.details.merchant_id.to_string()))
    .bind(maybe(|payment| payment.client_id().map(|id| id.to_string())))
    .bind(payments.iter().map(|payment| payment.status().name()).collect::<Vec<_>>())
    .bind(text(|payment| payment.currency().to_string()))
    .bind(payments.iter().map(|payment| payment.details.amount.amount).collect::<Vec<_>>())
    .bind(amounts(|of| of.authorized))
    .bind(amounts(|of| of.captured))
    .bind(amounts(|of| of.released))
    .bind(amounts(|of| of.refunded))
    .bind(amounts(|of| of.fee))
    .bind(maybe(|payment| payment.details.card.id.map(|id| id.to_string())))
    .bind(maybe(|payment| payment.details.card.brand.map(|brand| brand.name().to_owned())))
    .bind(text(|payment| payment.details.card.last4.clone()))
    .bind(payments.iter().map(|payment| i16::from(payment.details.card.expiry.month)).collect::<Vec<_>>())
    .bind(payments.iter().map(|payment| payment.details.card.expiry.year.cast_signed()).collect::<Vec<_>>())
    .bind(text(|payment| name(payment.details.capture).unwrap_or_default()))
    .bind(maybe(|payment| payment.details.reference.clone()))
    .bind(opened(|first, details| first.open_text(details.description.as_ref(), "description")))
    .bind(opened(|first, details| first.open_object(details.metadata.as_ref(), "metadata")))
    .bind(maybe(decline_code))
    .bind(payments.iter().map(|payment| expires_at(payment)).collect::<Vec<_>>())
    .bind(payments.iter().map(|payment| payment.stamp.created_at.get()).collect::<Vec<_>>())
    .bind(payments.iter().map(|payment| payment.stamp.updated_at.get()).collect::<Vec<_>>())
    .bind(payments.iter().map(|payment| payment.stamp.position.cast_signed()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

fn decline_code(payment: &Payment) -> Option<String> {
    match payment.outcome {
        Outcome::Declined { code, .. } => name(code),
        Outcome::Approved(_) => None,
    }
}

const fn expires_at(payment: &Payment) -> Option<DateTime<Utc>> {
    match &payment.outcome {
        Outcome::Declined { .. } => None,
        Outcome::Approved(amounts) => Some(amounts.expires_at.get()),
    }
}

/// Returns the name under which a value is stored in events.
fn name(value: impl serde::Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => Some(name),
        _ => None,
    }
}

async fn update(tables: &mut PgConnection, going: &BTreeMap<PaymentId, Payment>) -> Result<(), ApplyError> {
    let totals: Vec<Totals> = going.values().map(Totals::of).collect();
    let amounts = |column: fn(&Totals) -> i64| totals.iter().map(column).collect::<Vec<_>>();
    let done = sqlx::query(
        "UPDATE payments SET status = new.status, authorized = new.authorized, captured = new.captured,
                released = new.released, refunded = new.refunded, fee = new.fee,
                updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::timestamptz[], $9::bigint[])
              AS new (id, status, authorized, captured, released, refunded, fee, updated_at, position)
         WHERE payments.id = new.id",
    )
    .bind(going.keys().map(PaymentId::to_string).collect::<Vec<_>>())
    .bind(going.values().map(|payment| payment.status().name()).collect::<Vec<_>>())
    .bind(amounts(|of| of.authorized))
    .bind(amounts(|of| of.captured))
    .bind(amounts(|of| of.released))
    .bind(amounts(|of| of.refunded))
    .bind(amounts(|of| of.fee))
    .bind(going.values().map(|payment| payment.stamp.updated_at.get()).collect::<Vec<_>>())
    .bind(going.values().map(|payment| payment.stamp.position.cast_signed()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("payments", going.len(), done.rows_affected())
}

async fn insert_refunds(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let refunds: Vec<(&Decoded, &PaymentRefunded)> = events
        .iter()
        .filter_map(|event| match event.envelope.event() {
            Event::PaymentRefunded(refund) => Some((*event, refund)),
            _ => None,
        })
        .collect();
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO refunds (id, payment_id, currency, amount, reason, created_at, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[],
                              $7::bigint[])",
    )
    .bind(refunds.iter().map(|(_, refund)| refund.refund_id.to_string()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, _)| event.envelope.stream_id().to_string()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(_, refund)| refund.amount.currency.to_string()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(_, refund)| refund.amount.amount).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, refund)| event.open_reason(refund.reason.as_ref())).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(refunds.iter().map(|(event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
