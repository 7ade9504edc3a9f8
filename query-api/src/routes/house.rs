//! The house's accounts. Their totals can pass what JSON numbers hold, so they are strings.

use api_kit::problem::{ApiError, Problem};
use axum::extract::State;
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::journal::{Account, Side};
use serde_json::{Value, json};

use crate::QueryApi;
use crate::asked::Asked;
use crate::moment::Wanted;
use crate::reading::failed;

/// Shows the house's accounts, now or at any past moment. `balance` is what the normal side has more than
/// the other: debits for the bank (an asset) and losses (an expense), credits for fees and FX.
#[utoipa::path(
    get, path = "/v1/house/balances",
    params(("as_of" = Option<String>, Query), ("at_position" = Option<u64>, Query)),
    responses((status = 200, description = "Balances"), (status = "4XX", body = Problem))
)]
pub(crate) async fn balances(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst, Role::Auditor])?;
    let wanted = asked.parameters(Wanted::read)?;
    let moment = api.moment(wanted).await?;
    let mut reading = api.read("house-account", &asked, moment.at_least()).await?;
    reading.refuse_parked("house").await?;
    let rows: Vec<(String, String, String, String, String)> = match moment.position {
        None => {
            sqlx::query_as(
                "SELECT account, currency, debits::text, credits::text, (debits - credits)::text
                 FROM house_balances ORDER BY account, currency",
            )
            .fetch_all(reading.tables())
            .await
        }
        Some(_) => {
            sqlx::query_as(
                "SELECT account, currency, debits_after::text, credits_after::text, (debits_after - credits_after)::text
                 FROM (SELECT account, currency FROM house_balances) AS known,
                      LATERAL (SELECT debits_after, credits_after FROM house_entries
                               WHERE house_entries.account = known.account
                                 AND house_entries.currency = known.currency AND position <= $1
                               ORDER BY position DESC LIMIT 1) AS last
                 ORDER BY account, currency",
            )
            .bind(moment.last())
            .fetch_all(reading.tables())
            .await
        }
    }
    .map_err(failed)?;
    let data: Vec<Value> = rows.into_iter().map(row).collect();
    let body = moment.stamp(json!({ "data": data }), reading.position);
    Ok(reading.answer(&body))
}

fn row(
    (account, currency, debits, credits, debit_balance): (String, String, String, String, String),
) -> Value {
    let account = format!("house:{account}");
    let side = account.parse().map_or(Side::Credit, Account::normal_side);
    let (side, balance) = match side {
        Side::Debit => ("debit", debit_balance),
        Side::Credit => ("credit", negated(&debit_balance)),
    };
    json!({
        "account": account, "currency": currency, "normal_side": side,
        "debits": debits, "credits": credits, "balance": balance,
    })
}

/// Changes the sign of a number in digits.
fn negated(number: &str) -> String {
    match (number, number.strip_prefix('-')) {
        ("0", _) => "0".to_owned(),
        (_, Some(positive)) => positive.to_owned(),
        (_, None) => format!("-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_are_positive_on_their_normal_side() {
        let shown = |account: &str, debit_balance: &str| {
            let texts = [account, "EUR", "0", "0", debit_balance].map(str::to_owned);
            let [account, currency, debits, credits, balance] = texts;
            row((account, currency, debits, credits, balance))["balance"].clone()
        };
        assert_eq!(shown("bank", "99999999999999999999"), "99999999999999999999");
        assert_eq!(shown("fees", "-165"), "165");
        assert_eq!(shown("fees", "165"), "-165");
        assert_eq!(shown("fx", "0"), "0");
    }
}
