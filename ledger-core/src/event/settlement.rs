//! What happens to settlements.

use serde::{Deserialize, Serialize};

use crate::ids::MerchantId;
use crate::money::{Currency, Money};
use crate::time::Day;

/// `settlement.closed`. Its items are the merchant's captures in the currency that no earlier settlement
/// took, with `settles_on` up to `through_day`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettlementClosed {
    /// Who is settled.
    pub merchant_id: MerchantId,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The last day that is taken.
    pub through_day: Day,
    /// How many captures it takes.
    pub count: u64,
    /// What they captured.
    pub gross: Money,
    /// The house's part of it.
    pub fees: Money,
    /// What refunds had drawn before and is made up for now.
    pub absorbed: Money,
    /// What becomes available: `gross − fees − absorbed`.
    pub amount: Money,
}
