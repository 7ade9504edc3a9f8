//! The outermost layer: gives every request an id, renders refusals, counts and logs.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use event_store::entropy;
use futures_util::FutureExt;
use ledger_core::card_number::holds_card_number;
use metrics::{counter, histogram};
use tracing::Instrument;

use crate::problem::{ApiError, Unrendered};

static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The longest id that a caller may bring.
const LENGTH_MAX: usize = 64;

/// The id of one request: the caller's if it is a plain one, else ours.
#[derive(Clone, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn of(request: &Request) -> Self {
        let sent = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if is_plain(id) => Self(id.into()),
            _ => Self(format!("req_{}", entropy::uuid().simple()).into()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(id: &str) -> bool {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    plain && (1..=LENGTH_MAX).contains(&id.len()) && !holds_card_number(id)
}

/// Runs a request under its id, and finishes its answer.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request.id = %id, %method, route);

    // A handler that panics is a bug of ours, not a reason to hang up on the caller.
    let answered = AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| ApiError::internal(said(&*panic)).into_response());
    span.in_scope(|| render_refusal(&mut response, &id));
    let status = response.status().as_u16().to_string();
    let labels = [("route", route), ("method", counted(&method).to_owned()), ("status", status)];
    counter!("quittance_requests_total", &labels).increment(1);
    histogram!("quittance_request_seconds", &labels[..2]).record(started.elapsed());
    finish_headers(&mut response, &id);
    response
}

/// Renders what a route answered to a part of a request: its refusal under the request's id.
pub fn rendered(mut response: Response, id: &RequestId) -> Response {
    render_refusal(&mut response, id);
    response
}

/// Logs and renders a refusal, if the answer is one.
fn render_refusal(response: &mut Response, id: &RequestId) {
    let error = response.extensions_mut().remove::<Unrendered>().map(|Unrendered(error)| error);
    if let Some(error) = error.or_else(|| unrendered(response)) {
        log(&error);
        render(response, &error, id);
    }
}

/// Finds what the router itself refused, which it does in plain text.
fn unrendered(response: &Response) -> Option<Arc<ApiError>> {
    let plain =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Arc::new(ApiError::MethodNotAllowed)),
        // An id that is no UTF-8 is nobody's.
        StatusCode::BAD_REQUEST if plain => Some(Arc::new(ApiError::NotFound)),
        _ => None,
    }
}

/// Names a method for the counters: a caller can make up methods, but not a label for each.
fn counted(method: &Method) -> &str {
    let known = [&Method::GET, &Method::HEAD, &Method::POST, &Method::PUT, &Method::DELETE, &Method::OPTIONS];
    if known.contains(&method) { method.as_str() } else { "other" }
}

/// Returns what a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}

/// Logs a failure of ours, once.
fn log(error: &ApiError) {
    match error {
        ApiError::Internal(cause) => {
            tracing::error!(error = cause.as_ref() as &dyn std::error::Error, "request failed");
        }
        ApiError::StoreUnavailable(Some(cause)) => {
            tracing::warn!(error = cause.as_ref() as &dyn std::error::Error, "request was not run");
        }
        _ => {}
    }
}

fn render(response: &mut Response, error: &ApiError, id: &RequestId) {
    let body = error.body(&id.0).to_string();
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.body_mut() = body.into();
}

fn finish_headers(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(&REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_kept() {
        assert!(is_plain("order-7.a_B"));
        for id in ["", "two words", "é", "4242424242424242", &"x".repeat(65)] {
            assert!(!is_plain(id), "{id}");
        }
    }
}
