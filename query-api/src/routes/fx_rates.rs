//! Rates between currencies: every one that was set; the newest of a pair is the one in use.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::State;
use axum::response::Response;
use ledger_core::Timestamp;
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS_AND_MERCHANT, currency, push_equal};
use crate::answer::moment;
use crate::asked::Asked;
use crate::read_model::Model;
use crate::service::QueryApi;

/// A rate from one currency to another, as it was set.
#[derive(Serialize, ToSchema)]
struct FxRate {
    /// The currency that pays.
    #[schema(example = "EUR")]
    from: String,
    /// The currency that is paid in.
    #[schema(example = "USD")]
    to: String,
    /// Major units of `to` per major unit of `from`.
    #[schema(example = "1.0850")]
    rate: String,
    /// From then on it is used no more.
    #[schema(value_type = String)]
    valid_until: Timestamp,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

type FxRateRow = (i64, String, String, String, DateTime<Utc>, DateTime<Utc>);

impl From<FxRateRow> for FxRate {
    fn from((position, from, to, rate, valid_until, at): FxRateRow) -> Self {
        let (created_at, updated_at) = (moment(at), moment(at));
        let (valid_until, position) = (moment(valid_until), position.unsigned_abs());
        Self { from, to, rate, valid_until, created_at, updated_at, position }
    }
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct FilterParameters {
    /// The currency that pays, in ISO 4217.
    from: Option<String>,
    /// The currency that is paid in, in ISO 4217.
    to: Option<String>,
}

/// Lists rates, newest first: the first of a pair of currencies is the one in use, until it expires.
#[utoipa::path(
    get, path = "/v1/fx-rates", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Rates", body = List<FxRate>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((from, to, page), wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        (currency(parameters, "from"), currency(parameters, "to"), Page::<i64>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::FxRate, &[], wanted).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT position, from_currency, to_currency, rate, valid_until, created_at FROM fx_rates WHERE true",
    );
    push_equal(
        &mut query,
        [("from_currency", from.map(String::from)), ("to_currency", to.map(String::from))],
    );
    if let Some(after) = page.after {
        query.push(" AND position < ").push_bind(after);
    }
    snapshot.push_not_parked(&mut query, "pair");
    query.push(" ORDER BY position DESC LIMIT ").push_bind(page.rows());
    let rows: Vec<FxRateRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let rates = rows.into_iter().map(FxRate::from).collect();
    asked.answer(snapshot.position, &List::of(rates, &page, |rate| rate.position))
}
