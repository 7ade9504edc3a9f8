//! `payment`: one row a payment, found by the filters of the API, its refunds and its disputes.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::card_number::Expiry;
use ledger_core::event::{
    CaptureMode, DeclineCode, Event, Funding, JournalCorrected, PaymentCard, PaymentDetails, PaymentRefunded,
    Reversed,
};
use ledger_core::ids::{DisputeId, EventId, PaymentId, StreamId};
use ledger_core::payment::{Amounts, Dispute, DisputeStatus, Outcome, Payment, Purse, Status};
use ledger_core::personal::Reason;
use ledger_core::stamp::Stamp;
use ledger_core::{Currency, Envelope, Money, Timestamp};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::projection::{ApplyError, Decoded, Projection, expect_rows, stream_key};

/// The projection.
pub(super) struct Payments;

#[async_trait]
impl Projection for Payments {
    fn model(&self) -> ReadModel {
        read_model::PAYMENT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        stream_key(event, |stream| matches!(stream, StreamId::Payment(_)))
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
        insert_refunds(tables, events).await?;
        write_disputes(tables, events, &begun, &going).await
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

/// Loads payments that began in earlier batches, with their disputes.
async fn load(
    tables: &mut PgConnection,
    ids: &BTreeSet<PaymentId>,
) -> Result<BTreeMap<PaymentId, Payment>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = ids.iter().map(PaymentId::to_string).collect();
    let rows = sqlx::query(
        "SELECT payment_id, id, amount, status, respond_by, reopened, created_at, updated_at, position
         FROM disputes WHERE payment_id = ANY ($1) ORDER BY id",
    )
    .bind(&ids)
    .fetch_all(&mut *tables)
    .await?;
    let mut disputes: BTreeMap<String, Vec<Dispute>> = BTreeMap::new();
    for row in &rows {
        disputes.entry(row.try_get("payment_id")?).or_default().push(dispute(row)?);
    }
    let rows = sqlx::query(
        "SELECT id, merchant_id, client_id, status, currency, amount, authorized, captured, released, refunded,
                charged_back, fee, funding_currency, funding_rate, funding_refunded, decline_code, expires_at,
                created_at, updated_at, position
         FROM payments WHERE id = ANY ($1)",
    )
    .bind(&ids)
    .fetch_all(tables)
    .await?;
    let with_disputes = |row: &PgRow| {
        let disputes = disputes.remove(row.try_get::<&str, _>("id")?).unwrap_or_default();
        payment(row, disputes).map(|payment| (payment.id, payment))
    };
    rows.iter().map(with_disputes).collect()
}

fn amount(row: &PgRow, column: &str) -> Result<i64, sqlx::Error> {
    row.try_get(column)
}

fn moment(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<DateTime<Utc>, _>(column).map(Timestamp::new)
}

fn stamp(row: &PgRow) -> Result<Stamp, sqlx::Error> {
    Ok(Stamp {
        version: 0,
        position: amount(row, "position")?.unsigned_abs(),
        created_at: moment(row, "created_at")?,
        updated_at: moment(row, "updated_at")?,
    })
}

/// Makes a payment of its row, as far as later events can change it: neither they nor the status look at
/// the rest.
fn payment(row: &PgRow, disputes: Vec<Dispute>) -> Result<Payment, sqlx::Error> {
    let amount = |column| amount(row, column);
    let currency: Currency = parse(row.try_get("currency")?)?;
    let client_id = || parse(row.try_get::<String, _>("client_id")?);
    let decline_code: Option<String> = row.try_get("decline_code")?;
    let outcome = match decline_code {
        Some(code) => {
            let code: DeclineCode = serde_json::from_value(Value::String(code))
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            Outcome::Declined { client_id: client_id().ok(), code }
        }
        None => Outcome::Approved(Amounts {
            purse: Purse { client_id: client_id()?, currency, funding: funding(row)? },
            expires_at: moment(row, "expires_at")?,
            warned: false,
            // Of a payment that was captured in part the status does not tell, nor does it depend on it.
            expired: row.try_get::<&str, _>("status")? == Status::Expired.name(),
            authorized: amount("authorized")?,
            captured: amount("captured")?,
            released: amount("released")?,
            refunded: amount("refunded")?,
            charged_back: amount("charged_back")?,
            // The row keeps the difference of the two, and only that is asked for.
            fee_taken: amount("fee")?,
            fee_returned: 0,
            refunded_to_purse: row.try_get::<Option<i64>, _>("funding_refunded")?.unwrap_or(0),
            // What later events bring, their postings tell.
            given_back_to_purse: 0,
            disputes,
        }),
    };
    Ok(Payment {
        id: parse(row.try_get("id")?)?,
        origin: EventId::new(Uuid::nil()),
        details: PaymentDetails {
            merchant_id: parse(row.try_get("merchant_id")?)?,
            amount: Money::new(amount("amount")?, currency),
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
        stamp: stamp(row)?,
    })
}

fn funding(row: &PgRow) -> Result<Option<Funding>, sqlx::Error> {
    let Some(currency) = row.try_get::<Option<String>, _>("funding_currency")? else { return Ok(None) };
    Ok(Some(Funding { currency: parse(currency)?, rate: parse(row.try_get("funding_rate")?)? }))
}

/// Makes a dispute of its row, as far as later events can change it: its texts stay in the row.
fn dispute(row: &PgRow) -> Result<Dispute, sqlx::Error> {
    let status: String = row.try_get("status")?;
    let known =
        [DisputeStatus::NeedsResponse, DisputeStatus::UnderReview, DisputeStatus::Won, DisputeStatus::Lost];
    let status = known.into_iter().find(|known| known.name() == status);
    Ok(Dispute {
        id: parse(row.try_get("id")?)?,
        origin: EventId::new(Uuid::nil()),
        amount: amount(row, "amount")?,
        reason: Reason::Machine(String::new()),
        status: status.ok_or_else(|| sqlx::Error::Decode("unknown status of a dispute".into()))?,
        respond_by: moment(row, "respond_by")?,
        evidence: None,
        // Where a correction opens it again, its event tells.
        answered: false,
        reopened: row.try_get("reopened")?,
        stamp: stamp(row)?,
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
    disputed: i64,
    charged_back: i64,
    fee: i64,
    funded: Option<Funded>,
}

/// What a payment moves in another currency that pays for it.
struct Funded {
    by: Funding,
    held: i64,
    captured: i64,
    refunded: i64,
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
                disputed: amounts.disputed(),
                charged_back: amounts.charged_back,
                fee: amounts.fee_taken - amounts.fee_returned,
                funded: Funded::of(amounts),
            },
        }
    }
}

impl Funded {
    fn of(amounts: &Amounts) -> Option<Self> {
        let purse = amounts.purse;
        Some(Self {
            by: purse.funding?,
            held: purse.leg(amounts.captured, amounts.capturable()).amount,
            captured: purse.leg(0, amounts.captured).amount,
            refunded: amounts.refunded_to_purse,
        })
    }
}

async fn insert(tables: &mut PgConnection, begun: &Begun<'_>) -> Result<(), sqlx::Error> {
    let payments: Vec<&Payment> = begun.values().map(|(payment, _)| payment).collect();
    let totals: Vec<Totals> = payments.iter().map(|payment| Totals::of(payment)).collect();
    let amounts = |column: fn(&Totals) -> i64| totals.iter().map(column).collect::<Vec<_>>();
    let text = |column: fn(&Payment) -> String| payments.iter().map(|of| column(of)).collect::<Vec<_>>();
    let funded = |column: fn(&Funded) -> i64| {
        totals.iter().map(|of| of.funded.as_ref().map(column)).collect::<Vec<_>>()
    };
    let funding = |column: fn(Funding) -> String| {
        totals.iter().map(|of| of.funded.as_ref().map(|of| column(of.by))).collect::<Vec<_>>()
    };
    let maybe =
        |column: fn(&Payment) -> Option<String>| payments.iter().map(|of| column(of)).collect::<Vec<_>>();
    let opened = |field: fn(&Decoded, &PaymentDetails) -> Option<String>| {
        begun.values().map(|(payment, first)| field(first, &payment.details)).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO payments
             (id, merchant_id, client_id, status, currency, amount, authorized, captured, released, refunded,
              disputed, charged_back, fee, funding_currency, funding_rate, funding_held, funding_captured,
              funding_refunded, card_id, card_brand, card_last4, exp_month, exp_year, capture, reference,
              description, metadata, decline_code, expires_at, created_at, updated_at, position)
         SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
                unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]),
                unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]),
                unnest($14::text[]), unnest($15::text[]), unnest($16::bigint[]), unnest($17::bigint[]),
                unnest($18::bigint[]), unnest($19::text[]), unnest($20::text[]), unnest($21::text[]),
                unnest($22::smallint[]), unnest($23::smallint[]), unnest($24::text[]), unnest($25::text[]),
                unnest($26::text[]), unnest($27::text[]), unnest($28::text[]), unnest($29::timestamptz[]),
                unnest($30::timestamptz[]), unnest($31::timestamptz[]), unnest($32::bigint[])",
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
    .bind(amounts(|of| of.disputed))
    .bind(amounts(|of| of.charged_back))
    .bind(amounts(|of| of.fee))
    .bind(funding(|by| by.currency.to_string()))
    .bind(funding(|by| by.rate.to_string()))
    .bind(funded(|of| of.held))
    .bind(funded(|of| of.captured))
    .bind(funded(|of| of.refunded))
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
    let funded = |column: fn(&Funded) -> i64| {
        totals.iter().map(|of| of.funded.as_ref().map(column)).collect::<Vec<_>>()
    };
    let done = sqlx::query(
        "UPDATE payments SET status = new.status, authorized = new.authorized, captured = new.captured,
                released = new.released, refunded = new.refunded, disputed = new.disputed,
                charged_back = new.charged_back, fee = new.fee, funding_held = new.funding_held,
                funding_captured = new.funding_captured, funding_refunded = new.funding_refunded,
                updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[],
                     $14::bigint[])
              AS new (id, status, authorized, captured, released, refunded, disputed, charged_back, fee,
                      funding_held, funding_captured, funding_refunded, updated_at, position)
         WHERE payments.id = new.id",
    )
    .bind(going.keys().map(PaymentId::to_string).collect::<Vec<_>>())
    .bind(going.values().map(|payment| payment.status().name()).collect::<Vec<_>>())
    .bind(amounts(|of| of.authorized))
    .bind(amounts(|of| of.captured))
    .bind(amounts(|of| of.released))
    .bind(amounts(|of| of.refunded))
    .bind(amounts(|of| of.disputed))
    .bind(amounts(|of| of.charged_back))
    .bind(amounts(|of| of.fee))
    .bind(funded(|of| of.held))
    .bind(funded(|of| of.captured))
    .bind(funded(|of| of.refunded))
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

