//! Bodies: no larger than allowed, no slower than a deadline, and JSON or a file.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::json::Json;
use crate::problem::ApiError;

/// The largest body of a command, in bytes.
pub const COMMAND_LIMIT: usize = 64 * 1024;

/// The largest body of a bulk request, in bytes.
pub const BULK_LIMIT: usize = 4 * 1024 * 1024;

/// The largest file, in bytes.
pub const FILE_LIMIT: usize = 4 * 1024 * 1024;

/// How long a body may take, from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a JSON body, refusing in the order of the contract: 413, 415, 400.
///
/// No body at all, with no content type, is an empty object: commands whose fields are all optional need
/// none, and all others name what is missing.
pub async fn read_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<Json, ApiError> {
    let bytes = read(headers, body, limit).await?;
    if bytes.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        return Ok(Json::Object(BTreeMap::new()));
    }
    if !is_of(headers, "application/json") {
        return Err(ApiError::UnsupportedMediaType);
    }
    Json::parse(&bytes)
}

/// Reads a file of one of some media types, and tells which: 413, then 415. What is in it is the caller's to
/// check.
pub async fn read_file<T: Copy>(
    headers: &HeaderMap,
    body: Body,
    media_types: &[(&str, T)],
) -> Result<(T, Bytes), ApiError> {
    let bytes = read(headers, body, FILE_LIMIT).await?;
    let known = media_types.iter().find(|(media_type, _)| is_of(headers, media_type));
    let (_, kind) = known.ok_or(ApiError::UnsupportedMediaType)?;
    Ok((*kind, bytes))
}

/// Reads a body of any type up to its limit, in bytes.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    read_within(DEADLINE, headers, body, limit).await
}

async fn read_within(
    deadline: Duration,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::PayloadTooLarge { limit });
    }
    match tokio::time::timeout(deadline, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::PayloadTooLarge { limit }),
        // The connection broke in the middle: nobody hears this answer.
        Ok(Err(_)) => Err(ApiError::MalformedJson),
        Err(_) => Err(ApiError::DeadlinePassed),
    }
}

/// Tells whether the content type is this one, in UTF-8 if it says so.
fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let same = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(media_type));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    same && parts.all(is_utf8)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::stream;

    use super::*;

    fn typed(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    async fn code(headers: &HeaderMap, body: impl Into<Body>) -> &'static str {
        read_json(headers, body.into(), 16).await.map_or_else(|error| error.code(), |_| "read")
    }

    #[tokio::test]
    async fn refuses_in_the_order_of_the_contract() {
        let json = typed("application/json");
        assert_eq!(code(&json, "{}").await, "read");
        assert_eq!(code(&json, "{").await, "malformed_json");
        assert_eq!(code(&json, "").await, "malformed_json");
        assert_eq!(code(&typed("text/plain"), "{").await, "unsupported_media_type");
        assert_eq!(code(&typed("text/plain"), "{                ").await, "payload_too_large");
        assert_eq!(code(&HeaderMap::new(), "{}").await, "unsupported_media_type");
        assert_eq!(code(&HeaderMap::new(), "").await, "read");
    }

    #[tokio::test]
    async fn takes_utf8_only() {
        for content_type in ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
            assert_eq!(code(&typed(content_type), "{}").await, "read", "{content_type}");
        }
        for content_type in
            ["application/json; charset=latin1", "application/jsonp", "application/problem+json"]
        {
            assert_eq!(code(&typed(content_type), "{}").await, "unsupported_media_type", "{content_type}");
        }
    }

    #[tokio::test]
    async fn a_file_is_of_a_type_that_is_taken() {
        let taken = [("text/csv", 1), ("application/xml", 2)];
        let kind = async |content_type| {
            let read = read_file(&typed(content_type), Body::from("x"), &taken).await;
            read.map_or_else(|error| error.code().to_owned(), |(kind, _)| kind.to_string())
        };
        assert_eq!(kind("text/csv; header=present; charset=utf-8").await, "1");
        assert_eq!(kind("application/xml").await, "2");
        for other in ["application/json", "text/csv; charset=latin1", "text/xml", "", "*/*"] {
            assert_eq!(kind(other).await, "unsupported_media_type", "{other}");
        }
        let large = Body::from(vec![b'x'; FILE_LIMIT + 1]);
        let read = read_file(&typed("image/png"), large, &taken).await;
        assert_eq!(read.unwrap_err().code(), "payload_too_large", "the size comes first");
    }

    #[tokio::test]
    async fn an_announced_length_is_refused_unread() {
        let mut headers = typed("application/json");
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("17"));
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(code(&headers, never).await, "payload_too_large");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let read = read_within(Duration::from_millis(20), &HeaderMap::new(), never, 16).await;
        assert_eq!(read.unwrap_err().code(), "deadline_passed");
    }
}
