//! Payments: make, increment, capture, void, refund.

use api_kit::fields::{FieldCode, Fields};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::{entropy, lookup};
use ledger_core::api_key::Role;
use ledger_core::card_number::{CardNumber, Cvc, Expiry};
use ledger_core::command::{Authorize, Capture, Increment, Refund, Void};
use ledger_core::event::{CaptureMode, PaymentCard, PaymentDetails};
use ledger_core::ids::{PaymentId, RefundId, StreamId};
use ledger_core::{Command, Money};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared, Received};
use crate::order::Order;

/// Who may: the merchant itself.
const ROLES: &[Role] = &[Role::Merchant];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Card {
    /// 12 to 19 digits; single spaces and hyphens between them are dropped.
    #[schema(write_only)]
    number: String,
    exp_month: u8,
    exp_year: u16,
    /// 3 or 4 digits.
    #[schema(write_only)]
    cvc: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewPayment {
    #[schema(inline)]
    amount: MoneySchema,
    #[schema(inline)]
    card: Card,
    /// automatic (default) or manual.
    capture: Option<String>,
    /// At most 255 characters.
    reference: Option<String>,
    /// At most 1000 characters.
    description: Option<String>,
    metadata: Option<std::collections::BTreeMap<String, String>>,
}

/// What a merchant asks for.
struct Asked {
    amount: Money,
    number: CardNumber,
    expiry: Expiry,
    cvc: Cvc,
    capture: CaptureMode,
    reference: Option<String>,
    description: Option<String>,
    metadata: Option<Value>,
}

/// Makes a payment: authorized, and captured unless it says `manual`; or declined, which is 201 too.
#[utoipa::path(
    post, path = "/v1/payments", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewPayment),
    responses((status = 201, description = "The payment", body = schema::Payment), Problems)
)]
pub(crate) async fn authorize(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let merchant_id = received.merchant_id()?;
    let asked = received.read(read_payment)?;

    // From here on the card is facts: which one it is, and whether number and CVC are right.
    let number_valid = asked.number.is_valid();
    let known = match number_valid {
        true => gateway.cards.find(asked.number.fingerprint(&gateway.keys.fingerprint.bytes)).await?,
        false => None,
    };
    let cvc_matches = asked.number.cvc(asked.expiry, &gateway.keys.cvc.bytes).matches(&asked.cvc);
    let card = PaymentCard {
        id: known.map(|(card, _)| card),
        brand: asked.number.brand(),
        last4: asked.number.last4(),
        expiry: asked.expiry,
    };

    let id = PaymentId::new(entropy::uuid());
    let event_id = Order::draw_event_id();
    let has_personal_fields = asked.description.is_some() || asked.metadata.is_some();
    let (subject, subject_key) = match known {
        _ if !has_personal_fields => (None, None),
        Some((_, client)) => (gateway.sealer.subject(StreamId::Client(client)).await?, None),
        None => {
            let (subject, key) = gateway.sealer.new_subject(StreamId::Payment(id));
            (Some(subject), Some(key))
        }
    };
    let seal = |field, value: Option<Value>| {
        subject.as_ref().zip(value).map(|(subject, value)| subject.seal(event_id, field, &value))
    };
    let details = PaymentDetails {
        merchant_id,
        amount: asked.amount,
        card,
        capture: asked.capture,
        reference: asked.reference,
        description: seal("description", asked.description.map(Value::from)),
        metadata: seal("metadata", asked.metadata),
    };
    let valid_days = gateway.authorization_days.of(details.card.brand);
    let command =
        Command::Authorize(Box::new(Authorize { id, details, number_valid, cvc_matches, valid_days }));
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

fn read_payment(fields: &mut Fields<'_>) -> Option<Asked> {
    let amount = fields.money("amount");
    let card = fields.object("card", |card| {
        let number =
            card.parsed("number", |text| CardNumber::parse(text).map_err(|_| FieldCode::InvalidFormat));
        let month = card.integer("exp_month", 1, 12);
        let year = card.integer("exp_year", 1000, 9999);
        let cvc = card.parsed("cvc", |text| Cvc::parse(text).map_err(|_| FieldCode::InvalidFormat));
        Some((number?, Expiry::new(month?, year?)?, cvc?))
    });
    let capture = fields.optional_parsed("capture", |text| match text {
        "automatic" => Ok(CaptureMode::Automatic),
        "manual" => Ok(CaptureMode::Manual),
        _ => Err(FieldCode::InvalidFormat),
    });
    let reference = fields.optional_text("reference", 0, 255);
    let description = fields.optional_text("description", 0, 1000);
    let metadata = fields.optional_metadata();
    let (number, expiry, cvc) = card?;
    let capture = capture.unwrap_or(CaptureMode::Automatic);
    Some(Asked { amount: amount?, number, expiry, cvc, capture, reference, description, metadata })
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewIncrement {
    /// To add to what is held.
    #[schema(inline)]
    amount: MoneySchema,
}

/// Holds more for a payment that can still be captured.
#[utoipa::path(
    post, path = "/v1/payments/{id}/increment", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewIncrement),
    responses((status = 200, description = "The payment", body = schema::Payment), Problems)
)]
pub(crate) async fn increment(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let merchant_id = received.merchant_id()?;
    let amount = received.read(|fields| fields.money("amount"))?;
    let Ok(payment_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let command = Command::Increment(Increment { payment_id, merchant_id, amount });
    gateway.carry_out(received, Prepared::plain(command)).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewCapture {
    /// All that is left, unless set.
    #[schema(inline)]
    amount: Option<MoneySchema>,
    /// Whether the rest is released; true unless set.
    r#final: Option<bool>,
}

/// Captures all or a part of what is held; the rest is released unless `final` is false.
#[utoipa::path(
    post, path = "/v1/payments/{id}/capture", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<NewCapture>),
    responses((status = 200, description = "The payment", body = schema::Payment), Problems)
)]
pub(crate) async fn capture(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let merchant_id = received.merchant_id()?;
    let (amount, is_final) = received.read(|fields| {
        Some((fields.optional_money("amount"), fields.optional_bool("final").unwrap_or(true)))
    })?;
    let Ok(payment_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let command = Command::Capture(Capture { payment_id, merchant_id, amount, is_final });
    gateway.carry_out(received, Prepared::plain(command)).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewVoid {
    /// At most 255 characters.
    reason: Option<String>,
}

/// Releases all that is not captured.
#[utoipa::path(
    post, path = "/v1/payments/{id}/void", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<NewVoid>),
    responses((status = 200, description = "The payment", body = schema::Payment), Problems)
)]
pub(crate) async fn void(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let merchant_id = received.merchant_id()?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let Ok(payment_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let make = |reason| Command::Void(Void { payment_id, merchant_id, reason });
    with_reason(gateway, received, payment_id, reason, make).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewRefund {
    /// All that is refundable, unless set.
    #[schema(inline)]
    amount: Option<MoneySchema>,
    /// At most 255 characters.
    reason: Option<String>,
}

/// Gives all or a part of what was captured back to the client.
#[utoipa::path(
    post, path = "/v1/payments/{id}/refunds", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<NewRefund>),
    responses((status = 201, description = "The refund", body = schema::Refund), Problems)
)]
pub(crate) async fn refund(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let merchant_id = received.merchant_id()?;
    let (amount, reason) = received
        .read(|fields| Some((fields.optional_money("amount"), fields.optional_text("reason", 0, 255))))?;
    let Ok(payment_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let refund_id = RefundId::new(entropy::uuid());
    let make = |reason| Command::Refund(Refund { id: refund_id, payment_id, merchant_id, amount, reason });
    with_reason(gateway, received, payment_id, reason, make).await
}

/// Seals the reason with the key of the payment's client, and carries the command out.
async fn with_reason(
    gateway: Gateway,
    received: Received,
    payment_id: PaymentId,
    reason: Option<String>,
    command: impl FnOnce(Option<ledger_core::personal::Sealed>) -> Command,
) -> Result<Response, ApiError> {
    let event_id = Order::draw_event_id();
    let client = match reason {
        Some(_) => lookup::payment_client(&gateway.pool, &payment_id.to_string()).await?,
        None => None,
    };
    let reason = gateway.seal_for(client, event_id, "reason", reason).await?;
    let prepared = Prepared { command: command(reason), event_id, subject_key: None, secrets: Vec::new() };
    gateway.carry_out(received, prepared).await
}
