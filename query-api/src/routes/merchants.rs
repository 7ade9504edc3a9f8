//! Merchants and their balances.

use api_kit::problem::{ApiError, Problem};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::ids::MerchantId;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::clients::{moment as stamp, parsed};
use crate::QueryApi;
use crate::asked::Asked;
use crate::moment::{Moment, Wanted};
use crate::page::Page;
use crate::reading::failed;

/// The read model.
const MODEL: &str = "merchant-account";

/// Who may: the house's roles, and a merchant itself.
const ROLES: &[Role] = &[Role::Operator, Role::Analyst, Role::Auditor, Role::Merchant];

/// Lists merchants, newest first; a merchant sees itself.
#[utoipa::path(
    get, path = "/v1/merchants", params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Merchants"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    let page = asked.parameters(Page::read)?;
    let mut reading = api.read(MODEL, &asked, 0).await?;
    let rows = sqlx::query(
        "SELECT * FROM merchants WHERE ($1::text IS NULL OR id < $1) AND ($2::text IS NULL OR id = $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(&page.after)
    .bind(asked.merchant())
    .bind(page.fetch())
    .fetch_all(reading.tables())
    .await
    .map_err(failed)?;
    let shown: Result<Vec<_>, sqlx::Error> =
        rows.iter().map(|row| Ok((row.try_get::<String, _>("id")?, merchant(row)?))).collect();
    Ok(reading.answer(&page.body(shown.map_err(failed)?)))
}

/// Shows a merchant.
#[utoipa::path(
    get, path = "/v1/merchants/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The merchant"), (status = "4XX", body = Problem))
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    asked.parameters(|_| ())?;
    let id = id.parse::<MerchantId>().map_err(|_| ApiError::NotFound)?.to_string();
    asked.owns(&id)?;
    let mut reading = api.read(MODEL, &asked, 0).await?;
    reading.refuse_parked(&id).await?;
    let row = sqlx::query("SELECT * FROM merchants WHERE id = $1")
        .bind(&id)
        .fetch_optional(reading.tables())
        .await
        .map_err(failed)?
        .ok_or(ApiError::NotFound)?;
    let body = merchant(&row).map_err(failed)?;
    Ok(reading.answer(&body))
}

/// Shows a merchant's balances, now or at any past moment.
#[utoipa::path(
    get, path = "/v1/merchants/{id}/balances",
    params(("id" = String, Path), ("as_of" = Option<String>, Query), ("at_position" = Option<u64>, Query)),
    responses((status = 200, description = "Balances"), (status = "4XX", body = Problem))
)]
pub(crate) async fn balances(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(ROLES)?;
    let wanted = asked.parameters(Wanted::read)?;
    let id = id.parse::<MerchantId>().map_err(|_| ApiError::NotFound)?.to_string();
    asked.owns(&id)?;
    let moment = api.moment(wanted).await?;
    let mut reading = api.read(MODEL, &asked, moment.at_least()).await?;
    reading.refuse_parked(&id).await?;
    let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM merchants WHERE id = $1")
        .bind(&id)
        .fetch_optional(reading.tables())
        .await
        .map_err(failed)?;
    known.ok_or(ApiError::NotFound)?;
    let rows = balance_rows(reading.tables(), &id, &moment).await.map_err(failed)?;
    let body = moment.stamp(json!({ "data": rows }), reading.position);
    Ok(reading.answer(&body))
}

/// Reads balances: of now from their rows, of a past moment from the last entry of each account.
async fn balance_rows(
    tables: &mut PgConnection,
    id: &str,
    moment: &Moment,
) -> Result<Vec<Value>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = match moment.position {
        None => {
            sqlx::query_as(
                "SELECT currency, pending, available, reserved, in_transit, position
                 FROM merchant_balances WHERE merchant_id = $1 ORDER BY currency",
            )
            .bind(id)
            .fetch_all(tables)
            .await?
        }
        Some(_) => {
            sqlx::query_as(
                "SELECT currency,
                        coalesce(max(balance_after) FILTER (WHERE account = 'pending'), 0),
                        coalesce(max(balance_after) FILTER (WHERE account = 'available'), 0),
                        coalesce(max(balance_after) FILTER (WHERE account = 'reserved'), 0),
                        coalesce(max(balance_after) FILTER (WHERE account = 'in_transit'), 0),
                        max(position)
                 FROM (SELECT currency FROM merchant_balances WHERE merchant_id = $1) AS known,
                      (VALUES ('pending'), ('available'), ('reserved'), ('in_transit')) AS accounts (account),
                      LATERAL (SELECT balance_after, position FROM merchant_entries
                               WHERE merchant_id = $1 AND merchant_entries.currency = known.currency
                                 AND merchant_entries.account = accounts.account AND position <= $2
                               ORDER BY position DESC, ordinal DESC LIMIT 1) AS last
                 GROUP BY currency ORDER BY currency",
            )
            .bind(id)
            .bind(moment.last())
            .fetch_all(tables)
            .await?
        }
    };
    let row = |(currency, pending, available, reserved, in_transit, position): (
        String,
        i64,
        i64,
        i64,
        i64,
        i64,
    )| {
        json!({
            "currency": currency, "pending": pending, "available": available, "reserved": reserved,
            // Payouts have no events yet, so nothing was paid out.
            "in_transit": in_transit, "paid_out": 0, "position": position,
        })
    };
    Ok(rows.into_iter().map(row).collect())
}

fn merchant(row: &PgRow) -> Result<Value, sqlx::Error> {
    let mut merchant = parsed(row.try_get("settings")?);
    merchant["id"] = json!(row.try_get::<String, _>("id")?);
    merchant["name"] = json!(row.try_get::<String, _>("name")?);
    merchant["status"] = json!(row.try_get::<String, _>("status")?);
    merchant["metadata"] = parsed(row.try_get("metadata")?);
    merchant["created_at"] = json!(stamp(row, "created_at")?);
    merchant["updated_at"] = json!(stamp(row, "updated_at")?);
    merchant["position"] = json!(row.try_get::<i64, _>("position")?);
    Ok(merchant)
}
