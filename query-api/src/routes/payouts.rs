//! Payouts: money on its way to merchants' banks, and what the banks said.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{MerchantId, PayoutId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS_AND_MERCHANT, REFERENCE_MAX, currency, push_equal, status};
use crate::answer::{MoneySchema, moment};
use crate::asked::{Asked, id};
use crate::read_model::Model;
use crate::service::QueryApi;

/// Every status that a payout can have.
const STATUSES: [&str; 4] = ["requested", "paid", "failed", "returned"];

/// A payout.
#[derive(Serialize, ToSchema)]
struct Payout {
    id: String,
    merchant_id: String,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// requested, paid, failed or returned.
    status: String,
    /// The merchant's.
    reference: Option<String>,
    /// Not for analysts.
    #[serde(flatten)]
    words: Option<Words>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// What the bank's last news was explained by, if it was.
#[derive(Serialize, ToSchema)]
#[schema(as = PayoutWords)]
struct Words {
    reason: Option<String>,
}

/// A payout as it is kept.
#[derive(sqlx::FromRow)]
struct PayoutRow {
    id: String,
    merchant_id: String,
    currency: String,
    amount: i64,
    status: String,
    reference: Option<String>,
    reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl Payout {
    fn of(row: PayoutRow, asked: &Asked) -> Result<Self, ApiError> {
        let currency = Currency::try_from(row.currency).map_err(ApiError::internal)?;
        Ok(Self {
            id: row.id,
            merchant_id: row.merchant_id,
            amount: Money::new(row.amount, currency),
            status: row.status,
            reference: row.reference,
            words: asked.sees_words().then_some(Words { reason: row.reason }),
            created_at: moment(row.created_at),
            updated_at: moment(row.updated_at),
            position: row.position.unsigned_abs(),
        })
    }
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct FilterParameters {
    merchant_id: Option<String>,
    status: Option<String>,
    /// ISO 4217.
    currency: Option<String>,
    /// The whole of it.
    reference: Option<String>,
}

/// Lists payouts, newest first; a merchant sees its own.
#[utoipa::path(
    get, path = "/v1/payouts", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Payouts", body = List<Payout>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((wanted_values, page), wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        let values = [
            ("merchant_id", parameters.value::<MerchantId>("merchant_id").map(String::from)),
            ("status", status(parameters, &STATUSES).map(str::to_owned)),
            ("currency", currency(parameters, "currency").map(String::from)),
            ("reference", parameters.text("reference", REFERENCE_MAX)),
        ];
        (values, Page::<PayoutId>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::Payout, &[], wanted).await?;
    let mut query = select();
    push_equal(&mut query, [("merchant_id", asked.merchant().map(String::from))]);
    push_equal(&mut query, wanted_values);
    let payouts = snapshot.page(query, &page, "id", |row| Payout::of(row, &asked)).await?;
    asked.answer(snapshot.position, &List::of(payouts, &page, |payout| payout.id.clone()))
}

/// Shows a payout.
#[utoipa::path(
    get, path = "/v1/payouts/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The payout", body = Payout), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(payout): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS_AND_MERCHANT, |_| ())?;
    let payout = id::<PayoutId>(&payout)?.to_string();
    let mut snapshot = api.snapshot(Model::Payout, &[&payout], wanted).await?;
    let payout = snapshot.find(select(), &payout, |row| Payout::of(row, &asked)).await?;
    asked.own(&payout.merchant_id)?;
    asked.answer(snapshot.position, &payout)
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, merchant_id, currency, amount, status, reference, reason, created_at, updated_at, position
         FROM payouts WHERE true",
    )
}
