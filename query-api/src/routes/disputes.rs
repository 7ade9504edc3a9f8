//! Disputes: what is disputed, and what the merchant had to say. They stand and fall with their payments.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{DisputeId, MerchantId, PaymentId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS_AND_MERCHANT, push_equal, status};
use crate::answer::{MoneySchema, moment};
use crate::asked::{Asked, id};
use crate::read_model::Model;
use crate::service::QueryApi;

/// Every status that a dispute can have.
const STATUSES: [&str; 4] = ["needs_response", "under_review", "won", "lost"];

/// A dispute.
#[derive(Serialize, ToSchema)]
struct Dispute {
    id: String,
    payment_id: String,
    merchant_id: String,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// needs_response, under_review, won or lost.
    status: String,
    /// Until then evidence is taken; without any the dispute is lost.
    #[schema(value_type = String)]
    respond_by: Timestamp,
    /// Not for analysts.
    #[serde(flatten)]
    words: Option<Words>,
    /// Whether it was opened again.
    reopened: bool,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// What people wrote in a dispute; null once erased.
#[derive(Serialize, ToSchema)]
#[schema(as = DisputeWords)]
struct Words {
    reason: Option<String>,
    /// What the merchant said last.
    evidence: Option<String>,
}

/// A dispute as it is kept.
#[derive(sqlx::FromRow)]
struct DisputeRow {
    id: String,
    payment_id: String,
    merchant_id: String,
    currency: String,
    amount: i64,
    reason: Option<String>,
    status: String,
    respond_by: DateTime<Utc>,
    evidence: Option<String>,
    reopened: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl Dispute {
    fn of(row: DisputeRow, asked: &Asked) -> Result<Self, ApiError> {
        let currency = Currency::try_from(row.currency).map_err(ApiError::internal)?;
        Ok(Self {
            id: row.id,
            payment_id: row.payment_id,
            merchant_id: row.merchant_id,
            amount: Money::new(row.amount, currency),
            status: row.status,
            respond_by: moment(row.respond_by),
            words: asked.sees_words().then_some(Words { reason: row.reason, evidence: row.evidence }),
            reopened: row.reopened,
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
    payment_id: Option<String>,
    status: Option<String>,
}

/// Lists disputes, newest first; a merchant sees its own.
#[utoipa::path(
    get, path = "/v1/disputes", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Disputes", body = List<Dispute>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((merchant, payment, status, page), wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        let merchant: Option<MerchantId> = parameters.value("merchant_id");
        let payment: Option<PaymentId> = parameters.value("payment_id");
        (merchant, payment, status(parameters, &STATUSES), Page::<DisputeId>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::Payment, &[], wanted).await?;
    let mut query = select();
    push_equal(
        &mut query,
        [
            ("merchant_id", asked.merchant().map(String::from)),
            ("merchant_id", merchant.map(String::from)),
            ("payment_id", payment.map(String::from)),
            ("status", status.map(str::to_owned)),
        ],
    );
    let disputes = snapshot.page(query, &page, "payment_id", |row| Dispute::of(row, &asked)).await?;
    asked.answer(snapshot.position, &List::of(disputes, &page, |dispute| dispute.id.clone()))
}

/// Shows a dispute.
#[utoipa::path(
    get, path = "/v1/disputes/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The dispute", body = Dispute), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(dispute): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS_AND_MERCHANT, |_| ())?;
    let dispute = id::<DisputeId>(&dispute)?.to_string();
    let mut snapshot = api.snapshot(Model::Payment, &[], wanted).await?;
    let dispute = snapshot.find(select(), &dispute, |row| Dispute::of(row, &asked)).await?;
    asked.own(&dispute.merchant_id)?;
    snapshot.refuse_parked(&dispute.payment_id).await?;
    asked.answer(snapshot.position, &dispute)
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, payment_id, merchant_id, currency, amount, reason, status, respond_by, evidence, reopened,
                created_at, updated_at, position
         FROM disputes WHERE true",
    )
}
