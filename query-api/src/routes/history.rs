//! Histories of accounts: one entry per posting, newest first, as JSON pages or as a statement.

use std::fmt;
use std::str::FromStr;

use api_kit::fields::FieldCode;
use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use api_kit::query_string::Parameters;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use ledger_core::ids::{ClientId, MalformedId, MerchantId};
use ledger_core::{Currency, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS, READERS_AND_MERCHANT, currency};
use crate::accounts::{Accounts, CLIENTS, MERCHANTS};
use crate::answer::{at, decimal, moment};
use crate::asked::{Asked, id};
use crate::csv;
use crate::read_model::Snapshot;
use crate::service::QueryApi;

/// How many entries of a statement are read at once.
const STATEMENT_ROWS: i64 = 1000;

/// One posting to one of the owner's accounts.
#[derive(Serialize, ToSchema)]
struct Entry {
    /// The event's position.
    position: u64,
    #[serde(skip)]
    ordinal: i16,
    #[schema(value_type = String)]
    recorded_at: Timestamp,
    /// The event's type.
    r#type: String,
    /// The account's full name.
    account: String,
    currency: String,
    /// In minor units; negative for a debit.
    amount: i64,
    /// The account's balance after it.
    balance_after: i64,
    payment_id: Option<String>,
}

impl Entry {
    fn key(&self) -> EntryKey {
        EntryKey { position: self.position.cast_signed(), ordinal: self.ordinal }
    }

    fn csv_row(self) -> String {
        let (amount, balance_after) = (self.amount.to_string(), self.balance_after.to_string());
        let (amount_decimal, balance_after_decimal) =
            (decimal(&amount, &self.currency), decimal(&balance_after, &self.currency));
        csv::row([
            self.position.to_string(),
            self.recorded_at.to_string(),
            self.r#type,
            self.account,
            amount,
            amount_decimal,
            balance_after,
            balance_after_decimal,
            self.currency,
            self.payment_id.unwrap_or_default(),
        ])
    }
}

const CSV_HEADER: [&str; 10] = [
    "position",
    "recorded_at",
    "type",
    "account",
    "amount",
    "amount_decimal",
    "balance_after",
    "balance_after_decimal",
    "currency",
    "payment_id",
];

/// An entry's place: its event, and which posting of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EntryKey {
    position: i64,
    ordinal: i16,
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position, self.ordinal)
    }
}

impl FromStr for EntryKey {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, ordinal) = text.split_once('.').ok_or(MalformedId)?;
        let (position, ordinal) = (position.parse().ok(), ordinal.parse().ok());
        Ok(Self { position: position.ok_or(MalformedId)?, ordinal: ordinal.ok_or(MalformedId)? })
    }
}

/// Which entries are wanted.
#[derive(Clone)]
struct Filter {
    currency: Option<Currency>,
    account: Option<&'static str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Filter::read` takes")]
struct FilterParameters {
    /// ISO 4217.
    currency: Option<String>,
    /// An account of the owner, by its full or its short name.
    account: Option<String>,
    /// Recorded at this time or later (RFC 3339).
    from: Option<String>,
    /// Recorded before this time.
    to: Option<String>,
}

impl Filter {
    fn read(parameters: &mut Parameters, accounts: &Accounts, owner: &str) -> Self {
        let account = |text: &str| {
            let full = |name: &&&str| *text == accounts.full_name(owner, name);
            let found = accounts
                .names
                .iter()
                .find(|name| **name == text)
                .or_else(|| accounts.names.iter().find(full));
            found.copied().ok_or(FieldCode::InvalidFormat)
        };
        Self {
            currency: currency(parameters, "currency"),
            account: parameters.parsed("account", account),
            from: parameters.timestamp("from"),
            to: parameters.timestamp("to"),
        }
    }
}

/// Shows a client's postings, newest first. As `text/csv` the whole statement, whatever limit and cursor
/// say.
#[utoipa::path(
    get, path = "/v1/clients/{id}/history", params(("id" = String, Path), FilterParameters, PageParameters),
    responses((status = 200, description = "One entry per posting", body = List<Entry>), Problems)
)]
pub(crate) async fn client(
    State(api): State<QueryApi>,
    Path(client): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (query, wanted) = asked
        .read(READERS, |parameters| (Filter::read(parameters, &CLIENTS, &client), Page::read(parameters)))?;
    let client: ClientId = id(&client)?;
    answer(api, &CLIENTS, client.to_string(), query, wanted, asked).await
}

