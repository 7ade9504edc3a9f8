//! Facts that are looked up before a command is queued, and that can't change under it: which card a
//! number is, whose payment it is, what a correction is of, which key a subject has.

use std::collections::HashMap;

use ledger_core::Envelope;
use ledger_core::api_key::Role;
use ledger_core::card_number::Fingerprint;
use ledger_core::ids::{
    CardId, ClientId, CorrectionId, DisputeId, EventId, KeyId, MerchantId, PaymentId, StreamId,
};
use ledger_core::money::Currency;
use ledger_core::reconciliation::statement::FileHash;
use ledger_core::time::Day;
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

/// Finds the API keys of secrets' SHA-256, without those that are revoked.
///
/// Asked anew for every request, so that a revocation counts at once in every process. Reads the view,
/// which both APIs may.
pub async fn principals(
    pool: &PgPool,
    secret_hashes: &[[u8; 32]],
) -> Result<HashMap<[u8; 32], Principal>, StoreError> {
    let query = sqlx::query_as(
        "SELECT secret_hash, id, role, merchant_id FROM api_keys_view WHERE secret_hash = ANY ($1) AND NOT revoked",
    )
    .bind(secret_hashes.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
    .fetch_all(pool);
    let rows: Vec<(Vec<u8>, String, String, Option<String>)> = within(READ_LIMIT, query).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(secret_hash, id, role, merchant_id)| {
            let principal = Principal {
                key_id: id.parse().ok()?,
                role: role.parse().ok()?,
                merchant_id: merchant_id.map(|id| id.parse()).transpose().ok()?,
            };
            Some((secret_hash.try_into().ok()?, principal))
        })
        .collect())
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

/// Finds the payment of a dispute, and its client.
pub async fn dispute(pool: &PgPool, dispute: DisputeId) -> Result<Option<(PaymentId, ClientId)>, StoreError> {
    let query = sqlx::query_as(
        "SELECT stream_id, canonical::jsonb #>> '{data,client_id}' FROM events
         WHERE canonical::jsonb #>> '{data,dispute_id}' = $1 AND type = 'payment.disputed'",
    )
    .bind(dispute.to_string())
    .fetch_optional(pool);
    let row: Option<(String, String)> = within(READ_LIMIT, query).await?;
    Ok(row.and_then(|(payment, client)| Some((payment.parse().ok()?, client.parse().ok()?))))
}

/// Finds an event that can be corrected, by its id; or another one, to say that it can't.
pub async fn event(pool: &PgPool, id: EventId) -> Result<Option<Envelope>, StoreError> {
    let query = sqlx::query_as(
        "SELECT canonical FROM events
         WHERE canonical::jsonb ->> 'event_id' = $1
           AND type IN ('client.deposited', 'client.withdrawn', 'merchant.deposited', 'payout.paid', 'payment.dispute_lost')",
    )
    .bind(id.to_string())
    .fetch_optional(pool);
    let row: Option<(String,)> = within(READ_LIMIT, query).await?;
    match row {
        Some((canonical,)) => envelope(&canonical).map(Some),
        None => event_of_any_type(pool, id).await,
    }
}

/// Finds an event of any type, without an index that every append would pay for: an id tells when it was drawn, a
/// few seconds before its event took its place, so ids rise with positions but for those seconds.
///
/// Where a host's clock was further off it may find nothing.
async fn event_of_any_type(pool: &PgPool, id: EventId) -> Result<Option<Envelope>, StoreError> {
    let id = id.to_string();
    let query = sqlx::query_as(
        "WITH RECURSIVE drawn (after, high) AS (
             SELECT ('x' || substr($1, 5, 12))::bit(48)::bigint + seconds * 1000, seconds > 0
             FROM unnest(ARRAY[-20, 20]) AS seconds
         ), halved (high, after, low, up) AS (
             SELECT high, after, 0::bigint, coalesce((SELECT max(position) FROM events), 0) + 1 FROM drawn
             UNION ALL
             SELECT halved.high, after, CASE WHEN at.drawn < after THEN at.position ELSE low END,
                    CASE WHEN at.drawn < after THEN up ELSE at.position END
             FROM halved CROSS JOIN LATERAL
                  (SELECT position, ('x' || substr(canonical::jsonb ->> 'event_id', 5, 12))::bit(48)::bigint AS drawn
                   FROM events WHERE position = (low + up) / 2) AS at
             WHERE up - low > 1
         )
         SELECT canonical FROM events
         WHERE position > (SELECT max(low) FROM halved WHERE NOT high)
           AND position < (SELECT min(up) FROM halved WHERE high) AND canonical::jsonb ->> 'event_id' = $1",
    )
    .bind(id)
    .fetch_optional(pool);
    let row: Option<(String,)> = within(READ_LIMIT, query).await?;
    row.map(|(canonical,)| envelope(&canonical)).transpose()
}

