//! `client-account`: clients, their cards, balances, and one entry per posting.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ledger_core::event::{CardIssued, ClientOpened, Event};
use ledger_core::ids::{ClientId, StreamId};
use ledger_core::{Account, Envelope, Owner};
use sqlx::PgConnection;

use super::entries::{self, Entry};
use crate::projection::{Decoded, Projection};

const INSERT_ENTRIES: &str = "INSERT INTO client_entries
         (client_id, position, ordinal, account, currency, amount, balance_after, type, payment_id, recorded_at)
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bigint[],
                          $7::bigint[], $8::text[], $9::text[], $10::timestamptz[])";

/// The projection.
pub(crate) struct ClientAccount;

#[async_trait]
impl Projection for ClientAccount {
    fn name(&self) -> &'static str {
        "client-account"
    }

    fn tables(&self) -> &'static str {
        include_str!("../../../migrations/projections/client-account.sql")
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let mut clients: BTreeSet<ClientId> = event
            .draft
            .postings
            .postings()
            .iter()
            .filter_map(|posting| match posting.account.owner() {
                Some(Owner::Client(id)) => Some(id),
                Some(Owner::Merchant(_)) | None => None,
            })
            .collect();
        match (event.stream_id(), event.event()) {
            (StreamId::Client(id), _) => drop(clients.insert(id)),
            (_, Event::CardIssued(issued)) => drop(clients.insert(issued.client_id)),
            (_, Event::CardBlocked(because) | Event::CardUnblocked(because)) => {
                clients.insert(because.client_id);
            }
            _ => {}
        }
        clients.into_iter().map(|id| id.to_string()).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
        apply_clients(tables, events).await?;
        apply_cards(tables, events).await?;
        apply_money(tables, events).await
    }
}

