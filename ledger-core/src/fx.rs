//! Foreign exchange: rates between currencies, and what an amount in one costs in another.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::command::{Context, SetFxRate};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, FxRateSet};
use crate::ids::StreamId;
use crate::journal::JournalEntry;
use crate::money::{Currency, Money};
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// Digits before the point of a rate, at most.
const WHOLE_DIGITS_MAX: usize = 12;

/// Digits after the point of a rate, at most.
const DECIMALS_MAX: usize = 12;

/// Major units of one currency per major unit of another: a decimal above zero with at most twelve digits
/// on either side of the point. Its text is kept as sent (`"1.0850"`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Decimal);

/// The text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// Not digits with at most one point between them.
    #[error("malformed rate")]
    Malformed,
    /// Zero, or more than twelve digits before or after the point.
    #[error("rate out of range")]
    OutOfRange,
}

impl Rate {
    /// Computes what an amount costs in the currency that pays, in its minor units, rounded up:
    /// `ceil(amount ÷ rate)`, the exponents of both currencies minded. Nothing costs nothing. `None` if it
    /// is more than can be counted.
    ///
    /// Exact: at most 10^19 × 10^12 × 10^4 is divided, far below what `i128` holds.
    pub fn cost(self, amount: Money, paid_in: Currency) -> Option<i64> {
        let scaled = i128::from(amount.amount) * 10_i128.pow(self.0.scale() + paid_in.exponent());
        let unit = self.0.mantissa() * 10_i128.pow(amount.currency.exponent());
        let cost = scaled.div_euclid(unit) + i128::from(scaled.rem_euclid(unit) > 0);
        cost.try_into().ok()
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        // One spelling: what is stored is what was sent.
        let padded = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(decimals) || padded {
            return Err(InvalidRate::Malformed);
        }
        if whole.len() > WHOLE_DIGITS_MAX || decimals.len() > DECIMALS_MAX {
            return Err(InvalidRate::OutOfRange);
        }
        let rate = Decimal::from_str_exact(text).map_err(|_| InvalidRate::OutOfRange)?;
        (!rate.is_zero()).then_some(Self(rate)).ok_or(InvalidRate::OutOfRange)
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rate of a pair of currencies, as the last event of the pair's stream has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FxRate {
    /// What was set last.
    pub set: FxRateSet,
    /// Where the stream stands.
    pub stamp: Stamp,
}

impl FxRate {
    /// Takes the rate of an event, whatever was before. `None` if the event is not one of a rate.
    ///
    /// `created_at` is the moment of this rate, not of the pair's first.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let Event::FxRateSet(set) = envelope.event() else { return None };
        Some(Self { set: set.clone(), stamp: Stamp::first(envelope) })
    }

    /// Returns the rate, unless it has expired.
    pub fn at(&self, now: Timestamp) -> Option<Rate> {
        (now < self.set.valid_until).then_some(self.set.rate)
    }
}