/// Shows a merchant's postings, newest first. As `text/csv` the whole statement, whatever limit and cursor
/// say.
#[utoipa::path(
    get, path = "/v1/merchants/{id}/history", params(("id" = String, Path), FilterParameters, PageParameters),
    responses((status = 200, description = "One entry per posting", body = List<Entry>), Problems)
)]
pub(crate) async fn merchant(
    State(api): State<QueryApi>,
    Path(merchant): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (query, wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        (Filter::read(parameters, &MERCHANTS, &merchant), Page::read(parameters))
    })?;
    let merchant: MerchantId = id(&merchant)?;
    asked.own(&merchant.to_string())?;
    answer(api, &MERCHANTS, merchant.to_string(), query, wanted, asked).await
}

async fn answer(
    api: QueryApi,
    accounts: &'static Accounts,
    owner: String,
    (filter, page): (Filter, Page<EntryKey>),
    wanted: u64,
    asked: Asked,
) -> Result<Response, ApiError> {
    let mut snapshot = api.snapshot(accounts.model, &[&owner], wanted).await?;
    accounts.expect_owner(&mut snapshot, &owner).await?;
    let position = snapshot.position;
    if asked.prefers("text/csv") {
        drop(snapshot);
        return statement(Statement { api, accounts, owner, filter, position });
    }
    let entries = fetch(&mut snapshot, accounts, &owner, &filter, position, page.after, page.rows()).await?;
    asked.answer(position, &List::of(entries, &page, Entry::key))
}

/// A statement that is being written.
struct Statement {
    api: QueryApi,
    accounts: &'static Accounts,
    owner: String,
    filter: Filter,
    /// What the statement reflects, however long it takes.
    position: u64,
}

/// Writes a statement while it is read, in snapshots of their own: entries never change, so all of them
/// together show the position that the first one had, and no transaction is held.
fn statement(statement: Statement) -> Result<Response, ApiError> {
    let position = statement.position;
    let name = format!("attachment; filename=\"{}.csv\"", statement.owner);
    let begin = Some((statement, None));
    let rows = stream::try_unfold(begin, async |state: Option<(Statement, Option<EntryKey>)>| {
        let Some((of, after)) = state else { return Ok::<_, ApiError>(None) };
        let mut snapshot = of.api.snapshot(of.accounts.model, &[&of.owner], of.position).await?;
        let entries =
            fetch(&mut snapshot, of.accounts, &of.owner, &of.filter, of.position, after, STATEMENT_ROWS)
                .await?;
        let mut text = if after.is_none() { csv::row(CSV_HEADER.map(str::to_owned)) } else { String::new() };
        let last = entries.last().map(Entry::key);
        text.extend(entries.into_iter().map(Entry::csv_row));
        Ok(Some((text, last.map(|last| (of, Some(last))))))
    });
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok(at(position, (headers, Body::from_stream(rows))))
}

type EntryRow = (i64, i16, DateTime<Utc>, String, String, String, i64, i64, Option<String>);

/// Reads entries up to a position, newest first.
async fn fetch(
    snapshot: &mut Snapshot,
    accounts: &Accounts,
    owner: &str,
    filter: &Filter,
    up_to: u64,
    after: Option<EntryKey>,
    rows: i64,
) -> Result<Vec<Entry>, ApiError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT position, ordinal, recorded_at, type, account, currency, amount, balance_after, payment_id FROM ",
    );
    query.push(accounts.entries).push(" WHERE ").push(accounts.owner).push(" = ").push_bind(owner.to_owned());
    query.push(" AND position <= ").push_bind(up_to.cast_signed());
    if let Some(EntryKey { position, ordinal }) = after {
        query
            .push(" AND (position, ordinal) < (")
            .push_bind(position)
            .push(", ")
            .push_bind(ordinal)
            .push(")");
    }
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
        query.push(" AND recorded_at < ").push_bind(to.get());
    }
    query.push(" ORDER BY position DESC, ordinal DESC LIMIT ").push_bind(rows);
    let rows: Vec<EntryRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let entry = |(
        position,
        ordinal,
        recorded_at,
        kind,
        account,
        currency,
        amount,
        balance_after,
        payment_id,
    ): EntryRow| {
        Entry {
            position: position.unsigned_abs(),
            ordinal,
            recorded_at: moment(recorded_at),
            r#type: kind,
            account: accounts.full_name(owner, &account),
            currency,
            amount,
            balance_after,
            payment_id,
        }
    };
    Ok(rows.into_iter().map(entry).collect())
}
