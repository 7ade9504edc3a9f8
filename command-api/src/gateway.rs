//! Between HTTP and the queue: what every command's request goes through, in the contract's order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_kit::auth::KeyIsLive;
use api_kit::fields::{self, FieldCode, FieldError, Fields};
use api_kit::json::Json;
use api_kit::problem::ApiError;
use api_kit::request_id::RequestId;
use api_kit::{body, query_string};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use event_store::clock::Clock;
use event_store::lookup::{self, Principal};
use ledger_core::api_key::Role;
use ledger_core::ids::{ClientId, EventId, MerchantId, StreamId};
use ledger_core::personal::Sealed;
use ledger_core::{Command, canonical};
use serde::{Serialize, Serializer};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::authorization_days::AuthorizationDays;
use crate::bulk::Place;
use crate::executor::Alive;
use crate::idempotency::Idempotency;
use crate::keys::LedgerKeys;
use crate::known_cards::KnownCards;
use crate::order::{Answered, Order, Refusal, Secrets};
use crate::queue::Queue;
use crate::relay::RelayHealth;
use crate::sealing::{Sealer, SubjectKey};

pub(crate) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) static LEDGER_POSITION: HeaderName = HeaderName::from_static("ledger-position");
pub(crate) static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// How long what a durable answer lacks is looked up again, and the pause between.
const FILL_IN_PATIENCE: Duration = Duration::from_secs(10);
const FILL_IN_PAUSE: Duration = Duration::from_millis(100);

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    /// Orders wait here.
    pub queue: Arc<Queue>,
    /// Look-ups before the queue.
    pub pool: PgPool,
    /// Which cards numbers are.
    pub cards: Arc<KnownCards>,
    /// Personal fields.
    pub sealer: Sealer,
    /// Whose turn it is to have a bank statement read.
    pub statements: Arc<Semaphore>,
    /// Keys of cards and requests.
    pub keys: Arc<LedgerKeys>,
    /// How long authorizations can be captured.
    pub authorization_days: Arc<AuthorizationDays>,
    /// The time of day, for what is not an event's.
    pub clock: Clock,
    /// Whether anyone carries orders out.
    pub executor: Alive,
    /// Whether the relay goes on, where there is one.
    pub relay: Option<RelayHealth>,
}

/// A request that was let in and read: its body is JSON, or a file.
pub struct Received<B = Json> {
    body: B,
    query: Option<String>,
    /// Who asks.
    pub principal: Principal,
    request_id: RequestId,
    idempotency: Idempotency,
    size: usize,
    /// Its place among others, if it came in a bulk request.
    place: Option<Place>,
}

impl Received {
    /// Reads the body's fields. No command takes query parameters; all that is wrong is named at once.
    pub fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, ApiError> {
        all_wrong(self.query.as_deref(), fields::read(&self.body, read))
    }

    /// Returns the merchant that a merchant's key is bound to.
    pub fn merchant_id(&self) -> Result<MerchantId, ApiError> {
        self.principal.merchant_id.ok_or(ApiError::Forbidden)
    }
}

impl<T: Copy> Received<(T, Bytes)> {
    /// Returns the file and its media type.
    pub fn body(&self) -> (T, Bytes) {
        self.body.clone()
    }

    /// Takes what the file was read to. No command takes query parameters; all that is wrong is named at once.
    pub fn read_file<F>(&self, found: Result<F, ApiError>) -> Result<F, ApiError> {
        all_wrong(self.query.as_deref(), found)
    }

    /// Returns the file's bytes.
    pub fn file(&self) -> &[u8] {
        &self.body.1
    }

    /// Tells that what comes of the file is so large, in bytes.
    pub const fn becomes(&mut self, size: usize) {
        self.size = size;
    }
}

/// Joins what is wrong with the query parameters, of which there are none, and with the body.
fn all_wrong<T>(query: Option<&str>, found: Result<T, ApiError>) -> Result<T, ApiError> {
    match (query_string::read(query, |_| ()), found) {
        (Ok(()), found) => found,
        (Err(ApiError::InvalidRequest(mut errors)), Err(ApiError::InvalidRequest(more))) => {
            errors.extend(more);
            Err(ApiError::InvalidRequest(errors))
        }
        (Err(wrong), _) => Err(wrong),
    }
}

/// A command with what was drawn for it.
pub struct Prepared {
    /// What to do.
    pub command: Command,
    /// The id of its first event, which personal fields are sealed for.
    pub event_id: EventId,
    /// The wrapped key of a new subject.
    pub subject_key: Option<SubjectKey>,
    /// What only the first answer shows.
    pub secrets: Secrets,
}

impl Prepared {
    /// Prepares a command that has no personal fields and no secrets.
    pub fn plain(command: Command) -> Self {
        Self { command, event_id: Order::draw_event_id(), subject_key: None, secrets: Vec::new() }
    }
}

