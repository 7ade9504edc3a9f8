//! Corrections: one operator asks for them, another approves.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::{entropy, lookup};
use ledger_core::api_key::Role;
use ledger_core::command::{ApproveCorrection, RequestCorrection};
use ledger_core::event::Event;
use ledger_core::ids::{ClientId, CorrectionId, EventId, StreamId};
use ledger_core::time::Day;
use ledger_core::{Command, Envelope};
use utoipa::ToSchema;

use super::schema;
use crate::gateway::{Gateway, Prepared};
use crate::order::Order;

/// Who may; each step with another key.
const ROLES: &[Role] = &[Role::Operator];

/// The longest `reverses` that is looked for: an id has far fewer characters.
const ID_MAX: usize = 255;

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewCorrection {
    /// The id of a deposit's, a withdrawal's, a paid payout's or a lost dispute's event.
    #[schema(example = "evt_01975bfe6c0a7c1e8f9a0b1c2d3e4f50")]
    reverses: String,
    /// The day that the correction belongs to, from the event's own to today: for accountants. Balances change
    /// when it is approved.
    #[schema(example = "2026-11-24")]
    effective_date: String,
    /// 1 to 255 characters.
    reason: String,
}

/// Asks for an event to be corrected. Nothing moves until another operator's key approves.
#[utoipa::path(
    post, path = "/v1/corrections", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewCorrection),
    responses((status = 201, description = "The correction", body = schema::Correction), Problems)
)]
pub(crate) async fn request(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (reverses, effective_date, reason) = received.read(|fields| {
        let reverses = fields.text("reverses", 1, ID_MAX);
        let date =
            fields.parsed("effective_date", |text| text.parse::<Day>().map_err(|_| FieldCode::InvalidFormat));
        let reason = fields.text("reason", 1, 255);
        Some((reverses?, date?, reason?))
    })?;
    let reversed = match reverses.parse::<EventId>() {
        Ok(id) => lookup::event(&gateway.pool, id).await?,
        Err(_) => None,
    };
    let Some(reversed) = reversed else { return Err(gateway.refuse_malformed_id(&received).await) };
    let id = CorrectionId::new(entropy::uuid());
    let event_id = Order::draw_event_id();
    let stream = StreamId::Correction(id);
    let client = client_of(&reversed);
    let (reason, subject_key) = gateway.seal(client, stream, (event_id, "reason"), reason).await?;
    let command = Command::RequestCorrection(RequestCorrection {
        id,
        reversed: Box::new(reversed),
        effective_date,
        reason,
    });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

/// Names the client whom an event concerns: what is written about it is written about them.
fn client_of(reversed: &Envelope) -> Option<ClientId> {
    match (reversed.stream_id(), reversed.event()) {
        (StreamId::Client(id), _) => Some(id),
        (_, Event::PaymentDisputeLost(lost)) => Some(lost.client_id),
        _ => None,
    }
}

/// Approves a correction, with another operator's key than it was requested with: the event's postings are
/// mirrored.
#[utoipa::path(
    post, path = "/v1/corrections/{id}/approve", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")),
    responses((status = 200, description = "The correction", body = schema::Correction), Problems)
)]
pub(crate) async fn approve(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    received.read(|_| Some(()))?;
    let found = match id.parse::<CorrectionId>() {
        Ok(id) => lookup::reversed(&gateway.pool, id).await?.map(|reversed| (id, reversed)),
        Err(_) => None,
    };
    let Some((id, reversed)) = found else { return Err(gateway.refuse_malformed_id(&received).await) };
    let (reversed, by) = (Box::new(reversed), received.principal.key_id);
    let command = Command::ApproveCorrection(ApproveCorrection { id, reversed, by });
    gateway.carry_out(received, Prepared::plain(command)).await
}
