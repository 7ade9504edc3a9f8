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

/// What a log says of the keys that it was written with.
#[derive(Clone, Debug)]
pub struct Noted(Vec<(String, i32, Vec<u8>)>);

impl Noted {
    /// Reads it from a migrated log.
    pub(crate) async fn read(log: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let query = sqlx::query_as("SELECT purpose, key_id, check_value FROM key_check");
        Ok(Self(query.fetch_all(log).await?))
    }

    /// Returns the purposes whose key is not among the log's.
    pub fn wrong(&self, keys: &[KeyCheck]) -> Vec<&'static str> {
        let is_wrong = |key: &&KeyCheck| {
            let same = |(_, id, value): &(_, i32, Vec<u8>)| *id == key.key_id && *value == key.check_value;
            self.knows(key) && !self.of_purpose(key).any(same)
        };
        keys.iter().filter(is_wrong).map(|key| key.purpose).collect()
    }

    /// Tells whether the log says anything of a key's purpose.
    pub fn knows(&self, key: &KeyCheck) -> bool {
        self.of_purpose(key).next().is_some()
    }

    fn of_purpose(&self, key: &KeyCheck) -> impl Iterator<Item = &(String, i32, Vec<u8>)> {
        self.0.iter().filter(|(purpose, ..)| purpose == key.purpose)
    }
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
    Ok(Noted::read(&mut owner).await?.wrong(keys))
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
