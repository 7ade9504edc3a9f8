//! Up to a thousand commands in one request.

use api_kit::auth::{KeyIsLive, leaves_open};
use api_kit::fields::FieldCode;
use api_kit::json::Json;
use api_kit::problem::{ApiError, Problems};
use api_kit::request_id::{self, RequestId};
use api_kit::{body, fields, query_string};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use event_store::lookup::Principal;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Collected};
use ledger_core::api_key::Role;
use serde_json::Value;
use tower::ServiceExt;
use utoipa::ToSchema;

use super::schema;
use crate::bulk::{Assembly, Place};
use crate::gateway::{Gateway, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, LEDGER_POSITION};

/// Who may; each item is for its own role again.
const ROLES: &[Role] = &[Role::Operator, Role::Merchant];

/// How many commands one request has at most.
const COMMANDS_MAX: usize = 1000;

/// What the route needs: the gateway, and the routes that items go through.
#[derive(Clone)]
pub(crate) struct Bulk {
    pub(crate) gateway: Gateway,
    pub(crate) routes: Router,
}

/// One command of a request.
struct Item {
    idempotency_key: String,
    path: String,
    body: Json,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct BulkItem {
    /// As the header of a single request.
    idempotency_key: String,
    /// The path of a command; all but those that show a secret, and this one.
    #[schema(example = "/v1/payments")]
    path: String,
    /// As the body of a single request.
    body: Option<Value>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Commands {
    /// 1 to 1000 commands, carried out in this order.
    #[schema(inline)]
    commands: Vec<BulkItem>,
}

/// Carries many commands out, in order: each sees the effects of those before it, each has its own
/// idempotency key and its own outcome. Not atomic. A malformed list is refused whole, and runs nothing.
#[utoipa::path(
    post, path = "/v1/bulk", request_body = inline(Commands),
    responses((status = 200, description = "The outcomes, in order", body = schema::Outcomes), Problems)
)]
pub(crate) async fn run(State(bulk): State<Bulk>, request: Request) -> Result<Response, ApiError> {
    let Bulk { gateway, routes } = bulk;
    let (parts, sent) = request.into_parts();
    let principal = parts.extensions.get::<Principal>().cloned().ok_or(ApiError::Unauthenticated)?;
    let request_id = parts.extensions.get::<RequestId>().cloned().ok_or(ApiError::Unauthenticated)?;
    if !ROLES.contains(&principal.role) {
        return Err(ApiError::Forbidden);
    }
    if !gateway.queue.has_room_for_bulk() {
        return Err(ApiError::QueueFull);
    }
    let json = body::read_json(&parts.headers, sent, body::BULK_LIMIT).await?;
    query_string::read(parts.uri.query(), |_| ())?;
    let items = fields::read(&json, |list| list.list("commands", 1, COMMANDS_MAX, read_item))?;

    let assembly = Assembly::new(gateway.queue, items.len());
    let outcomes = items.into_iter().enumerate().map(|(index, item)| {
        let (place, routes) = (assembly.place(index), routes.clone());
        let (principal, request_id) = (principal.clone(), request_id.clone());
        async move {
            let answered = match item.into_request(principal, request_id.clone(), place.clone()) {
                Ok(request) => {
                    let Ok(answered) = routes.oneshot(request).await;
                    answered
                }
                Err(refused) => refused.into_response(),
            };
            place.leave();
            outcome(request_id::rendered(answered, &request_id)).await
        }
    });
    let outcomes = join_all(outcomes).await;
    let is_judged = outcomes.iter().any(|outcome| outcome.is_judged);
    let position = outcomes.iter().filter_map(|outcome| outcome.position).max();
    let texts: Vec<_> = outcomes.into_iter().map(|outcome| outcome.text).collect();
    let body = format!(r#"{{"outcomes":[{}]}}"#, texts.join(","));
    let mut response = ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response();
    if let Some(position) = position {
        response.headers_mut().insert(&LEDGER_POSITION, HeaderValue::from(position));
    }
    if is_judged {
        response.extensions_mut().insert(KeyIsLive);
    }
    Ok(response)
}

fn read_item(item: &mut fields::Fields<'_>) -> Option<Item> {
    let idempotency_key = match item.any("idempotency_key") {
        Some(Json::Text(key)) => Some(key.clone()),
        Some(_) => {
            item.refuse("idempotency_key", FieldCode::WrongType);
            None
        }
        None => {
            item.refuse("idempotency_key", FieldCode::Required);
            None
        }
    };
    let path = item.text("path", 1, 500);
    let body = item.any("body").cloned().unwrap_or_else(|| Json::Object(std::collections::BTreeMap::new()));
    Some(Item { idempotency_key: idempotency_key?, path: path?, body })
}

impl Item {
    /// Makes the request that the item would be alone.
    fn into_request(
        self,
        principal: Principal,
        request_id: RequestId,
        place: Place,
    ) -> Result<Request, ApiError> {
        let path: Uri = self.path.parse().map_err(|_| ApiError::RouteNotFound)?;
        let key =
            HeaderValue::from_str(&self.idempotency_key).map_err(|_| ApiError::IdempotencyKeyInvalid)?;
        let body = serde_json::to_vec(&self.body).map_err(ApiError::internal)?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(&IDEMPOTENCY_KEY, key);
        request.extensions_mut().insert(principal);
        request.extensions_mut().insert(request_id);
        request.extensions_mut().insert(place);
        Ok(request)
    }
}

/// What became of an item.
struct Outcome {
    position: Option<u64>,
    /// Whether it was carried out, or may have been: then it must be told, even if the key is revoked meanwhile.
    is_judged: bool,
    /// The JSON that tells it.
    text: String,
}

/// Turns an item's response, which is JSON, into its outcome.
async fn outcome(response: Response) -> Outcome {
    let (parts, body) = response.into_parts();
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let position = header(&LEDGER_POSITION).and_then(|position| position.parse::<u64>().ok());
    let replayed = header(&IDEMPOTENT_REPLAYED).is_some();
    let is_judged = parts.extensions.get::<KeyIsLive>().is_some() || leaves_open(parts.status);
    let status = parts.status.as_u16();
    let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let body = std::str::from_utf8(&bytes).ok().filter(|body| !body.is_empty()).unwrap_or("null");
    let shown = position.map_or_else(|| "null".to_owned(), |position| position.to_string());
    let text = format!(r#"{{"body":{body},"position":{shown},"replayed":{replayed},"status":{status}}}"#);
    Outcome { position, is_judged, text }
}