impl Gateway {
    /// Lets a request in and reads it: 403, 503, 413, 415, 400, in this order. What is left is the
    /// route's: 422, then [`Self::carry_out`].
    pub async fn receive(&self, request: Request, roles: &[Role]) -> Result<Received, ApiError> {
        let (parts, body) = request.into_parts();
        let principal = self.let_in(&parts, roles)?;
        let json = body::read_json(&parts.headers, body, body::COMMAND_LIMIT).await?;
        let canonical = canonical_without_cvc(&json)?;
        self.recognise(&parts, principal, json, canonical.as_bytes())
    }

    /// The same for a file, of one of some media types; it is recognised by its bytes.
    pub async fn receive_file<T: Copy>(
        &self,
        request: Request,
        roles: &[Role],
        media_types: &[(&str, T)],
    ) -> Result<Received<(T, Bytes)>, ApiError> {
        let (parts, body) = request.into_parts();
        let principal = self.let_in(&parts, roles)?;
        let (kind, file) = body::read_file(&parts.headers, body, media_types).await?;
        self.recognise(&parts, principal, (kind, file.clone()), &file)
    }

    /// Refuses who may not, and what would wait too long.
    fn let_in(&self, parts: &Parts, roles: &[Role]) -> Result<Principal, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned().ok_or(ApiError::Unauthenticated)?;
        if !roles.contains(&principal.role) {
            return Err(ApiError::Forbidden);
        }
        if parts.extensions.get::<Place>().is_none() && !self.queue.has_room() {
            return Err(ApiError::QueueFull);
        }
        Ok(principal)
    }

    /// Computes what the request is recognised by when it comes again.
    fn recognise<B>(
        &self,
        parts: &Parts,
        principal: Principal,
        body: B,
        bytes: &[u8],
    ) -> Result<Received<B>, ApiError> {
        let request_id = parts.extensions.get::<RequestId>().cloned().ok_or(ApiError::Unauthenticated)?;
        let key = idempotency_key(&parts.headers)?;
        let idempotency = Idempotency::of(&self.keys.idempotency, &principal, key, parts.uri.path(), bytes);
        Ok(Received {
            body,
            query: parts.uri.query().map(str::to_owned),
            principal,
            request_id,
            idempotency,
            size: bytes.len() + 1024,
            place: parts.extensions.get::<Place>().cloned(),
        })
    }

    /// Queues a command and answers with its outcome.
    pub async fn carry_out<B>(
        &self,
        received: Received<B>,
        prepared: Prepared,
    ) -> Result<Response, ApiError> {
        let Prepared { command, event_id, subject_key, secrets } = prepared;
        let order = Order {
            command,
            idempotency: received.idempotency,
            event_id,
            actor: received.principal.key_id.to_string(),
            api_key: Some(received.principal.key_id),
            request_id: Some(received.request_id.to_string()),
            subject_key,
            size: received.size,
        };
        let answered = match received.place {
            Some(place) => place.submit(order).await,
            None => self.queue.submit(order).await,
        };
        match answered {
            Answered::Outcome { outcome, replayed } => {
                // It is durable now: whatever fails from here on leaves its outcome to be asked for again.
                // Only what was created shows its secrets: a refusal must not tell of someone else's card.
                let secrets = if !replayed && outcome.status < 300 { secrets } else { Vec::new() };
                let body = match secrets.is_empty() && !Sealer::may_be_sealed(&outcome.answer) {
                    true => outcome.answer,
                    false => self.fill_in(&outcome.answer, secrets, &received.request_id).await?,
                };
                let mut response = outcome_response(outcome.status, outcome.position, replayed, body);
                response.extensions_mut().insert(KeyIsLive);
                Ok(response)
            }
            Answered::Refused(refusal) => Err(refused(refusal)),
        }
    }

    /// Fills in what a stored answer does not show: personal fields and secrets. Where a look-up fails for a moment
    /// it is tried again: the outcome is durable, and 504 would say that we do not know it.
    async fn fill_in(
        &self,
        stored: &str,
        secrets: Secrets,
        request_id: &RequestId,
    ) -> Result<String, ApiError> {
        let began = Instant::now();
        let mut answer = loop {
            match self.sealer.open(stored).await {
                Ok(answer) => break answer,
                Err(error) if error.is_transient() && began.elapsed() < FILL_IN_PATIENCE => {
                    tokio::time::sleep(FILL_IN_PAUSE).await;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, request.id = %request_id, "a durable answer can't be filled in");
                    return Err(ApiError::OutcomeUnknown);
                }
            }
        };
        secrets.into_iter().for_each(|(name, value)| answer[name] = value);
        Ok(answer.to_string())
    }

    /// Seals a personal field with a client's key.
    ///
    /// `None` also where there is no such client: then the command will find that out, under the lock.
    pub async fn seal_for(
        &self,
        client: Option<ClientId>,
        event: EventId,
        field: &str,
        plain: Option<String>,
    ) -> Result<Option<Sealed>, ApiError> {
        let (Some(client), Some(plain)) = (client, plain) else { return Ok(None) };
        let subject = self.sealer.subject(StreamId::Client(client)).await?;
        Ok(subject.map(|subject| subject.seal(event, field, &plain.into())))
    }

    /// Seals a personal field of a stream's event: with the client's key, or, where there is no client, with
    /// the stream's own. The second value is the stream's key if it is new.
    pub async fn seal(
        &self,
        client: Option<ClientId>,
        stream: StreamId,
        (event, field): (EventId, &str),
        plain: String,
    ) -> Result<(Sealed, Option<SubjectKey>), ApiError> {
        let plain = plain.into();
        for subject in client.map(StreamId::Client).into_iter().chain([stream]) {
            if let Some(subject) = self.sealer.subject(subject).await? {
                return Ok((subject.seal(event, field, &plain), None));
            }
        }
        let (subject, key) = self.sealer.new_subject(stream);
        Ok((subject.seal(event, field, &plain), Some(key)))
    }

    /// The same for a field that may be missing.
    pub async fn seal_optional(
        &self,
        client: Option<ClientId>,
        stream: StreamId,
        place: (EventId, &str),
        plain: Option<String>,
    ) -> Result<(Option<Sealed>, Option<SubjectKey>), ApiError> {
        let Some(plain) = plain else { return Ok((None, None)) };
        let (sealed, key) = self.seal(client, stream, place, plain).await?;
        Ok((Some(sealed), key))
    }

    /// Tells whether a request's key has an outcome, its own or another's.
    pub async fn keeps<T>(&self, received: &Received<T>) -> Result<bool, ApiError> {
        let kept = lookup::outcome_fingerprint(&self.pool, received.idempotency.key).await?;
        Ok(kept.is_some())
    }

    /// Refuses a request whose path names no possible object: with 404, unless its idempotency key
    /// belongs to another request, which comes first.
    pub async fn refuse_malformed_id(&self, received: &Received) -> ApiError {
        match lookup::outcome_fingerprint(&self.pool, received.idempotency.key).await {
            Ok(Some(fingerprint)) if fingerprint != received.idempotency.fingerprint => {
                ApiError::IdempotencyKeyReused
            }
            Ok(_) => ApiError::NotFound,
            Err(error) => error.into(),
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let value = values.next().ok_or(ApiError::IdempotencyKeyRequired)?;
    let key = value.to_str().map_err(|_| ApiError::IdempotencyKeyInvalid)?;
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(1..=255).contains(&key.len()) || values.next().is_some() {
        return Err(ApiError::IdempotencyKeyInvalid);
    }
    Ok(key)
}

/// Writes the body's RFC 8785 form without the CVC: not even a keyed hash of one is stored.
fn canonical_without_cvc(json: &Json) -> Result<String, ApiError> {
    canonical::to_string(&WithoutCvc(json)).map_err(ApiError::internal)
}

/// A body, but for `card.cvc`.
struct WithoutCvc<'a>(&'a Json);

