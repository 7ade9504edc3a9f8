//! Histories: one entry per posting, with the balance after it.

use api_kit::fields::FieldCode;
use api_kit::problem::{ApiError, Problem};
use api_kit::query_string::Parameters;
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::ids::{ClientId, MerchantId};
use ledger_core::{Currency, Money, Timestamp};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::clients::moment as stamp;
use crate::QueryApi;
use crate::asked::Asked;
use crate::moment::Wanted;
use crate::page::Page;
use crate::reading::failed;

/// Whose history it is.
struct Owner {
    kind: &'static str,
    model: &'static str,
    select: &'static str,
    exists: &'static str,
    accounts: &'static [&'static str],
}

const CLIENT: Owner = Owner {
    kind: "client",
    model: "client-account",
    select: "SELECT * FROM client_entries WHERE client_id = ",
    exists: "SELECT 1 FROM clients WHERE id = $1",
    accounts: &["available", "held"],
};

const MERCHANT: Owner = Owner {
    kind: "merchant",
    model: "merchant-account",
    select: "SELECT * FROM merchant_entries WHERE merchant_id = ",
    exists: "SELECT 1 FROM merchants WHERE id = $1",
    accounts: &["pending", "available", "reserved", "in_transit"],
};

/// Shows a client's history, newest first; as `text/csv` it is the statement.
#[utoipa::path(
    get, path = "/v1/clients/{id}/history",
    params(
        ("id" = String, Path), ("currency" = Option<String>, Query), ("account" = Option<String>, Query),
        ("from" = Option<String>, Query), ("to" = Option<String>, Query),
        ("as_of" = Option<String>, Query), ("at_position" = Option<u64>, Query),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, description = "Entries"), (status = "4XX", body = Problem))
)]
pub(crate) async fn of_client(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst, Role::Auditor])?;
    let filter = asked.parameters(|parameters| Filter::read(parameters, &CLIENT))?;
    let id = id.parse::<ClientId>().map_err(|_| ApiError::NotFound)?.to_string();
    history(&api, &asked, &CLIENT, &id, filter).await
}

/// Shows a merchant's history, newest first; as `text/csv` it is the statement.
#[utoipa::path(
    get, path = "/v1/merchants/{id}/history",
    params(
        ("id" = String, Path), ("currency" = Option<String>, Query), ("account" = Option<String>, Query),
        ("from" = Option<String>, Query), ("to" = Option<String>, Query),
        ("as_of" = Option<String>, Query), ("at_position" = Option<u64>, Query),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, description = "Entries"), (status = "4XX", body = Problem))
)]
pub(crate) async fn of_merchant(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.require(&[Role::Operator, Role::Analyst, Role::Auditor, Role::Merchant])?;
    let filter = asked.parameters(|parameters| Filter::read(parameters, &MERCHANT))?;
    let id = id.parse::<MerchantId>().map_err(|_| ApiError::NotFound)?.to_string();
    asked.owns(&id)?;
    history(&api, &asked, &MERCHANT, &id, filter).await
}

/// Which entries are wanted.
struct Filter {
    currency: Option<Currency>,
    account: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    wanted: Wanted,
    page: Page,
    before: Option<(i64, i64)>,
}

impl Filter {
    fn read(parameters: &mut Parameters, owner: &Owner) -> Self {
        let (page, before) = Page::read_numbers(parameters);
        Self {
            currency: parameters
                .parsed("currency", |code| code.parse().map_err(|_| FieldCode::UnsupportedCurrency)),
            account: parameters.parsed("account", |name| {
                // An account's full name ends in its short one.
                let short = name.rsplit(':').next().unwrap_or_default();
                owner.accounts.contains(&short).then(|| short.to_owned()).ok_or(FieldCode::InvalidFormat)
            }),
            from: parameters.timestamp("from"),
            to: parameters.timestamp("to"),
            wanted: Wanted::read(parameters),
            page,
            before,
        }
    }
}

async fn history(
    api: &QueryApi,
    asked: &Asked,
    owner: &Owner,
    id: &str,
    filter: Filter,
) -> Result<Response, ApiError> {
    let moment = api.moment(filter.wanted).await?;
    let mut reading = api.read(owner.model, asked, moment.at_least()).await?;
    reading.refuse_parked(id).await?;
    let known: Option<(i32,)> =
        sqlx::query_as(owner.exists).bind(id).fetch_optional(reading.tables()).await.map_err(failed)?;
    known.ok_or(ApiError::NotFound)?;

    let mut query = QueryBuilder::new(owner.select);
    query.push_bind(id.to_owned()).push(" AND position <= ").push_bind(moment.last());
    if let Some(currency) = filter.currency {
        query.push(" AND currency = ").push_bind(currency.to_string());
    }
    if let Some(account) = filter.account {
        query.push(" AND account = ").push_bind(account);
    }
    if let Some(from) = filter.from {
        query.push(" AND recorded_at >= ").push_bind(from.get());
    }
    if let Some(to) = filter.to {
        query.push(" AND recorded_at <= ").push_bind(to.get());
    }
    if let Some((position, ordinal)) = filter.before {
        query
            .push(" AND (position, ordinal) < (")
            .push_bind(position)
            .push(", ")
            .push_bind(ordinal)
            .push(")");
    }
    query.push(" ORDER BY position DESC, ordinal DESC LIMIT ").push_bind(filter.page.fetch());
    let rows = query.build().fetch_all(reading.tables()).await.map_err(failed)?;
    let entries: Result<Vec<_>, sqlx::Error> = rows.iter().map(|row| entry(row, owner.kind, id)).collect();
    let body = filter.page.body(entries.map_err(failed)?);
    if asked.accepts("text/csv") {
        return Ok(reading.csv(statement(&body["data"])));
    }
    Ok(reading.answer(&body))
}

/// Makes an entry of its row, with its sort key.
fn entry(row: &PgRow, kind: &str, id: &str) -> Result<(String, Value), sqlx::Error> {
    let position: i64 = row.try_get("position")?;
    let ordinal: i16 = row.try_get("ordinal")?;
    let account: String = row.try_get("account")?;
    let entry = json!({
        "position": position,
        "recorded_at": stamp(row, "recorded_at")?,
        "type": row.try_get::<String, _>("type")?,
        "account": format!("{kind}:{id}:{account}"),
        "currency": row.try_get::<String, _>("currency")?,
        "amount": row.try_get::<i64, _>("amount")?,
        "balance_after": row.try_get::<i64, _>("balance_after")?,
        "payment_id": row.try_get::<Option<String>, _>("payment_id")?,
    });
    Ok((format!("{position}.{ordinal}"), entry))
}

/// Writes entries as CSV (RFC 4180). Every column is ours, so none needs quotes.
fn statement(entries: &Value) -> String {
    let columns = [
        "position",
        "recorded_at",
        "type",
        "account",
        "currency",
        "amount",
        "amount_decimal",
        "balance_after",
        "payment_id",
    ];
    let mut csv = columns.join(",") + "\r\n";
    for entry in entries.as_array().into_iter().flatten() {
        let cells = columns.map(|column| match (column, &entry[column]) {
            ("amount_decimal", _) => decimal(entry),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Null) => String::new(),
            (_, other) => other.to_string(),
        });
        csv.push_str(&cells.join(","));
        csv.push_str("\r\n");
    }
    csv
}

fn decimal(entry: &Value) -> String {
    let currency: Option<Currency> = entry["currency"].as_str().and_then(|code| code.parse().ok());
    let amount = entry["amount"].as_i64().unwrap_or(0);
    currency.map(|currency| Money::new(amount, currency).decimal()).unwrap_or_default()
}
