//! Merchants: their settings, and what they have.

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
use crate::accounts::MERCHANTS;
use crate::answer::{MoneySchema, json, moment};
use crate::asked::{Asked, id};
use crate::balances::{Balances, Totals, total};
use crate::moment::{Moment, MomentParameters};
use crate::read_model::Model;
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
    fn of((currency, totals): (String, Totals)) -> Self {
        let total = |account| total(&totals, account);
        Self {
            currency,
            pending: total("pending"),
            available: total("available"),
            reserved: total("reserved"),
            in_transit: total("in_transit"),
            paid_out: total("paid_out"),
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
    let (position, balances) = api.balances(&MERCHANTS, &api.merchants, merchant, past, wanted).await?;
    let balances = balances.into_iter().map(MerchantBalance::of).collect();
    asked.answer(position, &Balances::of(balances, past))
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, name, status, settings, metadata, created_at, updated_at, position FROM merchants WHERE true",
    )
}
