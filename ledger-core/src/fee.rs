//! Fees: a percentage and a fixed part, rounded half up, once.

use std::fmt;
use std::str::FromStr;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::money::{Currency, Money};

/// A percentage from 0 to 100 with at most four decimals; its text is kept as sent (`"1.40"`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(Decimal);

/// The text is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPercent {
    /// Not digits with at most one point between them.
    #[error("malformed percentage")]
    Malformed,
    /// Above 100, or more than four decimals.
    #[error("percentage out of range")]
    OutOfRange,
}

impl Percent {
    /// Computes the percentage of an amount of minor units, rounded half up.
    pub fn of(self, amount: i64) -> i64 {
        let exact = Decimal::from(amount) * self.0 / Decimal::ONE_HUNDRED;
        exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64().unwrap_or(amount)
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        // One spelling: what is stored is what was sent.
        let padded = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(decimals) || padded {
            return Err(InvalidPercent::Malformed);
        }
        let value = Decimal::from_str_exact(text).map_err(|_| InvalidPercent::OutOfRange)?;
        let in_range = value <= Decimal::ONE_HUNDRED && value.scale() <= 4;
        in_range.then_some(Self(value)).ok_or(InvalidPercent::OutOfRange)
    }
}

impl TryFrom<String> for Percent {
    type Error = InvalidPercent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a merchant pays for a capture.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeeSchedule {
    /// Of the captured amount.
    pub percent: Percent,
    /// Once a payment, on its first capture; at most one amount per currency, none is nothing.
    pub fixed: Vec<Money>,
}

impl FeeSchedule {
    /// Computes a capture's fee: `min(captured, half_up(captured × percent ÷ 100) + fixed)`.
    pub fn on_capture(&self, captured: Money, first: bool) -> i64 {
        let fixed = if first { amount_in(&self.fixed, captured.currency) } else { 0 };
        self.percent.of(captured.amount).saturating_add(fixed).clamp(0, captured.amount.max(0))
    }
}

/// Finds the amount of a currency in a list of at most one per currency; none is zero.
pub fn amount_in(list: &[Money], currency: Currency) -> i64 {
    list.iter().find(|money| money.currency == currency).map_or(0, |money| money.amount)
}

/// Whether refunds give the fee back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundFee {
    /// In proportion to what is refunded.
    Returned,
    /// The house keeps it.
    Kept,
}

/// Computes what of the fees one more refund gives back:
/// `half_up(taken × refunded ÷ captured) − given_back`, where `refunded` includes this refund.
///
/// Computed over running totals, so rounding never drifts. Several captures under changed fees can put
/// the difference below zero or above the refund itself; it is then held to these, and the next refund
/// evens it out.
pub fn given_back(taken: i64, given_back: i64, captured: i64, refunded: i64, refund: i64) -> i64 {
    let doubled = 2 * i128::from(taken) * i128::from(refunded) + i128::from(captured);
    let target = doubled.checked_div(2 * i128::from(captured)).unwrap_or(0);
    let due = target - i128::from(given_back);
    due.clamp(0, i128::from(refund.max(0))) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().unwrap())
    }

    fn schedule(percent: &str, fixed: &[Money]) -> FeeSchedule {
        FeeSchedule { percent: percent.parse().unwrap(), fixed: fixed.to_vec() }
    }

    #[test]
    fn the_example_of_the_contract() {
        let fee = schedule("1.40", &[eur(25)]);
        assert_eq!(fee.on_capture(eur(10_000), true), 165);
        assert_eq!(fee.on_capture(eur(10_000), false), 140);
        assert_eq!(given_back(165, 0, 10_000, 10_000, 10_000), 165);
    }

    #[test]
    fn rounds_half_up_and_never_takes_more_than_was_captured() {
        assert_eq!(schedule("0.5", &[]).on_capture(eur(100), true), 1);
        assert_eq!(schedule("0.4999", &[]).on_capture(eur(100), true), 0);
        assert_eq!(schedule("2.5", &[]).on_capture(eur(100), true), 3);
        assert_eq!(schedule("100", &[eur(25)]).on_capture(eur(7), true), 7);
        assert_eq!(
            schedule("1.40", &[Money::new(25, "USD".parse().unwrap())]).on_capture(eur(10_000), true),
            140
        );
    }

    #[test]
    fn a_refund_never_gives_back_more_than_itself_nor_less_than_nothing() {
        // The fee was kept on fifty of a hundred, all of which are fee; now it is given back again.
        assert_eq!(given_back(100, 0, 100, 51, 1), 1);
        assert_eq!(given_back(100, 1, 100, 100, 49), 49);
        // Five of ten were given back on fifty of a hundred; then a hundred more cost nothing.
        assert_eq!(given_back(10, 5, 200, 51, 1), 0);
        assert_eq!(given_back(10, 5, 200, 200, 149), 5);
    }

    #[test]
    fn a_fee_is_never_negative_and_never_overflows() {
        for fixed in [i64::MIN, -1, i64::MAX] {
            for percent in ["0", "100"] {
                for captured in [1, i64::MAX] {
                    let fee = schedule(percent, &[eur(fixed)]).on_capture(eur(captured), true);
                    assert!((0..=captured).contains(&fee), "{fixed} {percent} {captured}: {fee}");
                }
            }
        }
    }

    #[test]
    fn percentages_are_plain_decimals() {
        for text in ["0", "1.40", "100", "100.0000", "0.0001"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        for text in ["", ".5", "5.", "-1", "+1", "1e1", "1_0", " 1", "1,5", "01", "00.5"] {
            assert_eq!(text.parse::<Percent>(), Err(InvalidPercent::Malformed), "{text}");
        }
        for text in ["100.0001", "101", "0.00001", "99999999999999999999999999999999999"] {
            assert_eq!(text.parse::<Percent>(), Err(InvalidPercent::OutOfRange), "{text}");
        }
    }

    proptest! {
        #[test]
        fn refunds_in_any_parts_give_all_of_the_fee_back(captured in 1_i64..10_000_000, fee_share in 0_i64..=100, cuts in prop::collection::vec(1_i64..1_000_000, 0..8)) {
            let taken = captured * fee_share / 100;
            let (mut refunded, mut back) = (0, 0);
            for part in cuts.into_iter().chain([captured]) {
                let refund = part.min(captured - refunded);
                refunded += refund;
                let given = given_back(taken, back, captured, refunded, refund);
                prop_assert!(given >= 0 && given <= refund.max(0));
                back += given;
            }
            prop_assert_eq!(back, taken);
        }
    }
}
