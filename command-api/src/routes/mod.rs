//! The command routes: one noun a file.

mod api_keys;
mod cards;
mod clients;
mod merchants;
mod payments;
mod schema;

use std::sync::Arc;

use api_kit::health::Readiness;
use api_kit::problem::Problem;
use api_kit::service;
use async_trait::async_trait;
use axum::Router;
use event_store::reader::LogReader;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Gateway;
use crate::relay::RelayHealth;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quittance command API",
        description = "Payment commands. Every POST needs an Idempotency-Key; an answer is durable when it arrives. \
                       4xx: nothing was appended. 503: not run. 500, 504 or no answer: repeat with the same key.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem)),
    security(("api_key" = []))
)]
struct Document;

/// Assembles the service.
pub(crate) fn router(gateway: Gateway) -> Router {
    let mut document = Document::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("api_key", scheme);
    let routes = OpenApiRouter::with_openapi(document)
        .routes(routes!(clients::open))
        .routes(routes!(clients::deposit))
        .routes(routes!(clients::withdraw))
        .routes(routes!(cards::issue))
        .routes(routes!(cards::block))
        .routes(routes!(cards::unblock))
        .routes(routes!(merchants::open))
        .routes(routes!(merchants::change_settings))
        .routes(routes!(api_keys::create))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(payments::authorize))
        .routes(routes!(payments::capture))
        .routes(routes!(payments::void))
        .routes(routes!(payments::refund))
        .with_state(gateway.clone());
    service::assemble(routes, gateway.pool.clone(), Arc::new(gateway))
}

#[async_trait]
impl Readiness for Gateway {
    async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if LogReader::new(self.pool.clone()).head().await.is_err() {
            reasons.push("store_unavailable".to_owned());
        }
        if !self.executor.is_running() {
            reasons.push("executor_ended".to_owned());
        }
        reasons.extend(self.relay.as_ref().and_then(RelayHealth::stopped));
        reasons
    }
}
