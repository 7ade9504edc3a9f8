//! Cards: what may be shown of them.

use api_kit::problem::{ApiError, Problem};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::ids::CardId;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::clients::moment;
use crate::QueryApi;
use crate::asked::Asked;
use crate::reading::failed;

/// Shows a card.
#[utoipa::path(
    get, path = "/v1/cards/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The card"), (status = "4XX", body = Problem))
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst])?;
    asked.parameters(|_| ())?;
    let id = id.parse::<CardId>().map_err(|_| ApiError::NotFound)?;
    let mut reading = api.read("client-account", &asked, 0).await?;
    let row = sqlx::query("SELECT * FROM client_cards WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(reading.tables())
        .await
        .map_err(failed)?
        .ok_or(ApiError::NotFound)?;
    reading.refuse_parked(row.try_get("client_id").map_err(failed)?).await?;
    let body = card(&row).map_err(failed)?;
    Ok(reading.answer(&body))
}

/// Makes a card of its row.
pub(crate) fn card(row: &PgRow) -> Result<Value, sqlx::Error> {
    Ok(json!({
        "id": row.try_get::<String, _>("id")?,
        "client_id": row.try_get::<String, _>("client_id")?,
        "brand": row.try_get::<String, _>("brand")?,
        "last4": row.try_get::<String, _>("last4")?,
        "exp_month": row.try_get::<i16, _>("exp_month")?,
        "exp_year": row.try_get::<i16, _>("exp_year")?,
        "status": row.try_get::<String, _>("status")?,
        "created_at": moment(row, "created_at")?,
        "updated_at": moment(row, "updated_at")?,
        "position": row.try_get::<i64, _>("position")?,
    }))
}
