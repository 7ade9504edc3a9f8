//! `merchant-account`: merchants, their balances, and one entry per posting.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ledger_core::event::{Event, MerchantOpened, Settings};
use ledger_core::ids::{MerchantId, StreamId};
use ledger_core::{Account, Envelope, Owner};
use sqlx::PgConnection;

use super::accounts::{self, Accounts};
use crate::projection::{ApplyError, Decoded, Projection, expect_rows, json_text};

/// The projection.
pub(super) struct MerchantAccount;

#[async_trait]
impl Projection for MerchantAccount {
    fn name(&self) -> &'static str {
        "merchant-account"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/merchant-account.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let owners = event.draft.postings.postings().iter().filter_map(|posting| posting.account.owner());
        let mut merchants: BTreeSet<MerchantId> = owners
            .filter_map(|owner| match owner {
                Owner::Merchant(id) => Some(id),
                Owner::Client(_) => None,
            })
            .collect();
        if let StreamId::Merchant(id) = event.stream_id() {
            merchants.insert(id);
        }
        merchants.iter().map(MerchantId::to_string).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        apply_merchants(tables, events).await?;
        apply_postings(tables, events).await
    }
}

async fn apply_merchants(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut opened: Vec<(MerchantId, &Decoded, &MerchantOpened)> = Vec::new();
    let mut changed: BTreeMap<MerchantId, (&Decoded, &Settings)> = BTreeMap::new();
    for event in events {
        let StreamId::Merchant(id) = event.envelope.stream_id() else { continue };
        match event.envelope.event() {
            Event::MerchantOpened(merchant) => opened.push((id, event, merchant)),
            Event::MerchantSettingsChanged(settings) => drop(changed.insert(id, (event, settings))),
            _ => {}
        }
    }
    if !opened.is_empty() {
        insert_merchants(tables, &opened).await?;
    }
    if !changed.is_empty() {
        change_merchants(tables, &changed).await?;
    }
    Ok(())
}

async fn insert_merchants(
    tables: &mut PgConnection,
    opened: &[(MerchantId, &Decoded, &MerchantOpened)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO merchants (id, name, status, settings, metadata, created_at, updated_at, position)
         SELECT id, name, 'active', settings, metadata, created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
              AS new (id, name, settings, metadata, created_at, position)",
    )
    .bind(opened.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| merchant.name.as_str()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| json_text(&merchant.settings)).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| merchant.metadata.as_ref().map(json_text)).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn change_merchants(
    tables: &mut PgConnection,
    changed: &BTreeMap<MerchantId, (&Decoded, &Settings)>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE merchants SET settings = new.settings, updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
              AS new (id, settings, updated_at, position)
         WHERE merchants.id = new.id",
    )
    .bind(changed.keys().map(MerchantId::to_string).collect::<Vec<_>>())
    .bind(changed.values().map(|(_, settings)| json_text(settings)).collect::<Vec<_>>())
    .bind(changed.values().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(changed.values().map(|(event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("merchants", changed.len(), done.rows_affected())
}

const ACCOUNTS: [&str; 4] = ["pending", "available", "reserved", "in_transit"];

fn place(account: Account) -> Option<(String, usize)> {
    match account {
        Account::MerchantPending(id) => Some((id.to_string(), 0)),
        Account::MerchantAvailable(id) => Some((id.to_string(), 1)),
        Account::MerchantReserved(id) => Some((id.to_string(), 2)),
        Account::MerchantInTransit(id) => Some((id.to_string(), 3)),
        Account::ClientAvailable(_)
        | Account::ClientHeld(_)
        | Account::HouseFees
        | Account::HouseBank
        | Account::HouseFx
        | Account::HouseLosses => None,
    }
}

async fn apply_postings(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut balances = Accounts::touched_by(events, ACCOUNTS, place);
    if balances.is_empty() {
        return Ok(());
    }
    load_balances(tables, &mut balances).await?;
    let entries = balances.fold()?;
    write_balances(tables, &balances).await?;
    let insert = "INSERT INTO merchant_entries
             (merchant_id, position, ordinal, account, currency, amount, balance_after, type, payment_id, recorded_at)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bigint[],
                              $7::bigint[], $8::text[], $9::text[], $10::timestamptz[])";
    Ok(accounts::insert_entries(tables, insert, &entries).await?)
}

async fn load_balances(tables: &mut PgConnection, balances: &mut Accounts<'_, 4>) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT merchant_id, currency, pending, available, reserved, in_transit FROM merchant_balances
         JOIN unnest($1::text[], $2::text[]) AS touched (merchant_id, currency) USING (merchant_id, currency)",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .fetch_all(tables)
    .await?;
    for (merchant, currency, pending, available, reserved, in_transit) in rows {
        balances.begin_with(merchant, currency, [pending, available, reserved, in_transit]);
    }
    Ok(())
}

async fn write_balances(tables: &mut PgConnection, balances: &Accounts<'_, 4>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO merchant_balances
             (merchant_id, currency, pending, available, reserved, in_transit, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                              $5::bigint[], $6::bigint[], $7::bigint[])
         ON CONFLICT (merchant_id, currency) DO UPDATE
         SET pending = excluded.pending, available = excluded.available, reserved = excluded.reserved,
             in_transit = excluded.in_transit, position = excluded.position",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .bind(balances.amounts(0))
    .bind(balances.amounts(1))
    .bind(balances.amounts(2))
    .bind(balances.amounts(3))
    .bind(balances.positions())
    .execute(tables)
    .await?;
    Ok(())
}
