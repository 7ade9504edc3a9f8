//! Read models, as those who fold them and those who ask them find each other: by name, by the shape of the
//! tables, by which generation is live.

use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::migrate::DatabaseRole;

/// A read model, as this version of the program knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadModel {
    /// The name that projectors, queries and operators use.
    pub name: &'static str,
    /// The SQL of its tables and of their indexes, unqualified: they are made in each generation's schema.
    pub sql: &'static str,
    /// Who may read them.
    pub readers: &'static [DatabaseRole],
}

/// Behind this line stand the indexes that no fold asks for: those of a long log are made once its rows are there.
const INDEXES: &str = "-- Made once the rows are there:\n";

/// Who asks most read models.
const READERS: &[DatabaseRole] = &[DatabaseRole::Query, DatabaseRole::Auditor];

macro_rules! read_models {
    ($($(#[$doc:meta])* $model:ident = $name:literal for $readers:expr;)+) => {$(
        $(#[$doc])*
        pub const $model: ReadModel = ReadModel {
            name: $name,
            sql: include_str!(concat!("../../migrations/projections/", $name, ".sql")),
            readers: $readers,
        };
    )+};
}

read_models! {
    /// Clients, their cards and their accounts.
    CLIENT_ACCOUNT = "client-account" for READERS;
    /// Merchants and their accounts.
    MERCHANT_ACCOUNT = "merchant-account" for READERS;
    /// The house's accounts.
    HOUSE_ACCOUNT = "house-account" for READERS;
    /// Payments, refunds and disputes.
    PAYMENT = "payment" for READERS;
    /// Settlements and their items.
    SETTLEMENT = "settlement" for READERS;
    /// Payouts.
    PAYOUT = "payout" for READERS;
    /// Corrections.
    CORRECTION = "correction" for READERS;
    /// Rates between currencies.
    FX_RATE = "fx-rate" for READERS;
    /// Bank statements, compared with the ledger.
    RECONCILIATION = "reconciliation" for READERS;
    /// What clients and merchants are told.
    NOTIFICATION = "notification" for READERS;
    /// What is due, for the schedulers beside the write path.
    DEADLINES = "deadlines" for &[DatabaseRole::Command, DatabaseRole::Query, DatabaseRole::Auditor];
}

impl ReadModel {
    /// Returns what tells tables of one version of the program from those of another: the SHA-256 of their
    /// SQL. A fold that comes to write other rows into the same tables says so there, in a comment.
    pub fn shape(&self) -> [u8; 32] {
        Sha256::digest(self.sql).into()
    }

    /// Returns the SQL of the tables, and of the indexes that can be made later.
    pub fn tables_and_indexes(&self) -> (&'static str, &'static str) {
        self.sql.split_once(INDEXES).unwrap_or((self.sql, ""))
    }

    /// Finds the live generation, and which of the given keys stand still in it, as the first
    /// statement of a transaction; leads the transaction to its tables, which it names unqualified from then on.
    ///
    /// `None` if there is none that this version of the program can read: a projector makes one at its start.
    pub async fn enter(&self, work: &mut PgConnection, keys: &[&str]) -> Result<Option<Live>, sqlx::Error> {
        let row: Option<(i64, i32, Vec<String>, String)> = sqlx::query_as(
            "SELECT position, generation,
                    ARRAY (SELECT key FROM parked_keys AS parked
                           WHERE parked.name = live.name AND parked.generation = live.generation
                             AND parked.key = ANY ($3)),
                    set_config('search_path', format('%I, %s', replace(name, '-', '_') || '_' || generation,
                                                     current_setting('search_path')), true)
             FROM projections AS live WHERE name = $1 AND shape = $2 AND active",
        )
        .bind(self.name)
        .bind(self.shape().as_slice())
        .bind(keys)
        .fetch_optional(work)
        .await?;
        Ok(row.map(|(position, generation, parked, _)| Live {
            generation,
            position: position.unsigned_abs(),
            parked,
        }))
    }
}

/// The live generation of a read model, at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// Which one.
    pub generation: i32,
    /// The last event that its rows reflect.
    pub position: u64,
    /// Which of the keys that were asked for stand still.
    pub parked: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tables_are_of_another_shape() {
        let changed = ReadModel { sql: "CREATE TABLE clients ()", ..CLIENT_ACCOUNT };
        assert_eq!(CLIENT_ACCOUNT.shape(), CLIENT_ACCOUNT.shape());
        assert_ne!(CLIENT_ACCOUNT.shape(), changed.shape());
    }

    #[test]
    fn indexes_stand_behind_the_tables() {
        let (tables, indexes) = NOTIFICATION.tables_and_indexes();
        assert!(tables.contains("CREATE TABLE notifications") && !tables.contains("INDEX"));
        assert!(indexes.starts_with("CREATE UNIQUE INDEX notifications_pkey"));
        assert_eq!(FX_RATE.tables_and_indexes(), (FX_RATE.sql, ""));
    }
}
