//! Compares a process's secret keys with the log's, so that a wrong one stops the start instead of
//! making fingerprints that find nothing.

use sqlx::PgPool;

use crate::error::StoreError;

/// One key of the process.
#[derive(Clone, Debug)]
pub struct KeyCheck {
    /// What the key is for.
    pub purpose: &'static str,
    /// The key's version.
    pub key_id: i32,
    /// A one-way value of the key.
    pub check_value: Vec<u8>,
}

/// Notes the keys of a new log, and returns the purposes whose key is not the log's.
pub async fn note_and_compare(owner: &PgPool, keys: &[KeyCheck]) -> Result<Vec<&'static str>, StoreError> {
    for key in keys {
        sqlx::query(
            "INSERT INTO key_check (purpose, key_id, check_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(key.purpose)
        .bind(key.key_id)
        .bind(&key.check_value)
        .execute(owner)
        .await?;
    }
    compare(owner, keys).await
}

/// Returns the purposes whose key is not the log's.
pub async fn compare(pool: &PgPool, keys: &[KeyCheck]) -> Result<Vec<&'static str>, StoreError> {
    let mut wrong = Vec::new();
    for key in keys {
        let known: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT check_value FROM key_check WHERE purpose = $1 AND key_id = $2")
                .bind(key.purpose)
                .bind(key.key_id)
                .fetch_optional(pool)
                .await?;
        if known.is_none_or(|(value,)| value != key.check_value) {
            wrong.push(key.purpose);
        }
    }
    Ok(wrong)
}