/// Finds the event that a correction is of.
pub async fn reversed(pool: &PgPool, correction: CorrectionId) -> Result<Option<Envelope>, StoreError> {
    let query = sqlx::query_as(
        "SELECT reversed.canonical FROM events AS requested
         JOIN events AS reversed ON reversed.position = (requested.canonical::jsonb #>> '{data,reverses_position}')::bigint
         WHERE requested.stream_id = $1 AND requested.version = 1",
    )
    .bind(correction.to_string())
    .fetch_optional(pool);
    let row: Option<(String,)> = within(READ_LIMIT, query).await?;
    row.map(|(canonical,)| envelope(&canonical)).transpose()
}

fn envelope(canonical: &str) -> Result<Envelope, StoreError> {
    Envelope::parse(canonical).map_err(|source| StoreError::Corrupt { what: "an event".to_owned(), source })
}

/// Finds merchants and currencies that may have captures to settle through a day: all of them, or those
/// of one merchant or one currency; the longest waiting first.
pub async fn unsettled(
    pool: &PgPool,
    merchant: Option<MerchantId>,
    currency: Option<Currency>,
    through: Day,
    limit: usize,
) -> Result<Vec<(MerchantId, Currency)>, StoreError> {
    // Days are written as ISO 8601 has them, so their texts are in their order.
    let query = sqlx::query_as(
        "SELECT owner, currency FROM
             (SELECT owner, currency, (SELECT min(day) FROM jsonb_object_keys(unsettled::jsonb) AS day) AS first_day
              FROM balances
              WHERE owner LIKE 'mer\\_%' AND owner = coalesce($1, owner) AND currency = coalesce($2, currency)) AS waiting
         WHERE first_day <= $3 ORDER BY first_day, owner, currency LIMIT $4",
    )
    .bind(merchant.map(|id| id.to_string()))
    .bind(currency.map(|currency| currency.to_string()))
    .bind(through.to_string())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool);
    let rows: Vec<(String, String)> = within(READ_LIMIT, query).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(merchant, currency)| Some((merchant.parse().ok()?, currency.parse().ok()?)))
        .collect())
}

/// Returns the events between two positions that move money at the bank, in order, without those that were
/// corrected up to the head; each with its payout's reference, if it is one that has any.
pub async fn bank_movements(
    pool: &PgPool,
    after: u64,
    through: u64,
    head: u64,
    limit: u32,
) -> Result<Vec<(Envelope, Option<String>)>, StoreError> {
    // A query for each payout, not a join: that would read the first events of all streams.
    let query = sqlx::query_as(
        "SELECT position, canonical,
                CASE WHEN type IN ('payout.paid', 'payout.returned')
                     THEN (SELECT canonical::jsonb #>> '{data,reference}' FROM events AS requested
                           WHERE requested.stream_id = moved.stream_id AND requested.version = 1) END
         FROM events AS moved
         WHERE type IN ('client.deposited', 'client.withdrawn', 'merchant.deposited', 'payout.paid',
                              'payout.returned')
           AND position > $1 AND position <= $2
           AND NOT EXISTS (SELECT FROM events AS corrected
                           WHERE corrected.canonical::jsonb #>> '{data,reverses}' = moved.canonical::jsonb ->> 'event_id'
                             AND corrected.type = 'journal.corrected' AND corrected.position <= $3)
         ORDER BY position LIMIT $4",
    )
    .bind(after.cast_signed())
    .bind(through.cast_signed())
    .bind(head.cast_signed())
    .bind(i64::from(limit))
    .fetch_all(pool);
    let rows: Vec<(i64, String, Option<String>)> = within(READ_LIMIT, query).await?;
    let read = |(position, canonical, reference): (i64, String, Option<String>)| {
        let corrupt = |source| StoreError::Corrupt { what: format!("event {position}"), source };
        Ok((Envelope::parse(&canonical).map_err(corrupt)?, reference))
    };
    rows.into_iter().map(read).collect()
}

/// Tells whether a file was compared with the ledger before.
pub async fn is_reconciled(pool: &PgPool, file: FileHash) -> Result<bool, StoreError> {
    let query = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM events
                        WHERE canonical::jsonb #>> '{data,file_hash}' = $1 AND type = 'reconciliation.run')",
    )
    .bind(file.to_string())
    .fetch_one(pool);
    let (is_known,): (bool,) = within(READ_LIMIT, query).await?;
    Ok(is_known)
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
