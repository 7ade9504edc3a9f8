//! Cards: issue or register, block, unblock.

use api_kit::fields::{FieldCode, Fields};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use event_store::{entropy, lookup};
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::card_number::{Brand, CardNumber, Expiry};
use ledger_core::command::{ChangeCard, IssueCard};
use ledger_core::ids::CardId;
use ledger_core::time::Day;
use serde_json::json;
use utoipa::ToSchema;

use super::schema;
use crate::gateway::{Gateway, Prepared};
use crate::order::Order;

/// Who may.
const ROLES: &[Role] = &[Role::Operator];

/// Cards are valid to the end of the month that is so many years ahead.
const VALID_YEARS: u16 = 3;

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct NewCard {
    /// Registers this number instead of making one; one number is one card, for ever.
    #[schema(write_only)]
    number: Option<String>,
    /// visa (default), mastercard, amex, discover, diners, jcb, unionpay or maestro.
    brand: Option<String>,
    exp_month: Option<u8>,
    exp_year: Option<u16>,
}

/// What an issuer wishes for.
struct Wishes {
    number: Option<CardNumber>,
    brand: Option<Brand>,
    expiry: Option<Expiry>,
}

/// Issues a card, or registers one that exists. This is the only answer that shows number and CVC.
#[utoipa::path(
    post, path = "/v1/clients/{id}/cards", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(NewCard),
    responses((status = 201, description = "The card, with number and cvc", body = schema::IssuedCard), Problems)
)]
pub(crate) async fn issue(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let today = gateway.clock.now().day();
    let wishes = received.read(|fields| read_wishes(fields, today))?;
    let Ok(client_id) = id.parse() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let registered = wishes.number.is_some();
    let number = match wishes.number {
        Some(number) => number,
        None => unused_number(&gateway, wishes.brand.unwrap_or(Brand::Visa)).await?,
    };
    let Some(brand) = number.brand() else {
        return Err(ApiError::internal("a number without a brand was issued"));
    };
    let expiry = wishes.expiry.unwrap_or_else(|| Expiry::years_after(today, VALID_YEARS));
    let (fingerprint_key, cvc_key) = (&gateway.keys.fingerprint, &gateway.keys.cvc);
    let secrets = vec![
        ("number", json!(number.reveal().as_str())),
        ("cvc", json!(number.cvc(expiry, &cvc_key.bytes).reveal().as_str())),
    ];
    let command = Command::IssueCard(IssueCard {
        id: CardId::new(entropy::uuid()),
        client_id,
        fingerprint: number.fingerprint(&fingerprint_key.bytes),
        brand,
        last4: number.last4(),
        expiry,
        registered,
        fingerprint_key: fingerprint_key.version,
        cvc_key: cvc_key.version,
    });
    let prepared = Prepared { secrets, ..Prepared::plain(command) };
    gateway.carry_out(received, prepared).await
}

fn read_wishes(fields: &mut Fields<'_>, today: Day) -> Option<Wishes> {
    let number = fields.optional_parsed("number", |text| {
        CardNumber::parse(text).ok().filter(CardNumber::is_valid).ok_or(FieldCode::InvalidFormat)
    });
    let brand = fields.optional_choice::<Brand>("brand");
    if let (Some(number), Some(brand)) = (&number, brand)
        && number.brand() != Some(brand)
    {
        fields.refuse("brand", FieldCode::InvalidFormat);
    }
    let month = fields.optional_integer("exp_month", 1, 12);
    let year = fields.optional_integer("exp_year", 1000, 9999);
    for (name, other) in [("exp_month", "exp_year"), ("exp_year", "exp_month")] {
        if fields.has(other) && !fields.has(name) {
            fields.refuse(name, FieldCode::Required);
        }
    }
    let expiry = month.zip(year).and_then(|(month, year)| Expiry::new(month, year));
    if expiry.is_some_and(|expiry| expiry.is_past(today)) {
        fields.refuse("exp_year", FieldCode::OutOfRange);
    }
    Some(Wishes { number, brand, expiry })
}

/// Draws numbers until one is no card yet: nearly always the first.
async fn unused_number(gateway: &Gateway, brand: Brand) -> Result<CardNumber, ApiError> {
    loop {
        let number = CardNumber::issue(brand, entropy::bytes());
        let fingerprint = number.fingerprint(&gateway.keys.fingerprint.bytes);
        if lookup::card(&gateway.pool, fingerprint).await?.is_none() {
            return Ok(number);
        }
    }
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handlers read")]
struct Why {
    /// At most 255 characters.
    reason: Option<String>,
}

/// Blocks a card: it can't pay until it is unblocked.
#[utoipa::path(
    post, path = "/v1/cards/{id}/block", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The card", body = schema::Card), Problems)
)]
pub(crate) async fn block(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(gateway, &id, request, Command::BlockCard).await
}

/// Unblocks a card, and forgets its wrong attempts.
#[utoipa::path(
    post, path = "/v1/cards/{id}/unblock", params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a retry repeats it")), request_body = inline(Option<Why>),
    responses((status = 200, description = "The card", body = schema::Card), Problems)
)]
pub(crate) async fn unblock(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(gateway, &id, request, Command::UnblockCard).await
}

async fn change(
    gateway: Gateway,
    id: &str,
    request: Request,
    command: fn(ChangeCard) -> Command,
) -> Result<Response, ApiError> {
    let received = gateway.receive(request, ROLES).await?;
    let reason = received.read(|fields| Some(fields.optional_text("reason", 0, 255)))?;
    let Ok(id) = id.parse::<CardId>() else { return Err(gateway.refuse_malformed_id(&received).await) };
    let event_id = Order::draw_event_id();
    let holder = if reason.is_some() { lookup::card_holder(&gateway.pool, id).await? } else { None };
    let reason = gateway.seal_for(holder, event_id, "reason", reason).await?;
    let command = command(ChangeCard { id, reason });
    gateway.carry_out(received, Prepared { command, event_id, subject_key: None, secrets: Vec::new() }).await
}
