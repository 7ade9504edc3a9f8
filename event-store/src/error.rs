//! What can go wrong between the ledger and PostgreSQL.

use std::time::Duration;

use ledger_core::event::DecodeError;

/// A failed read or append.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL said no, or could not be reached; nothing was committed.
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    /// The connection broke during COMMIT: it may have happened or not. Run the batch again.
    #[error("outcome of the commit is unknown")]
    CommitUnknown(#[source] sqlx::Error),
    /// Our own timeout ran out before PostgreSQL answered; nothing was committed.
    #[error("database did not answer within {0:?}")]
    Timeout(Duration),
    /// A write-side row had another version than the one decided on: the memo was wrong.
    #[error("{changed} of {expected} rows of {table} had the expected version")]
    VersionMismatch {
        /// The table.
        table: &'static str,
        /// How many rows should have changed.
        expected: u64,
        /// How many did.
        changed: u64,
    },
    /// A stored event or row can't be read.
    #[error("{what} can't be read")]
    Corrupt {
        /// Which one.
        what: String,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

impl StoreError {
    /// Tells whether the same batch may succeed a moment later: the connection, a lock, resources or the
    /// server's life failed it (SQLSTATE classes 08, 40, 53, 57P, and 55P03), not its content.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_transient(error),
            Self::CommitUnknown(_) | Self::Timeout(_) | Self::VersionMismatch { .. } => true,
            Self::Corrupt { .. } => false,
        }
    }
}

/// Tells the same of a bare database error.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            ["08", "40", "53", "57P"].iter().any(|class| code.starts_with(class))
                || code == "55P03"
                || code == "57014"
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// Waits for PostgreSQL, but not for ever: no await on a connection is without a bound.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let wrong = StoreError::VersionMismatch { table: "balances", expected: 1, changed: 0 };
        assert!(wrong.is_transient(), "the memo was wrong: looked up again, it may be right");
        assert!(StoreError::CommitUnknown(sqlx::Error::PoolClosed).is_transient());
        assert!(StoreError::Timeout(Duration::ZERO).is_transient());
        assert!(StoreError::Database(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::Database(sqlx::Error::RowNotFound).is_transient());
        let corrupt = StoreError::Corrupt { what: String::new(), source: DecodeError::Unknown };
        assert!(!corrupt.is_transient());
    }
}
