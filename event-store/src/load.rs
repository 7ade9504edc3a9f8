//! Looks records up under the lock: each kind of key in one statement.

use std::collections::HashMap;

use ledger_core::api_key::ApiKey;
use ledger_core::balance::{ClientBalance, MerchantBalance, RowVersion};
use ledger_core::card::Card;
use ledger_core::card_number::Fingerprint;
use ledger_core::correction::Correction;
use ledger_core::event::{ApiKeyCreated, DecodeError};
use ledger_core::fx::FxRate;
use ledger_core::ids::StreamId;
use ledger_core::money::Currency;
use ledger_core::payment::Payment;
use ledger_core::payout::Payout;
use ledger_core::reconciliation::Reconciliation;
use ledger_core::reconciliation::statement::FileHash;
use ledger_core::stamp::Stamp;
use ledger_core::state::{Key, Record};
use ledger_core::{Envelope, Owner, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::error::StoreError;

/// Looks the keys up; a key without a record comes back with `None`.
pub(crate) async fn records(
    connection: &mut PgConnection,
    keys: &[Key],
) -> Result<HashMap<Key, Option<Record>>, StoreError> {
    let mut found: HashMap<Key, Option<Record>> = keys.iter().map(|key| (*key, None)).collect();
    let ids = |of: fn(&Key) -> Option<String>| keys.iter().filter_map(of).collect::<Vec<_>>();

    let owner_ids = ids(|key| match key {
        Key::Client(id) => Some(id.to_string()),
        Key::Merchant(id) => Some(id.to_string()),
        _ => None,
    });
    let card_ids = ids(|key| if let Key::Card(id) = key { Some(id.to_string()) } else { None });
    let streams = ids(|key| match key {
        Key::Payment(id) => Some(id.to_string()),
        Key::Payout(id) => Some(id.to_string()),
        Key::Correction(id) => Some(id.to_string()),
        Key::Reconciliation(id) => Some(id.to_string()),
        _ => None,
    });
    let reversed = ids(|key| if let Key::CorrectionOf(id) = key { Some(id.to_string()) } else { None });
    let files = ids(|key| if let Key::ReconciliationOf(file) = key { Some(file.to_string()) } else { None });
    let pairs = ids(|key| match key {
        Key::FxRate(from, to) => Some(StreamId::FxPair(*from, *to).to_string()),
        _ => None,
    });
    let key_ids = ids(|key| if let Key::ApiKey(id) = key { Some(id.to_string()) } else { None });
    let fingerprints: Vec<Vec<u8>> = keys
        .iter()
        .filter_map(|key| if let Key::CardOf(known) = key { Some(known.0.to_vec()) } else { None })
        .collect();
    let balances: Vec<(Owner, Currency)> = keys
        .iter()
        .filter_map(|key| match key {
            Key::ClientBalance(id, currency) => Some((Owner::Client(*id), *currency)),
            Key::MerchantBalance(id, currency) => Some((Owner::Merchant(*id), *currency)),
            _ => None,
        })
        .collect();

    if !owner_ids.is_empty() {
        owners(connection, &owner_ids, &mut found).await?;
    }
    if !card_ids.is_empty() {
        cards(connection, &card_ids, &mut found).await?;
    }
    if !fingerprints.is_empty() {
        cards_of_numbers(connection, &fingerprints, &mut found).await?;
    }
    if !streams.is_empty() {
        folded(connection, &streams, &mut found).await?;
    }
    if !reversed.is_empty() {
        corrections_of(connection, &reversed, &mut found).await?;
    }
    if !files.is_empty() {
        reconciliations_of(connection, &files, &mut found).await?;
    }
    if !pairs.is_empty() {
        fx_rates(connection, &pairs, &mut found).await?;
    }
    if !key_ids.is_empty() {
        api_keys(connection, &key_ids, &mut found).await?;
    }
    if !balances.is_empty() {
        balances_of(connection, &balances, &mut found).await?;
    }
    Ok(found)
}

type Found = HashMap<Key, Option<Record>>;

async fn owners(connection: &mut PgConnection, ids: &[String], found: &mut Found) -> Result<(), StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, state FROM owners WHERE id = ANY ($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    for (id, state) in rows {
        match id.parse() {
            Ok(Owner::Client(client)) => {
                found.insert(Key::Client(client), Some(Record::Client(read(&id, &state)?)));
            }
            Ok(Owner::Merchant(merchant)) => {
                found.insert(Key::Merchant(merchant), Some(Record::Merchant(read(&id, &state)?)));
            }
            Err(_) => return Err(corrupt(&id)),
        }
    }
    Ok(())
}

async fn cards(connection: &mut PgConnection, ids: &[String], found: &mut Found) -> Result<(), StoreError> {
    let rows: Vec<(String, String, i64, i64)> =
        sqlx::query_as("SELECT id, state, version, position FROM cards WHERE id = ANY ($1)")
            .bind(ids)
            .fetch_all(connection)
            .await?;
    for (id, state, version, position) in rows {
        let card: Card = read(&id, &state)?;
        let card = Card { row: row_version(version, position), ..card };
        found.insert(Key::Card(card.id), Some(Record::Card(card)));
    }
    Ok(())
}

async fn cards_of_numbers(
    connection: &mut PgConnection,
    fingerprints: &[Vec<u8>],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows: Vec<(Vec<u8>, String)> =
        sqlx::query_as("SELECT fingerprint, id FROM cards WHERE fingerprint = ANY ($1)")
            .bind(fingerprints)
            .fetch_all(connection)
            .await?;
    for (fingerprint, id) in rows {
        let fingerprint = fingerprint.try_into().map_err(|_| corrupt(&id))?;
        let card = id.parse().map_err(|_| corrupt(&id))?;
        found.insert(Key::CardOf(Fingerprint(fingerprint)), Some(Record::CardOf(card)));
    }
    Ok(())
}

/// Payments, payouts, corrections and reconciliations have no rows of their own: their streams are short, and
/// folded.
async fn folded(
    connection: &mut PgConnection,
    streams: &[String],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT position, canonical FROM events WHERE stream_id = ANY ($1) ORDER BY stream_id, version",
    )
    .bind(streams)
    .fetch_all(connection)
    .await?;
    let events = rows.iter().map(envelope).collect::<Result<Vec<_>, _>>()?;
    for stream in events.chunk_by(|a, b| a.stream_id() == b.stream_id()) {
        if let Some(payment) = Payment::fold(stream) {
            found.insert(Key::Payment(payment.id), Some(Record::Payment(Box::new(payment))));
        } else if let Some(payout) = Payout::fold(stream) {
            found.insert(Key::Payout(payout.id), Some(Record::Payout(payout)));
        } else if let Some(correction) = Correction::fold(stream) {
            found.insert(Key::Correction(correction.id), Some(Record::Correction(Box::new(correction))));
        } else if let Some(run) = Reconciliation::fold(stream) {
            found.insert(Key::Reconciliation(run.id), Some(Record::Reconciliation(Box::new(run))));
        }
    }
    Ok(())
}

