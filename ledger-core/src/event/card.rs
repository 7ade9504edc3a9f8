//! What happens to cards.

use serde::{Deserialize, Serialize};

use crate::card_number::{Brand, Expiry};
use crate::ids::ClientId;
use crate::personal::Reason;

/// `card.issued`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardIssued {
    /// The holder.
    pub client_id: ClientId,
    /// The brand.
    pub brand: Brand,
    /// The last four digits.
    pub last4: String,
    /// When the card stops being valid.
    #[serde(flatten)]
    pub expiry: Expiry,
    /// Whether the number was brought along rather than made by us.
    pub registered: bool,
    /// The version of the key that the fingerprint was computed with.
    pub fingerprint_key: u32,
    /// The version of the key that the CVC was computed with.
    pub cvc_key: u32,
}

/// `card.blocked`, `card.unblocked`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Because {
    /// The holder.
    pub client_id: ClientId,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}