/// Sets the rate of a pair; the one before it is used no more.
pub fn set_rate(command: &SetFxRate, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let SetFxRate { from, to, rate, valid_until } = *command;
    if valid_until <= context.now {
        return Err(Conflict::FxRateExpired { valid_until, now: context.now }.into());
    }
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::FxPair(from, to),
        event: Event::FxRateSet(FxRateSet { from, to, rate, valid_until }),
        postings: JournalEntry::none(),
    }])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::Command;
    use crate::testing::{BEGIN, Ledger, money, set_rate};

    fn cost(amount: Money, rate: &str, paid_in: &str) -> Option<i64> {
        rate.parse::<Rate>().unwrap().cost(amount, paid_in.parse().unwrap())
    }

    #[test]
    fn what_is_paid_is_rounded_up_to_a_minor_unit() {
        // 108.50 USD at 1.0850 USD per EUR are 100.00 EUR; a cent more is a cent more.
        assert_eq!(cost(money(10_850, "USD"), "1.0850", "EUR"), Some(10_000));
        assert_eq!(cost(money(10_851, "USD"), "1.0850", "EUR"), Some(10_001));
        assert_eq!(cost(money(1, "USD"), "1.0850", "EUR"), Some(1));
        assert_eq!(cost(money(0, "USD"), "1.0850", "EUR"), Some(0));
    }

    #[test]
    fn exponents_are_minded() {
        // 1 EUR is 160 JPY: 1600 yen are 10.00 EUR.
        assert_eq!(cost(money(1_600, "JPY"), "160", "EUR"), Some(1_000));
        // 1 JPY is 0.0062 EUR: 10.00 EUR are 161 291 ÷ 100 yen, rounded up.
        assert_eq!(cost(money(1_000, "EUR"), "0.0062", "JPY"), Some(1_613));
        // 1 KWD is 3.25 USD: 3.25 USD are 1.000 KWD.
        assert_eq!(cost(money(325, "USD"), "3.25", "KWD"), Some(1_000));
        // 1 CLF is 41.50 USD: 41.50 USD are 1.0000 CLF.
        assert_eq!(cost(money(4_150, "USD"), "41.50", "CLF"), Some(10_000));
    }

    #[test]
    fn what_can_not_be_counted_is_none() {
        assert_eq!(cost(money(i64::MAX, "EUR"), "0.000000000001", "CLF"), None);
        assert_eq!(cost(money(i64::MAX, "CLF"), "999999999999.999999999999", "JPY"), Some(923));
    }

    #[test]
    fn rates_are_plain_decimals_above_zero() {
        for text in ["1", "1.0850", "0.000000000001", "999999999999.999999999999"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", ".5", "5.", "-1", "+1", "1e1", "1_0", " 1", "1,5", "01", "00.5"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate::Malformed), "{text}");
        }
        for text in ["0", "0.000000000000", "0.0000000000001", "1000000000000"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate::OutOfRange), "{text}");
        }
    }

    #[test]
    fn a_rate_is_set_until_a_moment_to_come() {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let set = |valid_until| {
            let (from, to, rate) = (money(0, "EUR").currency, money(0, "JPY").currency, "160.50");
            Command::SetFxRate(SetFxRate { from, to, rate: rate.parse().unwrap(), valid_until })
        };
        let too_late = Conflict::FxRateExpired { valid_until: begin, now: begin };
        let ledger = Ledger::new().when(set(begin)).then_rejected(too_late).when(set(begin.plus_micros(1)));
        let found = ledger.state.fx_rate(money(0, "EUR").currency, money(0, "JPY").currency).unwrap();
        assert_eq!(Event::FxRateSet(found.set.clone()), *ledger.appended()[0].event());
        assert_eq!(found.set.rate.to_string(), "160.50");
        assert_eq!(found.at(begin), Some(found.set.rate));
        assert_eq!(found.at(begin.plus_micros(1)), None);
        // The way back is a rate of its own.
        assert_eq!(ledger.state.fx_rate(money(0, "JPY").currency, money(0, "EUR").currency), None);
    }

    #[test]
    fn a_new_rate_takes_the_place_of_the_old_one() {
        let ledger = Ledger::new()
            .given(set_rate("EUR", "JPY", "160", 30))
            .later(5)
            .given(set_rate("EUR", "JPY", "170", 1));
        let found = ledger.state.fx_rate(money(0, "EUR").currency, money(0, "JPY").currency).unwrap();
        assert_eq!((found.set.rate.to_string().as_str(), found.stamp.version), ("170", 2));
        let begin: Timestamp = BEGIN.parse().unwrap();
        assert_eq!(found.stamp.created_at, begin.plus_micros(5));
        assert_eq!(found.at(begin.plus_days(2)), None);
    }

    proptest! {
        #[test]
        fn a_total_costs_what_its_parts_add_to(cuts in prop::collection::vec(1_i64..1_000_000, 1..8), rate in 1_i64..10_000_000) {
            let rate: Rate = Decimal::new(rate, 4).to_string().parse().unwrap();
            let euro = "EUR".parse().unwrap();
            let cost = |total| rate.cost(money(total, "JPY"), euro).unwrap();
            let (mut total, mut paid) = (0, 0);
            for part in cuts {
                let leg = cost(total + part) - cost(total);
                prop_assert!(leg >= 0);
                total += part;
                paid += leg;
            }
            prop_assert_eq!(paid, cost(total));
        }
    }
}
