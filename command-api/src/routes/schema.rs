//! What commands answer, for the documentation; [`crate::resource`] writes it.

#![expect(dead_code, reason = "describes what is rendered elsewhere")]

use std::collections::BTreeMap;

use api_kit::problem::decline_codes;
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

/// The currency that pays for a payment made in another; amounts in its minor units.
#[derive(ToSchema)]
pub(crate) struct Funding {
    currency: String,
    /// Major units of the payment's currency per major unit of this one.
    rate: String,
    /// Held now.
    held: i64,
    captured: i64,
    refunded: i64,
}

/// Why a payment was declined.
#[derive(ToSchema)]
pub(crate) struct Decline {
    rule: String,
    numbers: BTreeMap<String, serde_json::Value>,
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
    funding: Option<Funding>,
    card: PaymentCard,
    capture: String,
    reference: Option<String>,
    description: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    #[schema(schema_with = decline_codes)]
    decline_code: Option<String>,
    /// The rule that a declined payment met, and its numbers; else null.
    decline: Option<Decline>,
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

/// A merchant's money in one currency, in minor units.
#[derive(ToSchema)]
pub(crate) struct MerchantBalance {
    currency: String,
    pending: i64,
    /// Below zero it is a debt.
    available: i64,
    reserved: i64,
    in_transit: i64,
}

/// A deposit to a merchant.
#[derive(ToSchema)]
pub(crate) struct MerchantCashMoved {
    merchant_id: String,
    amount: Amount,
    reference: Option<String>,
    /// Of the currency that moved.
    balances: Vec<MerchantBalance>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A debt, or a part of one, that was written off.
#[derive(ToSchema)]
pub(crate) struct WriteOff {
    merchant_id: String,
    amount: Amount,
    reason: Option<String>,
    /// Of the currency that moved.
    balances: Vec<MerchantBalance>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A dispute.
#[derive(ToSchema)]
pub(crate) struct Dispute {
    id: String,
    payment_id: String,
    merchant_id: String,
    amount: Amount,
    reason: Option<String>,
    /// `needs_response`, `under_review`, `won` or `lost`.
    status: String,
    respond_by: String,
    /// What the merchant said last.
    evidence: Option<String>,
    reopened: bool,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A settlement.
#[derive(ToSchema)]
pub(crate) struct Settlement {
    id: String,
    merchant_id: String,
    currency: String,
    /// The last day that it takes.
    through_day: String,
    /// How many captures it takes.
    count: u64,
    gross: Amount,
    fees: Amount,
    /// What refunds had drawn before.
    absorbed: Amount,
    /// What became available.
    amount: Amount,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// The settlements that a command closed.
#[derive(ToSchema)]
pub(crate) struct Settlements {
    data: Vec<Settlement>,
}

/// A payout.
#[derive(ToSchema)]
pub(crate) struct Payout {
    id: String,
    merchant_id: String,
    amount: Amount,
    /// requested, paid, failed or returned.
    status: String,
    reference: Option<String>,
    /// What the bank's last news was explained by.
    reason: Option<String>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A correction of one event.
#[derive(ToSchema)]
pub(crate) struct Correction {
    id: String,
    /// requested or approved.
    status: String,
    /// The event.
    reverses: String,
    /// The event's type.
    reverses_type: String,
    /// The event's position.
    reverses_position: u64,
    /// The stream that the event belongs to, and that the correction is written to.
    reverses_stream: String,
    /// How much the event moved.
    amount: Amount,
    /// The day that the correction belongs to.
    effective_date: String,
    reason: Option<String>,
    /// The API key that asked for it.
    requested_by: String,
    /// The API key that approved it; null until then.
    approved_by: Option<String>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A rate.
#[derive(ToSchema)]
pub(crate) struct FxRate {
    from: String,
    to: String,
    /// Major units of `to` per major unit of `from`.
    rate: String,
    valid_until: String,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// A bank statement, compared with the ledger.
#[derive(ToSchema)]
pub(crate) struct Reconciliation {
    id: String,
    /// csv or camt.053.
    format: String,
    /// SHA-256 of the file's bytes, in hex.
    file_hash: String,
    /// The first day that the statement speaks of.
    from: String,
    /// The last day that it speaks of.
    to: String,
    /// The currencies that it speaks of.
    currencies: Vec<String>,
    /// How many lines it has.
    lines: u64,
    /// The position up to which the log was read.
    through_position: u64,
    counts: MatchCounts,
    /// The first 50, the differences before what matched; the query API has them all.
    items: Vec<ReconciliationItem>,
    created_at: String,
    updated_at: String,
    position: u64,
}

/// How many items came out how.
#[derive(ToSchema)]
pub(crate) struct MatchCounts {
    /// Both have it.
    matched: u64,
    /// The bank has it, the ledger does not.
    missing_here: u64,
    /// The ledger has it, the bank does not.
    missing_there: u64,
    /// Both have it, with different amounts.
    amount_differs: u64,
    /// The bank has it twice, the ledger once.
    duplicate: u64,
}

/// What became of a line, of a movement, or of both.
#[derive(ToSchema)]
pub(crate) struct ReconciliationItem {
    /// missing_here, missing_there, amount_differs, duplicate or matched.
    result: String,
    line: Option<StatementLine>,
    movement: Option<BankMovement>,
}

/// What the bank says.
#[derive(ToSchema)]
pub(crate) struct StatementLine {
    /// The line of a CSV file; in camt.053 the booked transactions, from 1.
    number: u64,
    date: String,
    /// in or out, seen from the house.
    direction: String,
    amount: Amount,
    reference: Option<String>,
}

/// What the ledger says.
#[derive(ToSchema)]
pub(crate) struct BankMovement {
    event_id: String,
    position: u64,
    /// The event's type.
    r#type: String,
    /// Of deposits and withdrawals of clients.
    client_id: Option<String>,
    /// Of deposits to merchants.
    merchant_id: Option<String>,
    /// Of payouts.
    payout_id: Option<String>,
    date: String,
    amount: Amount,
    reference: Option<String>,
}

/// What became of one command of a bulk request.
#[derive(ToSchema)]
pub(crate) struct BulkOutcome {
    /// As of a single request.
    status: u16,
    /// As of a single request.
    body: serde_json::Value,
    /// Whether an earlier request with the same key made it.
    replayed: bool,
    /// As the header Ledger-Position of a single request.
    position: Option<u64>,
}

/// The outcomes of a bulk request, in order.
#[derive(ToSchema)]
pub(crate) struct Outcomes {
    outcomes: Vec<BulkOutcome>,
}
