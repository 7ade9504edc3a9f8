//! `client-account`: clients, their cards, balances, and one entry per posting.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::event::{CardIssued, ClientOpened, Event};
use ledger_core::ids::{CardId, ClientId, StreamId};
use ledger_core::{Account, Envelope, Owner};
use sqlx::PgConnection;

use super::accounts::{self, Accounts};
use crate::projection::{ApplyError, Decoded, Projection, expect_rows};

/// The projection.
pub(super) struct ClientAccount;

#[async_trait]
impl Projection for ClientAccount {
    fn model(&self) -> ReadModel {
        read_model::CLIENT_ACCOUNT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let owners = event.draft.postings.postings().iter().filter_map(|posting| posting.account.owner());
        let mut clients: BTreeSet<ClientId> = owners
            .filter_map(|owner| match owner {
                Owner::Client(id) => Some(id),
                Owner::Merchant(_) => None,
            })
            .collect();
        clients.extend(match (event.stream_id(), event.event()) {
            (StreamId::Client(id), _) => Some(id),
            (StreamId::Card(_), Event::CardIssued(issued)) => Some(issued.client_id),
            (StreamId::Card(_), Event::CardBlocked(because) | Event::CardUnblocked(because)) => {
                Some(because.client_id)
            }
            _ => None,
        });
        clients.iter().map(ClientId::to_string).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        apply_clients(tables, events).await?;
        apply_cards(tables, events).await?;
        apply_postings(tables, events).await
    }
}

async fn apply_clients(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut opened: Vec<(ClientId, &Decoded, &ClientOpened)> = Vec::new();
    let mut later: BTreeMap<ClientId, (&Decoded, bool)> = BTreeMap::new();
    for event in events {
        let StreamId::Client(id) = event.envelope.stream_id() else { continue };
        if let Event::ClientOpened(client) = event.envelope.event() {
            opened.push((id, event, client));
        } else {
            let (last, is_closed) = later.entry(id).or_insert((event, false));
            *last = event;
            *is_closed |= matches!(event.envelope.event(), Event::ClientClosed(_));
        }
    }
    if !opened.is_empty() {
        insert_clients(tables, &opened).await?;
    }
    if !later.is_empty() {
        change_clients(tables, &later).await?;
    }
    Ok(())
}

