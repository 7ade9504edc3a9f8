//! Rates between currencies: set them.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Request, State};
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::command::SetFxRate;
use ledger_core::fx::{InvalidRate, Rate};
use ledger_core::{Command, Currency, Timestamp};
use utoipa::ToSchema;

use super::schema;
use crate::gateway::{Gateway, Prepared};

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewRate {
    /// ISO 4217: the currency that pays.
    #[schema(example = "EUR")]
    from: String,
    /// ISO 4217: the currency that is paid in.
    #[schema(example = "USD")]
    to: String,
    /// Major units of `to` per major unit of `from`: above zero, at most twelve digits before and after the
    /// point.
    #[schema(example = "1.0850")]
    rate: String,
    /// From then on the rate is used no more.
    valid_until: String,
}

/// Sets the rate from one currency to another; the one before it is used no more.
#[utoipa::path(
    post, path = "/v1/fx-rates", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewRate),
    responses((status = 201, description = "The rate", body = schema::FxRate), Problems)
)]
pub(crate) async fn set(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let currency = |code: &str| code.parse::<Currency>().map_err(|_| FieldCode::UnsupportedCurrency);
    let command = received.read(|fields| {
        let (from, to) = (fields.parsed("from", currency), fields.parsed("to", currency));
        if from.is_some() && from == to {
            fields.refuse("to", FieldCode::InvalidFormat);
        }
        let rate = fields.parsed("rate", |text| {
            text.parse::<Rate>().map_err(|wrong| match wrong {
                InvalidRate::Malformed => FieldCode::InvalidFormat,
                InvalidRate::OutOfRange => FieldCode::OutOfRange,
            })
        });
        let valid_until = fields
            .parsed("valid_until", |text| text.parse::<Timestamp>().map_err(|_| FieldCode::InvalidFormat));
        Some(SetFxRate { from: from?, to: to?, rate: rate?, valid_until: valid_until? })
    })?;
    gateway.carry_out(received, Prepared::plain(Command::SetFxRate(command))).await
}
