//! The one table from refusals to problem documents (RFC 9457).
//!
//! An [`ApiError`] that leaves a handler carries itself out in the answer's extensions; the request-id
//! layer renders it there, since only that layer knows the request's id.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use event_store::StoreError;
use ledger_core::event::DeclineCode;
use ledger_core::rejection::{Conflict, Rule};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Object, ObjectBuilder, Ref, RefOr, ResponseBuilder};

use crate::fields::FieldError;

/// What lies behind an error; logged, never shown.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No live API key came along.
    #[error("unauthenticated")]
    Unauthenticated,
    /// There is no such route.
    #[error("route not found")]
    RouteNotFound,
    /// There is no such object, or it is not the caller's to see.
    #[error("not found")]
    NotFound,
    /// The route has no such method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The caller's role has no access to the route.
    #[error("forbidden")]
    Forbidden,
    /// Too many requests with this key.
    #[error("rate limited")]
    RateLimited {
        /// When to try again, in seconds.
        retry_after: u64,
    },
    /// The queue's oldest command has waited too long: no more are taken in.
    #[error("queue is full")]
    QueueFull,
    /// The command was dropped undecided, or the body came too slowly.
    #[error("deadline has passed")]
    DeadlinePassed,
    /// The database is away.
    #[error("store is unavailable")]
    StoreUnavailable(#[source] Option<Cause>),
    /// The database's clock is behind the log.
    #[error("clock is behind the log")]
    ClockSkew,
    /// The read model stands still for this object.
    #[error("projection is parked")]
    ProjectionParked,
    /// The command may have been carried out.
    #[error("outcome is unknown")]
    OutcomeUnknown,
    /// The read model did not get there in time.
    #[error("projection is behind")]
    ProjectionBehind {
        /// Where the read model is.
        position: u64,
        /// Where the request wanted it.
        wanted: u64,
        /// How many events of the log the read model has not applied.
        lag_events: u64,
    },
    /// The body is too large.
    #[error("payload is too large")]
    PayloadTooLarge {
        /// The largest body, in bytes.
        limit: usize,
    },
    /// The body is not of a type that the route takes.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// The body is no JSON, or names a member twice.
    #[error("malformed JSON")]
    MalformedJson,
    /// The request needs an `Idempotency-Key`.
    #[error("idempotency key required")]
    IdempotencyKeyRequired,
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    #[error("idempotency key invalid")]
    IdempotencyKeyInvalid,
    /// The `Idempotency-Key` was used for another request.
    #[error("idempotency key reused")]
    IdempotencyKeyReused,
    /// Fields or parameters are wrong.
    #[error("invalid request")]
    InvalidRequest(Vec<FieldError>),
    /// The object's state or a balance forbids it.
    #[error("conflict: {}", .0.code())]
    Conflict(Conflict),
    /// Something failed that should not.
    #[error("internal error")]
    Internal(#[source] Cause),
}

/// What the table says of an error, whatever its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code.
    pub code: &'static str,
    /// What it is, in few words.
    pub title: &'static str,
    /// What to do about it.
    pub detail: &'static str,
}

const fn kind(status: StatusCode, code: &'static str, title: &'static str, detail: &'static str) -> Kind {
    Kind { status, code, title, detail }
}

impl ApiError {
    /// Wraps a failure that should not happen.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// Refuses one field or parameter.
    pub fn field(error: FieldError) -> Self {
        Self::InvalidRequest(vec![error])
    }

    /// Returns one of each code but the conflicts', for the documentation.
    pub(crate) fn examples() -> [Self; 20] {
        [
            Self::MalformedJson,
            Self::IdempotencyKeyRequired,
            Self::IdempotencyKeyInvalid,
            Self::Unauthenticated,
            Self::Forbidden,
            Self::NotFound,
            Self::MethodNotAllowed,
            Self::PayloadTooLarge { limit: 0 },
            Self::UnsupportedMediaType,
            Self::InvalidRequest(Vec::new()),
            Self::IdempotencyKeyReused,
            Self::RateLimited { retry_after: 1 },
            Self::Internal("".into()),
            Self::QueueFull,
            Self::DeadlinePassed,
            Self::StoreUnavailable(None),
            Self::ClockSkew,
            Self::ProjectionParked,
            Self::OutcomeUnknown,
            Self::ProjectionBehind { position: 0, wanted: 0, lag_events: 0 },
        ]
    }

