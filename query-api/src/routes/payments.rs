//! Payments: found by filters, with their events and refunds.

use std::collections::BTreeMap;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems, decline_codes};
use api_kit::query_string::Parameters;
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::card_number::Expiry;
use ledger_core::event::DeclineCode;
use ledger_core::ids::{ClientId, MerchantId, PaymentId, RefundId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::events::envelopes;
use super::{PageParameters, READERS_AND_MERCHANT, REFERENCE_MAX, currency, push_equal, status};
use crate::answer::{MoneySchema, at, json, moment};
use crate::asked::{Asked, id};
use crate::read_model::{Model, Snapshot};
use crate::service::QueryApi;

/// Every status that a payment can have, in the contract's order.
const STATUSES: [&str; 9] = [
    "declined",
    "disputed",
    "refunded",
    "partially_refunded",
    "captured",
    "partially_captured",
    "expired",
    "voided",
    "authorized",
];

/// A payment. What a decline does not know is null.
#[derive(Serialize, ToSchema)]
struct Payment {
    id: String,
    /// The first that holds: declined, disputed, refunded, partially_refunded, captured, partially_captured,
    /// expired, voided, authorized.
    status: String,
    merchant_id: String,
    client_id: Option<String>,
    /// What was first asked.
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// What was held, in all.
    #[schema(value_type = MoneySchema)]
    authorized: Money,
    #[schema(value_type = MoneySchema)]
    captured: Money,
    #[schema(value_type = MoneySchema)]
    released: Money,
    #[schema(value_type = MoneySchema)]
    refunded: Money,
    #[schema(value_type = MoneySchema)]
    disputed: Money,
    #[schema(value_type = MoneySchema)]
    charged_back: Money,
    #[schema(value_type = MoneySchema)]
    capturable: Money,
    #[schema(value_type = MoneySchema)]
    refundable: Money,
    /// Taken minus given back.
    #[schema(value_type = MoneySchema)]
    fee: Money,
    /// What pays for it in another currency; null if its own does.
    funding: Option<Funding>,
    card: PaymentCard,
    /// automatic or manual.
    capture: String,
    reference: Option<String>,
    description: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Value,
    #[schema(schema_with = decline_codes)]
    decline_code: Option<String>,
    /// The rule that a declined payment met, and its numbers; else null.
    #[schema(value_type = Option<Decline>)]
    decline: Value,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// Why a payment was declined.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the domain explains")]
struct Decline {
    rule: String,
    numbers: BTreeMap<String, Value>,
}

/// What a payment costs in the currency that pays, in that currency's minor units.
#[derive(Serialize, ToSchema)]
struct Funding {
    currency: String,
    /// Major units of the payment's currency per major unit of this one; recorded at the authorization.
    rate: String,
    /// What is held now.
    held: i64,
    captured: i64,
    refunded: i64,
}

/// The card of a payment.
#[derive(Serialize, ToSchema)]
struct PaymentCard {
    id: Option<String>,
    brand: Option<String>,
    last4: String,
    exp_month: i16,
    exp_year: i16,
}

/// A payment as it is kept.
#[derive(sqlx::FromRow)]
struct PaymentRow {
    id: String,
    merchant_id: String,
    client_id: Option<String>,
    status: String,
    currency: String,
    amount: i64,
    authorized: i64,
    captured: i64,
    released: i64,
    refunded: i64,
    disputed: i64,
    charged_back: i64,
    fee: i64,
    funding_currency: Option<String>,
    funding_rate: Option<String>,
    funding_held: Option<i64>,
    funding_captured: Option<i64>,
    funding_refunded: Option<i64>,
    card_id: Option<String>,
    card_brand: Option<String>,
    card_last4: String,
    exp_month: i16,
    exp_year: i16,
    capture: String,
    reference: Option<String>,
    description: Option<String>,
    metadata: Option<String>,
    decline_code: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl PaymentRow {
    /// All of the columns have values, or none.
    fn funding(&self) -> Option<Funding> {
        Some(Funding {
            currency: self.funding_currency.clone()?,
            rate: self.funding_rate.clone()?,
            held: self.funding_held?,
            captured: self.funding_captured?,
            refunded: self.funding_refunded?,
        })
    }

    fn decline(&self) -> Result<Value, ApiError> {
        let Some(code) = &self.decline_code else { return Ok(Value::Null) };
        let code: DeclineCode = serde_json::from_value(code.as_str().into()).map_err(ApiError::internal)?;
        let currency = Currency::try_from(self.currency.clone()).map_err(ApiError::internal)?;
        let expiry = Expiry {
            year: self.exp_year.cast_unsigned(),
            month: self.exp_month.try_into().map_err(ApiError::internal)?,
        };
        Ok(code.explanation(Money::new(self.amount, currency), expiry))
    }

    const fn refundable(&self) -> i64 {
        let kept = self.captured.saturating_sub(self.refunded).saturating_sub(self.charged_back);
        kept.saturating_sub(self.disputed)
    }
}

impl Payment {
    fn of(row: PaymentRow) -> Result<Self, ApiError> {
        let (funding, refundable, decline) = (row.funding(), row.refundable(), row.decline()?);
        let currency = Currency::try_from(row.currency).map_err(ApiError::internal)?;
        let money = |amount| Money::new(amount, currency);
        Ok(Self {
            id: row.id,
            status: row.status,
            merchant_id: row.merchant_id,
            client_id: row.client_id,
            amount: money(row.amount),
            authorized: money(row.authorized),
            captured: money(row.captured),
            released: money(row.released),
            refunded: money(row.refunded),
            disputed: money(row.disputed),
            charged_back: money(row.charged_back),
            capturable: money(row.authorized.saturating_sub(row.captured).saturating_sub(row.released)),
            refundable: money(refundable),
            fee: money(row.fee),
            funding,
            card: PaymentCard {
                id: row.card_id,
                brand: row.card_brand,
                last4: row.card_last4,
                exp_month: row.exp_month,
                exp_year: row.exp_year,
            },
            capture: row.capture,
            reference: row.reference,
            description: row.description,
            metadata: json(row.metadata.as_deref())?,
            decline_code: row.decline_code,
            decline,
            expires_at: row.expires_at.map(moment),
            created_at: moment(row.created_at),
            updated_at: moment(row.updated_at),
            position: row.position.unsigned_abs(),
        })
    }
}

/// Which payments are wanted.
struct Filter {
    status: Option<&'static str>,
    merchant_id: Option<MerchantId>,
    client_id: Option<ClientId>,
    currency: Option<Currency>,
    reference: Option<String>,
    created_from: Option<Timestamp>,
    created_to: Option<Timestamp>,
    amount_min: Option<i64>,
    amount_max: Option<i64>,
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Filter::read` takes")]
struct FilterParameters {
    status: Option<String>,
    merchant_id: Option<String>,
    client_id: Option<String>,
    /// ISO 4217.
    currency: Option<String>,
    /// The whole of it.
    reference: Option<String>,
    /// Created at this time or later (RFC 3339).
    created_from: Option<String>,
    /// Created before this time.
    created_to: Option<String>,
    /// First asked for at least so many minor units.
    amount_min: Option<i64>,
    /// First asked for at most so many minor units.
    amount_max: Option<i64>,
}

impl Filter {
    fn read(parameters: &mut Parameters) -> Self {
        Self {
            status: status(parameters, &STATUSES),
            merchant_id: parameters.value("merchant_id"),
            client_id: parameters.value("client_id"),
            currency: currency(parameters, "currency"),
            reference: parameters.text("reference", REFERENCE_MAX),
            created_from: parameters.timestamp("created_from"),
            created_to: parameters.timestamp("created_to"),
            amount_min: parameters.integer("amount_min", 0, i64::MAX),
            amount_max: parameters.integer("amount_max", 0, i64::MAX),
        }
    }

    fn push(self, query: &mut QueryBuilder<Postgres>) {
        push_equal(
            query,
            [
                ("status", self.status.map(str::to_owned)),
                ("merchant_id", self.merchant_id.map(String::from)),
                ("client_id", self.client_id.map(String::from)),
                ("currency", self.currency.map(String::from)),
                ("reference", self.reference),
            ],
        );
        let times = [(" AND created_at >= ", self.created_from), (" AND created_at < ", self.created_to)];
        for (condition, value) in times {
            if let Some(value) = value {
                query.push(condition).push_bind(value.get());
            }
        }
        for (condition, value) in [(" AND amount >= ", self.amount_min), (" AND amount <= ", self.amount_max)]
        {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
    }
}

/// Lists payments, newest first; a merchant sees its own.
#[utoipa::path(
    get, path = "/v1/payments", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Payments", body = List<Payment>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((filter, page), wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        (Filter::read(parameters), Page::<PaymentId>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::Payment, &[], wanted).await?;
    let mut query = select();
    push_equal(&mut query, [("merchant_id", asked.merchant().map(String::from))]);
    filter.push(&mut query);
    let payments = snapshot.page(query, &page, "id", Payment::of).await?;
    asked.answer(snapshot.position, &List::of(payments, &page, |payment| payment.id.clone()))
}

/// Shows a payment.
#[utoipa::path(
    get, path = "/v1/payments/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The payment", body = Payment), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(payment): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS_AND_MERCHANT, |_| ())?;
    let payment: PaymentId = id(&payment)?;
    let mut snapshot = api.snapshot(Model::Payment, &[&payment.to_string()], wanted).await?;
    let payment = find(&mut snapshot, payment, &asked).await?;
    asked.answer(snapshot.position, &payment)
}

/// A refund.
#[derive(Serialize, ToSchema)]
struct Refund {
    id: String,
    payment_id: String,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    reason: Option<String>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

type RefundRow = (String, i64, Option<String>, DateTime<Utc>, i64);

/// Lists a payment's refunds, newest first.
#[utoipa::path(
    get, path = "/v1/payments/{id}/refunds", params(("id" = String, Path), PageParameters),
    responses((status = 200, description = "Its refunds", body = List<Refund>), Problems)
)]
pub(crate) async fn refunds(
    State(api): State<QueryApi>,
    Path(payment): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(READERS_AND_MERCHANT, Page::<RefundId>::read)?;
    let payment: PaymentId = id(&payment)?;
    let mut snapshot = api.snapshot(Model::Payment, &[&payment.to_string()], wanted).await?;
    let payment = find(&mut snapshot, payment, &asked).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, amount, reason, created_at, position FROM refunds WHERE payment_id = ",
    );
    query.push_bind(&payment.id);
    if let Some(after) = page.after {
        query.push(" AND id < ").push_bind(after.to_string());
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(page.rows());
    let rows: Vec<RefundRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let refund = |(id, amount, reason, at, position): RefundRow| Refund {
        id,
        payment_id: payment.id.clone(),
        amount: Money::new(amount, payment.amount.currency),
        reason,
        created_at: moment(at),
        updated_at: moment(at),
        position: position.unsigned_abs(),
    };
    let refunds = rows.into_iter().map(refund).collect();
    asked.answer(snapshot.position, &List::of(refunds, &page, |refund| refund.id.clone()))
}

/// Shows a payment's events, in the order of their versions, as they are in the log.
#[utoipa::path(
    get, path = "/v1/payments/{id}/events", params(("id" = String, Path), PageParameters),
    responses((status = 200, description = "Its events", body = List<Value>), Problems)
)]
pub(crate) async fn events(
    State(api): State<QueryApi>,
    Path(payment): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(READERS_AND_MERCHANT, Page::<u64>::read)?;
    let payment: PaymentId = id(&payment)?;
    // The head is read first: the answer has all events up to it, and none behind it.
    let head = api.head(wanted).await?;
    let mut entries = api.log.stream(&payment.to_string()).await?;
    entries.retain(|entry| entry.position <= head);
    let first = entries.first().ok_or(ApiError::NotFound)?;
    let merchant_id = &json(Some(&first.canonical))?["data"]["merchant_id"];
    asked.own(merchant_id.as_str().unwrap_or_default())?;
    // Versions are 1, 2, 3 …
    let after = page.after.unwrap_or_default();
    let versioned = (1..).zip(entries).skip_while(|(version, _)| *version <= after);
    let page = List::of(versioned.collect(), &page, |(version, _): &(u64, _)| *version);
    let texts: Vec<&str> = page.data.iter().map(|(_, entry)| entry.canonical.as_str()).collect();
    Ok(at(head, envelopes(&texts, page.next_cursor.as_deref())))
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, merchant_id, client_id, status, currency, amount, authorized, captured, released, refunded,
                disputed, charged_back, fee, funding_currency, funding_rate, funding_held, funding_captured,
                funding_refunded, card_id, card_brand, card_last4, exp_month, exp_year, capture, reference,
                description, metadata, decline_code, expires_at, created_at, updated_at, position
         FROM payments WHERE true",
    )
}

/// Finds a payment that the caller may see.
async fn find(snapshot: &mut Snapshot, payment: PaymentId, asked: &Asked) -> Result<Payment, ApiError> {
    let payment = snapshot.find(select(), &payment.to_string(), Payment::of).await?;
    asked.own(&payment.merchant_id)?;
    Ok(payment)
}
