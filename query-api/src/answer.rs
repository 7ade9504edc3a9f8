//! Answers: JSON, with the position that they reflect.

use api_kit::LEDGER_POSITION;
use api_kit::problem::ApiError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use ledger_core::api_key::Role;
use ledger_core::{Currency, Money, Timestamp};
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

/// Writes minor units in major ones: `12.34`. Unchanged if the currency is none.
pub(crate) fn decimal(minor_units: i64, currency: &str) -> String {
    let known = Currency::try_from(currency.to_owned());
    known.map_or_else(|_| minor_units.to_string(), |currency| Money::new(minor_units, currency).decimal())
}

/// Members that hold minor units of the currency beside them.
const AMOUNTS: [&str; 9] = [
    "amount",
    "balance_after",
    "posted",
    "held",
    "available",
    "pending",
    "reserved",
    "in_transit",
    "paid_out",
];

/// Adds `…_decimal` to each amount that stands beside a currency.
fn add_decimals(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(add_decimals);
            let Some(currency) = members.get("currency").and_then(Value::as_str).map(str::to_owned) else {
                return;
            };
            for name in AMOUNTS {
                if let Some(amount) = members.get(name).and_then(Value::as_i64) {
                    members.insert(format!("{name}_decimal"), decimal(amount, &currency).into());
                }
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
        ]});
        add_decimals(&mut body);
        assert_eq!(body["data"][0]["available_decimal"], "-0.05");
        assert_eq!(body["data"][0]["held_decimal"], "12.34");
        assert_eq!(body["data"][1]["amount"]["amount_decimal"], "500");
        assert!(body["data"][1].get("position_decimal").is_none());
    }
}
