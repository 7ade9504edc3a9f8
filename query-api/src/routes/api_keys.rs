//! API keys: who has one, never what it is.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::State;
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::api_key::Role;
use ledger_core::ids::KeyId;
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::PageParameters;
use crate::answer::moment;
use crate::asked::Asked;
use crate::service::QueryApi;

/// An API key.
#[derive(Serialize, ToSchema)]
struct ApiKey {
    id: String,
    /// operator, merchant, auditor or analyst.
    role: String,
    /// The merchant that a merchant's key is bound to.
    merchant_id: Option<String>,
    /// active or revoked.
    status: &'static str,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

type KeyRow = (String, String, Option<String>, bool, DateTime<Utc>, DateTime<Utc>, i64);

impl From<KeyRow> for ApiKey {
    fn from((id, role, merchant_id, revoked, created_at, updated_at, position): KeyRow) -> Self {
        let status = if revoked { "revoked" } else { "active" };
        let (created_at, updated_at) = (moment(created_at), moment(updated_at));
        Self { id, role, merchant_id, status, created_at, updated_at, position: position.unsigned_abs() }
    }
}

/// Lists API keys, newest first.
#[utoipa::path(
    get, path = "/v1/api-keys", params(PageParameters),
    responses((status = 200, description = "Keys, without their secrets", body = List<ApiKey>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(&[Role::Operator, Role::Auditor], Page::<KeyId>::read)?;
    api.head(wanted).await?;
    // Keys are written in the transaction of their events: one snapshot has them as of its head.
    let mut transaction = api.log_pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let (head,): (i64,) =
        sqlx::query_as("SELECT coalesce(max(position), 0) FROM events").fetch_one(&mut *transaction).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, role, merchant_id, revoked, created_at, updated_at, position FROM api_keys_view WHERE true",
    );
    if let Some(after) = page.after {
        query.push(" AND id < ").push_bind(after.to_string());
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(page.rows());
    let rows: Vec<KeyRow> = query.build_query_as().fetch_all(&mut *transaction).await?;
    let keys = rows.into_iter().map(ApiKey::from).collect();
    asked.answer(head.unsigned_abs(), &List::of(keys, &page, |key| key.id.clone()))
}
