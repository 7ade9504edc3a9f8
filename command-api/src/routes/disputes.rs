//! Disputes: open, answer with evidence, decide, reopen.

use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::{entropy, lookup};
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::{DisputeOf, OpenDispute, ReopenDispute, SubmitEvidence};
use ledger_core::ids::{ClientId, DisputeId, PaymentId, StreamId};
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared, Received};
use crate::order::Order;

/// Who opens and decides.
const HOUSE: &[Role] = &[Role::Operator];

/// Who answers: the merchant itself.
const MERCHANT: &[Role] = &[Role::Merchant];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewDispute {
    /// All that is refundable, unless set.
    #[schema(inline)]
    amount: Option<MoneySchema>,
    /// 1 to 255 characters.
    reason: String,
}

/// Opens a dispute: the amount is reserved until it is decided.
#[utoipa::path(
    post, path = "/v1/payments/{id}/disputes", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewDispute),
    responses((status = 201, description = "The dispute", body = schema::Dispute), Problems)
)]
pub(crate) async fn open(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, HOUSE).await?;
    let (amount, reason) = received.read(|fields| {
        let (amount, reason) = (fields.optional_money("amount"), fields.text("reason", 1, 255));
        Some((amount, reason?))
    })?;
    let Ok(payment_id) = id.parse::<PaymentId>() else {
        return Err(gateway.refuse_malformed_id(&received).await);
    };
    let event_id = Order::draw_event_id();
    let client = lookup::payment_client(&gateway.pool, &payment_id.to_string()).await?;
    let (reason, subject_key) =
        gateway.seal(client, StreamId::Payment(payment_id), (event_id, "reason"), reason).await?;
    let id = DisputeId::new(entropy::uuid());
    let command = Command::OpenDispute(OpenDispute { id, payment_id, amount, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Evidence {
    /// 1 to 10,000 characters.
    text: String,
}

/// Submits evidence, until `respond_by`; the last one counts.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/evidence", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Evidence),
    responses((status = 200, description = "The dispute", body = schema::Dispute), Problems)
)]
pub(crate) async fn submit_evidence(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, MERCHANT).await?;
    let merchant_id = received.merchant_id()?;
    let text = received.read(|fields| fields.text("text", 1, 10_000))?;
    let (dispute, client) = find(&gateway, &received, &id).await?;
    let event_id = Order::draw_event_id();
    let stream = StreamId::Payment(dispute.payment_id);
    let (text, subject_key) = gateway.seal(Some(client), stream, (event_id, "text"), text).await?;
    let command = Command::SubmitEvidence(SubmitEvidence { dispute, merchant_id, text });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

/// Decides a dispute for the merchant.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/won", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")),
    responses((status = 200, description = "The dispute", body = schema::Dispute), Problems)
)]
pub(crate) async fn win(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(gateway, &id, request, Command::WinDispute).await
}

/// Decides a dispute for the client.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/lost", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")),
    responses((status = 200, description = "The dispute", body = schema::Dispute), Problems)
)]
pub(crate) async fn lose(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(gateway, &id, request, Command::LoseDispute).await
}

async fn decide(
    gateway: Gateway,
    id: &str,
    request: Request,
    command: fn(DisputeOf) -> Command,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, HOUSE).await?;
    received.read(|_| Some(()))?;
    let (dispute, _) = find(&gateway, &received, id).await?;
    gateway.carry_out(received, Prepared::plain(command(dispute))).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Why {
    /// At most 255 characters.
    reason: Option<String>,
}

/// Opens a dispute again that the merchant had won; once.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/reopen", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The dispute", body = schema::Dispute), Problems)
)]
pub(crate) async fn reopen(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, HOUSE).await?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let (dispute, client) = find(&gateway, &received, &id).await?;
    let event_id = Order::draw_event_id();
    let stream = StreamId::Payment(dispute.payment_id);
    let place = (event_id, "reason");
    let (reason, subject_key) = gateway.seal_optional(Some(client), stream, place, reason).await?;
    let command = Command::ReopenDispute(ReopenDispute { dispute, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

/// Finds the payment of a dispute, and its client: facts that don't change.
async fn find(gateway: &Gateway, received: &Received, id: &str) -> Result<(DisputeOf, ClientId), ApiError> {
    let found = match id.parse::<DisputeId>() {
        Ok(id) => lookup::dispute(&gateway.pool, id).await?.map(|found| (id, found)),
        Err(_) => None,
    };
    match found {
        Some((id, (payment_id, client))) => Ok((DisputeOf { id, payment_id }, client)),
        None => Err(gateway.refuse_malformed_id(received).await),
    }
}
