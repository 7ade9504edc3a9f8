//! The command routes: one noun a file.

mod api_keys;
mod bulk;
mod cards;
mod clients;
mod corrections;
mod disputes;
mod fx_rates;
mod merchants;
mod payments;
mod payouts;
mod reconciliations;
mod schema;
mod settlements;

use std::sync::Arc;

use api_kit::health::Readiness;
use api_kit::problem::{ApiError, Problem};
use api_kit::service;
use async_trait::async_trait;
use axum::Router;
use axum::response::IntoResponse;
use event_store::reader::LogReader;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::bulk::Bulk;
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
    // The commands that a bulk request may hold; what shows a secret it may not.
    let commands = OpenApiRouter::new()
        .routes(routes!(clients::open))
        .routes(routes!(clients::deposit))
        .routes(routes!(clients::withdraw))
        .routes(routes!(clients::close))
        .routes(routes!(cards::block))
        .routes(routes!(cards::unblock))
        .routes(routes!(merchants::open))
        .routes(routes!(merchants::change_settings))
        .routes(routes!(merchants::suspend))
        .routes(routes!(merchants::reinstate))
        .routes(routes!(merchants::deposit))
        .routes(routes!(merchants::write_off))
        .routes(routes!(payments::authorize))
        .routes(routes!(payments::increment))
        .routes(routes!(payments::capture))
        .routes(routes!(payments::void))
        .routes(routes!(payments::refund))
        .routes(routes!(disputes::open))
        .routes(routes!(disputes::submit_evidence))
        .routes(routes!(disputes::win))
        .routes(routes!(disputes::lose))
        .routes(routes!(disputes::reopen))
        .routes(routes!(settlements::close))
        .routes(routes!(payouts::request))
        .routes(routes!(payouts::paid))
        .routes(routes!(payouts::failed))
        .routes(routes!(payouts::returned))
        .routes(routes!(corrections::request))
        .routes(routes!(corrections::approve))
        .routes(routes!(fx_rates::set))
        .routes(routes!(reconciliations::run))
        .with_state(gateway.clone());
    let (parts, _) = commands.clone().split_for_parts();
    let bulk = Bulk {
        gateway: gateway.clone(),
        routes: parts.fallback(async || ApiError::RouteNotFound.into_response()),
    };
    let secrets = OpenApiRouter::new()
        .routes(routes!(cards::issue))
        .routes(routes!(api_keys::create))
        .routes(routes!(api_keys::revoke))
        .with_state(gateway.clone());
    let routes = OpenApiRouter::with_openapi(document)
        .merge(commands)
        .merge(secrets)
        .merge(OpenApiRouter::new().routes(routes!(bulk::run)).with_state(bulk));
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
