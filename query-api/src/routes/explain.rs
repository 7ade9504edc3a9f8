//! Balances explained: the events that make one up, oldest first, with running totals.

use std::collections::BTreeMap;

use api_kit::fields::FieldCode;
use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use api_kit::query_string::Parameters;
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{ClientId, MerchantId};
use ledger_core::{Currency, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS, READERS_AND_MERCHANT};
use crate::accounts::{Accounts, CLIENTS, MERCHANTS};
use crate::answer::moment;
use crate::asked::{Asked, id};
use crate::balances::{self, Totals, total};
use crate::moment::{Moment, MomentParameters, Past};
use crate::read_model::Snapshot;
use crate::service::QueryApi;

/// What one event did to the owner's accounts in the currency.
#[derive(Serialize, ToSchema)]
struct Step {
    /// The event's position.
    position: u64,
    #[schema(value_type = String)]
    recorded_at: Timestamp,
    /// The event's type.
    r#type: String,
    payment_id: Option<String>,
    currency: String,
    /// By how much each account changed, in minor units.
    #[schema(value_type = BTreeMap<String, i64>)]
    changes: Totals,
    /// What each account had after it.
    #[schema(value_type = BTreeMap<String, i64>)]
    totals: Totals,
}

/// The parameter, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `read` takes")]
struct ExplainParameters {
    /// ISO 4217.
    currency: String,
}

/// What is to be explained.
struct Question {
    currency: Option<Currency>,
    moment: Option<Moment>,
    page: Page<u64>,
}

fn read(parameters: &mut Parameters) -> Question {
    let mut is_there = false;
    let currency = parameters.parsed("currency", |code| {
        is_there = true;
        code.parse().map_err(|_| FieldCode::UnsupportedCurrency)
    });
    if !is_there {
        parameters.refuse("currency", FieldCode::Required);
    }
    Question { currency, moment: Moment::read(parameters), page: Page::read(parameters) }
}

/// Explains what a client has: the events that make it up, oldest first, with running totals.
#[utoipa::path(
    get, path = "/v1/clients/{id}/balances/explain",
    params(("id" = String, Path), ExplainParameters, MomentParameters, PageParameters),
    responses((status = 200, description = "One row per event", body = List<Step>), Problems)
)]
pub(crate) async fn client(
    State(api): State<QueryApi>,
    Path(client): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (question, wanted) = asked.read(READERS, read)?;
    let past = api.past(question.moment).await?;
    let client: ClientId = id(&client)?;
    answer(&api, &CLIENTS, &client.to_string(), question, past, wanted, &asked).await
}

/// Explains what a merchant has: the events that make it up, oldest first, with running totals.
#[utoipa::path(
    get, path = "/v1/merchants/{id}/balances/explain",
    params(("id" = String, Path), ExplainParameters, MomentParameters, PageParameters),
    responses((status = 200, description = "One row per event", body = List<Step>), Problems)
)]
pub(crate) async fn merchant(
    State(api): State<QueryApi>,
    Path(merchant): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (question, wanted) = asked.read(READERS_AND_MERCHANT, read)?;
    let past = api.past(question.moment).await?;
    let merchant: MerchantId = id(&merchant)?;
    asked.own(&merchant.to_string())?;
    answer(&api, &MERCHANTS, &merchant.to_string(), question, past, wanted, &asked).await
}

