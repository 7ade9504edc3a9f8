//! What happens to merchants, and the settings that they have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fee::{FeeSchedule, RefundFee};
use crate::money::Money;
use crate::personal::Reason;

/// `merchant.opened`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MerchantOpened {
    /// The merchant's name: a company's, in clear.
    pub name: String,
    /// What the operator noted.
    pub metadata: Option<Value>,
    /// The first settings.
    #[serde(flatten)]
    pub settings: Settings,
}

/// A merchant's settings as they are from an event on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// What captures cost.
    pub fee: FeeSchedule,
    /// Counts the settings; captures record it.
    pub fee_version: u32,
    /// Days from a capture to its settlement, 0 to 30.
    pub settlement_delay_days: u32,
    /// Whether refunds give the fee back.
    pub refund_fee: RefundFee,
    /// How far below zero refunds may take the available balance; at most one amount per currency.
    pub negative_limit: Vec<Money>,
}

/// `merchant.suspended`, `merchant.reinstated`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StandingChanged {
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// `merchant.balance_written_off`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BalanceWrittenOff {
    /// How much of the debt ended.
    pub amount: Money,
    /// Why.
    pub reason: Reason,
}
