//! Payouts: ask for one, and note what the bank says of it.

use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::entropy;
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::{ChangePayout, PayoutNews, RequestPayout};
use ledger_core::ids::{PayoutId, StreamId};
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared};
use crate::order::Order;

/// Who asks for payouts: the merchant itself.
const MERCHANT: &[Role] = &[Role::Merchant];

/// Who hears from the bank.
const HOUSE: &[Role] = &[Role::Operator];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewPayout {
    /// At most what is available.
    #[schema(inline)]
    amount: MoneySchema,
    /// At most 255 characters; bank statements are matched by it.
    reference: Option<String>,
}

/// Sends available money on its way to the merchant's bank account.
#[utoipa::path(
    post, path = "/v1/payouts", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewPayout),
    responses((status = 201, description = "The payout", body = schema::Payout), Problems)
)]
pub(crate) async fn request(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, MERCHANT).await?;
    let merchant_id = received.merchant_id()?;
    let (amount, reference) = received.read(|fields| {
        let (amount, reference) = (fields.money("amount"), fields.optional_text("reference", 0, 255));
        Some((amount?, reference))
    })?;
    let id = PayoutId::new(entropy::uuid());
    let command = Command::RequestPayout(RequestPayout { id, merchant_id, amount, reference });
    gateway.carry_out(received, Prepared::plain(command)).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handlers read")]
struct Why {
    /// At most 255 characters.
    reason: Option<String>,
}

/// The bank has sent the money.
#[utoipa::path(
    post, path = "/v1/payouts/{id}/paid", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The payout", body = schema::Payout), Problems)
)]
pub(crate) async fn paid(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(gateway, &id, request, PayoutNews::Paid).await
}

/// The bank has not sent the money: it is available again.
#[utoipa::path(
    post, path = "/v1/payouts/{id}/failed", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The payout", body = schema::Payout), Problems)
)]
pub(crate) async fn failed(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(gateway, &id, request, PayoutNews::Failed).await
}

/// The money came back after it was paid: it is available again.
#[utoipa::path(
    post, path = "/v1/payouts/{id}/returned", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The payout", body = schema::Payout), Problems)
)]
pub(crate) async fn returned(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(gateway, &id, request, PayoutNews::Returned).await
}

async fn change(
    gateway: Gateway,
    id: &str,
    request: Request,
    news: PayoutNews,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, HOUSE).await?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let place = (event_id, "reason");
    let (reason, subject_key) = gateway.seal_optional(None, StreamId::Payout(id), place, reason).await?;
    let command = Command::ChangePayout(ChangePayout { id, news, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}
