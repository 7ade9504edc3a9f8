//! The log itself, in order: pages of JSON, or the whole of it as lines that anyone can hash.

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use event_store::StoreError;
use event_store::reader::LogReader;
use futures_util::stream;
use ledger_core::api_key::Role;
use serde_json::Value;
use utoipa::IntoParams;

use super::PageParameters;
use crate::answer::at;
use crate::asked::Asked;
use crate::service::QueryApi;

/// How many events a statement of the stream reads.
const RANGE: u32 = 500;

/// The parameter, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct AfterParameter {
    /// The position of the last event that is known.
    after: Option<u64>,
}

/// Shows the log after a position, in order. As `application/x-ndjson` all of it up to the head, one
/// canonical text a line: the text that the leaf hash is of.
#[utoipa::path(
    get, path = "/v1/events", params(AfterParameter, PageParameters),
    responses((status = 200, description = "Events in order", body = List<Value>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((after, page), wanted) = asked.read(&[Role::Auditor], |parameters| {
        (parameters.integer("after", 0, i64::MAX), Page::<u64>::read(parameters))
    })?;
    let head = api.head(wanted).await?;
    let after = page.after.unwrap_or_else(|| after.unwrap_or_default().unsigned_abs());
    if asked.prefers("application/x-ndjson") {
        let lines = Body::from_stream(lines(api.log.clone(), after, head));
        return Ok(at(head, ([(CONTENT_TYPE, "application/x-ndjson")], lines)));
    }
    let rows = u32::try_from(page.rows()).unwrap_or(u32::MAX);
    let mut entries = api.log.range(after, rows).await?;
    entries.retain(|entry| entry.position <= head);
    let list = List::of(entries, &page, |entry| entry.position);
    let texts: Vec<&str> = list.data.iter().map(|entry| entry.canonical.as_str()).collect();
    Ok(at(head, envelopes(&texts, list.next_cursor.as_deref())))
}

/// Reads the log while it is sent, in short statements that hold nothing up.
fn lines(
    log: LogReader,
    after: u64,
    head: u64,
) -> impl futures_util::Stream<Item = Result<String, StoreError>> {
    stream::try_unfold(after, move |after| {
        let log = log.clone();
        async move {
            let mut entries = log.range(after, RANGE).await?;
            entries.retain(|entry| entry.position <= head);
            let Some(last) = entries.last().map(|entry| entry.position) else { return Ok(None) };
            let text = entries.into_iter().map(|entry| entry.canonical + "\n").collect();
            Ok(Some((text, last)))
        }
    })
}

/// Writes canonical texts as a list: they are JSON already, and stay byte for byte what they are.
pub(crate) fn envelopes(texts: &[&str], next_cursor: Option<&str>) -> Response {
    let next_cursor = serde_json::json!(next_cursor);
    let body = format!("{{\"data\":[{}],\"next_cursor\":{next_cursor}}}", texts.join(","));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
