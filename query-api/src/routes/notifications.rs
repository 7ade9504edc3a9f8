//! Notifications: what clients and merchants are told.

use api_kit::problem::{ApiError, Problem};
use axum::extract::State;
use axum::response::Response;
use ledger_core::Owner;
use ledger_core::api_key::Role;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::clients::{moment, parsed};
use crate::QueryApi;
use crate::asked::Asked;
use crate::page::Page;
use crate::reading::failed;

/// Lists notifications: newest first, or from a position on (`after`) in order. A merchant sees its own.
#[utoipa::path(
    get, path = "/v1/notifications",
    params(
        ("recipient" = Option<String>, Query), ("after" = Option<u64>, Query),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, description = "Notifications"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Merchant])?;
    let (recipient, after, page) = asked.parameters(|parameters| {
        let recipient = parameters.value::<Owner>("recipient").map(|owner| owner.to_string());
        (recipient, parameters.integer("after", 0, i64::MAX), Page::read(parameters))
    })?;
    let mut reading = api.read("notification", &asked, 0).await?;
    for recipient in recipient.iter().chain(&asked.merchant()) {
        reading.refuse_parked(recipient).await?;
    }
    let mut query = QueryBuilder::new("SELECT * FROM notifications WHERE true");
    for recipient in recipient.into_iter().chain(asked.merchant()) {
        query.push(" AND recipient = ").push_bind(recipient);
    }
    let cursor = page.after.as_deref().and_then(|after| {
        let (position, recipient) = after.split_once('-')?;
        Some((position.parse::<i64>().ok()?, recipient.to_owned()))
    });
    match (after, cursor) {
        (None, Some((position, recipient))) => {
            query.push(" AND (position < ").push_bind(position);
            query
                .push(" OR position = ")
                .push_bind(position)
                .push(" AND recipient > ")
                .push_bind(recipient)
                .push(")");
        }
        (Some(_), Some((position, recipient))) => {
            query
                .push(" AND (position, recipient) > (")
                .push_bind(position)
                .push(", ")
                .push_bind(recipient)
                .push(")");
        }
        (Some(after), None) => {
            query.push(" AND position > ").push_bind(after);
        }
        (None, None) => {}
    }
    let order = if after.is_some() { "position, recipient" } else { "position DESC, recipient" };
    query.push(" ORDER BY ").push(order).push(" LIMIT ").push_bind(page.fetch());
    let rows = query.build().fetch_all(reading.tables()).await.map_err(failed)?;
    let shown: Result<Vec<_>, sqlx::Error> = rows.iter().map(notification).collect();
    Ok(reading.answer(&page.body(shown.map_err(failed)?)))
}

/// Makes a notification of its row. Its id is its place: one event tells one recipient once.
fn notification(row: &PgRow) -> Result<(String, Value), sqlx::Error> {
    let recipient: String = row.try_get("recipient")?;
    let position: i64 = row.try_get("position")?;
    let id = format!("{position}-{recipient}");
    let notification = json!({
        "id": id,
        "recipient": recipient,
        "kind": row.try_get::<String, _>("kind")?,
        "position": position,
        "created_at": moment(row, "created_at")?,
        "payment_id": row.try_get::<Option<String>, _>("payment_id")?,
        "data": parsed(row.try_get("data")?),
    });
    Ok((id, notification))
}
