//! Money: minor units that can't overflow, and the limits that the contract sets to them.

use std::fmt;

use ledger_core::Currency;

/// The largest amount of one request.
pub(super) const AMOUNT_MAX: i128 = 999_999_999_999;

/// What no client's or merchant's balance may pass, in either direction: 2^53 − 1.
pub(super) const BALANCE_MAX: i128 = 9_007_199_254_740_991;

/// An amount of minor units of a currency.
///
/// Wider than the log's own numbers: sums over a log that was tampered with must not overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Money {
    pub(super) minor: i128,
    pub(super) currency: Currency,
}

impl Money {
    pub(super) const fn new(minor: i128, currency: Currency) -> Self {
        Self { minor, currency }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.minor, self.currency)
    }
}
