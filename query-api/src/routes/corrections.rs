//! Corrections: what one operator asks for and another approves.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{CorrectionId, EventId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS, push_equal, status};
use crate::answer::{MoneySchema, moment};
use crate::asked::{Asked, id};
use crate::read_model::Model;
use crate::service::QueryApi;

/// Every status that a correction can have.
const STATUSES: [&str; 2] = ["requested", "approved"];

/// A correction.
#[derive(Serialize, ToSchema)]
struct Correction {
    id: String,
    /// requested or approved.
    status: String,
    /// The event that is corrected.
    reverses: String,
    /// That event's type.
    reverses_type: String,
    /// That event's position.
    reverses_position: u64,
    /// The stream that the event belongs to, and that the correction is written to.
    reverses_stream: String,
    /// How much the event moved.
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// The day that the correction belongs to; balances change when it is approved.
    #[schema(value_type = String)]
    effective_date: NaiveDate,
    /// Not for analysts.
    #[serde(flatten)]
    words: Option<Words>,
    /// The API key that asked for it.
    requested_by: String,
    /// The API key that approved it; null until then.
    approved_by: Option<String>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// Why the correction was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = CorrectionWords)]
struct Words {
    reason: Option<String>,
}

/// A correction as it is kept.
#[derive(sqlx::FromRow)]
struct CorrectionRow {
    id: String,
    status: String,
    reverses: String,
    reverses_type: String,
    reverses_position: i64,
    reverses_stream: String,
    currency: String,
    amount: i64,
    effective_date: NaiveDate,
    reason: Option<String>,
    requested_by: String,
    approved_by: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl Correction {
    fn of(row: CorrectionRow, asked: &Asked) -> Result<Self, ApiError> {
        let currency = Currency::try_from(row.currency).map_err(ApiError::internal)?;
        Ok(Self {
            id: row.id,
            status: row.status,
            reverses: row.reverses,
            reverses_type: row.reverses_type,
            reverses_position: row.reverses_position.unsigned_abs(),
            reverses_stream: row.reverses_stream,
            amount: Money::new(row.amount, currency),
            effective_date: row.effective_date,
            words: asked.sees_words().then_some(Words { reason: row.reason }),
            requested_by: row.requested_by,
            approved_by: row.approved_by,
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
    /// requested or approved.
    status: Option<String>,
    /// The event that is corrected.
    reverses: Option<String>,
}

/// Lists corrections, newest first.
#[utoipa::path(
    get, path = "/v1/corrections", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Corrections", body = List<Correction>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((wanted_values, page), wanted) = asked.read(READERS, |parameters| {
        let values = [
            ("status", status(parameters, &STATUSES).map(str::to_owned)),
            ("reverses", parameters.value::<EventId>("reverses").map(String::from)),
        ];
        (values, Page::<CorrectionId>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::Correction, &[], wanted).await?;
    let mut query = select();
    push_equal(&mut query, wanted_values);
    let corrections = snapshot.page(query, &page, "id", |row| Correction::of(row, &asked)).await?;
    asked.answer(snapshot.position, &List::of(corrections, &page, |correction| correction.id.clone()))
}

/// Shows a correction.
#[utoipa::path(
    get, path = "/v1/corrections/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The correction", body = Correction), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(correction): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS, |_| ())?;
    let correction = id::<CorrectionId>(&correction)?.to_string();
    let mut snapshot = api.snapshot(Model::Correction, &[&correction], wanted).await?;
    let correction = snapshot.find(select(), &correction, |row| Correction::of(row, &asked)).await?;
    asked.answer(snapshot.position, &correction)
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, status, reverses, reverses_type, reverses_position, reverses_stream, currency, amount,
                effective_date, reason, requested_by, approved_by, created_at, updated_at, position
         FROM corrections WHERE true",
    )
}
