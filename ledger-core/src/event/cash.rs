//! Money that comes from the bank, or goes to it.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::personal::Sealed;

/// `client.deposited`, `client.withdrawn`, `merchant.deposited`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CashMoved {
    /// How much.
    pub amount: Money,
    /// Personal: the bank's or the operator's reference.
    pub reference: Option<Sealed>,
}
