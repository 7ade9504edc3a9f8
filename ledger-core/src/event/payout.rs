//! What happens to payouts.

use serde::{Deserialize, Serialize};

use crate::ids::MerchantId;
use crate::money::Money;
use crate::personal::Reason;

/// `payout.requested`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PayoutRequested {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// The merchant's reference, in clear.
    pub reference: Option<String>,
}

/// `payout.paid`, `payout.failed`, `payout.returned`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PayoutChanged {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}