async fn apply_clients(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let mut opened: Vec<(&Decoded, String, &ClientOpened)> = Vec::new();
    let mut last: BTreeMap<String, &Decoded> = BTreeMap::new();
    for event in events {
        let StreamId::Client(id) = event.envelope.stream_id() else { continue };
        last.insert(id.to_string(), event);
        if let Event::ClientOpened(client) = event.envelope.event() {
            opened.push((event, id.to_string(), client));
        }
    }
    if !opened.is_empty() {
        sqlx::query(
            "INSERT INTO clients (id, name, email, metadata, status, created_at, updated_at, position)
             SELECT id, name, email, metadata, 'open', created_at, created_at, position
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
                  AS new (id, name, email, metadata, created_at, position)",
        )
        .bind(opened.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>())
        .bind(
            opened
                .iter()
                .map(|(event, _, client)| event.open_text(Some(&client.name), "name"))
                .collect::<Vec<_>>(),
        )
        .bind(
            opened
                .iter()
                .map(|(event, _, client)| event.open_text(client.email.as_ref(), "email"))
                .collect::<Vec<_>>(),
        )
        .bind(
            opened
                .iter()
                .map(|(event, _, client)| event.open_object(client.metadata.as_ref(), "metadata"))
                .collect::<Vec<_>>(),
        )
        .bind(opened.iter().map(|(event, ..)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(opened.iter().map(|(event, ..)| event.position()).collect::<Vec<_>>())
        .execute(&mut *tables)
        .await?;
    }
    if !last.is_empty() {
        sqlx::query(
            "UPDATE clients SET updated_at = new.updated_at, position = new.position
             FROM unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS new (id, updated_at, position)
             WHERE clients.id = new.id",
        )
        .bind(last.keys().map(String::as_str).collect::<Vec<_>>())
        .bind(last.values().map(|event| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(last.values().map(|event| event.position()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
    }
    Ok(())
}

async fn apply_cards(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let mut issued: Vec<(&Decoded, String, &CardIssued)> = Vec::new();
    let mut last: BTreeMap<String, (&Decoded, &str)> = BTreeMap::new();
    for event in events {
        let StreamId::Card(id) = event.envelope.stream_id() else { continue };
        match event.envelope.event() {
            Event::CardIssued(card) => issued.push((event, id.to_string(), card)),
            Event::CardBlocked(_) => drop(last.insert(id.to_string(), (event, "blocked"))),
            Event::CardUnblocked(_) => drop(last.insert(id.to_string(), (event, "active"))),
            _ => {}
        }
    }
    if !issued.is_empty() {
        let each = |column: fn(&CardIssued) -> String| {
            issued.iter().map(|(.., card)| column(card)).collect::<Vec<_>>()
        };
        sqlx::query(
            "INSERT INTO client_cards
                 (id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position)
             SELECT id, client_id, brand, last4, exp_month, exp_year, 'active', created_at, created_at, position
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::smallint[],
                         $7::timestamptz[], $8::bigint[])
                  AS new (id, client_id, brand, last4, exp_month, exp_year, created_at, position)",
        )
        .bind(issued.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>())
        .bind(each(|card| card.client_id.to_string()))
        .bind(each(|card| card.brand.name().to_owned()))
        .bind(each(|card| card.last4.clone()))
        .bind(issued.iter().map(|(.., card)| i16::from(card.expiry.month)).collect::<Vec<_>>())
        .bind(issued.iter().map(|(.., card)| card.expiry.year.cast_signed()).collect::<Vec<_>>())
        .bind(issued.iter().map(|(event, ..)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(issued.iter().map(|(event, ..)| event.position()).collect::<Vec<_>>())
        .execute(&mut *tables)
        .await?;
    }
    if !last.is_empty() {
        sqlx::query(
            "UPDATE client_cards SET status = new.status, updated_at = new.updated_at, position = new.position
             FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
                  AS new (id, status, updated_at, position)
             WHERE client_cards.id = new.id",
        )
        .bind(last.keys().map(String::as_str).collect::<Vec<_>>())
        .bind(last.values().map(|(_, status)| *status).collect::<Vec<_>>())
        .bind(last.values().map(|(event, _)| event.envelope.recorded_at.get()).collect::<Vec<_>>())
        .bind(last.values().map(|(event, _)| event.position()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
    }
    Ok(())
}

/// A client's money in one currency.
#[derive(Default)]
struct Balance {
    available: i64,
    held: i64,
    position: i64,
}

async fn apply_money(tables: &mut PgConnection, events: &[Decoded]) -> Result<(), sqlx::Error> {
    let touched: BTreeSet<String> = events
        .iter()
        .flat_map(|event| event.envelope.draft.postings.postings())
        .filter_map(|posting| match posting.account.owner() {
            Some(Owner::Client(id)) => Some(id.to_string()),
            Some(Owner::Merchant(_)) | None => None,
        })
        .collect();
    if touched.is_empty() {
        return Ok(());
    }
    let mut balances = load_balances(tables, &touched).await?;
    let entries = fold(&mut balances, events);
    balances.retain(|_, balance| balance.position > 0);
    write_balances(tables, &balances).await?;
    entries::insert(tables, INSERT_ENTRIES, &entries).await
}

type Balances = BTreeMap<(String, String), Balance>;

async fn load_balances(
    tables: &mut PgConnection,
    clients: &BTreeSet<String>,
) -> Result<Balances, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT client_id, currency, available, held FROM client_balances WHERE client_id = ANY ($1)",
    )
    .bind(clients.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(tables)
    .await?;
    // Position 0 marks what no event of the batch has touched: it is not written again.
    let untouched =
        |(client, currency, available, held)| ((client, currency), Balance { available, held, position: 0 });
    Ok(rows.into_iter().map(untouched).collect())
}

fn fold(balances: &mut Balances, events: &[Decoded]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for event in events {
        for (ordinal, posting) in event.envelope.draft.postings.postings().iter().enumerate() {
            let currency = posting.money().currency.to_string();
            let (client_id, account) = match posting.account {
                Account::ClientAvailable(id) => (id.to_string(), "available"),
                Account::ClientHeld(id) => (id.to_string(), "held"),
                _ => continue,
            };
            let balance = balances.entry((client_id.clone(), currency)).or_default();
            balance.position = event.position();
            let changed = if account == "available" { &mut balance.available } else { &mut balance.held };
            *changed += posting.effect();
            entries.push(Entry::of(event, ordinal, client_id, account, *changed));
        }
    }
    entries
}

async fn write_balances(tables: &mut PgConnection, balances: &Balances) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO client_balances (client_id, currency, available, held, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
         ON CONFLICT (client_id, currency) DO UPDATE
         SET available = excluded.available, held = excluded.held, position = excluded.position",
    )
    .bind(balances.keys().map(|(client, _)| client.as_str()).collect::<Vec<_>>())
    .bind(balances.keys().map(|(_, currency)| currency.as_str()).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.available).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.held).collect::<Vec<_>>())
    .bind(balances.values().map(|balance| balance.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}
