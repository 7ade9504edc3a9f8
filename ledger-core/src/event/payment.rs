//! What happens to payments, but for their disputes.

use serde::{Deserialize, Serialize};

use super::decline::DeclineCode;
use crate::card_number::{Brand, Expiry};
use crate::fx::Rate;
use crate::ids::{CardId, ClientId, MerchantId, RefundId};
use crate::money::{Currency, Money};
use crate::personal::{Reason, Sealed};
use crate::time::{Day, Timestamp};

/// `payment.authorized`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// Whose money is held.
    pub client_id: ClientId,
    /// From this moment on nothing more can be captured.
    pub expires_at: Timestamp,
    /// The currency that pays, where it is not the payment's.
    pub funding: Option<Funding>,
    /// What was asked.
    #[serde(flatten)]
    pub details: PaymentDetails,
}

/// `payment.declined`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentDeclined {
    /// The holder, if the card is known.
    pub client_id: Option<ClientId>,
    /// Why.
    pub decline_code: DeclineCode,
    /// What was asked.
    #[serde(flatten)]
    pub details: PaymentDetails,
}

/// What the merchant said of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentDetails {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// The amount that was asked for.
    pub amount: Money,
    /// The card.
    pub card: PaymentCard,
    /// When it is captured.
    pub capture: CaptureMode,
    /// The merchant's reference, in clear: payments are found by it.
    pub reference: Option<String>,
    /// Personal: what is paid for.
    pub description: Option<Sealed>,
    /// Personal: what the merchant noted.
    pub metadata: Option<Sealed>,
}

/// The card of a payment, as far as it may be kept. What a decline does not know is null.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentCard {
    /// The card, if the number is known.
    pub id: Option<CardId>,
    /// The number's brand, if it has one.
    pub brand: Option<Brand>,
    /// The number's last four digits.
    pub last4: String,
    /// The expiry that was sent.
    #[serde(flatten)]
    pub expiry: Expiry,
}

/// When a payment is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMode {
    /// With its authorization.
    Automatic,
    /// By a command of its own.
    Manual,
}

/// The currency that pays for a payment made in another. Recorded once, for the payment's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Funding {
    /// The currency that pays.
    pub currency: Currency,
    /// Major units of the payment's currency per major unit of the one that pays.
    pub rate: Rate,
}

/// `payment.authorization_incremented`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentIncremented {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money is held.
    pub client_id: ClientId,
    /// How much more.
    pub amount: Money,
}

/// `payment.authorization_expiring`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentExpiring {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money is held.
    pub client_id: ClientId,
    /// From this moment on nothing more can be captured.
    pub expires_at: Timestamp,
    /// How much can be captured until then.
    pub capturable: Money,
}

/// `payment.captured`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// Who pays.
    pub client_id: ClientId,
    /// How much of the held amount was captured.
    pub amount: Money,
    /// The house's part of it.
    pub fee: Money,
    /// The settings that the fee was computed with.
    pub fee_version: u32,
    /// Whether the rest was released.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// How much was released.
    pub released: Money,
    /// The first UTC day whose settlement takes this capture.
    pub settles_on: Day,
}

/// `payment.voided`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentVoided {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money was held.
    pub client_id: ClientId,
    /// How much was released.
    pub amount: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// `payment.expired`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentExpired {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money was held.
    pub client_id: ClientId,
    /// How much was released.
    pub amount: Money,
}

/// `payment.refunded`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// Who pays back.
    pub merchant_id: MerchantId,
    /// Who gets it.
    pub client_id: ClientId,
    /// The refund.
    pub refund_id: RefundId,
    /// How much the client gets.
    pub amount: Money,
    /// How much of it the house gives back of its fee.
    pub fee_returned: Money,
    /// How much of it came from the merchant's pending balance.
    pub drawn: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}
