//! Whether a service lives, and whether it can serve.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Tells why a service can't serve.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Returns the reasons, few words each; none if it can serve.
    async fn reasons(&self) -> Vec<String>;
}

/// Tells that the process lives.
#[utoipa::path(get, path = "/healthz", security(()), responses((status = 200, description = "It lives")))]
pub(crate) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Tells whether the service can serve, and if not, why.
#[utoipa::path(
    get, path = "/readyz", security(()),
    responses((status = 200, description = "It can serve"), (status = 503, description = "The reasons why it can't"))
)]
pub(crate) async fn readyz(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    let reasons = readiness.reasons().await;
    if reasons.is_empty() {
        return Json(json!({ "status": "ok" })).into_response();
    }
    let body = json!({ "status": "unavailable", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
