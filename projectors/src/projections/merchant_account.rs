//! `merchant-account`: merchants, their balances, and one entry per posting.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ledger_core::event::{Event, MerchantOpened, Settings};
use ledger_core::ids::{MerchantId, StreamId};
use ledger_core::{Account, Envelope, Owner};
use serde::Serialize;
use sqlx::PgConnection;

use super::entries::{self, Entry};
use crate::projection::{Decoded, Projection};

const INSERT_ENTRIES: &str = "INSERT INTO merchant_entries
         (merchant_id, position, ordinal, account, currency, amount, balance_after, type, payment_id, recorded_at)
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bigint[],
                          $7::bigint[], $8::text[], $9::text[], $10::timestamptz[])";

/// The projection.
pub(crate) struct MerchantAccount;

#[async_trait]
impl Projection for MerchantAccount {
    fn name(&self) -> &'static str {
        "merchant-account"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/merchant-account.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let mut merchants = paid(event);
        if let StreamId::Merchant(id) = event.stream_id() {
            merchants.insert(id);
        }
        merchants.into_iter().map(|id| id.to_string()).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
        apply_merchants(tables, events).await?;
        apply_money(tables, events).await
    }
}

/// Returns the merchants whose money an event moves.
fn paid(event: &Envelope) -> BTreeSet<MerchantId> {
    let owners = event.draft.postings.postings().iter().map(|posting| posting.account.owner());
    owners
        .filter_map(|owner| match owner {
            Some(Owner::Merchant(id)) => Some(id),
            Some(Owner::Client(_)) | None => None,
        })
        .collect()
}

async fn apply_merchants(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let mut opened: Vec<(&Decoded, String, &MerchantOpened)> = Vec::new();
    let mut changed: BTreeMap<String, (&Decoded, &Settings)> = BTreeMap::new();
    for event in events {
        let StreamId::Merchant(id) = event.envelope.stream_id() else { continue };
        match event.envelope.event() {
            Event::MerchantOpened(merchant) => opened.push((event, id.to_string(), merchant)),
            Event::MerchantSettingsChanged(settings) => {
                changed.insert(id.to_string(), (event, settings));
            }
            _ => {}
        }
    }
    if !opened.is_empty() {
        sqlx::query(
            "INSERT INTO merchants (id, name, status, settings, metadata, created_at, updated_at, position)
             SELECT id, name, 'active', settings, metadata, created_at, created_at, position
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
                  AS new (id, name, settings, metadata, created_at, position)",
        )
        .bind(opened.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>())
        .bind(opened.iter().map(|(.., merchant)| merchant.name.as_str()).collect::<Vec<_>>())
        .bind(opened.iter().map(|(.., merchant)| json(&merchant.settings)).collect::<Vec<_>>())
        .bind(opened.iter().map(|(.., merchant)| merchant.metadata.as_ref().map(json)).collect::<Vec<_>>())
        .bind(opened.iter().map(|(event, ..)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(opened.iter().map(|(event, ..)| event.position()).collect::<Vec<_>>())
        .execute(&mut *tables)
        .await?;
    }
    if !changed.is_empty() {
        sqlx::query(
            "UPDATE merchants SET settings = new.settings, updated_at = new.updated_at, position = new.position
             FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
                  AS new (id, settings, updated_at, position)
             WHERE merchants.id = new.id",
        )
        .bind(changed.keys().map(String::as_str).collect::<Vec<_>>())
        .bind(changed.values().map(|(_, settings)| json(settings)).collect::<Vec<_>>())
        .bind(changed.values().map(|(event, _)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(changed.values().map(|(event, _)| event.position()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
    }
    Ok(())
}

/// Writes RFC 8785 JSON: the same text whoever folds the log.
fn json(value: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(value).unwrap_or_default()
}

/// A merchant's money in one currency.
#[derive(Default)]
struct Balance {
    pending: i64,
    available: i64,
    reserved: i64,
    in_transit: i64,
    position: i64,
}

type Balances = BTreeMap<(String, String), Balance>;

async fn apply_money(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let touched: BTreeSet<String> =
        events.iter().flat_map(|event| paid(&event.envelope)).map(|id| id.to_string()).collect();
    if touched.is_empty() {
        return Ok(());
    }
    let mut balances = load_balances(tables, &touched).await?;
    let entries = fold(&mut balances, events);
    balances.retain(|_, balance| balance.position > 0);
    write_balances(tables, &balances).await?;
    entries::insert(tables, INSERT_ENTRIES, &entries).await
}

async fn load_balances(
    tables: &mut PgConnection,
    merchants: &BTreeSet<String>,
) -> Result<Balances, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT merchant_id, currency, pending, available, reserved, in_transit
         FROM merchant_balances WHERE merchant_id = ANY ($1)",
    )
    .bind(merchants.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(tables)
    .await?;
    // Position 0 marks what no event of the batch has touched: it is not written again.
    let untouched = |(merchant, currency, pending, available, reserved, in_transit)| {
        ((merchant, currency), Balance { pending, available, reserved, in_transit, position: 0 })
    };
    Ok(rows.into_iter().map(untouched).collect())
}

fn fold(balances: &mut Balances, events: &[Decoded]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for event in events {
        for (ordinal, posting) in event.envelope.draft.postings.postings().iter().enumerate() {
            let currency = posting.money().currency.to_string();
            let (merchant_id, account) = match posting.account {
                Account::MerchantPending(id) => (id.to_string(), "pending"),
                Account::MerchantAvailable(id) => (id.to_string(), "available"),
                Account::MerchantReserved(id) => (id.to_string(), "reserved"),
                Account::MerchantInTransit(id) => (id.to_string(), "in_transit"),
                _ => continue,
            };
            let balance = balances.entry((merchant_id.clone(), currency)).or_default();
            balance.position = event.position();
            let changed = match account {
                "pending" => &mut balance.pending,
                "available" => &mut balance.available,
                "reserved" => &mut balance.reserved,
                _ => &mut balance.in_transit,
            };
            *changed += posting.effect();
            entries.push(Entry::of(event, ordinal, merchant_id, account, *changed));
        }
    }
    entries
}

async fn write_balances(tables: &mut PgConnection, balances: &Balances) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO merchant_balances (merchant_id, currency, pending, available, reserved, in_transit, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         ON CONFLICT (merchant_id, currency) DO UPDATE
         SET pending = excluded.pending, available = excluded.available, reserved = excluded.reserved,
             in_transit = excluded.in_transit, position = excluded.position",
    )
    .bind(balances.keys().map(|(merchant, _)| merchant.as_str()).collect::<Vec<_>>())
    .bind(balances.keys().map(|(_, currency)| currency.as_str()).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.pending).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.available).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.reserved).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.in_transit).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
