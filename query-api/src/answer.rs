//! Answers: JSON, with the position that they reflect.

use api_kit::LEDGER_POSITION;
use api_kit::problem::ApiError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use ledger_core::api_key::Role;
use ledger_core::{Currency, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};
use utoipa::ToSchema;

use crate::asked::Asked;

/// Whole minor units of a currency: 1234 EUR is 12.34 EUR.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "describes `ledger_core::Money`")]
pub(crate) struct MoneySchema {
    /// Minor units.
    amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

impl Asked {
    /// Answers with what was read at a position. Analysts get every amount in major units too.
    pub(crate) fn answer(&self, position: u64, body: &impl Serialize) -> Result<Response, ApiError> {
        let mut body = serde_json::to_value(body).map_err(ApiError::internal)?;
        if self.principal.role == Role::Analyst {
            add_decimals(&mut body);
        }
        Ok(at(position, Json(body)))
    }
}

/// Marks an answer with the position that it reflects.
pub(crate) fn at(position: u64, answer: impl IntoResponse) -> Response {
    ([(LEDGER_POSITION, position.to_string())], answer).into_response()
}

/// Takes a moment from the database.
pub(crate) fn moment(moment: DateTime<Utc>) -> Timestamp {
    Timestamp::new(moment)
}

/// Reads a column that holds JSON as text.
pub(crate) fn json(text: Option<&str>) -> Result<Value, ApiError> {
    text.map_or(Ok(Value::Null), |text| serde_json::from_str(text).map_err(ApiError::internal))
}

/// Writes minor units in major ones: `12.34`. Unchanged if the currency is none. Totals of the house can
/// pass an `i64`, so this is done on the digits.
pub(crate) fn decimal(minor_units: &str, currency: &str) -> String {
    let exponent = Currency::try_from(currency.to_owned()).map_or(0, Currency::exponent) as usize;
    let (sign, digits) = minor_units.strip_prefix('-').map_or(("", minor_units), |digits| ("-", digits));
    if exponent == 0 {
        return minor_units.to_owned();
    }
    let digits = format!("{digits:0>width$}", width = exponent + 1);
    let (whole, cents) = digits.split_at(digits.len() - exponent);
    format!("{sign}{whole}.{cents}")
}

/// Members that hold minor units of the currency beside them.
const AMOUNTS: [&str; 14] = [
    "amount",
    "balance_after",
    "posted",
    "held",
    "available",
    "pending",
    "reserved",
    "in_transit",
    "paid_out",
    "captured",
    "refunded",
    "debits",
    "credits",
    "balance",
];

/// Members that hold such amounts by the account's name.
const AMOUNTS_BY_ACCOUNT: [&str; 2] = ["changes", "totals"];

/// Adds `…_decimal` to each amount that stands beside a currency.
fn add_decimals(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(add_decimals);
            let Some(currency) = members.get("currency").and_then(Value::as_str).map(str::to_owned) else {
                return;
            };
            for name in AMOUNTS {
                let minor_units = match members.get(name) {
                    Some(Value::Number(number)) => number.to_string(),
                    Some(Value::String(digits)) => digits.clone(),
                    _ => continue,
                };
                members.insert(format!("{name}_decimal"), decimal(&minor_units, &currency).into());
            }
            for name in AMOUNTS_BY_ACCOUNT {
                let Some(Value::Object(amounts)) = members.get(name) else { continue };
                let decimals: serde_json::Map<_, _> = amounts
                    .iter()
                    .map(|(account, amount)| {
                        (account.clone(), decimal(&amount.to_string(), &currency).into())
                    })
                    .collect();
                members.insert(format!("{name}_decimal"), decimals.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add_decimals),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_told_in_major_units() {
        let mut body = json!({ "data": [
            { "currency": "EUR", "available": -5, "held": 1234 },
            { "amount": { "amount": 500, "currency": "JPY" }, "position": 7 },
            { "captured": { "amount": 5, "currency": "EUR" }, "funding": { "currency": "JPY", "captured": 8 } },
        ]});
        add_decimals(&mut body);
        assert_eq!(body["data"][0]["available_decimal"], "-0.05");
        assert_eq!(body["data"][0]["held_decimal"], "12.34");
        assert_eq!(body["data"][1]["amount"]["amount_decimal"], "500");
        assert!(body["data"][1].get("position_decimal").is_none());
        assert_eq!(body["data"][2]["captured"]["amount_decimal"], "0.05");
        assert_eq!(body["data"][2]["funding"]["captured_decimal"], "8");
    }

    #[test]
    fn minor_units_become_major_ones() {
        for (minor_units, currency, expected) in [
            ("1234", "EUR", "12.34"),
            ("-5", "EUR", "-0.05"),
            ("0", "EUR", "0.00"),
            ("500", "JPY", "500"),
            ("1", "CLF", "0.0001"),
            ("98765432109876543210", "KWD", "98765432109876543.210"),
            ("7", "???", "7"),
        ] {
            assert_eq!(decimal(minor_units, currency), expected);
        }
    }
}
