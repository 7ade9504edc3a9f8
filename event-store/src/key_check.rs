//! Compares a process's secret keys with the log's, so that a wrong one stops the start instead of
//! making fingerprints that find nothing.

use sqlx::{Connection, PgConnection};

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

/// Returns the purposes whose key is not among the log's. Writes nothing, and asks nothing of a database
/// that is no log yet.
pub async fn compare(log_url: &str, keys: &[KeyCheck]) -> Result<Vec<&'static str>, StoreError> {
    let mut owner = PgConnection::connect(log_url).await?;
    let (exists,): (bool,) =
        sqlx::query_as("SELECT to_regclass('key_check') IS NOT NULL").fetch_one(&mut owner).await?;
    if !exists {
        return Ok(Vec::new());
    }
    let known: Vec<(String, i32, Vec<u8>)> =
        sqlx::query_as("SELECT purpose, key_id, check_value FROM key_check").fetch_all(&mut owner).await?;
    let is_wrong = |key: &&KeyCheck| {
        let mut of_purpose = known.iter().filter(|(purpose, ..)| purpose == key.purpose).peekable();
        let is_noted = of_purpose.peek().is_some();
        is_noted && !of_purpose.any(|(_, id, value)| *id == key.key_id && *value == key.check_value)
    };
    Ok(keys.iter().filter(is_wrong).map(|key| key.purpose).collect())
}

/// Notes the keys of a log that has none noted.
pub async fn note(log_url: &str, keys: &[KeyCheck]) -> Result<(), StoreError> {
    let mut owner = PgConnection::connect(log_url).await?;
    for key in keys {
        sqlx::query(
            "INSERT INTO key_check (purpose, key_id, check_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(key.purpose)
        .bind(key.key_id)
        .bind(&key.check_value)
        .execute(&mut owner)
        .await?;
    }
    Ok(())
}
