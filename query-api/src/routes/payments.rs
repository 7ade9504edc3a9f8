//! Payments, found by many filters; their events and refunds.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problem};
use api_kit::query_string::Parameters;
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::ids::{ClientId, MerchantId, PaymentId};
use ledger_core::{Currency, Timestamp};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, Row};

use super::clients::{moment, parsed};
use super::events::envelopes;
use crate::QueryApi;
use crate::asked::Asked;
use crate::page::Page;
use crate::reading::{self, Reading, failed};

/// The read model.
const MODEL: &str = "payment";

/// Who may: the house's roles, and a merchant its own.
const ROLES: &[Role] = &[Role::Operator, Role::Analyst, Role::Auditor, Role::Merchant];

/// The statuses that a payment can be searched by.
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

/// Which payments are wanted.
struct Filter {
    status: Option<String>,
    merchant_id: Option<MerchantId>,
    client_id: Option<ClientId>,
    currency: Option<Currency>,
    reference: Option<String>,
    created_from: Option<Timestamp>,
    created_to: Option<Timestamp>,
    amount_min: Option<i64>,
    amount_max: Option<i64>,
    page: Page,
}

impl Filter {
    fn read(parameters: &mut Parameters) -> Self {
        Self {
            status: parameters.parsed("status", |name| {
                STATUSES.contains(&name).then(|| name.to_owned()).ok_or(FieldCode::InvalidFormat)
            }),
            merchant_id: parameters.value("merchant_id"),
            client_id: parameters.value("client_id"),
            currency: parameters
                .parsed("currency", |code| code.parse().map_err(|_| FieldCode::UnsupportedCurrency)),
            reference: parameters.text("reference", 255),
            created_from: parameters.timestamp("created_from"),
            created_to: parameters.timestamp("created_to"),
            amount_min: parameters.integer("amount_min", 0, i64::MAX),
            amount_max: parameters.integer("amount_max", 0, i64::MAX),
            page: Page::read(parameters),
        }
    }

    fn query(&self, own: Option<String>) -> QueryBuilder<sqlx::Postgres> {
        let mut query = QueryBuilder::new("SELECT * FROM payments WHERE true");
        let texts = [
            (" AND merchant_id = ", own),
            (" AND merchant_id = ", self.merchant_id.map(|id| id.to_string())),
            (" AND client_id = ", self.client_id.map(|id| id.to_string())),
            (" AND status = ", self.status.clone()),
            (" AND currency = ", self.currency.map(|currency| currency.to_string())),
            (" AND reference = ", self.reference.clone()),
            (" AND id < ", self.page.after.clone()),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
        for (condition, moment) in
            [(" AND created_at >= ", self.created_from), (" AND created_at <= ", self.created_to)]
        {
            if let Some(moment) = moment {
                query.push(condition).push_bind(moment.get());
            }
        }
        for (condition, amount) in
            [(" AND amount >= ", self.amount_min), (" AND amount <= ", self.amount_max)]
        {
            if let Some(amount) = amount {
                query.push(condition).push_bind(amount);
            }
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(self.page.fetch());
        query
    }
}

/// Lists payments, newest first; a merchant sees its own.
#[utoipa::path(
    get, path = "/v1/payments",
    params(
        ("status" = Option<String>, Query), ("merchant_id" = Option<String>, Query),
        ("client_id" = Option<String>, Query), ("currency" = Option<String>, Query),
        ("reference" = Option<String>, Query), ("created_from" = Option<String>, Query),
        ("created_to" = Option<String>, Query), ("amount_min" = Option<u64>, Query),
        ("amount_max" = Option<u64>, Query), ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, description = "Payments"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    let filter = asked.parameters(Filter::read)?;
    let mut reading = api.read(MODEL, &asked, 0).await?;
    let rows = filter.query(asked.merchant()).build().fetch_all(reading.tables()).await.map_err(failed)?;
    let shown: Result<Vec<_>, sqlx::Error> =
        rows.iter().map(|row| Ok((row.try_get::<String, _>("id")?, payment(row)?))).collect();
    Ok(reading.answer(&filter.page.body(shown.map_err(failed)?)))
}

/// Shows a payment.
#[utoipa::path(
    get, path = "/v1/payments/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The payment"), (status = "4XX", body = Problem))
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    asked.parameters(|_| ())?;
    let (reading, row) = find(&api, &asked, &id).await?;
    let body = payment(&row).map_err(failed)?;
    Ok(reading.answer(&body))
}

