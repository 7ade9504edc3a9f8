//! Merchants: open, change settings, suspend and reinstate, pay or write off a debt.

use api_kit::fields::{FieldCode, Fields};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::entropy;
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::{ChangeMerchant, ChangeSettings, DepositToMerchant, OpenMerchant, WriteOff};
use ledger_core::event::Settings;
use ledger_core::fee::{FeeSchedule, InvalidPercent, Percent, RefundFee};
use ledger_core::ids::{MerchantId, StreamId};
use ledger_core::merchant::SETTLEMENT_DELAY_DAYS_MAX;
use utoipa::ToSchema;

use super::schema::{self, MoneySchema};
use crate::gateway::{Gateway, Prepared};
use crate::order::Order;

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
    // The key of what persons will write about it: reasons, references.
    let (_, subject_key) = gateway.sealer.new_subject(StreamId::Merchant(id));
    let prepared =
        Prepared { subject_key: Some(subject_key), ..Prepared::plain(Command::OpenMerchant(open)) };
    gateway.carry_out(received, prepared).await
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

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handlers read")]
struct Why {
    /// At most 255 characters.
    reason: Option<String>,
}

/// Keeps a merchant from new payments, increments and payouts; all else goes on.
#[utoipa::path(
    post, path = "/v1/merchants/{id}/suspend", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The merchant", body = schema::Merchant), Problems)
)]
pub(crate) async fn suspend(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change_standing(gateway, &id, request, Command::SuspendMerchant).await
}

/// Ends a merchant's suspension.
#[utoipa::path(
    post, path = "/v1/merchants/{id}/reinstate", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The merchant", body = schema::Merchant), Problems)
)]
pub(crate) async fn reinstate(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change_standing(gateway, &id, request, Command::ReinstateMerchant).await
}

async fn change_standing(
    gateway: Gateway,
    id: &str,
    request: Request,
    command: fn(ChangeMerchant) -> Command,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let place = (event_id, "reason");
    let (reason, subject_key) = gateway.seal_optional(None, StreamId::Merchant(id), place, reason).await?;
    let command = command(ChangeMerchant { id, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Deposit {
    #[schema(inline)]
    amount: MoneySchema,
    /// At most 255 characters.
    reference: Option<String>,
}

/// Brings money from the bank to a merchant: how a debt is paid.
#[utoipa::path(
    post, path = "/v1/merchants/{id}/deposits", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Deposit),
    responses((status = 200, description = "The deposit", body = schema::MerchantCashMoved), Problems)
)]
pub(crate) async fn deposit(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (amount, reference) = received.read(|fields| {
        let (amount, reference) = (fields.money("amount"), fields.optional_text("reference", 0, 255));
        Some((amount?, reference))
    })?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let place = (event_id, "reference");
    let (reference, subject_key) =
        gateway.seal_optional(None, StreamId::Merchant(id), place, reference).await?;
    let command = Command::DepositToMerchant(DepositToMerchant { id, amount, reference });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct Loss {
    /// At most the debt.
    #[schema(inline)]
    amount: MoneySchema,
    /// 1 to 255 characters.
    reason: String,
}

/// Ends a merchant's debt, or a part of it, at the house's expense.
#[utoipa::path(
    post, path = "/v1/merchants/{id}/write-off", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Loss),
    responses((status = 200, description = "The write-off", body = schema::WriteOff), Problems)
)]
pub(crate) async fn write_off(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let (amount, reason) = received.read(|fields| {
        let (amount, reason) = (fields.money("amount"), fields.text("reason", 1, 255));
        Some((amount?, reason?))
    })?;
    let Ok(id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let (reason, subject_key) =
        gateway.seal(None, StreamId::Merchant(id), (event_id, "reason"), reason).await?;
    let command = Command::WriteOff(WriteOff { id, amount, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key, secrets: Vec::new() }).await
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