async fn answer(
    api: &QueryApi,
    accounts: &Accounts,
    owner: &str,
    Question { currency, page, .. }: Question,
    past: Option<Past>,
    wanted: u64,
    asked: &Asked,
) -> Result<Response, ApiError> {
    let currency = currency.map(|currency| currency.to_string()).unwrap_or_default();
    let position = past.map(|past| past.position);
    let mut snapshot =
        api.snapshot(accounts.model, &[owner], wanted.max(position.unwrap_or_default())).await?;
    let after = page.after.unwrap_or_default();
    let begin = balances::Question { owner: owner.to_owned(), position: after };
    let begin =
        accounts.balances(&mut snapshot, &[begin]).await?.pop().flatten().ok_or(ApiError::NotFound)?;
    let begin = begin.get(&currency).cloned().unwrap_or_default();
    let totals = accounts.names.iter().map(|name| ((*name).to_owned(), total(&begin, name))).collect();
    let up_to = position.unwrap_or(snapshot.position);
    let rows = fetch(&mut snapshot, accounts, owner, &currency, after..up_to, page.rows()).await?;
    let steps = fold(rows, &currency, totals);
    let list = List::of(steps, &page, |step| step.position);
    asked.answer(snapshot.position, &Explained { list, position, r#final: past.map(|past| past.is_final) })
}

/// The steps, and the moment that they lead to.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    list: List<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#final: Option<bool>,
}

type EntryRow = (i64, DateTime<Utc>, String, Option<String>, String, i64, i64);

/// Reads the entries of the next events that touch the accounts.
async fn fetch(
    snapshot: &mut Snapshot,
    accounts: &Accounts,
    owner: &str,
    currency: &str,
    positions: std::ops::Range<u64>,
    events: i64,
) -> Result<Vec<EntryRow>, ApiError> {
    let Accounts { entries, owner: column, .. } = *accounts;
    let push_filter = |query: &mut QueryBuilder<Postgres>| {
        query.push(" WHERE ").push(column).push(" = ").push_bind(owner.to_owned());
        query.push(" AND currency = ").push_bind(currency.to_owned());
    };
    let mut query = QueryBuilder::<Postgres>::new("WITH page AS (SELECT DISTINCT position FROM ");
    query.push(entries);
    push_filter(&mut query);
    query.push(" AND position > ").push_bind(positions.start.cast_signed());
    query.push(" AND position <= ").push_bind(positions.end.cast_signed());
    query.push(" ORDER BY position LIMIT ").push_bind(events);
    query.push(
        ") SELECT position, recorded_at, type, payment_id, account, amount, balance_after FROM page JOIN ",
    );
    query.push(entries).push(" USING (position)");
    push_filter(&mut query);
    query.push(" ORDER BY position, ordinal");
    Ok(query.build_query_as().fetch_all(&mut *snapshot.transaction).await?)
}

/// Makes one step of the entries of each event.
fn fold(rows: Vec<EntryRow>, currency: &str, mut totals: Totals) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (position, recorded_at, kind, payment_id, account, amount, balance_after) in rows {
        let position = position.unsigned_abs();
        totals.insert(account.clone(), balance_after);
        match steps.last_mut() {
            Some(step) if step.position == position => {
                let change = step.changes.entry(account).or_default();
                *change = change.saturating_add(amount);
                step.totals.clone_from(&totals);
            }
            _ => steps.push(Step {
                position,
                recorded_at: moment(recorded_at),
                r#type: kind,
                payment_id,
                currency: currency.to_owned(),
                changes: BTreeMap::from([(account, amount)]),
                totals: totals.clone(),
            }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_of_one_event_are_one_step() {
        let at = "2026-11-24T08:00:00Z".parse::<Timestamp>().unwrap().get();
        let row = |position, account: &str, amount, after| {
            (position, at, "payment.authorized".to_owned(), None, account.to_owned(), amount, after)
        };
        let rows = vec![row(5, "available", -30, 70), row(5, "held", 30, 30), row(9, "held", -30, 0)];
        let steps = fold(rows, "EUR", Totals::from([("available".to_owned(), 100)]));
        let totals =
            |available, held| Totals::from([("available".to_owned(), available), ("held".to_owned(), held)]);
        assert_eq!(steps.len(), 2);
        assert_eq!((&steps[0].changes, &steps[0].totals), (&totals(-30, 30), &totals(70, 30)));
        assert_eq!(steps[1].totals, totals(70, 0));
    }
}
