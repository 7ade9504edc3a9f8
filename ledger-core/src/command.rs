//! What the ledger can be told to do, with every fact from outside already looked up.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api_key::Role;
use crate::card_number::{Brand, Expiry, Fingerprint};
use crate::envelope::Envelope;
use crate::event::{PaymentDetails, Settings};
use crate::fee::{FeeSchedule, RefundFee};
use crate::fx::Rate;
use crate::ids::{
    CardId, ClientId, CorrectionId, DisputeId, EventId, KeyId, MerchantId, PaymentId, PayoutId,
    ReconciliationId, RefundId, SettlementId,
};
use crate::money::{Currency, Money};
use crate::personal::Sealed;
use crate::reconciliation::item::Item;
use crate::reconciliation::statement::{FileHash, StatementFormat};
use crate::time::{Day, Timestamp};

/// One thing to do. Ids, nonces and ciphertexts were made before, so that running it again makes the
/// same events.
#[derive(Clone, Debug)]
pub enum Command {
    /// Opens a client.
    OpenClient(OpenClient),
    /// Moves money from the bank to a client.
    Deposit(MoveCash),
    /// Moves money from a client to the bank.
    Withdraw(MoveCash),
    /// Closes a client.
    CloseClient(CloseClient),
    /// Issues or registers a card.
    IssueCard(IssueCard),
    /// Blocks a card.
    BlockCard(ChangeCard),
    /// Unblocks a card.
    UnblockCard(ChangeCard),
    /// Opens a merchant.
    OpenMerchant(OpenMerchant),
    /// Changes a merchant's settings.
    ChangeSettings(ChangeSettings),
    /// Keeps a merchant from new payments and payouts.
    SuspendMerchant(ChangeMerchant),
    /// Ends a suspension.
    ReinstateMerchant(ChangeMerchant),
    /// Moves money from the bank to a merchant: how a debt is paid.
    DepositToMerchant(DepositToMerchant),
    /// Ends a merchant's debt at the house's expense.
    WriteOff(WriteOff),
    /// Creates an API key.
    CreateKey(CreateKey),
    /// Revokes an API key.
    RevokeKey(KeyId),
    /// Makes a payment.
    Authorize(Box<Authorize>),
    /// Holds more for a payment.
    Increment(Increment),
    /// Captures held money.
    Capture(Capture),
    /// Releases what was not captured.
    Void(Void),
    /// Gives captured money back.
    Refund(Refund),
    /// Tells that an authorization is about to expire. The scheduler's.
    WarnOfExpiry(PaymentId),
    /// Releases what was not captured in time. The scheduler's.
    Expire(PaymentId),
    /// Opens a dispute.
    OpenDispute(OpenDispute),
    /// Adds to what a merchant has to say in a dispute.
    SubmitEvidence(SubmitEvidence),
    /// Ends a dispute for the merchant.
    WinDispute(DisputeOf),
    /// Ends a dispute for the client.
    LoseDispute(DisputeOf),
    /// Ends a dispute for the client because the merchant said nothing in time. The scheduler's.
    LoseUnanswered(DisputeOf),
    /// Opens a dispute again that the merchant had won.
    ReopenDispute(ReopenDispute),
    /// Settles what is due.
    Settle(Settle),
    /// Sends available money to a merchant's bank account.
    RequestPayout(RequestPayout),
    /// Notes what the bank said of a payout.
    ChangePayout(ChangePayout),
    /// Asks for an event to be corrected.
    RequestCorrection(RequestCorrection),
    /// Approves a correction.
    ApproveCorrection(ApproveCorrection),
    /// Sets the rate from one currency to another.
    SetFxRate(SetFxRate),
    /// Records how a bank statement compares with the ledger.
    RunReconciliation(RunReconciliation),
}

/// Opens a client.
#[derive(Clone, Debug)]
pub struct OpenClient {
    /// The new client.
    pub id: ClientId,
    /// Personal: the name.
    pub name: Sealed,
    /// Personal: the e-mail address.
    pub email: Option<Sealed>,
    /// Personal: metadata.
    pub metadata: Option<Sealed>,
}

/// A deposit or a withdrawal.
#[derive(Clone, Debug)]
pub struct MoveCash {
    /// Whose money.
    pub client_id: ClientId,
    /// How much.
    pub amount: Money,
    /// Personal: a reference.
    pub reference: Option<Sealed>,
}

