//! Merchants: their settings, and what they have.

use std::collections::BTreeMap;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::event::Settings;
use ledger_core::ids::MerchantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::{PageParameters, READERS_AND_MERCHANT, push_equal};
use crate::accounts::{Balances, MERCHANTS, Totals, total};
use crate::answer::{MoneySchema, json, moment};
use crate::asked::{Asked, id};
use crate::moment::{Moment, MomentParameters};
use crate::read_model::{Model, Snapshot};
use crate::service::QueryApi;

/// A merchant.
#[derive(Serialize, ToSchema)]
struct Merchant {
    id: String,
    name: String,
    /// active or suspended.
    status: String,
    #[serde(flatten)]
    #[schema(value_type = SettingsSchema)]
    settings: Settings,
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Value,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// A merchant's settings.
#[derive(ToSchema)]
#[schema(as = MerchantSettings)]
#[expect(dead_code, reason = "describes `ledger_core::event::Settings`")]
struct SettingsSchema {
    /// What captures cost.
    #[schema(inline)]
    fee: FeeSchema,
    /// Counts the settings.
    fee_version: u32,
    settlement_delay_days: u32,
    /// returned or kept.
    refund_fee: String,
    /// How far refunds may take the available balance below zero.
    negative_limit: Vec<MoneySchema>,
}

/// A fee.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `ledger_core::fee::FeeSchedule`")]
struct FeeSchema {
    /// A decimal number.
    #[schema(example = "1.40")]
    percent: String,
    /// At most one per currency.
    fixed: Vec<MoneySchema>,
}

/// A merchant's money in one currency, in minor units.
#[derive(Serialize, ToSchema)]
struct MerchantBalance {
    currency: String,
    /// Captured, not settled yet.
    pending: i64,
    /// What can be paid out.
    available: i64,
    /// What open disputes hold.
    reserved: i64,
    /// Payouts on their way.
    in_transit: i64,
    /// Payouts paid, less those returned.
    paid_out: i64,
}

impl MerchantBalance {
    fn of(currency: String, totals: &Totals, paid_out: i64) -> Self {
        let total = |account| total(totals, account);
        Self {
            currency,
            pending: total("pending"),
            available: total("available"),
            reserved: total("reserved"),
            in_transit: total("in_transit"),
            paid_out,
        }
    }
}

type MerchantRow = (String, String, String, String, Option<String>, DateTime<Utc>, DateTime<Utc>, i64);

impl Merchant {
    fn of(row: MerchantRow) -> Result<Self, ApiError> {
        let (id, name, status, settings, metadata, created_at, updated_at, position) = row;
        Ok(Self {
            id,
            name,
            status,
            settings: serde_json::from_str(&settings).map_err(ApiError::internal)?,
            metadata: json(metadata.as_deref())?,
            created_at: moment(created_at),
            updated_at: moment(updated_at),
            position: position.unsigned_abs(),
        })
    }
}

/// Lists merchants, newest first; a merchant sees itself.
#[utoipa::path(
    get, path = "/v1/merchants", params(PageParameters),
    responses((status = 200, description = "Merchants", body = List<Merchant>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(READERS_AND_MERCHANT, Page::<MerchantId>::read)?;
    let mut snapshot = api.snapshot(Model::MerchantAccount, &[], wanted).await?;
    let mut query = select();
    push_equal(&mut query, [("id", asked.merchant().map(String::from))]);
    let merchants = snapshot.page(query, &page, "id", Merchant::of).await?;
    asked.answer(snapshot.position, &List::of(merchants, &page, |merchant| merchant.id.clone()))
}

/// Shows a merchant.
#[utoipa::path(
    get, path = "/v1/merchants/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The merchant", body = Merchant), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(merchant): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS_AND_MERCHANT, |_| ())?;
    let merchant = id::<MerchantId>(&merchant)?.to_string();
    asked.own(&merchant)?;
    let mut snapshot = api.snapshot(Model::MerchantAccount, &[&merchant], wanted).await?;
    let merchant = snapshot.find(select(), &merchant, Merchant::of).await?;
    asked.answer(snapshot.position, &merchant)
}

/// Shows what a merchant has, now or at a past moment.
#[utoipa::path(
    get, path = "/v1/merchants/{id}/balances", params(("id" = String, Path), MomentParameters),
    responses((status = 200, description = "One row per currency", body = Balances<MerchantBalance>), Problems)
)]
pub(crate) async fn balances(
    State(api): State<QueryApi>,
    Path(merchant): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (moment, wanted) = asked.read(READERS_AND_MERCHANT, Moment::read)?;
    let past = api.past(moment).await?;
    let merchant = id::<MerchantId>(&merchant)?.to_string();
    asked.own(&merchant)?;
    let position = past.map(|past| past.position);
    let mut snapshot =
        api.snapshot(MERCHANTS.model, &[&merchant], wanted.max(position.unwrap_or_default())).await?;
    let balances = MERCHANTS.balances(&mut snapshot, &merchant, position).await?;
    let paid_out = paid_out(&mut snapshot, &merchant, position).await?;
    let balance = |(currency, totals): (String, Totals)| {
        let paid_out = paid_out.get(&currency).copied().unwrap_or_default();
        MerchantBalance::of(currency, &totals, paid_out)
    };
    let balances = balances.into_iter().map(balance).collect();
    asked.answer(snapshot.position, &Balances::of(balances, past))
}

/// Returns what was paid out to a merchant after a position, per currency; now, without one.
async fn paid_out(
    snapshot: &mut Snapshot,
    merchant: &str,
    position: Option<u64>,
) -> Result<BTreeMap<String, i64>, ApiError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT kept.currency, last.paid_out_after
         FROM merchant_balances AS kept CROSS JOIN LATERAL (
             SELECT paid_out_after FROM merchant_paid_out AS entry
             WHERE entry.merchant_id = kept.merchant_id AND entry.currency = kept.currency AND entry.position <= $2
             ORDER BY entry.position DESC LIMIT 1
         ) AS last WHERE kept.merchant_id = $1",
    )
    .bind(merchant)
    .bind(position.map_or(i64::MAX, u64::cast_signed))
    .fetch_all(&mut *snapshot.transaction)
    .await?;
    Ok(rows.into_iter().collect())
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, name, status, settings, metadata, created_at, updated_at, position FROM merchants WHERE true",
    )
}