/// What has corrected an event is in the event's own stream, found by the event's id.
async fn corrections_of(
    connection: &mut PgConnection,
    reversed: &[String],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT canonical::jsonb #>> '{data,reverses}', canonical::jsonb #>> '{data,correction_id}' FROM events
         WHERE canonical::jsonb #>> '{data,reverses}' = ANY ($1) AND type = 'journal.corrected'",
    )
    .bind(reversed)
    .fetch_all(connection)
    .await?;
    for (event, correction) in rows {
        let key = Key::CorrectionOf(event.parse().map_err(|_| corrupt(&event))?);
        let correction = correction.parse().map_err(|_| corrupt(&event))?;
        found.insert(key, Some(Record::CorrectionOf(correction)));
    }
    Ok(())
}

async fn reconciliations_of(
    connection: &mut PgConnection,
    files: &[String],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT canonical::jsonb #>> '{data,file_hash}', stream_id FROM events
         WHERE canonical::jsonb #>> '{data,file_hash}' = ANY ($1) AND type = 'reconciliation.run'",
    )
    .bind(files)
    .fetch_all(connection)
    .await?;
    for (file, id) in rows {
        let file: FileHash = file.parse().map_err(|_| corrupt(&id))?;
        let run = id.parse().map_err(|_| corrupt(&id))?;
        found.insert(Key::ReconciliationOf(file), Some(Record::ReconciliationOf(run)));
    }
    Ok(())
}

