//! `house-account`: the house's own accounts, debits and credits apart.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ledger_core::journal::{Leg, Posting};
use ledger_core::{Account, Envelope};
use sqlx::PgConnection;

use crate::projection::{Decoded, Projection};

/// The one key: the house's rows stand still together or not at all.
const HOUSE: &str = "house";

/// The projection.
pub(crate) struct HouseAccount;

#[async_trait]
impl Projection for HouseAccount {
    fn name(&self) -> &'static str {
        "house-account"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/house-account.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let touched = event.draft.postings.postings().iter().any(|posting| account(posting).is_some());
        if touched { vec![HOUSE.to_owned()] } else { Vec::new() }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
        let mut entries = fold(events);
        if entries.is_empty() {
            return Ok(());
        }
        let mut totals = load(tables).await?;
        for entry in &mut entries {
            let total = totals.entry((entry.account.to_owned(), entry.currency.clone())).or_default();
            total.debits += i128::from(entry.debit);
            total.credits += i128::from(entry.credit);
            total.position = entry.position;
            (entry.debits_after, entry.credits_after) = (total.debits, total.credits);
        }
        totals.retain(|_, total| total.position > 0);
        write_totals(tables, &totals).await?;
        write_entries(tables, &entries).await
    }
}

/// Returns a house account's short name.
const fn account(posting: &Posting) -> Option<&'static str> {
    match posting.account {
        Account::HouseFees => Some("fees"),
        Account::HouseBank => Some("bank"),
        Account::HouseFx => Some("fx"),
        Account::HouseLosses => Some("losses"),
        Account::ClientAvailable(_)
        | Account::ClientHeld(_)
        | Account::MerchantPending(_)
        | Account::MerchantAvailable(_)
        | Account::MerchantReserved(_)
        | Account::MerchantInTransit(_) => None,
    }
}

/// What one event does to one account in one currency.
struct Entry {
    account: &'static str,
    currency: String,
    position: i64,
    debit: i64,
    credit: i64,
    debits_after: i128,
    credits_after: i128,
}

fn fold(events: &[Decoded]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for event in events {
        let begin = entries.len();
        for posting in event.envelope.draft.postings.postings() {
            let Some(account) = account(posting) else { continue };
            let currency = posting.money().currency.to_string();
            let known = entries[begin..]
                .iter()
                .position(|entry| entry.account == account && entry.currency == currency);
            let index = known.map_or(entries.len(), |offset| begin + offset);
            if known.is_none() {
                let position = event.position();
                entries.push(Entry {
                    account,
                    currency,
                    position,
                    debit: 0,
                    credit: 0,
                    debits_after: 0,
                    credits_after: 0,
                });
            }
            match posting.leg {
                Leg::Debit(money) => entries[index].debit += money.amount,
                Leg::Credit(money) => entries[index].credit += money.amount,
            }
        }
    }
    entries
}

/// The totals of one account in one currency; they can pass 2^63.
#[derive(Default)]
struct Total {
    debits: i128,
    credits: i128,
    position: i64,
}

type Totals = BTreeMap<(String, String), Total>;

async fn load(tables: &mut PgConnection) -> Result<Totals, sqlx::Error> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT account, currency, debits::text, credits::text FROM house_balances")
            .fetch_all(tables)
            .await?;
    let total = |text: String| text.parse::<i128>().map_err(|error| sqlx::Error::Decode(error.into()));
    rows.into_iter()
        .map(|(account, currency, debits, credits)| {
            // Position 0 marks what no event of the batch has touched: it is not written again.
            Ok(((account, currency), Total { debits: total(debits)?, credits: total(credits)?, position: 0 }))
        })
        .collect()
}

async fn write_totals(tables: &mut PgConnection, totals: &Totals) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO house_balances (account, currency, debits, credits, position)
         SELECT account, currency, debits::numeric, credits::numeric, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
              AS new (account, currency, debits, credits, position)
         ON CONFLICT (account, currency) DO UPDATE
         SET debits = excluded.debits, credits = excluded.credits, position = excluded.position",
    )
    .bind(totals.keys().map(|(account, _)| account.as_str()).collect::<Vec<_>>())
    .bind(totals.keys().map(|(_, currency)| currency.as_str()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.debits.to_string()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.credits.to_string()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn write_entries(tables: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO house_entries (account, currency, position, debit, credit, debits_after, credits_after)
         SELECT account, currency, position, debit, credit, debits_after::numeric, credits_after::numeric
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
              AS new (account, currency, position, debit, credit, debits_after, credits_after)",
    )
    .bind(entries.iter().map(|entry| entry.account).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.currency.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.position).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.debit).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.credit).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.debits_after.to_string()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.credits_after.to_string()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