/// Shows a payment's events, in order.
#[utoipa::path(
    get, path = "/v1/payments/{id}/events", params(("id" = String, Path)),
    responses((status = 200, description = "Events"), (status = "4XX", body = Problem))
)]
pub(crate) async fn events(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    asked.parameters(|_| ())?;
    let (reading, row) = find(&api, &asked, &id).await?;
    let id: String = row.try_get("id").map_err(failed)?;
    let position = reading.position;
    drop(reading);
    let entries = api.log.stream(&id).await?;
    let shown = envelopes(entries.iter().filter(|entry| entry.position <= position))?;
    Ok(reading::answer(position, "application/json", format!(r#"{{"data":[{shown}],"next_cursor":null}}"#)))
}

/// Shows a payment's refunds, newest first.
#[utoipa::path(
    get, path = "/v1/payments/{id}/refunds",
    params(("id" = String, Path), ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Refunds"), (status = "4XX", body = Problem))
)]
pub(crate) async fn refunds(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    let page = asked.parameters(Page::read)?;
    let (mut reading, row) = find(&api, &asked, &id).await?;
    let id: String = row.try_get("id").map_err(failed)?;
    let rows = sqlx::query(
        "SELECT * FROM refunds WHERE payment_id = $1 AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(&id)
    .bind(&page.after)
    .bind(page.fetch())
    .fetch_all(reading.tables())
    .await
    .map_err(failed)?;
    let shown: Result<Vec<_>, sqlx::Error> = rows.iter().map(refund).collect();
    Ok(reading.answer(&page.body(shown.map_err(failed)?)))
}

/// Finds a payment that the caller may see.
async fn find(api: &QueryApi, asked: &Asked, id: &str) -> Result<(Reading, PgRow), ApiError> {
    let id = id.parse::<PaymentId>().map_err(|_| ApiError::NotFound)?.to_string();
    let mut reading = api.read(MODEL, asked, 0).await?;
    reading.refuse_parked(&id).await?;
    let row = sqlx::query("SELECT * FROM payments WHERE id = $1")
        .bind(&id)
        .fetch_optional(reading.tables())
        .await
        .map_err(failed)?
        .ok_or(ApiError::NotFound)?;
    asked.owns(row.try_get("merchant_id").map_err(failed)?)?;
    Ok((reading, row))
}

fn payment(row: &PgRow) -> Result<Value, sqlx::Error> {
    let currency: String = row.try_get("currency")?;
    let text = |column| row.try_get::<Option<String>, _>(column);
    let amount = |column| row.try_get::<i64, _>(column);
    let money = |amount: i64| json!({ "amount": amount, "currency": currency });
    let [authorized, captured, released, refunded] =
        ["authorized", "captured", "released", "refunded"].map(amount);
    let (authorized, captured, released, refunded) = (authorized?, captured?, released?, refunded?);
    let expires_at = row.try_get::<Option<DateTime<Utc>>, _>("expires_at")?.map(Timestamp::new);
    Ok(json!({
        "id": text("id")?,
        "status": text("status")?,
        "merchant_id": text("merchant_id")?,
        "client_id": text("client_id")?,
        "amount": money(amount("amount")?),
        "authorized": money(authorized),
        "captured": money(captured),
        "released": money(released),
        "refunded": money(refunded),
        // Disputes come with their own events; until then nothing is disputed.
        "disputed": money(0),
        "charged_back": money(0),
        "capturable": money(authorized - captured - released),
        "refundable": money(captured - refunded),
        "fee": money(amount("fee")?),
        "funding": null,
        "card": {
            "id": text("card_id")?,
            "brand": text("card_brand")?,
            "last4": text("card_last4")?,
            "exp_month": row.try_get::<i16, _>("exp_month")?,
            "exp_year": row.try_get::<i16, _>("exp_year")?,
        },
        "capture": text("capture")?,
        "reference": text("reference")?,
        "description": text("description")?,
        "metadata": parsed(text("metadata")?),
        "decline_code": text("decline_code")?,
        "expires_at": expires_at,
        "created_at": moment(row, "created_at")?,
        "updated_at": moment(row, "updated_at")?,
        "position": amount("position")?,
    }))
}

fn refund(row: &PgRow) -> Result<(String, Value), sqlx::Error> {
    let id: String = row.try_get("id")?;
    let created_at = moment(row, "created_at")?;
    let refund = json!({
        "id": id,
        "payment_id": row.try_get::<String, _>("payment_id")?,
        "amount": { "amount": row.try_get::<i64, _>("amount")?, "currency": row.try_get::<String, _>("currency")? },
        "reason": row.try_get::<Option<String>, _>("reason")?,
        "created_at": created_at,
        "updated_at": created_at,
        "position": row.try_get::<i64, _>("position")?,
    });
    Ok((id, refund))
}
