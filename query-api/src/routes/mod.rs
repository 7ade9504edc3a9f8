//! The queries: one noun a file.

mod api_keys;
mod cards;
mod clients;
mod events;
mod history;
mod house;
mod merchants;
mod notifications;
mod payments;
mod projections;

use std::sync::Arc;

use api_kit::health::Readiness;
use api_kit::problem::Problem;
use api_kit::service;
use async_trait::async_trait;
use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quittance query API",
        description = "Balances, histories, payments and the log. Every answer bears the Ledger-Position that it \
                       reflects; a query with Ledger-Min-Position waits until that is reached.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem)),
    security(("api_key" = []))
)]
struct Document;

/// Assembles the service.
pub(crate) fn router(api: QueryApi) -> Router {
    let mut document = Document::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("api_key", scheme);
    let routes = OpenApiRouter::with_openapi(document)
        .routes(routes!(clients::list))
        .routes(routes!(clients::show))
        .routes(routes!(clients::balances))
        .routes(routes!(history::of_client))
        .routes(routes!(cards::show))
        .routes(routes!(merchants::list))
        .routes(routes!(merchants::show))
        .routes(routes!(merchants::balances))
        .routes(routes!(history::of_merchant))
        .routes(routes!(house::balances))
        .routes(routes!(payments::list))
        .routes(routes!(payments::show))
        .routes(routes!(payments::events))
        .routes(routes!(payments::refunds))
        .routes(routes!(notifications::list))
        .routes(routes!(projections::list))
        .routes(routes!(events::list))
        .routes(routes!(api_keys::list))
        .with_state(api.clone());
    service::assemble(routes, api.log_pool.clone(), Arc::new(Store(api)))
}

/// What everything needs: both databases, and read models that move.
struct Store(QueryApi);

#[async_trait]
impl Readiness for Store {
    async fn reasons(&self) -> Vec<String> {
        let Self(api) = self;
        let mut reasons = Vec::new();
        if api.log.head().await.is_err() {
            reasons.push("store_unavailable".to_owned());
        }
        let rows: Result<Vec<(String, String, Option<String>)>, _> =
            sqlx::query_as("SELECT name, status, last_error FROM projections WHERE active")
                .fetch_all(&api.read)
                .await;
        match rows {
            Err(_) => reasons.push("read_models_unavailable".to_owned()),
            Ok(rows) if rows.is_empty() => reasons.push("projections_not_started".to_owned()),
            Ok(rows) => reasons.extend(
                rows.into_iter()
                    .filter(|(_, status, _)| status == "stopped")
                    .map(|(name, _, error)| format!("{name}: {}", error.unwrap_or_default())),
            ),
        }
        reasons
    }
}
