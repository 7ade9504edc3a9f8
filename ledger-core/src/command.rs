//! What the ledger can be told to do, with every fact from outside already looked up.

use serde_json::Value;

use crate::api_key::Role;
use crate::card_number::{Brand, Expiry, Fingerprint};
use crate::event::{PaymentDetails, Settings};
use crate::fee::{FeeSchedule, RefundFee};
use crate::ids::{CardId, ClientId, EventId, KeyId, MerchantId, PaymentId, RefundId};
use crate::money::Money;
use crate::personal::Sealed;
use crate::time::Timestamp;

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
    /// Creates an API key.
    CreateKey(CreateKey),
    /// Revokes an API key.
    RevokeKey(KeyId),
    /// Makes a payment.
    Authorize(Box<Authorize>),
    /// Captures held money.
    Capture(Capture),
    /// Releases what was not captured.
    Void(Void),
    /// Gives captured money back.
    Refund(Refund),
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

/// What a decision needs besides the state and the command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The moment that the events will bear.
    pub now: Timestamp,
    /// Ids for the events, in order; no command makes more than two.
    pub event_ids: [EventId; 2],
}
