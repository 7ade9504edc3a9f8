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
    /// The log could not be locked: no command was looked at.
    #[error("log can't be locked")]
    NotLocked(#[source] Box<StoreError>),
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
    /// The log does not have the event that a checkpoint stands on, or has a hole behind it: it was
    /// restored, and what follows is another history (I14).
    #[error("history_mismatch at position {position}")]
    HistoryMismatch {
        /// Where.
        position: u64,
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
    /// server's life failed it, not its content.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_transient(error),
            Self::CommitUnknown(_) | Self::NotLocked(_) => true,
            Self::Timeout(_)
            | Self::VersionMismatch { .. }
            | Self::HistoryMismatch { .. }
            | Self::Corrupt { .. } => false,
        }
    }

    /// Tells whether a named constraint refused it.
    pub fn violates(&self, constraint: &str) -> bool {
        let Self::Database(sqlx::Error::Database(refusal)) = self else { return false };
        refusal.constraint() == Some(constraint)
    }

    /// Tells whether the same batch is worth one more try: the memo was wrong, or a statement took too long
    /// (SQLSTATE 57014). If it fails so again, one of its commands is at fault.
    pub fn is_worth_one_more_try(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::VersionMismatch { .. } => true,
            Self::Database(sqlx::Error::Database(refusal)) => {
                refusal.code().is_some_and(|code| code == "57014")
            }
            Self::Database(_)
            | Self::CommitUnknown(_)
            | Self::NotLocked(_)
            | Self::HistoryMismatch { .. }
            | Self::Corrupt { .. } => false,
        }
    }
}

/// Tells the same of a bare database error: SQLSTATE classes 08, 40, 53 and 57P, a server that does not let
/// us in (28, 3D, 55000), a lock that was not to be had (55P03), a session that idled too long (25P03), a
/// server that only reads for now (25006).
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            ["08", "28", "3D", "40", "53", "55000", "57P", "55P03", "25P03", "25006"]
                .iter()
                .any(|class| code.starts_with(class))
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

/// How long a read may take: longer than the server lets a statement run, in case it can't tell us.
pub const READ_LIMIT: Duration = Duration::from_secs(8);

/// Waits for PostgreSQL, but not for ever.
pub async fn within<T>(
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
        assert!(!wrong.is_transient() && wrong.is_worth_one_more_try(), "looked up again, it may be right");
        assert!(StoreError::CommitUnknown(sqlx::Error::PoolClosed).is_transient());
        assert!(StoreError::Timeout(Duration::ZERO).is_worth_one_more_try());
        let unlocked = StoreError::NotLocked(Box::new(StoreError::Database(sqlx::Error::RowNotFound)));
        assert!(unlocked.is_transient(), "no command can be at fault");
        assert!(StoreError::Database(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::Database(sqlx::Error::RowNotFound).is_transient());
        let corrupt = StoreError::Corrupt { what: String::new(), source: DecodeError::Unknown };
        assert!(!corrupt.is_transient());
    }
}
