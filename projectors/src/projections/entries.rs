//! Entries: one per posting, with the account's balance after it.

use ledger_core::ids::StreamId;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::projection::Decoded;

/// One posting to an owner's account.
pub(crate) struct Entry {
    owner: String,
    position: i64,
    ordinal: i16,
    account: &'static str,
    currency: String,
    amount: i64,
    balance_after: i64,
    type_name: &'static str,
    payment_id: Option<String>,
    recorded_at: DateTime<Utc>,
}

impl Entry {
    /// Makes the entry of an event's posting.
    pub(crate) fn of(
        event: &Decoded,
        ordinal: usize,
        owner: String,
        account: &'static str,
        balance_after: i64,
    ) -> Self {
        let posting = &event.envelope.draft.postings.postings()[ordinal];
        let payment_id = match event.envelope.stream_id() {
            StreamId::Payment(id) => Some(id.to_string()),
            _ => None,
        };
        Self {
            owner,
            position: event.position(),
            ordinal: i16::try_from(ordinal).unwrap_or(i16::MAX),
            account,
            currency: posting.money().currency.to_string(),
            amount: posting.effect(),
            balance_after,
            type_name: event.envelope.event().type_name(),
            payment_id,
            recorded_at: event.envelope.recorded_at.get(),
        }
    }
}

/// Inserts entries by a statement that takes the columns as arrays, in the order of [`Entry`].
pub(crate) async fn insert(
    tables: &mut PgConnection,
    statement: &'static str,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(entries.iter().map(|entry| entry.owner.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.position).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.ordinal).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.account).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.currency.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.amount).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.balance_after).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.type_name).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.payment_id.as_deref()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.recorded_at).collect::<Vec<_>>())
        .execute(tables)
        .await?;
    Ok(())
}
