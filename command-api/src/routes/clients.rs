//! Clients: open, deposit, withdraw, close.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::entropy;
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::{CloseClient, MoveCash, OpenClient};
use ledger_core::ids::{ClientId, StreamId};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared, Received};
use crate::order::Order;

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewClient {
    /// At most 200 characters.
    name: String,
    email: Option<String>,
    /// Up to 50 pairs of strings.
    metadata: Option<std::collections::BTreeMap<String, String>>,
}

/// Opens a client.
#[utoipa::path(
    post, path = "/v1/clients", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewClient),
    responses((status = 201, description = "The client", body = schema::Client), Problems)
)]
pub(crate) async fn open(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (name, email, metadata) = received.read(|fields| {
        let name = fields.text("name", 1, 200);
        let email = fields.optional_text("email", 3, 254);
        if email.as_ref().is_some_and(|email| !is_address(email)) {
            fields.refuse("email", FieldCode::InvalidFormat);
        }
        let metadata = fields.optional_metadata();
        Some((name?, email, metadata))
    })?;
    let id = ClientId::new(entropy::uuid());
    let event_id = Order::draw_event_id();
    let (subject, subject_key) = gateway.sealer.new_subject(StreamId::Client(id));
    let seal = |field, value: Value| subject.seal(event_id, field, &value);
    let command = Command::OpenClient(OpenClient {
        id,
        name: seal("name", name.into()),
        email: email.map(|email| seal("email", email.into())),
        metadata: metadata.map(|metadata| seal("metadata", metadata)),
    });
    let prepared = Prepared { command, event_id, subject_key: Some(subject_key), secrets: Vec::new() };
    gateway.carry_out(received, prepared).await
}

/// Tells whether a text can be an e-mail address: something, an @, a domain; no spaces.
fn is_address(text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let (local, domain) = text.rsplit_once('@').unwrap_or_default();
    plain && !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.')
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handlers read")]
struct Cash {
    #[schema(inline)]
    amount: MoneySchema,
    /// At most 255 characters.
    reference: Option<String>,
}

/// Brings money from the bank to a client.
#[utoipa::path(
    post, path = "/v1/clients/{id}/deposits", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Cash),
    responses((status = 200, description = "The deposit", body = schema::CashMoved), Problems)
)]
pub(crate) async fn deposit(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    move_cash(gateway, received, &id, Command::Deposit).await
}

/// Takes money of a client out, to the bank; never more than is available.
#[utoipa::path(
    post, path = "/v1/clients/{id}/withdrawals", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Cash),
    responses((status = 200, description = "The withdrawal", body = schema::CashMoved), Problems)
)]
pub(crate) async fn withdraw(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    move_cash(gateway, received, &id, Command::Withdraw).await
}

async fn move_cash(
    gateway: Gateway,
    received: Received,
    id: &str,
    command: fn(MoveCash) -> Command,
) -> Result<Response, ApiError> {
    let (amount, reference) = received.read(|fields| {
        let (amount, reference) = (fields.money("amount"), fields.optional_text("reference", 0, 255));
        Some((amount?, reference))
    })?;
    let Ok(client_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let reference = gateway.seal_for(Some(client_id), event_id, "reference", reference).await?;
    let command = command(MoveCash { client_id, amount, reference });
    gateway.carry_out(received, Prepared { command, event_id, subject_key: None, secrets: Vec::new() }).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Why {
    /// At most 255 characters.
    reason: Option<String>,
}

/// Closes a client that has nothing and waits for nothing.
#[utoipa::path(
    post, path = "/v1/clients/{id}/close", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The client", body = schema::Client), Problems)
)]
pub(crate) async fn close(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let reason = gateway.seal_for(Some(id), event_id, "reason", reason).await?;
    let command = Command::CloseClient(CloseClient { id, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key: None, secrets: Vec::new() }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_other_text() {
        for text in ["ada@example.org", "a.b+c@x", "\"odd@one\"@example.org"] {
            assert!(is_address(text), "{text}");
        }
        for text in ["ada", "@example.org", "ada@", "ada @example.org", "ada@.org"] {
            assert!(!is_address(text), "{text}");
        }
    }
}
