//! API keys, without what lets in.

use api_kit::problem::{ApiError, Problem};
use axum::extract::State;
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::api_key::Role;
use serde_json::json;
use sqlx::types::chrono::{DateTime, Utc};

use crate::QueryApi;
use crate::asked::Asked;
use crate::page::Page;
use crate::reading::{answer, failed};

type Row = (String, String, Option<String>, bool, DateTime<Utc>, DateTime<Utc>, i64);

/// Lists API keys, newest first.
#[utoipa::path(
    get, path = "/v1/api-keys", params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Keys"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator])?;
    let page = asked.parameters(Page::read)?;
    let head = api.log.head().await?.position;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, role, merchant_id, revoked, created_at, updated_at, position FROM api_keys_view
         WHERE $1::text IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(&page.after)
    .bind(page.fetch())
    .fetch_all(&api.log_pool)
    .await
    .map_err(failed)?;
    let shown = rows.into_iter().map(|(id, role, merchant_id, revoked, created_at, updated_at, position)| {
        let key = json!({
            "id": id,
            "role": role,
            "merchant_id": merchant_id,
            "status": if revoked { "revoked" } else { "active" },
            "created_at": Timestamp::new(created_at),
            "updated_at": Timestamp::new(updated_at),
            "position": position,
        });
        (id, key)
    });
    Ok(answer(head, "application/json", page.body(shown.collect()).to_string()))
}