/// A dispute that a batch touches, with the texts that its events brought.
struct Touched {
    payment: PaymentId,
    reason: Option<String>,
    evidence: Option<String>,
}

fn touched(events: &[&Decoded]) -> BTreeMap<DisputeId, Touched> {
    let mut touched: BTreeMap<DisputeId, Touched> = BTreeMap::new();
    for event in events {
        let StreamId::Payment(payment) = event.envelope.stream_id() else { continue };
        let (dispute, reason, evidence) = match event.envelope.event() {
            Event::PaymentDisputed(of) => (of.dispute_id, event.open_reason(Some(&of.reason)), None),
            Event::PaymentDisputeEvidenceSubmitted(of) => {
                (of.dispute_id, None, event.open_text(Some(&of.text), "text"))
            }
            Event::PaymentDisputeWon(of) | Event::PaymentDisputeLost(of) => (of.dispute_id, None, None),
            Event::PaymentDisputeReopened(of) => (of.dispute_id, None, None),
            Event::JournalCorrected(JournalCorrected {
                reversed: Reversed::DisputeLost { dispute_id, .. },
                ..
            }) => (*dispute_id, None, None),
            _ => continue,
        };
        let touch = touched.entry(dispute).or_insert(Touched { payment, reason: None, evidence: None });
        touch.reason = touch.reason.take().or(reason);
        touch.evidence = evidence.or(touch.evidence.take());
    }
    touched
}

