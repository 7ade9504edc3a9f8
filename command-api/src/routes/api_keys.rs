//! API keys: create, revoke.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::ids::MerchantId;
use serde_json::json;
use utoipa::ToSchema;

use super::schema;
use crate::gateway::{Gateway, Prepared};
use crate::service::draw_key;

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewKey {
    /// operator, merchant, auditor or analyst.
    role: String,
    /// With the role merchant, and only with it.
    merchant_id: Option<String>,
}

/// Creates an API key. This is the only answer that shows it.
#[utoipa::path(
    post, path = "/v1/api-keys", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewKey),
    responses((status = 201, description = "The key, with its secret", body = schema::CreatedKey), Problems)
)]
pub(crate) async fn create(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (role, merchant_id) = received.read(|fields| {
        let role = fields.parsed("role", |text| text.parse::<Role>().map_err(|_| FieldCode::InvalidFormat));
        let merchant_id = fields.optional_text("merchant_id", 1, 255);
        match (role?, fields.has("merchant_id")) {
            (Role::Merchant, false) => fields.refuse("merchant_id", FieldCode::Required),
            (Role::Operator | Role::Auditor | Role::Analyst, true) => {
                fields.refuse("merchant_id", FieldCode::Unknown);
            }
            (Role::Merchant, true) | (Role::Operator | Role::Auditor | Role::Analyst, false) => {}
        }
        Some((role?, merchant_id))
    })?;
    let merchant_id = match merchant_id.map(|id| id.parse::<MerchantId>()).transpose() {
        Ok(merchant_id) => merchant_id,
        Err(_) => return Err(gateway.refuse_malformed_id(&received).await),
    };
    let (create, secret) = draw_key(role, merchant_id);
    let prepared =
        Prepared { secrets: vec![("secret", json!(secret))], ..Prepared::plain(Command::CreateKey(create)) };
    gateway.carry_out(received, prepared).await
}

/// Revokes an API key, at once in all processes.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/revoke", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")),
    responses((status = 200, description = "The key", body = schema::ApiKey), Problems)
)]
pub(crate) async fn revoke(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    received.read(|_| Some(()))?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    gateway.carry_out(received, Prepared::plain(Command::RevokeKey(id))).await
}
