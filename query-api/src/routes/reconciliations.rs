//! Reconciliations: how banks' statements compare with the ledger.

use std::fmt;
use std::str::FromStr;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{ClientId, MalformedId, MerchantId, PayoutId, ReconciliationId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS, push_equal};
use crate::answer::{MoneySchema, json, moment};
use crate::asked::{Asked, id};
use crate::read_model::Model;
use crate::service::QueryApi;

/// How many items a run shows by itself.
const SHOWN_ITEMS: i64 = 50;

/// Every result that an item can have.
const RESULTS: [&str; 5] = ["missing_here", "missing_there", "amount_differs", "duplicate", "matched"];

/// A bank statement, compared with the ledger.
#[derive(Serialize, ToSchema)]
struct Reconciliation {
    id: String,
    /// csv or camt.053.
    format: String,
    /// SHA-256 of the file's bytes, in hex.
    file_hash: String,
    /// The first day that the statement speaks of.
    #[schema(value_type = String, format = Date)]
    from: NaiveDate,
    /// The last day that it speaks of.
    #[schema(value_type = String, format = Date)]
    to: NaiveDate,
    /// The currencies that it speaks of.
    #[schema(value_type = Vec<String>)]
    currencies: Value,
    /// How many lines it has.
    lines: u64,
    /// The position up to which the log was read.
    through_position: u64,
    counts: Counts,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// How many items came out how.
#[derive(Serialize, ToSchema)]
struct Counts {
    /// Both have it.
    matched: u64,
    /// The bank has it, the ledger does not.
    missing_here: u64,
    /// The ledger has it, the bank does not.
    missing_there: u64,
    /// Both have it, with different amounts.
    amount_differs: u64,
    /// The bank has it twice, the ledger once.
    duplicate: u64,
}

/// A run with its first items.
#[derive(Serialize, ToSchema)]
struct Report {
    #[serde(flatten)]
    reconciliation: Reconciliation,
    /// The first 50, the differences before what matched.
    items: Vec<Item>,
}

/// A run as it is kept.
#[derive(sqlx::FromRow)]
struct ReconciliationRow {
    id: String,
    format: String,
    file_hash: String,
    from_day: NaiveDate,
    to_day: NaiveDate,
    currencies: String,
    lines: i64,
    through_position: i64,
    matched: i64,
    missing_here: i64,
    missing_there: i64,
    amount_differs: i64,
    duplicate: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    position: i64,
}

impl Reconciliation {
    fn of(row: ReconciliationRow) -> Result<Self, ApiError> {
        Ok(Self {
            id: row.id,
            format: row.format,
            file_hash: row.file_hash,
            from: row.from_day,
            to: row.to_day,
            currencies: json(Some(&row.currencies))?,
            lines: row.lines.unsigned_abs(),
            through_position: row.through_position.unsigned_abs(),
            counts: Counts {
                matched: row.matched.unsigned_abs(),
                missing_here: row.missing_here.unsigned_abs(),
                missing_there: row.missing_there.unsigned_abs(),
                amount_differs: row.amount_differs.unsigned_abs(),
                duplicate: row.duplicate.unsigned_abs(),
            },
            created_at: moment(row.created_at),
            updated_at: moment(row.updated_at),
            position: row.position.unsigned_abs(),
        })
    }
}

/// What became of a line, of a movement, or of both.
#[derive(Serialize, ToSchema)]
#[schema(as = ReconciliationItem)]
struct Item {
    /// missing_here, missing_there, amount_differs, duplicate or matched.
    result: String,
    line: Option<Line>,
    movement: Option<Movement>,
    #[serde(skip)]
    place: Place,
}

/// What the bank says.
#[derive(Serialize, ToSchema)]
#[schema(as = StatementLine)]
struct Line {
    /// The line of a CSV file; in camt.053 the booked transactions, from 1.
    number: u64,
    #[schema(value_type = String, format = Date)]
    date: NaiveDate,
    /// in or out, seen from the house.
    direction: String,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// Not for analysts.
    #[serde(flatten)]
    words: Option<Words>,
}

/// What the ledger says.
#[derive(Serialize, ToSchema)]
#[schema(as = BankMovement)]
struct Movement {
    event_id: String,
    position: u64,
    /// The event's type.
    r#type: String,
    /// Of deposits and withdrawals of clients.
    client_id: Option<String>,
    /// Of deposits to merchants.
    merchant_id: Option<String>,
    /// Of payouts.
    payout_id: Option<String>,
    /// The UTC day on which it was recorded.
    #[schema(value_type = String, format = Date)]
    date: NaiveDate,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    /// Not for analysts.
    #[serde(flatten)]
    words: Option<Words>,
}

/// What it is called.
#[derive(Serialize, ToSchema)]
#[schema(as = BankWords)]
struct Words {
    reference: Option<String>,
}

/// An item's place in its run: that of its event in the log, and its own in the event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    position: i64,
    ordinal: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position, self.ordinal)
    }
}

impl FromStr for Place {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, ordinal) = text.split_once('.').ok_or(MalformedId)?;
        let (position, ordinal) = (position.parse().ok(), ordinal.parse().ok());
        Ok(Self { position: position.ok_or(MalformedId)?, ordinal: ordinal.ok_or(MalformedId)? })
    }
}

/// An item as it is kept.
#[derive(sqlx::FromRow)]
struct ItemRow {
    position: i64,
    ordinal: i32,
    result: String,
    line_number: Option<i64>,
    line_date: Option<NaiveDate>,
    line_direction: Option<String>,
    line_amount: Option<i64>,
    line_currency: Option<String>,
    line_reference: Option<String>,
    movement_event_id: Option<String>,
    movement_position: Option<i64>,
    movement_type: Option<String>,
    movement_stream_id: Option<String>,
    movement_date: Option<NaiveDate>,
    movement_amount: Option<i64>,
    movement_currency: Option<String>,
    movement_reference: Option<String>,
}