/// Writes the disputes that events have touched, as they stand in their payments now.
async fn write_disputes(
    tables: &mut PgConnection,
    events: &[&Decoded],
    begun: &Begun<'_>,
    going: &BTreeMap<PaymentId, Payment>,
) -> Result<(), ApplyError> {
    let touched = touched(events);
    if touched.is_empty() {
        return Ok(());
    }
    let mut written: Vec<(&Touched, &Payment, &Dispute)> = Vec::new();
    for (id, touch) in &touched {
        let fresh = begun.get(&touch.payment).map(|(payment, _)| payment);
        if let Some(payment) = fresh.or_else(|| going.get(&touch.payment))
            && let Some((_, dispute)) = payment.dispute(*id)
        {
            written.push((touch, payment, dispute));
        }
    }
    expect_rows("disputes", touched.len(), written.len() as u64)?;
    sqlx::query(
        "INSERT INTO disputes (id, payment_id, merchant_id, currency, amount, reason, status, respond_by, evidence,
                               reopened, created_at, updated_at, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                              $8::timestamptz[], $9::text[], $10::boolean[], $11::timestamptz[],
                              $12::timestamptz[], $13::bigint[])
         ON CONFLICT (id) DO UPDATE
         SET status = excluded.status, respond_by = excluded.respond_by,
             evidence = coalesce(excluded.evidence, disputes.evidence), reopened = excluded.reopened,
             updated_at = excluded.updated_at, position = excluded.position",
    )
    .bind(written.iter().map(|(.., dispute)| dispute.id.to_string()).collect::<Vec<_>>())
    .bind(written.iter().map(|(_, payment, _)| payment.id.to_string()).collect::<Vec<_>>())
    .bind(written.iter().map(|(_, payment, _)| payment.details.merchant_id.to_string()).collect::<Vec<_>>())
    .bind(written.iter().map(|(_, payment, _)| payment.currency().to_string()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.amount).collect::<Vec<_>>())
    .bind(written.iter().map(|(touched, ..)| touched.reason.as_deref()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.status.name()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.respond_by.get()).collect::<Vec<_>>())
    .bind(written.iter().map(|(touched, ..)| touched.evidence.as_deref()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.reopened).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.stamp.created_at.get()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.stamp.updated_at.get()).collect::<Vec<_>>())
    .bind(written.iter().map(|(.., dispute)| dispute.stamp.position.cast_signed()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger_core::event::{EvidenceSubmitted, PaymentDisputed};
    use ledger_core::journal::JournalEntry;

    use super::*;
    use crate::testing::{client, eur, event, merchant, payment};

    /// So much of a payment in EUR, paid in USD at 0.9 EUR per USD.
    fn paid_in_dollars(authorized: i64, captured: i64, released: i64) -> Amounts {
        let funding = Funding { currency: "USD".parse().unwrap(), rate: "0.9".parse().unwrap() };
        Amounts {
            purse: Purse { client_id: client(1), currency: eur(0).currency, funding: Some(funding) },
            expires_at: "2026-12-01T08:00:00Z".parse().unwrap(),
            warned: false,
            expired: false,
            authorized,
            captured,
            released,
            refunded: 0,
            charged_back: 0,
            fee_taken: 0,
            fee_returned: 0,
            refunded_to_purse: 0,
            given_back_to_purse: 0,
            disputes: Vec::new(),
        }
    }

    #[test]
    fn what_another_currency_pays_is_a_difference_of_totals() {
        let funded = |amounts: &Amounts| {
            let funded = Funded::of(amounts).unwrap();
            (funded.held, funded.captured)
        };
        // 1.00 EUR are 1.12 USD, rounded up; 0.50 EUR are 0.56 USD.
        assert_eq!(funded(&paid_in_dollars(100, 0, 0)), (112, 0));
        assert_eq!(funded(&paid_in_dollars(100, 50, 0)), (56, 56));
        assert_eq!(funded(&paid_in_dollars(100, 50, 50)), (0, 56));
        assert_eq!(funded(&paid_in_dollars(100, 100, 0)), (0, 112));
        let mut own = paid_in_dollars(100, 0, 0);
        own.purse.funding = None;
        assert!(Funded::of(&own).is_none());
    }

    #[test]
    fn a_disputes_events_are_one_row() {
        let (id, other) = (DisputeId::new(Uuid::from_u128(1)), DisputeId::new(Uuid::from_u128(2)));
        let opened = |dispute_id, reason: &str| {
            let opened = PaymentDisputed {
                merchant_id: merchant(1),
                client_id: client(1),
                dispute_id,
                amount: eur(5),
                reason: Reason::Machine(reason.to_owned()),
                respond_by: "2026-12-08T08:00:00Z".parse().unwrap(),
            };
            event(1, payment(1), Event::PaymentDisputed(opened), JournalEntry::none())
        };
        let text = ledger_core::personal::Sealed { subject: payment(1), boxed: String::new() };
        let (merchant_id, client_id) = (merchant(1), client(1));
        let evidence = EvidenceSubmitted { merchant_id, client_id, dispute_id: id, text };
        let evidence = Event::PaymentDisputeEvidenceSubmitted(evidence);
        let events = [
            opened(id, "fraud"),
            opened(other, "duplicate"),
            event(3, payment(1), evidence, JournalEntry::none()),
        ];
        let touched = touched(&events.iter().collect::<Vec<_>>());
        let reasons: Vec<_> = touched.values().map(|of| of.reason.as_deref()).collect();
        assert_eq!(reasons, [Some("fraud"), Some("duplicate")]);
    }
}