    /// Looks the error up in the table.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unauthenticated => kind(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "No valid API key",
                "Send a live API key: Authorization: Bearer qk_...",
            ),
            Self::RouteNotFound => kind(
                StatusCode::NOT_FOUND,
                "not_found",
                "No such route",
                "/openapi.json and /docs list the routes.",
            ),
            Self::NotFound => kind(
                StatusCode::NOT_FOUND,
                "not_found",
                "No such object",
                "No object has this id, or it is not yours to see.",
            ),
            Self::MethodNotAllowed => kind(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "The Allow header names the route's methods.",
            ),
            Self::Forbidden => kind(
                StatusCode::FORBIDDEN,
                "forbidden",
                "Not with this role",
                "The role of this API key has no access to this route.",
            ),
            Self::RateLimited { .. } => kind(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests",
                "Try again after the seconds that Retry-After names.",
            ),
            Self::QueueFull => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_full",
                "Too much to do",
                "Nothing was done; try again after the seconds that Retry-After names.",
            ),
            Self::DeadlinePassed => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "deadline_passed",
                "Not done in time",
                "Nothing was done; try again after the seconds that Retry-After names.",
            ),
            Self::StoreUnavailable(_) => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The database is away",
                "Nothing was done; try again after the seconds that Retry-After names.",
            ),
            Self::ClockSkew => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "clock_skew",
                "The database's clock is behind the log",
                "Nothing was done; an operator has to set the clock right.",
            ),
            Self::ProjectionParked => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "projection_parked",
                "The read model stands still for this object",
                "An event of it could not be applied; an operator has to retry it.",
            ),
            Self::OutcomeUnknown => kind(
                StatusCode::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "It is not known whether it was done",
                "Repeat the request with the same Idempotency-Key.",
            ),
            Self::ProjectionBehind { .. } => kind(
                StatusCode::GATEWAY_TIMEOUT,
                "projection_behind",
                "The read model is not there yet",
                "Try again, or ask without a position to see what there is.",
            ),
            Self::PayloadTooLarge { .. } => kind(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The body is too large",
                "Send a body within the limit, in bytes.",
            ),
            Self::UnsupportedMediaType => kind(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Not a media type of this route",
                "Send JSON as application/json, a file as a type that the route takes, in UTF-8.",
            ),
            Self::MalformedJson => kind(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                "The body is not JSON",
                "Send JSON (RFC 8259) in UTF-8 that names no member twice.",
            ),
            Self::IdempotencyKeyRequired => kind(
                StatusCode::BAD_REQUEST,
                "idempotency_key_required",
                "Idempotency-Key is missing",
                "Send an Idempotency-Key of your own with each command; a retry repeats it.",
            ),
            Self::IdempotencyKeyInvalid => kind(
                StatusCode::BAD_REQUEST,
                "idempotency_key_invalid",
                "Idempotency-Key is invalid",
                "An Idempotency-Key has 1 to 255 visible ASCII characters.",
            ),
            Self::IdempotencyKeyReused => kind(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency-Key was used for another request",
                "Repeat the first request unchanged, or take a new key.",
            ),
            Self::InvalidRequest(_) => kind(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request",
                "The request has wrong fields or parameters",
                "The errors name each of them.",
            ),
            Self::Conflict(conflict) => kind(StatusCode::CONFLICT, conflict.code(), "", conflict.detail()),
            Self::Internal(_) => kind(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "Something failed that should not",
                "Tell an operator the request_id; a command repeated with the same key is safe.",
            ),
        }
    }

    /// Returns the HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.kind().status
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        self.kind().code
    }

    /// Returns what it is, in few words.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Conflict(conflict) => conflict.rule().title,
            _ => self.kind().title,
        }
    }

    /// Returns what to do about it.
    pub const fn detail(&self) -> &'static str {
        self.kind().detail
    }

    /// Returns the numbers that decided, by name.
    pub fn numbers(&self) -> Map<String, Value> {
        let numbers = match self {
            Self::Conflict(conflict) => return conflict.numbers(),
            Self::RateLimited { retry_after } => json!({ "retry_after": retry_after }),
            Self::ProjectionBehind { position, wanted, lag_events } => {
                json!({ "position": position, "wanted": wanted, "lag_events": lag_events })
            }
            Self::PayloadTooLarge { limit } => json!({ "limit": limit }),
            _ => json!({}),
        };
        match numbers {
            Value::Object(numbers) => numbers,
            _ => Map::new(),
        }
    }

    /// Returns when to try again, in seconds: with every 503 and 429.
    pub const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::QueueFull | Self::DeadlinePassed | Self::StoreUnavailable(_) => Some(1),
            Self::ClockSkew => Some(5),
            Self::ProjectionParked => Some(30),
            _ => None,
        }
    }

    /// Writes the problem document.
    pub fn body(&self, request_id: &str) -> Value {
        let mut body = self.numbers();
        body.insert("type".to_owned(), format!("/docs#{}", self.code()).into());
        body.insert("title".to_owned(), self.title().into());
        body.insert("status".to_owned(), self.status().as_u16().into());
        body.insert("detail".to_owned(), self.detail().into());
        body.insert("code".to_owned(), self.code().into());
        body.insert("request_id".to_owned(), request_id.into());
        if let Self::Conflict(conflict) = self {
            body.insert("rule".to_owned(), conflict.rule().rule.into());
        }
        if let Self::InvalidRequest(errors) = self {
            body.insert("errors".to_owned(), errors.iter().map(FieldError::to_json).collect());
        }
        Value::Object(body)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::Database(error).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::CommitUnknown(_) => Self::OutcomeUnknown,
            error if error.is_transient() => Self::StoreUnavailable(Some(error.into())),
            error => Self::internal(error),
        }
    }
}