impl ItemRow {
    fn into_item(mut self, asked: &Asked) -> Result<Item, ApiError> {
        let place = Place { position: self.position, ordinal: self.ordinal };
        let with_words = asked.sees_words();
        let (line, movement) = (self.line(with_words)?, self.movement(with_words)?);
        Ok(Item { result: self.result, line, movement, place })
    }

    fn line(&mut self, with_words: bool) -> Result<Option<Line>, ApiError> {
        let Some(((number, date), direction)) =
            self.line_number.zip(self.line_date).zip(self.line_direction.take())
        else {
            return Ok(None);
        };
        let reference = self.line_reference.take();
        Ok(Some(Line {
            number: number.unsigned_abs(),
            date,
            direction,
            amount: money(self.line_amount, self.line_currency.take())?,
            words: with_words.then_some(Words { reference }),
        }))
    }

    fn movement(&mut self, with_words: bool) -> Result<Option<Movement>, ApiError> {
        let Some((((event_id, position), kind), date)) = self
            .movement_event_id
            .take()
            .zip(self.movement_position)
            .zip(self.movement_type.take())
            .zip(self.movement_date)
        else {
            return Ok(None);
        };
        let stream = self.movement_stream_id.take();
        let of = |prefix: &str| stream.clone().filter(|stream| stream.starts_with(prefix));
        let reference = self.movement_reference.take();
        Ok(Some(Movement {
            event_id,
            position: position.unsigned_abs(),
            r#type: kind,
            client_id: of(ClientId::PREFIX),
            merchant_id: of(MerchantId::PREFIX),
            payout_id: of(PayoutId::PREFIX),
            date,
            amount: money(self.movement_amount, self.movement_currency.take())?,
            words: with_words.then_some(Words { reference }),
        }))
    }
}

fn money(amount: Option<i64>, currency: Option<String>) -> Result<Money, ApiError> {
    let currency = Currency::try_from(currency.unwrap_or_default()).map_err(ApiError::internal)?;
    Ok(Money::new(amount.unwrap_or_default(), currency))
}

/// Lists reconciliations, newest first.
#[utoipa::path(
    get, path = "/v1/reconciliations", params(PageParameters),
    responses((status = 200, description = "Reconciliations", body = List<Reconciliation>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(READERS, Page::<ReconciliationId>::read)?;
    let mut snapshot = api.snapshot(Model::Reconciliation, &[], wanted).await?;
    let runs = snapshot.page(select(), &page, "id", Reconciliation::of).await?;
    asked.answer(snapshot.position, &List::of(runs, &page, |run| run.id.clone()))
}

/// Shows a reconciliation with its first items.
#[utoipa::path(
    get, path = "/v1/reconciliations/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The reconciliation", body = Report), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(run): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS, |_| ())?;
    let run = id::<ReconciliationId>(&run)?.to_string();
    let mut snapshot = api.snapshot(Model::Reconciliation, &[&run], wanted).await?;
    let reconciliation = snapshot.find(select(), &run, Reconciliation::of).await?;
    let mut query = select_items(&run);
    query.push(" ORDER BY position, ordinal LIMIT ").push_bind(SHOWN_ITEMS);
    let items = snapshot.rows(&mut query, |row: ItemRow| row.into_item(&asked)).await?;
    asked.answer(snapshot.position, &Report { reconciliation, items })
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct FilterParameters {
    /// missing_here, missing_there, amount_differs, duplicate or matched.
    result: Option<String>,
}

/// Lists the items of a reconciliation: the differences first, then what matched, in the file's order.
#[utoipa::path(
    get, path = "/v1/reconciliations/{id}/items", params(("id" = String, Path), FilterParameters, PageParameters),
    responses((status = 200, description = "Its items", body = List<Item>), Problems)
)]
pub(crate) async fn items(
    State(api): State<QueryApi>,
    Path(run): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((result, page), wanted) = asked.read(READERS, |parameters| {
        let result = parameters.parsed("result", |text| {
            let known = RESULTS.into_iter().find(|known| *known == text);
            known.ok_or(api_kit::fields::FieldCode::InvalidFormat)
        });
        (result, Page::<Place>::read(parameters))
    })?;
    let run = id::<ReconciliationId>(&run)?.to_string();
    let mut snapshot = api.snapshot(Model::Reconciliation, &[&run], wanted).await?;
    snapshot.find(select(), &run, Reconciliation::of).await?;
    let mut query = select_items(&run);
    push_equal(&mut query, [("result", result.map(str::to_owned))]);
    if let Some(Place { position, ordinal }) = page.after {
        query.push(" AND (position, ordinal) > (").push_bind(position);
        query.push(", ").push_bind(ordinal).push(")");
    }
    query.push(" ORDER BY position, ordinal LIMIT ").push_bind(page.rows());
    let items = snapshot.rows(&mut query, |row: ItemRow| row.into_item(&asked)).await?;
    asked.answer(snapshot.position, &List::of(items, &page, |item| item.place))
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, format, file_hash, from_day, to_day, currencies, lines, through_position, matched, missing_here,
                missing_there, amount_differs, duplicate, created_at, updated_at, position
         FROM reconciliations WHERE true",
    )
}

fn select_items(run: &str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT position, ordinal, result, line_number, line_date, line_direction, line_amount, line_currency,
                line_reference, movement_event_id, movement_position, movement_type, movement_stream_id,
                movement_date, movement_amount, movement_currency, movement_reference
         FROM reconciliation_items WHERE true",
    );
    push_equal(&mut query, [("reconciliation_id", Some(run.to_owned()))]);
    query
}
