//! Facts that are looked up before a command is queued, and that can't change under it: which card a
//! number is, whose payment it is, which key a subject has.

use ledger_core::api_key::Role;
use ledger_core::card_number::Fingerprint;
use ledger_core::ids::{CardId, ClientId, KeyId, MerchantId, StreamId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{READ_LIMIT, StoreError, within};

/// An API key that opens the door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The key's public id: the actor of what it does.
    pub key_id: KeyId,
    /// What it may do.
    pub role: Role,
    /// The merchant that it is bound to.
    pub merchant_id: Option<MerchantId>,
}

/// Finds the API key of a secret's SHA-256, unless it is revoked.
///
/// Asked for every request, so that a revocation counts at once in every process. Reads the view, which
/// both APIs may.
pub async fn principal(pool: &PgPool, secret_hash: &[u8; 32]) -> Result<Option<Principal>, StoreError> {
    let query = sqlx::query_as(
        "SELECT id, role, merchant_id FROM api_keys_view WHERE secret_hash = $1 AND NOT revoked",
    )
    .bind(secret_hash.as_slice())
    .fetch_optional(pool);
    let row: Option<(String, String, Option<String>)> = within(READ_LIMIT, query).await?;
    Ok(row.and_then(|(id, role, merchant_id)| {
        Some(Principal {
            key_id: id.parse().ok()?,
            role: role.parse().ok()?,
            merchant_id: merchant_id.map(|id| id.parse()).transpose().ok()?,
        })
    }))
}

/// Finds the card of a number and its holder. One number is one card for ever, so what is found stays.
pub async fn card(pool: &PgPool, fingerprint: Fingerprint) -> Result<Option<(CardId, ClientId)>, StoreError> {
    let query = sqlx::query_as("SELECT id, state::jsonb ->> 'client_id' FROM cards WHERE fingerprint = $1")
        .bind(fingerprint.0.as_slice())
        .fetch_optional(pool);
    let row: Option<(String, String)> = within(READ_LIMIT, query).await?;
    Ok(row.and_then(|(card, client)| Some((card.parse().ok()?, client.parse().ok()?))))
}

/// Finds the holder of a card.
pub async fn card_holder(pool: &PgPool, card: CardId) -> Result<Option<ClientId>, StoreError> {
    let query = sqlx::query_as("SELECT state::jsonb ->> 'client_id' FROM cards WHERE id = $1")
        .bind(card.to_string())
        .fetch_optional(pool);
    let row: Option<(String,)> = within(READ_LIMIT, query).await?;
    Ok(row.and_then(|(client,)| client.parse().ok()))
}

/// Finds the client of a payment, by its first event; `None` also where a declined payment has none.
pub async fn payment_client(pool: &PgPool, payment: &str) -> Result<Option<ClientId>, StoreError> {
    let query = sqlx::query_as(
        "SELECT canonical::jsonb #>> '{data,client_id}' FROM events WHERE stream_id = $1 AND version = 1",
    )
    .bind(payment)
    .fetch_optional(pool);
    let row: Option<(Option<String>,)> = within(READ_LIMIT, query).await?;
    Ok(row.and_then(|(client,)| client).and_then(|client| client.parse().ok()))
}

/// Returns the wrapped keys of the given subjects; an erased subject has none.
pub async fn subject_keys(
    pool: &PgPool,
    subjects: &[String],
) -> Result<Vec<(StreamId, Vec<u8>)>, StoreError> {
    let query = sqlx::query_as("SELECT subject, wrapped FROM subject_keys WHERE subject = ANY ($1)")
        .bind(subjects)
        .fetch_all(pool);
    let rows: Vec<(String, Vec<u8>)> = within(READ_LIMIT, query).await?;
    Ok(rows.into_iter().filter_map(|(subject, wrapped)| Some((subject.parse().ok()?, wrapped))).collect())
}

/// Returns the fingerprint of the request that an idempotency key belongs to.
pub async fn outcome_fingerprint(pool: &PgPool, key: Uuid) -> Result<Option<Uuid>, StoreError> {
    let query =
        sqlx::query_as("SELECT fingerprint FROM outcomes WHERE key = $1").bind(key).fetch_optional(pool);
    let row: Option<(Uuid,)> = within(READ_LIMIT, query).await?;
    Ok(row.map(|(fingerprint,)| fingerprint))
}
