//! What happens to rates.

use serde::{Deserialize, Serialize};

use crate::fx::Rate;
use crate::money::Currency;
use crate::time::Timestamp;

/// `fx.rate_set`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FxRateSet {
    /// The currency that pays.
    pub from: Currency,
    /// The currency that is paid in.
    pub to: Currency,
    /// Major units of `to` per major unit of `from`.
    pub rate: Rate,
    /// From then on the rate is used no more.
    pub valid_until: Timestamp,
}
