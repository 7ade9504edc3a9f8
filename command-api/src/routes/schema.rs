//! What commands answer, for the documentation; [`crate::resource`] writes it.

#![expect(dead_code, reason = "describes what is rendered elsewhere")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Whole minor units of a currency: 1234 EUR is 12.34 EUR.
#[derive(ToSchema)]
#[schema(as = Money)]
pub(crate) struct MoneySchema {
    /// Minor units.
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

/// Money in an answer: it may be zero or negative.
#[derive(ToSchema)]
pub(crate) struct Amount {
    /// Minor units.
    amount: i64,
    /// ISO 4217.
    currency: String,
}

/// A client.
#[derive(ToSchema)]
pub(crate) struct Client {
    id: String,
    name: Option<String>,
    email: Option<String>,
    status: String,
    metadata: Option<BTreeMap<String, String>>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A client's money in one currency, in minor units.
#[derive(ToSchema)]
pub(crate) struct Balance {
    currency: String,
    /// What is available and held.
    posted: i64,
    held: i64,
    available: i64,
}

/// A deposit or a withdrawal.
#[derive(ToSchema)]
pub(crate) struct CashMoved {
    client_id: String,
    amount: Amount,
    reference: Option<String>,
    /// Of the currency that moved.
    balances: Vec<Balance>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A card.
#[derive(ToSchema)]
pub(crate) struct Card {
    id: String,
    client_id: String,
    brand: String,
    last4: String,
    exp_month: u8,
    exp_year: u16,
    /// active or blocked.
    status: String,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A new card: `number` and `cvc` are shown this once, and null in a replay.
#[derive(ToSchema)]
pub(crate) struct IssuedCard {
    #[serde(flatten)]
    card: Card,
    number: Option<String>,
    cvc: Option<String>,
}

/// What captures cost.
#[derive(ToSchema)]
pub(crate) struct FeeSchedule {
    percent: String,
    fixed: Vec<Amount>,
}

/// A merchant.
#[derive(ToSchema)]
pub(crate) struct Merchant {
    id: String,
    name: String,
    status: String,
    fee: FeeSchedule,
    fee_version: u32,
    settlement_delay_days: u32,
    /// returned or kept.
    refund_fee: String,
    negative_limit: Vec<Amount>,
    metadata: Option<BTreeMap<String, String>>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// An API key.
#[derive(ToSchema)]
pub(crate) struct ApiKey {
    id: String,
    role: String,
    merchant_id: Option<String>,
    /// active or revoked.
    status: String,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A new API key: `secret` is shown this once, and null in a replay.
#[derive(ToSchema)]
pub(crate) struct CreatedKey {
    #[serde(flatten)]
    key: ApiKey,
    secret: Option<String>,
}

/// The card of a payment. What a decline does not know is null.
#[derive(ToSchema)]
pub(crate) struct PaymentCard {
    id: Option<String>,
    brand: Option<String>,
    last4: String,
    exp_month: u8,
    exp_year: u16,
}

/// A payment.
#[derive(ToSchema)]
pub(crate) struct Payment {
    id: String,
    status: String,
    merchant_id: String,
    client_id: Option<String>,
    /// First asked.
    amount: Amount,
    authorized: Amount,
    captured: Amount,
    released: Amount,
    refunded: Amount,
    disputed: Amount,
    charged_back: Amount,
    capturable: Amount,
    refundable: Amount,
    /// Taken minus given back.
    fee: Amount,
    /// Null when the payment's own currency funds it.
    funding: Option<Amount>,
    card: PaymentCard,
    capture: String,
    reference: Option<String>,
    description: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    decline_code: Option<String>,
    expires_at: Option<String>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A refund.
#[derive(ToSchema)]
pub(crate) struct Refund {
    id: String,
    payment_id: String,
    amount: Amount,
    reason: Option<String>,
    created_at: String,
    updated_at: String,
    position: u64,
}
