//! Merchants: open, change settings.

use api_kit::fields::{FieldCode, Fields};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::entropy;
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::{ChangeSettings, OpenMerchant};
use ledger_core::event::Settings;
use ledger_core::fee::{FeeSchedule, InvalidPercent, Percent, RefundFee};
use ledger_core::ids::MerchantId;
use ledger_core::merchant::SETTLEMENT_DELAY_DAYS_MAX;
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared};

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

/// Days from a capture to its settlement, unless the merchant has others.
const SETTLEMENT_DELAY_DAYS: u32 = 2;

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handlers read")]
struct Fee {
    /// 0 to 100, with at most four decimals.
    #[schema(example = "1.40")]
    percent: String,
    /// On a payment's first capture; at most one amount per currency.
    fixed: Option<Vec<MoneySchema>>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewMerchant {
    /// At most 200 characters.
    name: String,
    #[schema(inline)]
    fee: Fee,
    /// 0 to 30; 2 unless set.
    settlement_delay_days: Option<u8>,
    /// returned (default) or kept.
    refund_fee: Option<String>,
    /// How far below zero refunds may take the available balance; none is 0.
    negative_limit: Option<Vec<MoneySchema>>,
    metadata: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewSettings {
    #[schema(inline)]
    fee: Option<Fee>,
    settlement_delay_days: Option<u8>,
    refund_fee: Option<String>,
    negative_limit: Option<Vec<MoneySchema>>,
}

/// Opens a merchant.
#[utoipa::path(
    post, path = "/v1/merchants", params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewMerchant),
    responses((status = 201, description = "The merchant", body = schema::Merchant), Problems)
)]
pub(crate) async fn open(State(gateway): State<Gateway>, request: Request) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let id = MerchantId::new(entropy::uuid());
    let open = received.read(|fields| {
        let name = fields.text("name", 1, 200);
        let fee = fields.object("fee", read_fee);
        let more = read_settings(fields);
        let metadata = fields.optional_metadata();
        let settings = Settings {
            fee: fee?,
            fee_version: 1,
            settlement_delay_days: more.settlement_delay_days.unwrap_or(SETTLEMENT_DELAY_DAYS),
            refund_fee: more.refund_fee.unwrap_or(RefundFee::Returned),
            negative_limit: more.negative_limit.unwrap_or_default(),
        };
        Some(OpenMerchant { id, name: name?, metadata, settings })
    })?;
    gateway.carry_out(received, Prepared::plain(Command::OpenMerchant(open))).await
}

/// Changes some of a merchant's settings; captures record the fee version that they were made under.
#[utoipa::path(
    post, path = "/v1/merchants/{id}/settings", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewSettings),
    responses((status = 200, description = "The merchant", body = schema::Merchant), Problems)
)]
pub(crate) async fn change_settings(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (fee, more) = received.read(|fields| {
        let fee = fields.optional_object("fee", read_fee);
        Some((fee, read_settings(fields)))
    })?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let Optional { settlement_delay_days, refund_fee, negative_limit } = more;
    let change = ChangeSettings { id, fee, settlement_delay_days, refund_fee, negative_limit };
    gateway.carry_out(received, Prepared::plain(Command::ChangeSettings(change))).await
}

/// The settings that may be left out.
struct Optional {
    settlement_delay_days: Option<u32>,
    refund_fee: Option<RefundFee>,
    negative_limit: Option<Vec<ledger_core::Money>>,
}

fn read_settings(fields: &mut Fields<'_>) -> Optional {
    let days = fields.optional_integer("settlement_delay_days", 0, i64::from(SETTLEMENT_DELAY_DAYS_MAX));
    let refund_fee = fields.optional_parsed("refund_fee", |text| match text {
        "returned" => Ok(RefundFee::Returned),
        "kept" => Ok(RefundFee::Kept),
        _ => Err(FieldCode::InvalidFormat),
    });
    Optional {
        settlement_delay_days: days.and_then(|days| u32::try_from(days).ok()),
        refund_fee,
        negative_limit: fields.optional_money_list("negative_limit"),
    }
}

fn read_fee(fields: &mut Fields<'_>) -> Option<FeeSchedule> {
    let percent = fields.parsed("percent", |text| {
        text.parse::<Percent>().map_err(|error| match error {
            InvalidPercent::Malformed => FieldCode::InvalidFormat,
            InvalidPercent::OutOfRange => FieldCode::OutOfRange,
        })
    });
    let fixed = fields.optional_money_list("fixed").unwrap_or_default();
    Some(FeeSchedule { percent: percent?, fixed })
}