impl Serialize for WithoutCvc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json::Object(members) = self.0 else { return self.0.serialize(serializer) };
        serializer.collect_map(members.iter().map(|(name, value)| match (name.as_str(), value) {
            ("card", Json::Object(card)) => (name, Member::Card(card)),
            _ => (name, Member::Whole(value)),
        }))
    }
}

/// A member of a body.
enum Member<'a> {
    Card(&'a BTreeMap<String, Json>),
    Whole(&'a Json),
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Card(card) => serializer.collect_map(card.iter().filter(|(name, _)| *name != "cvc")),
            Self::Whole(value) => value.serialize(serializer),
        }
    }
}

fn outcome_response(status: u16, position: u64, replayed: bool, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(&LEDGER_POSITION, HeaderValue::from(position));
    if replayed {
        headers.insert(&IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Turns what has no outcome into its problem.
fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::KeyRevoked => ApiError::Unauthenticated,
        Refusal::NotFound => ApiError::NotFound,
        Refusal::CurrencyMismatch => api_kit::fields::currency_mismatch("/amount/currency"),
        Refusal::DateOutOfRange => ApiError::field(FieldError::new("/effective_date", FieldCode::OutOfRange)),
        Refusal::TooEarly => ApiError::field(FieldError::new("/as_of", FieldCode::OutOfRange)),
        Refusal::KeyReused => ApiError::IdempotencyKeyReused,
        Refusal::ClockSkew => ApiError::ClockSkew,
        Refusal::QueueFull => ApiError::QueueFull,
        Refusal::DeadlinePassed => ApiError::DeadlinePassed,
        Refusal::StoreUnavailable => ApiError::StoreUnavailable(None),
        // The executor has logged why.
        Refusal::Failed => ApiError::internal("the store refused the command"),
        Refusal::Unknown => ApiError::OutcomeUnknown,
    }
}
