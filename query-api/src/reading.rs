//! One snapshot of a read model: its checkpoint and its rows agree.

use api_kit::LEDGER_POSITION;
use api_kit::problem::ApiError;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use event_store::StoreError;
use event_store::error::is_transient;
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::QueryApi;
use crate::asked::Asked;

/// A transaction that sees one state of a read model.
pub(crate) struct Reading {
    transaction: Transaction<'static, Postgres>,
    name: &'static str,
    generation: i32,
    /// The position that the rows reflect.
    pub(crate) position: u64,
}

impl QueryApi {
    /// Opens a snapshot of a read model that has reached what the caller must see, and `at_least`.
    pub(crate) async fn read(
        &self,
        name: &'static str,
        asked: &Asked,
        at_least: u64,
    ) -> Result<Reading, ApiError> {
        let wanted = asked.min_position()?.max(at_least);
        let reading = Reading::open(self, name).await?;
        if reading.position >= wanted {
            return Ok(reading);
        }
        drop(reading);
        self.watch.wait(name, wanted).await?;
        Reading::open(self, name).await
    }
}

impl Reading {
    async fn open(api: &QueryApi, name: &'static str) -> Result<Self, ApiError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut transaction = api.read.begin_with(begin).await.map_err(failed)?;
        let row: Option<(i64, i32, String)> = sqlx::query_as(
            "SELECT position, generation,
                    set_config('search_path', replace(name, '-', '_') || '_' || generation, true)
             FROM public.projections WHERE name = $1 AND active",
        )
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        // Without a row nothing was ever applied: the projectors have not started yet.
        let Some((position, generation, _)) = row else { return Err(ApiError::StoreUnavailable(None)) };
        Ok(Self { transaction, name, generation, position: position.unsigned_abs() })
    }

    /// Returns the connection, whose search path leads to the read model's tables.
    pub(crate) fn tables(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Refuses a key that stands still.
    pub(crate) async fn refuse_parked(&mut self, key: &str) -> Result<(), ApiError> {
        let parked: Option<(i32,)> = sqlx::query_as(
            "SELECT 1 FROM public.parked_keys WHERE name = $1 AND generation = $2 AND key = $3",
        )
        .bind(self.name)
        .bind(self.generation)
        .bind(key)
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(failed)?;
        if parked.is_some() { Err(ApiError::ProjectionParked) } else { Ok(()) }
    }

    /// Answers with JSON.
    pub(crate) fn answer(self, body: &Value) -> Response {
        answer(self.position, "application/json", body.to_string())
    }

    /// Answers with CSV.
    pub(crate) fn csv(self, body: String) -> Response {
        answer(self.position, "text/csv; charset=utf-8", body)
    }
}

/// Answers with what reflects a position.
pub(crate) fn answer(position: u64, content_type: &'static str, body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(LEDGER_POSITION, HeaderValue::from(position));
    response
}

/// Turns a failed query into its problem.
pub(crate) fn failed(error: sqlx::Error) -> ApiError {
    if is_transient(&error) {
        ApiError::StoreUnavailable(Some(error.into()))
    } else {
        StoreError::from(error).into()
    }
}
