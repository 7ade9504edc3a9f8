//! Money: whole minor units of one ISO 4217 currency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The largest amount of one request, in minor units.
pub const AMOUNT_MAX: i64 = 999_999_999_999;

/// No payment total and no client's or merchant's balance may pass this, in either direction: 2^53 − 1,
/// what a JSON number holds exactly (RFC 8259 §6).
pub const BALANCE_MAX: i64 = 9_007_199_254_740_991;

/// An active ISO 4217 currency that has minor units. Orders alphabetically.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency([u8; 3]);

/// The text is no ISO 4217 code that money can be kept in: unknown, superseded, or without minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unsupported currency")]
pub struct UnsupportedCurrency;

impl Currency {
    /// Returns the three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the number of decimals of a major unit: 2 for EUR, 0 for JPY, 3 for KWD, 4 for CLF.
    pub fn exponent(self) -> u32 {
        iso(self.code()).map_or(0, |(_, exponent)| exponent)
    }
}

/// Finds a currency with minor units in the ISO 4217 table, active or not.
fn iso(code: &str) -> Option<(iso_currency::Currency, u32)> {
    let found = iso_currency::Currency::from_code(code)?;
    Some((found, u32::from(found.exponent()?)))
}

impl FromStr for Currency {
    type Err = UnsupportedCurrency;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        match iso(code) {
            // VED (926) was added beside VES (928), and did not take its place, as the crate's table says.
            Some((known, _)) if known.is_superseded().is_none() || code == "VES" => {
                code.to_owned().try_into()
            }
            _ => Err(UnsupportedCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = UnsupportedCurrency;

    /// Reads a stored code: events outlive the currencies that they are in (I11).
    fn try_from(code: String) -> Result<Self, Self::Error> {
        let letters = code.as_bytes().try_into().map_err(|_| UnsupportedCurrency)?;
        iso(&code).map(|_| Self(letters)).ok_or(UnsupportedCurrency)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of minor units (1234 is 12.34 EUR) in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative only in answers.
    pub amount: i64,
    /// The currency of the amount.
    pub currency: Currency,
}

impl Money {
    /// Makes an amount of minor units of a currency.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Writes the amount in major units with all of the currency's decimals: `12.34`, `-0.05`, `500`.
    pub fn decimal(self) -> String {
        let digits = self.currency.exponent() as usize;
        let sign = if self.amount < 0 { "-" } else { "" };
        let mut text = format!("{:0width$}", self.amount.unsigned_abs(), width = digits + 1);
        if digits > 0 {
            text.insert(text.len() - digits, '.');
        }
        format!("{sign}{text}")
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: i64, code: &str) -> Money {
        Money::new(amount, code.parse().unwrap())
    }

    #[test]
    fn exponents_are_those_of_iso_4217() {
        // The active codes with minor units, written down by hand.
        let list = [
            (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
            (
                2,
                "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE \
                 CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
                 HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK \
                 MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD \
                 RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH \
                 USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
            ),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
        ];
        for (exponent, codes) in list {
            for code in codes.split_whitespace() {
                assert_eq!(code.parse().map(Currency::exponent), Ok(exponent), "{code}");
            }
        }
    }

    #[test]
    fn refuses_what_has_no_minor_units_or_is_gone() {
        for code in ["XAU", "XXX", "XTS", "BGN", "HRK", "SLL", "ZWL", "eur", "EURO", "E", "", "€1"] {
            assert_eq!(code.parse::<Currency>(), Err(UnsupportedCurrency), "{code}");
        }
    }

    #[test]
    fn reads_stored_money_of_a_currency_that_is_gone() {
        let stored: Money = serde_json::from_str(r#"{"amount":5,"currency":"HRK"}"#).unwrap();
        assert_eq!(stored.currency.code(), "HRK");
        assert_eq!(String::from(stored.currency), "HRK");
        assert!(serde_json::from_str::<Money>(r#"{"amount":5,"currency":"XAU"}"#).is_err());
    }

    #[test]
    fn prints_major_units() {
        assert_eq!(money(1234, "EUR").decimal(), "12.34");
        assert_eq!(money(-5, "EUR").decimal(), "-0.05");
        assert_eq!(money(0, "EUR").decimal(), "0.00");
        assert_eq!(format!("{:?} {:?}", money(1, "KWD"), money(1, "KWD").currency), "0.001 KWD KWD");
        assert_eq!(money(500, "JPY").decimal(), "500");
        assert_eq!(money(1, "CLF").decimal(), "0.0001");
        assert_eq!(money(i64::MIN, "KWD").decimal(), "-9223372036854775.808");
    }
}
