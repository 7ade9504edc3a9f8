//! Puts the common parts around a service's own routes.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use sqlx::PgPool;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::{self, Door};
use crate::health::{self, Readiness};
use crate::problem::ApiError;
use crate::{docs, metrics, request_id};

/// Paths that need no key.
const PUBLIC: &[&str] = &["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"];

/// Assembles a service, in the order in which the contract refuses: an unknown key before an unknown
/// route, that before a wrong method, that before whatever the handlers refuse.
pub fn assemble(routes: OpenApiRouter, keys: PgPool, readiness: Arc<dyn Readiness>) -> Router {
    let (router, openapi) = routes.split_for_parts();
    // Installed before the first number is counted.
    let _ = metrics::handle();
    router
        .merge(common(&openapi, readiness))
        .fallback(async || ApiError::RouteNotFound.into_response())
        .layer(from_fn_with_state(Door { pool: keys, public: PUBLIC }, auth::layer))
        .layer(from_fn(request_id::layer))
}

fn common(openapi: &OpenApi, readiness: Arc<dyn Readiness>) -> Router {
    let contract = serde_json::to_value(openapi).unwrap_or_default();
    let page = Arc::new(docs::page(&contract));
    let contract = Arc::new(contract.to_string());
    let json = [(CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(move || health::readyz(Arc::clone(&readiness))))
        .route("/metrics", get(metrics::render))
        .route("/openapi.json", get(async move || (json, contract.to_string())))
        .route("/docs", get(async move || docs::answer(&page)))
}
