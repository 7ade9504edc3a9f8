//! Amounts in major units, as banks write them, in whole minor units; no floats on the way.

use api_kit::fields::FieldCode;
use ledger_core::Currency;
use ledger_core::money::BALANCE_MAX;

use super::Wrong;

/// Reads an unsigned decimal with a dot: `12.34` EUR is 1234. Decimals beyond those of the currency must be
/// zeros: nothing is rounded.
pub(super) fn read(text: &str, currency: Currency) -> Result<i64, Wrong> {
    let malformed = (
        FieldCode::InvalidFormat,
        "This is no amount in major units; write digits, with a dot before decimals.",
    );
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || (whole.is_empty() && decimals.is_empty()) {
        return Err(malformed);
    }
    let exponent = currency.exponent() as usize;
    let (kept, beyond) = decimals.split_at(decimals.len().min(exponent));
    if beyond.bytes().any(|digit| digit != b'0') {
        return Err((FieldCode::InvalidFormat, "This has more decimals than its currency."));
    }
    let digits = format!("{whole}{kept:0<exponent$}");
    let amount = digits.trim_start_matches('0');
    let amount = if amount.is_empty() { Ok(0) } else { amount.parse::<i64>() };
    amount
        .ok()
        .filter(|amount| *amount <= BALANCE_MAX)
        .ok_or((FieldCode::OutOfRange, "This is more than the ledger can hold."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str, currency: &str) -> Result<i64, &'static str> {
        read(text, currency.parse().unwrap()).map_err(|(code, _)| code.code())
    }

    #[test]
    fn major_units_become_minor_ones() {
        for (text, currency, amount) in [
            ("12.34", "EUR", 1_234),
            ("12.3", "EUR", 1_230),
            ("12", "EUR", 1_200),
            ("12.", "EUR", 1_200),
            (".5", "EUR", 50),
            ("0.00", "EUR", 0),
            ("0012.340000", "EUR", 1_234),
            ("500", "JPY", 500),
            ("500.00", "JPY", 500),
            ("1.234", "KWD", 1_234),
            ("0.0001", "CLF", 1),
            ("90071992547409.91", "EUR", BALANCE_MAX),
        ] {
            assert_eq!(minor(text, currency), Ok(amount), "{text} {currency}");
        }
    }

    #[test]
    fn nothing_is_rounded_and_nothing_guessed() {
        for text in
            ["12.345", "1,234.50", "12,34", "1e3", "-5", "+5", "", ".", " 5", "5 ", "٣", "0x10", "1.2.3"]
        {
            assert_eq!(minor(text, "EUR"), Err("invalid_format"), "{text}");
        }
        for text in ["90071992547409.92", "99999999999999999999"] {
            assert_eq!(minor(text, "EUR"), Err("out_of_range"), "{text}");
        }
    }
}