async fn insert_clients(
    tables: &mut PgConnection,
    opened: &[(ClientId, &Decoded, &ClientOpened)],
) -> Result<(), sqlx::Error> {
    let text = |field: fn(&Decoded, &ClientOpened) -> Option<String>| {
        opened.iter().map(|(_, event, client)| field(event, client)).collect::<Vec<_>>()
    };
    sqlx::query(
        "INSERT INTO clients (id, name, email, metadata, status, created_at, updated_at, position)
         SELECT id, name, email, metadata, 'open', created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
              AS new (id, name, email, metadata, created_at, position)",
    )
    .bind(opened.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(text(|event, client| event.open_text(Some(&client.name), "name")))
    .bind(text(|event, client| event.open_text(client.email.as_ref(), "email")))
    .bind(text(|event, client| event.open_object(client.metadata.as_ref(), "metadata")))
    .bind(opened.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

/// Notes the last events of clients' own streams, and which of them are closed now.
async fn change_clients(
    tables: &mut PgConnection,
    later: &BTreeMap<ClientId, (&Decoded, bool)>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE clients SET status = CASE WHEN new.is_closed THEN 'closed' ELSE clients.status END,
                updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::boolean[], $3::timestamptz[], $4::bigint[])
              AS new (id, is_closed, updated_at, position)
         WHERE clients.id = new.id",
    )
    .bind(later.keys().map(ClientId::to_string).collect::<Vec<_>>())
    .bind(later.values().map(|(_, is_closed)| *is_closed).collect::<Vec<_>>())
    .bind(later.values().map(|(last, _)| last.recorded_at()).collect::<Vec<_>>())
    .bind(later.values().map(|(last, _)| last.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("clients", later.len(), done.rows_affected())
}

async fn apply_cards(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut issued: Vec<(CardId, &Decoded, &CardIssued)> = Vec::new();
    let mut last: BTreeMap<CardId, (&Decoded, &'static str)> = BTreeMap::new();
    for event in events {
        let StreamId::Card(id) = event.envelope.stream_id() else { continue };
        match event.envelope.event() {
            Event::CardIssued(card) => issued.push((id, event, card)),
            Event::CardBlocked(_) => drop(last.insert(id, (event, "blocked"))),
            Event::CardUnblocked(_) => drop(last.insert(id, (event, "active"))),
            _ => {}
        }
    }
    if !issued.is_empty() {
        insert_cards(tables, &issued).await?;
    }
    if !last.is_empty() {
        change_cards(tables, &last).await?;
    }
    Ok(())
}

async fn insert_cards(
    tables: &mut PgConnection,
    issued: &[(CardId, &Decoded, &CardIssued)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO client_cards
             (id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position)
         SELECT id, client_id, brand, last4, exp_month, exp_year, 'active', created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::smallint[],
                     $7::timestamptz[], $8::bigint[])
              AS new (id, client_id, brand, last4, exp_month, exp_year, created_at, position)",
    )
    .bind(issued.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(.., card)| card.client_id.to_string()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(.., card)| card.brand.name()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(.., card)| card.last4.as_str()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(.., card)| i16::from(card.expiry.month)).collect::<Vec<_>>())
    .bind(issued.iter().map(|(.., card)| card.expiry.year.cast_signed()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(issued.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn change_cards(
    tables: &mut PgConnection,
    last: &BTreeMap<CardId, (&Decoded, &'static str)>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE client_cards SET status = new.status, updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
              AS new (id, status, updated_at, position)
         WHERE client_cards.id = new.id",
    )
    .bind(last.keys().map(CardId::to_string).collect::<Vec<_>>())
    .bind(last.values().map(|(_, status)| *status).collect::<Vec<_>>())
    .bind(last.values().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(last.values().map(|(event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("client_cards", last.len(), done.rows_affected())
}

const ACCOUNTS: [&str; 2] = ["available", "held"];

fn place(account: Account) -> Option<(Owner, usize)> {
    match account {
        Account::ClientAvailable(id) => Some((Owner::Client(id), 0)),
        Account::ClientHeld(id) => Some((Owner::Client(id), 1)),
        Account::MerchantPending(_)
        | Account::MerchantAvailable(_)
        | Account::MerchantReserved(_)
        | Account::MerchantInTransit(_)
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
    let insert = "INSERT INTO client_entries
             (client_id, position, ordinal, account, currency, amount, balance_after, type, payment_id, recorded_at)
         SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::smallint[]), unnest($4::text[]),
                unnest($5::text[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::text[]),
                unnest($9::text[]), unnest($10::timestamptz[])";
    Ok(accounts::insert_entries(tables, insert, &entries).await?)
}

async fn load_balances(tables: &mut PgConnection, balances: &mut Accounts<'_, 2>) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT client_id, currency, available, held FROM client_balances
         JOIN unnest($1::text[], $2::text[]) AS touched (client_id, currency) USING (client_id, currency)",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .fetch_all(tables)
    .await?;
    for (client, currency, available, held) in rows {
        balances.begin_with(&client, &currency, [available, held])?;
    }
    Ok(())
}

async fn write_balances(tables: &mut PgConnection, balances: &Accounts<'_, 2>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO client_balances (client_id, currency, available, held, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
         ON CONFLICT (client_id, currency) DO UPDATE
         SET available = excluded.available, held = excluded.held, position = excluded.position",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .bind(balances.amounts(0))
    .bind(balances.amounts(1))
    .bind(balances.positions())
    .execute(tables)
    .await?;
    Ok(())
}
