//! The query routes: one noun a file.

mod api_keys;
mod cards;
mod clients;
mod corrections;
mod disputes;
mod events;
mod explain;
mod fx_rates;
mod history;
mod house;
mod merchants;
mod notifications;
mod payments;
mod payouts;
mod projections;
mod reconciliations;
mod settlements;

use std::sync::Arc;

use api_kit::fields::FieldCode;
use api_kit::problem::Problem;
use api_kit::query_string::Parameters;
use api_kit::service;
use axum::Router;
use ledger_core::Currency;
use ledger_core::api_key::Role;
use sqlx::{Postgres, QueryBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::MoneySchema;
use crate::service::QueryApi;

/// Everyone who reads figures of any client and merchant.
const READERS: &[Role] = &[Role::Operator, Role::Analyst, Role::Auditor];
/// The same, and merchants for what is their own.
const READERS_AND_MERCHANT: &[Role] = &[Role::Operator, Role::Merchant, Role::Analyst, Role::Auditor];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quittance query API",
        description = "Balances, histories, payments and the log. Every answer tells in Ledger-Position which \
                       events it reflects; a query with Ledger-Min-Position waits up to 5 s until it reflects \
                       that one. Lists leave out objects whose events could not be applied (503 \
                       projection_parked when asked for themselves). Times of filters: from is included, to \
                       is not. Analysts get each amount in major units too, as `..._decimal`.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem, MoneySchema)),
    security(("api_key" = []))
)]
struct Document;

/// The parameters of every list, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `api_kit::page` takes")]
struct PageParameters {
    /// How many rows: 1 to 1000, 50 unless told.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The longest reference.
const REFERENCE_MAX: usize = 255;

/// Takes a currency.
fn currency(parameters: &mut Parameters, name: &str) -> Option<Currency> {
    parameters.parsed(name, |code| code.parse().map_err(|_| FieldCode::UnsupportedCurrency))
}

/// Takes one of the statuses that an object can have.
fn status(parameters: &mut Parameters, known: &[&'static str]) -> Option<&'static str> {
    parameters.parsed("status", |text| {
        known.iter().find(|status| **status == text).copied().ok_or(FieldCode::InvalidFormat)
    })
}

/// Asks for rows that have these values, as far as there are any.
fn push_equal<const N: usize>(
    query: &mut QueryBuilder<Postgres>,
    values: [(&'static str, Option<String>); N],
) {
    for (column, value) in values {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value);
        }
    }
}

/// Assembles the service.
pub(crate) fn router(api: QueryApi) -> Router {
    let mut document = Document::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("api_key", scheme);
    let routes = OpenApiRouter::with_openapi(document)
        .routes(routes!(clients::list))
        .routes(routes!(clients::show))
        .routes(routes!(clients::balances))
        .routes(routes!(explain::client))
        .routes(routes!(history::client))
        .routes(routes!(merchants::list))
        .routes(routes!(merchants::show))
        .routes(routes!(merchants::balances))
        .routes(routes!(explain::merchant))
        .routes(routes!(history::merchant))
        .routes(routes!(house::balances))
        .routes(routes!(payments::list))
        .routes(routes!(payments::show))
        .routes(routes!(payments::events))
        .routes(routes!(payments::refunds))
        .routes(routes!(disputes::list))
        .routes(routes!(disputes::show))
        .routes(routes!(settlements::list))
        .routes(routes!(settlements::show))
        .routes(routes!(settlements::items))
        .routes(routes!(payouts::list))
        .routes(routes!(payouts::show))
        .routes(routes!(corrections::list))
        .routes(routes!(corrections::show))
        .routes(routes!(fx_rates::list))
        .routes(routes!(reconciliations::list))
        .routes(routes!(reconciliations::show))
        .routes(routes!(reconciliations::items))
        .routes(routes!(cards::show))
        .routes(routes!(api_keys::list))
        .routes(routes!(notifications::list))
        .routes(routes!(projections::list))
        .routes(routes!(events::list))
        .with_state(api.clone());
    service::assemble(routes, api.log_pool.clone(), Arc::new(api))
}
