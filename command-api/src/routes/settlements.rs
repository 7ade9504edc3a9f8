//! Settlements: close what is due.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Request, State};
use axum::response::Response;
use event_store::{entropy, lookup};
use ledger_core::api_key::Role;
use ledger_core::command::{SETTLEMENTS_MAX, Settle};
use ledger_core::ids::SettlementId;
use ledger_core::{Command, Timestamp};
use utoipa::ToSchema;

use super::schema;
use crate::gateway::{Gateway, Prepared};

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewSettlements {
    /// All merchants, unless set.
    merchant_id: Option<String>,
    /// All currencies, unless set.
    currency: Option<String>,
    /// Takes what can be settled on this moment's day; now unless set, and not later.
    as_of: Option<String>,
}

/// Closes a settlement for each merchant and currency that has captures due: the longest waiting first, at
/// most 1000 in one request. Repeat with a new key until `data` is empty.
#[utoipa::path(
    post, path = "/v1/settlements", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<NewSettlements>),
    responses((status = 200, description = "The settlements", body = schema::Settlements), Problems)
)]
pub(crate) async fn close(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (merchant, currency, as_of) = received.read(|fields| {
        let merchant = fields.optional_text("merchant_id", 1, 255);
        let currency = fields
            .optional_parsed("currency", |code| code.parse().map_err(|_| FieldCode::UnsupportedCurrency));
        let as_of = fields.optional_choice::<Timestamp>("as_of");
        Some((merchant, currency, as_of))
    })?;
    let merchant = match merchant.map(|id| id.parse()).transpose() {
        Ok(merchant) => merchant,
        Err(_) => return Err(gateway.refuse_malformed_id(&received).await),
    };
    let through = as_of.unwrap_or_else(|| gateway.clock.now()).day();
    let candidates = lookup::unsettled(&gateway.pool, merchant, currency, through, SETTLEMENTS_MAX).await?;
    let settle = Settle {
        id: SettlementId::new(entropy::uuid()),
        merchant,
        candidates: candidates.into_iter().collect(),
        as_of,
    };
    gateway.carry_out(received, Prepared::plain(Command::Settle(settle))).await
}
