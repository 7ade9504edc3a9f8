//! Projections: where each read model stands.

use std::collections::BTreeMap;

use api_kit::page::List;
use api_kit::problem::{ApiError, Problems};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::READERS;
use crate::answer::moment;
use crate::asked::Asked;
use crate::service::QueryApi;

/// Where a read model stands.
#[derive(Serialize, ToSchema)]
struct Projection {
    name: String,
    /// Counts how often it was made anew.
    version: i32,
    /// The last event that it has applied.
    position: u64,
    /// The log's last event.
    head: u64,
    /// How many events it has not applied.
    lag_events: u64,
    /// For how long the first of them waits.
    lag_seconds: i64,
    /// live, catching_up, rebuilding or stopped.
    status: String,
    /// The leaf hash of the last event that it has applied, in hex: which history its rows come from.
    digest: String,
    /// How many clients, merchants, payments … stand still because an event could not be applied.
    parked: i64,
    /// How many ranges it had to read from the log while a broker was there.
    holes_filled: i64,
    last_error: Option<String>,
}

type ProjectionRow = (String, i32, i64, String, Vec<u8>, i64, i64, Option<String>);

/// Lists the read models; a generation that is being made anew stands behind the one that serves.
#[utoipa::path(
    get, path = "/v1/projections",
    responses((status = 200, description = "Read models", body = List<Projection>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS, |_| ())?;
    api.head(wanted).await?;
    let rows: Vec<ProjectionRow> = sqlx::query_as(
        "SELECT name, generation, position, status, leaf_hash,
                (SELECT count(*) FROM parked_keys AS parked
                 WHERE parked.name = projections.name AND parked.generation = projections.generation),
                holes_filled, last_error
         FROM projections ORDER BY name, active DESC, generation DESC",
    )
    .fetch_all(&api.models.pool)
    .await?;
    // The head is read after the checkpoints: none of them is ahead of it.
    let head = api.log.head().await?.position;
    let waiting = first_unapplied(&api, &rows).await?;
    let now = api.clock.moved(api.log.database_time().await?);
    let projection =
        |(name, version, position, status, leaf_hash, parked, holes_filled, last_error): ProjectionRow| {
            let since = waiting.get(&position.saturating_add(1));
            let waited = since.map_or(0, |since| now.micros().saturating_sub(moment(*since).micros()));
            Projection {
                name,
                version,
                position: position.unsigned_abs(),
                head,
                lag_events: head.saturating_sub(position.unsigned_abs()),
                lag_seconds: waited.max(0) / 1_000_000,
                status,
                digest: hex::encode(leaf_hash),
                parked,
                holes_filled,
                last_error,
            }
        };
    asked.answer(head, &List::whole(rows.into_iter().map(projection).collect()))
}

/// Finds when the first event behind each checkpoint was recorded.
async fn first_unapplied(
    api: &QueryApi,
    rows: &[ProjectionRow],
) -> Result<BTreeMap<i64, DateTime<Utc>>, ApiError> {
    let next: Vec<i64> = rows.iter().map(|row| row.2.saturating_add(1)).collect();
    let found: Vec<(i64, DateTime<Utc>)> =
        sqlx::query_as("SELECT position, recorded_at FROM events WHERE position = ANY ($1)")
            .bind(next)
            .fetch_all(&api.log_pool)
            .await?;
    Ok(found.into_iter().collect())
}
