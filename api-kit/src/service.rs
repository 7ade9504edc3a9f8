//! Puts the common parts around a service's own routes.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api_keys::ApiKeys;
use crate::auth::{self, Door};
use crate::health::{self, Readiness};
use crate::problem::ApiError;
use crate::{docs, metrics, request_id};

/// Paths that need no key.
const PUBLIC: &[&str] = &["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"];

/// Assembles a service, in the order in which the contract refuses: an unknown key before an unknown
/// route, that before a wrong method, that before whatever the handlers refuse.
pub fn assemble(routes: OpenApiRouter, keys: PgPool, readiness: Arc<dyn Readiness>) -> Router {
    let (router, openapi) = routes.merge(operation(readiness)).split_for_parts();
    // Installed before the first number is counted.
    let _ = metrics::handle();
    router
        .merge(documentation(&openapi))
        .fallback(async || ApiError::RouteNotFound.into_response())
        .layer(from_fn_with_state(Door { keys: ApiKeys::new(keys), public: PUBLIC }, auth::layer))
        .layer(from_fn(request_id::layer))
}

/// Assembles the health endpoints alone, for a program that serves nothing else.
pub fn health_only(readiness: Arc<dyn Readiness>) -> Router {
    bare(readiness, || ApiError::RouteNotFound)
}

/// Assembles the health endpoints of a service that can't take requests yet.
pub(crate) fn not_yet(readiness: Arc<dyn Readiness>) -> Router {
    bare(readiness, || ApiError::StoreUnavailable(None))
}

fn bare(readiness: Arc<dyn Readiness>, refusal: fn() -> ApiError) -> Router {
    let (router, _) = operation(readiness).split_for_parts();
    let _ = metrics::handle();
    router.fallback(async move || refusal().into_response()).layer(from_fn(request_id::layer))
}

/// What operators and their programs ask.
fn operation(readiness: Arc<dyn Readiness>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::render))
        .with_state(readiness)
}

fn documentation(openapi: &OpenApi) -> Router {
    let mut contract = serde_json::to_value(openapi).unwrap_or_default();
    name_operations(&mut contract);
    let page = Arc::new(docs::page(&contract));
    let contract = Arc::new(contract.to_string());
    let json = [(CONTENT_TYPE, "application/json")];
    Router::new()
        .route("/openapi.json", get(async move || (json, contract.to_string())))
        .route("/docs", get(async move || docs::answer(&page)))
}

/// Names each operation by its method and path: the handlers' own names are unique in their files only.
fn name_operations(contract: &mut Value) {
    let paths = contract["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            operation["operationId"] = format!("{method}_{}", words.collect::<Vec<_>>().join("_")).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use axum::body::Body;
    use axum::extract::Path;
    use axum::http::{Request, StatusCode};
    use axum::response::Response;
    use event_store::database;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    struct Tired;

    #[async_trait]
    impl Readiness for Tired {
        async fn reasons(&self) -> Vec<String> {
            vec!["tired".to_owned()]
        }
    }

    /// A service whose database is away.
    fn service() -> Router {
        let options = database::options("postgres://nobody@127.0.0.1:1/none", "test").unwrap();
        let panics = get(async || -> Response { panic!("4242") });
        let path = get(async |Path(_): Path<String>| "here");
        let routes = OpenApiRouter::new().route("/metrics/panics", panics).route("/{id}/path", path);
        let (router, openapi) = routes.merge(operation(Arc::new(Tired))).split_for_parts();
        let public =
            &["/healthz", "/readyz", "/docs", "/openapi.json", "/metrics/panics", "/%FF/path", "/none"];
        router
            .merge(documentation(&openapi))
            .fallback(async || ApiError::RouteNotFound.into_response())
            .layer(from_fn_with_state(
                Door { keys: ApiKeys::new(database::pool(options, 1)), public },
                auth::layer,
            ))
            .layer(from_fn(request_id::layer))
    }

    async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> (Response, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = service().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn refused(method: &str, path: &str) -> (StatusCode, String) {
        let (response, body) = ask(method, path, &[]).await;
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(body["status"], response.status().as_u16());
        assert_eq!(body["request_id"], response.headers()["request-id"].to_str().unwrap());
        (response.status(), body["code"].as_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn every_refusal_is_a_problem() {
        for (method, path, status, code) in [
            ("GET", "/nowhere", 401, "unauthenticated"),
            ("GET", "/metrics", 401, "unauthenticated"),
            ("GET", "/none", 404, "not_found"),
            ("POST", "/healthz", 405, "method_not_allowed"),
            ("GET", "/%FF/path", 404, "not_found"),
            ("GET", "/metrics/panics", 500, "internal_error"),
        ] {
            assert_eq!(refused(method, path).await, (StatusCode::from_u16(status).unwrap(), code.to_owned()));
        }
        let (response, _) = ask("GET", "/nowhere", &[]).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (response, _) = ask("POST", "/healthz", &[]).await;
        assert_eq!(response.headers()["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_looked_up_is_not_called_wrong() {
        let (response, body) = ask("GET", "/nowhere", &[("authorization", "Bearer qk_1")]).await;
        assert_eq!((response.status().as_u16(), body["code"].as_str()), (503, Some("store_unavailable")));
        assert!(response.headers().contains_key("retry-after"));
    }

    #[tokio::test]
    async fn request_ids_are_echoed_or_replaced() {
        let id = |response: &Response| response.headers()["request-id"].to_str().unwrap().to_owned();
        let (response, _) = ask("GET", "/healthz", &[("request-id", "order-7")]).await;
        assert_eq!(id(&response), "order-7");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let (response, _) = ask("GET", "/healthz", &[("request-id", "4242424242424242")]).await;
        assert!(id(&response).starts_with("req_"));
    }

    #[tokio::test]
    async fn what_is_served_is_documented() {
        let (_, openapi) = ask("GET", "/openapi.json", &[]).await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            let id = format!("get_{}", &path[1..]);
            assert_eq!(openapi["paths"][path]["get"]["operationId"], id);
        }
        let (response, body) = ask("GET", "/readyz", &[]).await;
        assert_eq!((response.status().as_u16(), &body["reasons"][0]), (503, &Value::from("tired")));
    }
}
