//! Settlements: what became available to merchants, and the captures that it was made of.

use std::fmt;
use std::str::FromStr;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::ids::{MalformedId, MerchantId, SettlementId};
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{PageParameters, READERS_AND_MERCHANT, currency, push_equal};
use crate::answer::{MoneySchema, moment};
use crate::asked::{Asked, id};
use crate::read_model::{Model, Snapshot};
use crate::service::QueryApi;

/// A settlement.
#[derive(Serialize, ToSchema)]
struct Settlement {
    id: String,
    merchant_id: String,
    currency: String,
    /// The last day whose captures it takes.
    #[schema(value_type = String, format = Date)]
    through_day: NaiveDate,
    /// How many captures it takes.
    count: u64,
    /// What they captured.
    #[schema(value_type = MoneySchema)]
    gross: Money,
    /// The house's part of it.
    #[schema(value_type = MoneySchema)]
    fees: Money,
    /// What refunds had drawn before and is made up for.
    #[schema(value_type = MoneySchema)]
    absorbed: Money,
    /// What became available: gross − fees − absorbed.
    #[schema(value_type = MoneySchema)]
    amount: Money,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// A settlement as it is kept.
#[derive(sqlx::FromRow)]
struct SettlementRow {
    id: String,
    merchant_id: String,
    currency: String,
    through_day: NaiveDate,
    count: i64,
    gross: i64,
    fees: i64,
    absorbed: i64,
    amount: i64,
    created_at: DateTime<Utc>,
    position: i64,
}

impl Settlement {
    fn of(row: SettlementRow) -> Result<Self, ApiError> {
        let currency = Currency::try_from(row.currency.clone()).map_err(ApiError::internal)?;
        let money = |amount| Money::new(amount, currency);
        Ok(Self {
            id: row.id,
            merchant_id: row.merchant_id,
            currency: row.currency,
            through_day: row.through_day,
            count: row.count.unsigned_abs(),
            gross: money(row.gross),
            fees: money(row.fees),
            absorbed: money(row.absorbed),
            amount: money(row.amount),
            created_at: moment(row.created_at),
            updated_at: moment(row.created_at),
            position: row.position.unsigned_abs(),
        })
    }

    /// Returns where its captures end.
    const fn end(&self) -> Place {
        Place { day: self.through_day, position: self.position.cast_signed() }
    }
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct FilterParameters {
    merchant_id: Option<String>,
    /// ISO 4217.
    currency: Option<String>,
}

/// Lists settlements, newest first; a merchant sees its own.
#[utoipa::path(
    get, path = "/v1/settlements", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Settlements", body = List<Settlement>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((merchant, currency, page), wanted) = asked.read(READERS_AND_MERCHANT, |parameters| {
        let merchant: Option<MerchantId> = parameters.value("merchant_id");
        (merchant, currency(parameters, "currency"), Page::<SettlementId>::read(parameters))
    })?;
    let mut snapshot = api.snapshot(Model::Settlement, &[], wanted).await?;
    let mut query = select();
    push_equal(
        &mut query,
        [
            ("merchant_id", asked.merchant().map(String::from)),
            ("merchant_id", merchant.map(String::from)),
            ("currency", currency.map(String::from)),
        ],
    );
    let settlements = snapshot.page(query, &page, "merchant_id", Settlement::of).await?;
    asked.answer(snapshot.position, &List::of(settlements, &page, |settlement| settlement.id.clone()))
}

/// Shows a settlement.
#[utoipa::path(
    get, path = "/v1/settlements/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The settlement", body = Settlement), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(settlement): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS_AND_MERCHANT, |_| ())?;
    let settlement: SettlementId = id(&settlement)?;
    let mut snapshot = api.snapshot(Model::Settlement, &[], wanted).await?;
    let settlement = find(&mut snapshot, settlement, &asked).await?;
    asked.answer(snapshot.position, &settlement)
}

/// A capture that a settlement takes.
#[derive(Serialize, ToSchema)]
struct Item {
    payment_id: String,
    /// The capture's position.
    position: u64,
    #[schema(value_type = MoneySchema)]
    amount: Money,
    #[schema(value_type = MoneySchema)]
    fee: Money,
    /// What the merchant gets: amount − fee.
    #[schema(value_type = MoneySchema)]
    net: Money,
    /// The first day whose settlement could take it.
    #[schema(value_type = String, format = Date)]
    settles_on: NaiveDate,
    #[schema(value_type = String)]
    captured_at: Timestamp,
}

