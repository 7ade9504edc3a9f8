//! Where the read models stand.

use api_kit::problem::{ApiError, Problem};
use axum::extract::State;
use axum::response::Response;
use event_store::reader::leaf;
use ledger_core::api_key::Role;
use serde_json::{Value, json};

use crate::QueryApi;
use crate::asked::Asked;
use crate::reading::{answer, failed};

/// One read model's place.
type Row = (String, i32, i64, Vec<u8>, String, i64, Option<String>, i64);

/// Lists the read models: how far each is, and what stands still. `digest` is the leaf hash of the event
/// that it applied last: it names the history that its rows come from.
#[utoipa::path(
    get, path = "/v1/projections",
    responses((status = 200, description = "Read models"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst, Role::Auditor])?;
    asked.parameters(|_| ())?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, generation, position, leaf_hash, status, holes_filled, last_error,
                (SELECT count(*) FROM parked_keys
                 WHERE parked_keys.name = projections.name AND parked_keys.generation = projections.generation)
         FROM projections WHERE active ORDER BY name",
    )
    .fetch_all(&api.read)
    .await
    .map_err(failed)?;
    let head = api.log.head().await?.position;
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        data.push(projection(&api, row, head).await?);
    }
    Ok(answer(head, "application/json", json!({ "data": data, "next_cursor": null }).to_string()))
}

async fn projection(
    api: &QueryApi,
    (name, version, position, leaf_hash, status, holes_filled, last_error, parked): Row,
    head: u64,
) -> Result<Value, ApiError> {
    let position = position.unsigned_abs();
    Ok(json!({
        "name": name,
        "version": version,
        "position": position,
        "head": head,
        "lag_events": head.saturating_sub(position),
        "lag_seconds": lag_seconds(api, position).await?,
        "status": status,
        "digest": leaf(&leaf_hash).to_string(),
        "parked": parked,
        "holes_filled": holes_filled,
        "last_error": last_error,
    }))
}

/// Tells how long the first event that was not applied has waited, in whole seconds; 0 if there is none.
async fn lag_seconds(api: &QueryApi, position: u64) -> Result<i64, ApiError> {
    let Some(next) = api.log.range(position, 1).await?.pop() else { return Ok(0) };
    let recorded_at = next.envelope()?.recorded_at;
    let now = api.clock.moved(api.log.database_time().await?);
    Ok((now.micros() - recorded_at.micros()).max(0) / 1_000_000)
}