/// The rate of a pair is what the last event of its stream says.
async fn fx_rates(
    connection: &mut PgConnection,
    pairs: &[String],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT last.* FROM unnest($1::text[]) AS wanted (stream_id)
         CROSS JOIN LATERAL (SELECT position, canonical FROM events WHERE stream_id = wanted.stream_id
                             ORDER BY version DESC LIMIT 1) AS last",
    )
    .bind(pairs)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        if let Some(rate) = FxRate::of(&envelope(row)?) {
            found.insert(Key::FxRate(rate.set.from, rate.set.to), Some(Record::FxRate(rate)));
        }
    }
    Ok(())
}

fn envelope((position, canonical): &(i64, String)) -> Result<Envelope, StoreError> {
    Envelope::parse(canonical)
        .map_err(|source| StoreError::Corrupt { what: format!("event {position}"), source })
}

async fn api_keys(
    connection: &mut PgConnection,
    ids: &[String],
    found: &mut Found,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT id, role, merchant_id, revoked, created_at, updated_at, version, position
         FROM api_keys WHERE id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let id: String = row.try_get("id")?;
        let role: String = row.try_get("role")?;
        let merchant_id: Option<String> = row.try_get("merchant_id")?;
        let moment = |column| row.try_get::<DateTime<Utc>, _>(column).map(Timestamp::new);
        let number = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        let created = ApiKeyCreated {
            role: role.parse().map_err(|_| corrupt(&id))?,
            merchant_id: merchant_id.map(|id| id.parse()).transpose().map_err(|_| corrupt(&id))?,
        };
        let stamp = Stamp {
            version: number("version")?,
            position: number("position")?,
            created_at: moment("created_at")?,
            updated_at: moment("updated_at")?,
        };
        let id = id.parse().map_err(|_| corrupt(&id))?;
        let key = ApiKey { id, created, revoked: row.try_get("revoked")?, stamp };
        found.insert(Key::ApiKey(id), Some(Record::ApiKey(key)));
    }
    Ok(())
}

async fn balances_of(
    connection: &mut PgConnection,
    wanted: &[(Owner, Currency)],
    found: &mut Found,
) -> Result<(), StoreError> {
    let owners: Vec<String> = wanted.iter().map(|(owner, _)| owner.to_string()).collect();
    let currencies: Vec<String> = wanted.iter().map(|(_, currency)| currency.to_string()).collect();
    let rows = sqlx::query(
        "SELECT found.* FROM unnest($1::text[], $2::text[]) AS wanted (owner, currency)
         CROSS JOIN LATERAL (SELECT owner, currency, available, held, open, pending, reserved, in_transit, drawn,
                                    unsettled, version, position
                             FROM balances WHERE owner = wanted.owner AND currency = wanted.currency
                             ORDER BY version DESC LIMIT 1) AS found",
    )
    .bind(owners)
    .bind(currencies)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let owner: String = row.try_get("owner")?;
        let currency: String = row.try_get("currency")?;
        let currency: Currency = currency.parse().map_err(|_| corrupt(&owner))?;
        let amount = |column| row.try_get::<i64, _>(column);
        let version = row_version(amount("version")?, amount("position")?);
        match owner.parse().map_err(|_| corrupt(&owner))? {
            Owner::Client(id) => {
                let balance = ClientBalance {
                    available: amount("available")?,
                    held: amount("held")?,
                    open: amount("open")?.try_into().unwrap_or_default(),
                    row: version,
                };
                found.insert(Key::ClientBalance(id, currency), Some(Record::ClientBalance(balance)));
            }
            Owner::Merchant(id) => {
                let unsettled: String = row.try_get("unsettled")?;
                let balance = MerchantBalance {
                    pending: amount("pending")?,
                    available: amount("available")?,
                    reserved: amount("reserved")?,
                    in_transit: amount("in_transit")?,
                    drawn: amount("drawn")?,
                    unsettled: read(&owner, &unsettled)?,
                    row: version,
                };
                found.insert(Key::MerchantBalance(id, currency), Some(Record::MerchantBalance(balance)));
            }
        }
    }
    Ok(())
}

const fn row_version(version: i64, position: i64) -> RowVersion {
    RowVersion { version: version.unsigned_abs(), position: position.unsigned_abs() }
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|source| StoreError::Corrupt { what: format!("row of {what}"), source: source.into() })
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("row of {what}"), source: DecodeError::Unknown }
}