/// A place in the order in which captures are settled: by day, then by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    day: NaiveDate,
    position: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.day, self.position)
    }
}

impl FromStr for Place {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (day, position) = text.split_once('.').ok_or(MalformedId)?;
        let (day, position) = (day.parse().ok(), position.parse().ok());
        Ok(Self { day: day.ok_or(MalformedId)?, position: position.ok_or(MalformedId)? })
    }
}

type ItemRow = (String, i64, i64, i64, NaiveDate, DateTime<Utc>);

/// Lists the captures that a settlement takes, the last ones to become due first: those between the place of
/// the settlement before it and its own.
#[utoipa::path(
    get, path = "/v1/settlements/{id}/items", params(("id" = String, Path), PageParameters),
    responses((status = 200, description = "Its captures", body = List<Item>), Problems)
)]
pub(crate) async fn items(
    State(api): State<QueryApi>,
    Path(settlement): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(READERS_AND_MERCHANT, Page::<Place>::read)?;
    let settlement: SettlementId = id(&settlement)?;
    let mut snapshot = api.snapshot(Model::Settlement, &[], wanted).await?;
    let settlement = find(&mut snapshot, settlement, &asked).await?;
    let before = before(&mut snapshot, &settlement).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT payment_id, position, amount, fee, settles_on, captured_at FROM captures WHERE true",
    );
    push_equal(
        &mut query,
        [
            ("merchant_id", Some(settlement.merchant_id.clone())),
            ("currency", Some(settlement.currency.clone())),
        ],
    );
    let end = page.after.map_or(settlement.end(), |after| after.min(settlement.end()));
    let bounds = [(" > ", before), (" < ", Some(end))];
    for (side, place) in bounds {
        if let Some(Place { day, position }) = place {
            query.push(" AND (settles_on, position)").push(side).push("(").push_bind(day);
            query.push(", ").push_bind(position).push(")");
        }
    }
    query.push(" ORDER BY settles_on DESC, position DESC LIMIT ").push_bind(page.rows());
    let rows: Vec<ItemRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let currency = settlement.amount.currency;
    let item = |(payment_id, position, amount, fee, settles_on, captured_at): ItemRow| Item {
        payment_id,
        position: position.unsigned_abs(),
        amount: Money::new(amount, currency),
        fee: Money::new(fee, currency),
        net: Money::new(amount.saturating_sub(fee), currency),
        settles_on,
        captured_at: moment(captured_at),
    };
    let items = rows.into_iter().map(item).collect();
    let place = |item: &Item| Place { day: item.settles_on, position: item.position.cast_signed() };
    asked.answer(snapshot.position, &List::of(items, &page, place))
}

/// Finds where the captures of the settlement before end.
async fn before(snapshot: &mut Snapshot, settlement: &Settlement) -> Result<Option<Place>, ApiError> {
    let row: Option<(NaiveDate, i64)> = sqlx::query_as(
        "SELECT through_day, position FROM settlements
         WHERE merchant_id = $1 AND currency = $2 AND position < $3 ORDER BY position DESC LIMIT 1",
    )
    .bind(&settlement.merchant_id)
    .bind(&settlement.currency)
    .bind(settlement.end().position)
    .fetch_optional(&mut *snapshot.transaction)
    .await?;
    Ok(row.map(|(day, position)| Place { day, position }))
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, merchant_id, currency, through_day, count, gross, fees, absorbed, amount, created_at, position
         FROM settlements WHERE true",
    )
}

/// Finds a settlement that the caller may see.
async fn find(
    snapshot: &mut Snapshot,
    settlement: SettlementId,
    asked: &Asked,
) -> Result<Settlement, ApiError> {
    let settlement = snapshot.find(select(), &settlement.to_string(), Settlement::of).await?;
    asked.own(&settlement.merchant_id)?;
    // A settlement stands still with its merchant.
    snapshot.refuse_parked(&settlement.merchant_id).await?;
    Ok(settlement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text() {
        let place = Place { day: "2026-11-24".parse().unwrap(), position: 17 };
        assert_eq!(place.to_string(), "2026-11-24.17");
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["", "17", "2026-11-24", "2026-11-24.", ".17", "2026-11-24.x"] {
            assert_eq!(text.parse::<Place>(), Err(MalformedId), "{text}");
        }
    }
}
