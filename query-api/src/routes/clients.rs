//! Clients, with their cards and balances.

use api_kit::problem::{ApiError, Problem};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::api_key::Role;
use ledger_core::ids::ClientId;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::cards;
use crate::QueryApi;
use crate::asked::Asked;
use crate::moment::{Moment, Wanted};
use crate::page::Page;
use crate::reading::failed;

/// The read model.
const MODEL: &str = "client-account";

/// Lists clients, newest first. Analysts see no name, e-mail and metadata.
#[utoipa::path(
    get, path = "/v1/clients", params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Clients"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst])?;
    let page = asked.parameters(Page::read)?;
    let mut reading = api.read(MODEL, &asked, 0).await?;
    let rows =
        sqlx::query("SELECT * FROM clients WHERE $1::text IS NULL OR id < $1 ORDER BY id DESC LIMIT $2")
            .bind(&page.after)
            .bind(page.fetch())
            .fetch_all(reading.tables())
            .await
            .map_err(failed)?;
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let id: String = row.try_get("id").map_err(failed)?;
        let client = client(&row, asked.role()).map_err(failed)?;
        shown.push((id.clone(), with_parts(reading.tables(), client, &id).await.map_err(failed)?));
    }
    Ok(reading.answer(&page.body(shown)))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/v1/clients/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The client"), (status = "4XX", body = Problem))
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst])?;
    asked.parameters(|_| ())?;
    let id = id.parse::<ClientId>().map_err(|_| ApiError::NotFound)?.to_string();
    let mut reading = api.read(MODEL, &asked, 0).await?;
    reading.refuse_parked(&id).await?;
    let row = sqlx::query("SELECT * FROM clients WHERE id = $1")
        .bind(&id)
        .fetch_optional(reading.tables())
        .await
        .map_err(failed)?
        .ok_or(ApiError::NotFound)?;
    let client = client(&row, asked.role()).map_err(failed)?;
    let body = with_parts(reading.tables(), client, &id).await.map_err(failed)?;
    Ok(reading.answer(&body))
}

/// Shows a client's balances, now or at any past moment.
#[utoipa::path(
    get, path = "/v1/clients/{id}/balances",
    params(("id" = String, Path), ("as_of" = Option<String>, Query), ("at_position" = Option<u64>, Query)),
    responses((status = 200, description = "Balances"), (status = "4XX", body = Problem))
)]
pub(crate) async fn balances(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst, Role::Auditor])?;
    let wanted = asked.parameters(Wanted::read)?;
    let id = id.parse::<ClientId>().map_err(|_| ApiError::NotFound)?.to_string();
    let moment = api.moment(wanted).await?;
    let mut reading = api.read(MODEL, &asked, moment.at_least()).await?;
    reading.refuse_parked(&id).await?;
    let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM clients WHERE id = $1")
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
    let rows: Vec<(String, i64, i64, i64)> = match moment.position {
        None => {
            sqlx::query_as(
                "SELECT currency, available, held, position FROM client_balances WHERE client_id = $1 ORDER BY currency",
            )
            .bind(id)
            .fetch_all(tables)
            .await?
        }
        Some(_) => {
            sqlx::query_as(
                "SELECT currency,
                        coalesce(max(balance_after) FILTER (WHERE account = 'available'), 0),
                        coalesce(max(balance_after) FILTER (WHERE account = 'held'), 0),
                        max(position)
                 FROM (SELECT currency FROM client_balances WHERE client_id = $1) AS known,
                      (VALUES ('available'), ('held')) AS accounts (account),
                      LATERAL (SELECT balance_after, position FROM client_entries
                               WHERE client_id = $1 AND client_entries.currency = known.currency
                                 AND client_entries.account = accounts.account AND position <= $2
                               ORDER BY position DESC, ordinal DESC LIMIT 1) AS last
                 GROUP BY currency ORDER BY currency",
            )
            .bind(id)
            .bind(moment.last())
            .fetch_all(tables)
            .await?
        }
    };
    let row = |(currency, available, held, position): (String, i64, i64, i64)| {
        json!({
            "currency": currency, "posted": available + held, "held": held,
            "available": available, "position": position,
        })
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Adds a client's cards and balances.
async fn with_parts(tables: &mut PgConnection, mut client: Value, id: &str) -> Result<Value, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM client_cards WHERE client_id = $1 ORDER BY id DESC")
        .bind(id)
        .fetch_all(&mut *tables)
        .await?;
    client["cards"] = rows.iter().map(cards::card).collect::<Result<_, _>>()?;
    client["balances"] = balance_rows(tables, id, &Moment::NOW).await?.into();
    Ok(client)
}

fn client(row: &PgRow, role: Role) -> Result<Value, sqlx::Error> {
    let mut client = json!({
        "id": row.try_get::<String, _>("id")?,
        "status": row.try_get::<String, _>("status")?,
        "created_at": moment(row, "created_at")?,
        "updated_at": moment(row, "updated_at")?,
        "position": row.try_get::<i64, _>("position")?,
    });
    if role == Role::Operator {
        client["name"] = json!(row.try_get::<Option<String>, _>("name")?);
        client["email"] = json!(row.try_get::<Option<String>, _>("email")?);
        client["metadata"] = parsed(row.try_get("metadata")?);
    }
    Ok(client)
}

/// Reads a moment.
pub(crate) fn moment(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<DateTime<Utc>, _>(column).map(Timestamp::new)
}

/// Reads JSON that a projection wrote.
pub(crate) fn parsed(text: Option<String>) -> Value {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
