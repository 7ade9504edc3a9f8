//! Whether a service lives, and whether it can serve.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Tells why a service can't serve.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Returns the reasons, one word each; none if it can serve.
    async fn reasons(&self) -> Vec<String>;
}

/// Answers that the process lives.
pub(crate) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Answers whether it can serve.
pub(crate) async fn readyz(readiness: Arc<dyn Readiness>) -> Response {
    let reasons = readiness.reasons().await;
    if reasons.is_empty() {
        return Json(json!({ "status": "ok" })).into_response();
    }
    let body = json!({ "status": "unavailable", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