/// The error in an answer that the request-id layer has not rendered yet.
#[derive(Clone)]
pub(crate) struct Unrendered(pub(crate) Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthenticated) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Unrendered(Arc::new(self)));
        response
    }
}

/// A problem document, for the documentation: beside these members stand the numbers that decided.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Where the code is explained.
    pub r#type: String,
    /// What it is, in few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do about it.
    pub detail: String,
    /// The stable code.
    #[schema(schema_with = problem_codes)]
    pub code: String,
    /// The request's id.
    pub request_id: String,
    /// With a 409: the rule that decided. Its numbers stand beside it.
    #[schema(required = false)]
    pub rule: Option<String>,
    /// With `invalid_request`: each wrong field or parameter.
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
}

/// Describes a member that holds the code of a problem, from the tables.
fn problem_codes() -> Object {
    let errors = ApiError::examples().map(|error| (error.code(), error.title()));
    let conflicts = Conflict::RULES.map(|Rule { code, rule, .. }| (code, rule));
    codes("The stable code", Type::String.into(), errors.into_iter().chain(conflicts))
}

/// Describes a member that holds the code of a decline or null, from the table.
pub fn decline_codes() -> Object {
    let kind = SchemaType::from_iter([Type::String, Type::Null]);
    let declines = DeclineCode::RULES.map(|Rule { code, rule, .. }| (code, rule));
    codes("Why the payment was declined; null if it was not", kind, declines)
}

fn codes(
    what: &str,
    kind: SchemaType,
    codes: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Object {
    // By name.
    let codes: BTreeMap<_, _> = codes.into_iter().collect();
    let about: Vec<String> = codes.iter().map(|(code, about)| format!("- `{code}`: {about}")).collect();
    let null = (kind != Type::String.into()).then_some(Value::Null);
    let values: Vec<Value> = codes.into_keys().map(Value::from).chain(null).collect();
    let described = format!("{what}:\n\n{}", about.join("\n"));
    ObjectBuilder::new().schema_type(kind).enum_values(Some(values)).description(Some(described)).build()
}

/// One wrong field or parameter.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Which one, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong with it.
    pub code: String,
    /// What it should be.
    pub detail: String,
}

/// What every route may answer instead, for the documentation.
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let described = |about: &str| {
            let builder = ResponseBuilder::new().description(about);
            builder.content("application/problem+json", content.clone()).build().into()
        };
        [("4XX", "Refused"), ("5XX", "Failed, or not to be answered now")]
            .map(|(status, about)| (status.to_owned(), described(about)))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::FieldCode;

    #[test]
    fn a_problem_names_what_decided_and_what_is_wrong() {
        let behind = ApiError::ProjectionBehind { position: 3, wanted: 9, lag_events: 6 };
        let body = behind.body("req_1");
        assert_eq!(body["status"], 504);
        assert_eq!(
            (&body["position"], &body["wanted"], &body["lag_events"]),
            (&json!(3), &json!(9), &json!(6))
        );
        assert_eq!(body["request_id"], "req_1");

        let wrong = ApiError::field(FieldError::new("/amount/currency", FieldCode::UnsupportedCurrency));
        let body = wrong.body("req_2");
        assert_eq!(body["errors"][0]["pointer"], "/amount/currency");
        assert_eq!(body["errors"][0]["code"], "unsupported_currency");
    }

    #[test]
    fn a_conflict_speaks_for_itself() {
        let body = ApiError::Conflict(Conflict::CardAlreadyRegistered).body("req_1");
        assert_eq!(body["code"], "card_already_registered");
        assert_eq!(body["title"], "A card with this number exists");
        assert_eq!(body["status"], 409);
    }

    #[test]
    fn the_cause_is_not_shown() {
        let body = ApiError::internal("row 4242 of table cards").body("req_1").to_string();
        assert!(!body.contains("4242"), "{body}");
    }

    #[test]
    fn what_was_certainly_not_run_says_when_to_try_again() {
        for error in [
            ApiError::QueueFull,
            ApiError::DeadlinePassed,
            ApiError::StoreUnavailable(None),
            ApiError::ClockSkew,
            ApiError::ProjectionParked,
        ] {
            assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(error.into_response().headers().contains_key(RETRY_AFTER));
        }
    }

    #[test]
    fn an_unknown_commit_is_never_told_as_not_run() {
        let error = ApiError::from(StoreError::CommitUnknown(sqlx::Error::PoolClosed));
        assert_eq!(error.code(), "outcome_unknown");
        let error = ApiError::from(StoreError::Database(sqlx::Error::PoolTimedOut));
        assert_eq!(error.code(), "store_unavailable");
        let error = ApiError::from(StoreError::Database(sqlx::Error::RowNotFound));
        assert_eq!(error.code(), "internal_error");
    }
}
