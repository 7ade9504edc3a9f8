//! Foreign exchange: rates as they were set, and what a payment costs in the currency that pays.

use std::fmt;

use ledger_core::Currency;
use ledger_core::ids::StreamId;

use super::account::Move;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Ledger};
use super::moment::Moment;

/// How many digits a rate may have on either side of its point.
const DIGITS_MAX: usize = 12;

/// Major units of one currency per major unit of another: `mantissa ÷ 10^scale`, above zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    mantissa: i128,
    scale: u32,
}

impl Rate {
    /// Reads a decimal in its one spelling: no sign, no leading zeros, trailing zeros as they were sent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{decimals}");
        let fits = whole.len() <= DIGITS_MAX
            && decimals.len() <= DIGITS_MAX
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        let mantissa = digits.parse().ok().filter(|_| fits)?;
        let rate = Self { mantissa, scale: u32::try_from(decimals.len()).ok()? };
        (mantissa > 0 && rate.to_string() == text).then_some(rate)
    }

    /// Computes what a total costs in the currency that pays, in minor units, rounded up; nothing costs
    /// nothing. A forged log may hold any amounts: what is more than can be counted is the most that can.
    pub(super) fn cost(self, total: i128, currency: Currency, paid_in: Currency) -> i128 {
        let number = total.max(0).saturating_mul(power(self.scale + paid_in.exponent()));
        let by = self.mantissa * power(currency.exponent());
        (number.saturating_add(by - 1) / by).min(i128::from(i64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = power(self.scale);
        write!(f, "{}", self.mantissa / unit)?;
        match self.scale {
            0 => Ok(()),
            scale => write!(f, ".{:0width$}", self.mantissa % unit, width = scale as usize),
        }
    }
}

const fn power(exponent: u32) -> i128 {
    10_i128.pow(exponent)
}

/// The currency that pays for a payment made in another, and the rate at its authorization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Funding {
    pub(super) currency: Currency,
    pub(super) rate: Rate,
}

impl fmt::Display for Funding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.currency, self.rate)
    }
}

impl Funding {
    /// Reads the funding of an authorization; none if the payment's own currency pays.
    pub(super) fn read(data: Fields<'_>) -> Result<Option<Self>, Malformed> {
        if !data.has("funding") {
            return Ok(None);
        }
        let funding = data.object("funding")?.exactly("funding", &[&["currency", "rate"]])?;
        Ok(Some(Self { currency: funding.currency("currency")?, rate: rate(funding)? }))
    }
}

/// The rate of a pair of currencies as it was set last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) rate: Rate,
    pub(super) valid_until: Moment,
}

impl Ledger {
    pub(super) fn fx_rate_set(&mut self, event: &Event, desk: &mut Desk<'_>) -> Result<Vec<Move>, Malformed> {
        let StreamId::FxPair(from, to) = event.stream else {
            return Err(Malformed::new("stream_id", "a pair of currencies"));
        };
        let data = event.data_of(&[&["from", "to", "rate", "valid_until"]])?;
        let quote = Quote { rate: rate(data)?, valid_until: data.moment("valid_until")? };
        let check = &mut desk.check;
        check.same("from", from, data.currency("from")?);
        check.same("to", to, data.currency("to")?);
        check.holds(from != to, "to", "another currency than from", to);
        check.holds(
            quote.valid_until > event.at,
            "valid_until",
            format!("later than {}", event.at),
            quote.valid_until,
        );
        self.rates.entry(to).or_default().insert(from, quote);
        Ok(Vec::new())
    }

    /// Lists what can pay at a moment for a payment in a currency, in the order of the contract.
    pub(super) fn rates_to(&self, to: Currency, at: Moment) -> impl Iterator<Item = Funding> {
        let quotes = self.rates.get(&to).into_iter().flatten();
        quotes
            .filter(move |(_, quote)| at < quote.valid_until)
            .map(|(from, quote)| Funding { currency: *from, rate: quote.rate })
    }
}

fn rate(data: Fields<'_>) -> Result<Rate, Malformed> {
    Rate::parse(data.text("rate")?).ok_or(Malformed::new("rate", "a decimal above zero, 12 digits a side"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(total: i128, currency: &str, rate: &str, paid_in: &str) -> i128 {
        let rate = Rate::parse(rate).unwrap();
        rate.cost(total, currency.parse().unwrap(), paid_in.parse().unwrap())
    }

    #[test]
    fn what_is_paid_is_rounded_up() {
        assert_eq!(cost(10_850, "USD", "1.0850", "EUR"), 10_000);
        assert_eq!(cost(10_851, "USD", "1.0850", "EUR"), 10_001);
        assert_eq!(cost(1, "USD", "999999999999", "EUR"), 1);
        assert_eq!(cost(0, "USD", "1.0850", "EUR"), 0);
    }

    #[test]
    fn exponents_are_minded() {
        assert_eq!(cost(1_600, "JPY", "160", "EUR"), 1_000);
        assert_eq!(cost(1_000, "EUR", "0.0062", "JPY"), 1_613);
        assert_eq!(cost(325, "USD", "3.25", "KWD"), 1_000);
        assert_eq!(cost(4_150, "USD", "41.50", "CLF"), 10_000);
    }

    #[test]
    fn rates_have_one_spelling() {
        for text in ["1.0850", "0.000000000001", "160", "999999999999.999999999999", "0.50"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "1.", ".5", "01.5", "-1", "+1", "1e3", "0", "0.00", "1,5", "1234567890123"] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn forged_totals_stop_at_the_end() {
        assert_eq!(cost(i128::MAX, "EUR", "0.000000000001", "CLF"), i128::from(i64::MAX));
        assert_eq!(cost(-5, "EUR", "1", "USD"), 0);
    }
}