/// Closes a client.
#[derive(Clone, Debug)]
pub struct CloseClient {
    /// The client.
    pub id: ClientId,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Issues or registers a card.
#[derive(Clone, Debug)]
pub struct IssueCard {
    /// The new card.
    pub id: CardId,
    /// The holder.
    pub client_id: ClientId,
    /// What the number is known by.
    pub fingerprint: Fingerprint,
    /// The number's brand.
    pub brand: Brand,
    /// The number's last four digits.
    pub last4: String,
    /// When the card stops being valid.
    pub expiry: Expiry,
    /// Whether the number was brought along.
    pub registered: bool,
    /// The version of the fingerprint key.
    pub fingerprint_key: u32,
    /// The version of the CVC key.
    pub cvc_key: u32,
}

/// Blocks or unblocks a card.
#[derive(Clone, Debug)]
pub struct ChangeCard {
    /// The card.
    pub id: CardId,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Opens a merchant.
#[derive(Clone, Debug)]
pub struct OpenMerchant {
    /// The new merchant.
    pub id: MerchantId,
    /// The name.
    pub name: String,
    /// Metadata.
    pub metadata: Option<Value>,
    /// The first settings.
    pub settings: Settings,
}

/// Changes some of a merchant's settings; what is `None` stays.
#[derive(Clone, Debug)]
pub struct ChangeSettings {
    /// The merchant.
    pub id: MerchantId,
    /// What captures cost.
    pub fee: Option<FeeSchedule>,
    /// Days to settlement.
    pub settlement_delay_days: Option<u32>,
    /// Whether refunds give the fee back.
    pub refund_fee: Option<RefundFee>,
    /// How far below zero refunds may go.
    pub negative_limit: Option<Vec<Money>>,
}

/// Suspends or reinstates a merchant.
#[derive(Clone, Debug)]
pub struct ChangeMerchant {
    /// The merchant.
    pub id: MerchantId,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Moves money from the bank to a merchant.
#[derive(Clone, Debug)]
pub struct DepositToMerchant {
    /// The merchant.
    pub id: MerchantId,
    /// How much.
    pub amount: Money,
    /// Personal: a reference.
    pub reference: Option<Sealed>,
}

/// Ends a merchant's debt, or a part of it.
#[derive(Clone, Debug)]
pub struct WriteOff {
    /// The merchant.
    pub id: MerchantId,
    /// How much.
    pub amount: Money,
    /// Personal: why.
    pub reason: Sealed,
}

/// Creates an API key.
#[derive(Clone, Debug)]
pub struct CreateKey {
    /// The new key.
    pub id: KeyId,
    /// What it may do.
    pub role: Role,
    /// The merchant that a merchant's key is bound to.
    pub merchant_id: Option<MerchantId>,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
}

/// Makes a payment.
#[derive(Clone, Debug)]
pub struct Authorize {
    /// The new payment.
    pub id: PaymentId,
    /// What is asked; `card.id` is the card that the number's fingerprint led to.
    pub details: PaymentDetails,
    /// Whether the number passes Luhn and fits a brand.
    pub number_valid: bool,
    /// Whether the CVC is the one of the number with the expiry that was sent.
    pub cvc_matches: bool,
    /// How long the authorization can be captured, in days of 24 hours: a setting per brand.
    pub valid_days: u32,
}

/// Holds more for a payment.
#[derive(Clone, Debug)]
pub struct Increment {
    /// The payment.
    pub payment_id: PaymentId,
    /// The merchant that asks.
    pub merchant_id: MerchantId,
    /// How much more.
    pub amount: Money,
}

/// Captures held money.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The payment.
    pub payment_id: PaymentId,
    /// The merchant that asks.
    pub merchant_id: MerchantId,
    /// How much; all that is left if `None`.
    pub amount: Option<Money>,
    /// Whether the rest is released.
    pub is_final: bool,
}

/// Releases what was not captured.
#[derive(Clone, Debug)]
pub struct Void {
    /// The payment.
    pub payment_id: PaymentId,
    /// The merchant that asks.
    pub merchant_id: MerchantId,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Gives captured money back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The new refund.
    pub id: RefundId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The merchant that asks.
    pub merchant_id: MerchantId,
    /// How much; all that is left if `None`.
    pub amount: Option<Money>,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Opens a dispute.
#[derive(Clone, Debug)]
pub struct OpenDispute {
    /// The new dispute.
    pub id: DisputeId,
    /// The payment.
    pub payment_id: PaymentId,
    /// How much; all that is refundable if `None`.
    pub amount: Option<Money>,
    /// Personal: why.
    pub reason: Sealed,
}

/// A dispute, and the payment that it is of: a fact that was looked up.
#[derive(Clone, Copy, Debug)]
pub struct DisputeOf {
    /// The dispute.
    pub id: DisputeId,
    /// The payment.
    pub payment_id: PaymentId,
}

/// Adds evidence to a dispute.
#[derive(Clone, Debug)]
pub struct SubmitEvidence {
    /// The dispute.
    pub dispute: DisputeOf,
    /// The merchant that submits it.
    pub merchant_id: MerchantId,
    /// Personal: the evidence.
    pub text: Sealed,
}

/// Opens a dispute again.
#[derive(Clone, Debug)]
pub struct ReopenDispute {
    /// The dispute.
    pub dispute: DisputeOf,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// Closes a settlement for each merchant and currency that has something due.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The first new settlement; the others' ids follow.
    pub id: SettlementId,
    /// The one merchant that is asked for; all if `None`.
    pub merchant: Option<MerchantId>,
    /// What may have something due; at most [`SETTLEMENTS_MAX`].
    pub candidates: BTreeSet<(MerchantId, Currency)>,
    /// Takes what can be settled on this moment's day; the moment of the decision if `None`. It is too early
    /// for what is later.
    pub as_of: Option<Timestamp>,
}

/// How many settlements one command may close.
pub const SETTLEMENTS_MAX: usize = 1000;

/// Sends available money to a merchant's bank account.
#[derive(Clone, Debug)]
pub struct RequestPayout {
    /// The new payout.
    pub id: PayoutId,
    /// The merchant that asks.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// The merchant's reference, in clear: payouts are matched with bank statements by it.
    pub reference: Option<String>,
}

/// Notes what the bank said of a payout.
#[derive(Clone, Debug)]
pub struct ChangePayout {
    /// The payout.
    pub id: PayoutId,
    /// What the bank said.
    pub news: PayoutNews,
    /// Personal: why.
    pub reason: Option<Sealed>,
}

/// What a bank says of a payout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayoutNews {
    /// The money has left.
    Paid,
    /// The money never left.
    Failed,
    /// The money left and came back.
    Returned,
}

/// Asks for an event to be corrected.
#[derive(Clone, Debug)]
pub struct RequestCorrection {
    /// The new correction.
    pub id: CorrectionId,
    /// The event: a fact that was looked up.
    pub reversed: Box<Envelope>,
    /// The day that the correction belongs to.
    pub effective_date: Day,
    /// Personal: why.
    pub reason: Sealed,
}

/// Approves a correction.
#[derive(Clone, Debug)]
pub struct ApproveCorrection {
    /// The correction.
    pub id: CorrectionId,
    /// The event that it names: a fact that was looked up.
    pub reversed: Box<Envelope>,
    /// Who approves: the API key.
    pub by: KeyId,
}

/// Sets the rate from one currency to another.
#[derive(Clone, Debug)]
pub struct SetFxRate {
    /// The currency that pays.
    pub from: Currency,
    /// The currency that is paid in.
    pub to: Currency,
    /// Major units of `to` per major unit of `from`.
    pub rate: Rate,
    /// From then on the rate is used no more.
    pub valid_until: Timestamp,
}

/// Records how a bank statement compares with the ledger.
#[derive(Clone, Debug)]
pub struct RunReconciliation {
    /// The new run.
    pub id: ReconciliationId,
    /// How the statement is written.
    pub format: StatementFormat,
    /// What the file is known by.
    pub file_hash: FileHash,
    /// The first day that the statement speaks of.
    pub from: Day,
    /// The last day that it speaks of.
    pub to: Day,
    /// The currencies that it speaks of.
    pub currencies: BTreeSet<Currency>,
    /// The position up to which the log was read.
    pub through_position: u64,
    /// What became of its lines and of the ledger's movements, in order; what is sealed is sealed for the
    /// events of [`crate::reconciliation::event_of_item`].
    pub items: Vec<Item>,
}

/// What a decision needs besides the state and the command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The moment that the events will bear.
    pub now: Timestamp,
    /// The id of the first event; those of the others follow ([`EventId::plus`]).
    pub event_id: EventId,
}
