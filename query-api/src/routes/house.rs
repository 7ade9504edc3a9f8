//! The house's own accounts.

use api_kit::problem::{ApiError, Problems};
use axum::extract::State;
use axum::response::Response;
use ledger_core::Account;
use ledger_core::journal::Side;
use serde::Serialize;
use utoipa::ToSchema;

use super::READERS;
use crate::asked::Asked;
use crate::balances::Balances;
use crate::moment::{Moment, MomentParameters};
use crate::read_model::Model;
use crate::service::QueryApi;

/// What the projector parks when an event of the house's accounts can't be applied.
const HOUSE: &str = "house";

/// One of the house's accounts in one currency. Totals can pass what a JSON number holds, so they are
/// strings of minor units.
#[derive(Serialize, ToSchema)]
struct HouseBalance {
    #[schema(example = "house:fees")]
    account: String,
    currency: String,
    /// debit for assets and expenses, credit for liabilities and income.
    normal_side: &'static str,
    debits: String,
    credits: String,
    /// The normal side's total minus the other's.
    balance: String,
}

impl HouseBalance {
    fn of((account, currency, debits, credits): (String, String, String, String)) -> Result<Self, ApiError> {
        let account: Account = format!("house:{account}").parse().map_err(ApiError::internal)?;
        let total = |text: &str| text.parse::<i128>().map_err(ApiError::internal);
        let raised = total(&debits)?.saturating_sub(total(&credits)?);
        let (normal_side, balance) = match account.normal_side() {
            Side::Debit => ("debit", raised),
            Side::Credit => ("credit", raised.saturating_neg()),
        };
        let (account, balance) = (account.to_string(), balance.to_string());
        Ok(Self { account, currency, normal_side, debits, credits, balance })
    }
}

/// Shows the house's accounts, now or at a past moment.
#[utoipa::path(
    get, path = "/v1/house/balances", params(MomentParameters),
    responses((status = 200, description = "One row per account and currency", body = Balances<HouseBalance>), Problems)
)]
pub(crate) async fn balances(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let (moment, wanted) = asked.read(READERS, Moment::read)?;
    let past = api.past(moment).await?;
    let position = past.map(|past| past.position);
    let mut snapshot =
        api.snapshot(Model::HouseAccount, &[HOUSE], wanted.max(position.unwrap_or_default())).await?;
    let rows: Vec<(String, String, String, String)> = match position {
        None => {
            sqlx::query_as(
                "SELECT account, currency, debits::text, credits::text FROM house_balances
                 ORDER BY account, currency",
            )
            .fetch_all(&mut *snapshot.transaction)
            .await?
        }
        Some(position) => {
            sqlx::query_as(
                "SELECT kept.account, kept.currency, last.debits_after::text, last.credits_after::text
                 FROM house_balances AS kept CROSS JOIN LATERAL (
                     SELECT debits_after, credits_after FROM house_entries AS entry
                     WHERE entry.account = kept.account AND entry.currency = kept.currency AND entry.position <= $1
                     ORDER BY entry.position DESC LIMIT 1
                 ) AS last ORDER BY kept.account, kept.currency",
            )
            .bind(position.cast_signed())
            .fetch_all(&mut *snapshot.transaction)
            .await?
        }
    };
    let balances = rows.into_iter().map(HouseBalance::of).collect::<Result<Vec<_>, _>>()?;
    asked.answer(snapshot.position, &Balances::of(balances, past))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_told_from_its_normal_side() {
        let balance = |account: &str, debits: &str, credits: &str| {
            let row = (account.to_owned(), "EUR".to_owned(), debits.to_owned(), credits.to_owned());
            let of = HouseBalance::of(row).unwrap();
            (of.normal_side, of.balance)
        };
        assert_eq!(
            balance("bank", "30000000000000000000", "5"),
            ("debit", "29999999999999999995".to_owned())
        );
        assert_eq!(balance("losses", "7", "0"), ("debit", "7".to_owned()));
        assert_eq!(balance("fees", "165", "165"), ("credit", "0".to_owned()));
        assert_eq!(balance("fx", "2", "1"), ("credit", "-1".to_owned()));
    }
}
