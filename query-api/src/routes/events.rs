//! The log itself, for auditors.

use std::fmt::Write;

use api_kit::problem::{ApiError, Problem};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use event_store::StoreError;
use event_store::reader::{LogEntry, LogReader};
use futures_util::stream;
use ledger_core::api_key::Role;

use crate::QueryApi;
use crate::asked::Asked;
use crate::reading::answer;

/// How many events one statement of the stream reads.
const RANGE: u32 = 1000;

/// Lists events after a position, in order. As `application/x-ndjson` it is the whole rest of the log, one
/// canonical text a line: hash the lines, and they are the leaves of the log's tree.
#[utoipa::path(
    get, path = "/v1/events", params(("after" = Option<u64>, Query), ("limit" = Option<u16>, Query)),
    responses((status = 200, description = "Events"), (status = "4XX", body = Problem))
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Auditor])?;
    let (after, limit) = asked.parameters(|parameters| {
        let after = parameters.integer("after", 0, i64::MAX).unwrap_or(0).unsigned_abs();
        (after, parameters.integer("limit", 1, 1000).unwrap_or(50))
    })?;
    let head = api.log.head().await?.position;
    if asked.accepts("application/x-ndjson") {
        let mut response = answer(head, "application/x-ndjson", String::new());
        *response.body_mut() = Body::from_stream(lines(api.log, after, head));
        return Ok(response);
    }
    let entries = api.log.range(after, u32::try_from(limit).unwrap_or(50)).await?;
    let next = entries.last().filter(|last| last.position < head).map(|last| last.position);
    let next = next.map_or("null".to_owned(), |position| format!("\"{position}\""));
    let shown = envelopes(entries.iter())?;
    Ok(answer(head, "application/json", format!(r#"{{"data":[{shown}],"next_cursor":{next}}}"#)))
}

/// Joins canonical texts, each an envelope as it was hashed.
pub(crate) fn envelopes<'a>(entries: impl Iterator<Item = &'a LogEntry>) -> Result<String, ApiError> {
    let mut joined = String::new();
    for (index, entry) in entries.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(joined, "{comma}{}", entry.canonical).map_err(ApiError::internal)?;
    }
    Ok(joined)
}

/// Streams the log up to a position, range by range: no transaction is held while a reader is slow.
fn lines(log: LogReader, after: u64, head: u64) -> impl stream::Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold(after, move |after| {
        let log = log.clone();
        async move {
            let entries = log.range(after, RANGE).await?;
            let mut text = String::new();
            let mut last = after;
            for entry in entries.into_iter().filter(|entry| entry.position <= head) {
                last = entry.position;
                text.push_str(&entry.canonical);
                text.push('\n');
            }
            Ok((last > after).then(|| (Bytes::from(text), last)))
        }
    })
}
