//! What a program makes sure of before it works on a ledger: that there is one, that the program is new
//! enough for it, that its role may do what it has to and no more, that its keys are the log's.

use std::collections::BTreeSet;
use std::fmt;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::error::{READ_LIMIT, is_transient};
use crate::key_check::{KeyCheck, Noted};
use crate::migrate::{DatabaseRole, WRITER_VERSION, newer_version};

/// One of a ledger's databases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Database {
    /// The log's.
    Log,
    /// The read models'.
    ReadModels,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "the log",
            Self::ReadModels => "the database of the read models",
        })
    }
}

/// Why a program may not work on a ledger.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The database can't be reached at the moment: the one reason that passes by itself.
    #[error("{0} is unavailable")]
    Away(Database, #[source] Option<sqlx::Error>),
    /// It does not let the role in, or failed; PostgreSQL says why.
    #[error("{0} can't be used: {1}")]
    Refused(Database, String),
    /// Its tables, or the notes of its keys, are not there.
    #[error("{0} is not made yet; run `quittance migrate` as the database's owner")]
    NotMigrated(Database),
    /// The role could do what this program never must.
    #[error(
        "the role `{role}` may {privilege}, which this program must not; give it the `{suffix}` role of `quittance migrate`"
    )]
    TooStrong {
        /// The role that the program has.
        role: String,
        /// What it should not be able to do.
        privilege: String,
        /// The end of the name of the role that the program should have.
        suffix: &'static str,
    },
    /// The role lacks something.
    #[error(
        "the role `{role}` may not {privilege}; this program works as the `{suffix}` role of `quittance migrate`"
    )]
    TooWeak {
        /// The role that the program has.
        role: String,
        /// What it may not do.
        privilege: String,
        /// The end of the name of the role that the program should have.
        suffix: &'static str,
    },
    /// A later version of the program has written to the log.
    #[error(
        "the log needs a program that writes version {needed} or later; this one writes {WRITER_VERSION}"
    )]
    NewerLog {
        /// The version that the log asks for.
        needed: i32,
    },
    /// Keys are not those that the log was written with.
    #[error(
        "the secrets are not those of this log (wrong: {}); restore the secrets file made with it",
        .0.join(", ")
    )]
    WrongKeys(Vec<&'static str>),
}

/// Checks the log for a program that has a role and some of the keys.
///
/// # Errors
///
/// The first of the reasons that holds, in the order of [`Unfit`].
pub async fn log(options: &PgConnectOptions, role: DatabaseRole, keys: &[KeyCheck]) -> Result<(), Unfit> {
    within_limit(Database::Log, async {
        let mut log =
            PgConnection::connect_with(options).await.map_err(|error| failed(Database::Log, error))?;
        check_role(&mut log, Database::Log, role, role.log_grants(), role.log_bans()).await?;
        // A query neither writes nor folds: a log that asks more of writers and projectors is as good to it.
        if role != DatabaseRole::Query
            && let Some(needed) =
                newer_version(&mut log).await.map_err(|error| failed(Database::Log, error))?
        {
            return Err(Unfit::NewerLog { needed });
        }
        check_keys(&mut log, keys).await
    })
    .await
}

/// Checks the database of the read models for a program that has a role.
///
/// # Errors
///
/// The first of the reasons that holds, in the order of [`Unfit`].
pub async fn read_models(options: &PgConnectOptions, role: DatabaseRole) -> Result<(), Unfit> {
    let database = Database::ReadModels;
    within_limit(database, async {
        let mut read = PgConnection::connect_with(options).await.map_err(|error| failed(database, error))?;
        check_role(&mut read, database, role, role.read_grants(), role.read_bans()).await
    })
    .await
}

async fn within_limit(
    database: Database,
    check: impl Future<Output = Result<(), Unfit>>,
) -> Result<(), Unfit> {
    tokio::time::timeout(READ_LIMIT, check).await.unwrap_or(Err(Unfit::Away(database, None)))
}

/// Tells what passes from what will not: a role that is not let in (28) or a database that is not there (3D)
/// is a wrong configuration at a start.
fn failed(database: Database, error: sqlx::Error) -> Unfit {
    let refusal = error.as_database_error();
    let code = refusal.and_then(DatabaseError::code).unwrap_or_default();
    if is_transient(&error) && !code.starts_with("28") && !code.starts_with("3D") {
        return Unfit::Away(database, Some(error));
    }
    Unfit::Refused(
        database,
        refusal.map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned()),
    )
}

/// Compares what a role may do with what it must not be able to, and with what it must.
async fn check_role(
    connection: &mut PgConnection,
    database: Database,
    role: DatabaseRole,
    grants: &[&str],
    bans: &[&str],
) -> Result<(), Unfit> {
    let (needed, banned) = (privileges(grants), privileges(bans));
    let (tables, names): (Vec<&str>, Vec<&str>) = needed.union(&banned).copied().unzip();
    let rows: Vec<(String, String, String, Option<bool>)> = sqlx::query_as(
        "SELECT current_user::text, name, privilege, has_table_privilege(to_regclass(name), privilege)
         FROM unnest($1::text[], $2::text[]) AS asked (name, privilege)",
    )
    .bind(tables)
    .bind(names)
    .fetch_all(connection)
    .await
    .map_err(|error| failed(database, error))?;
    if rows.iter().any(|(.., allowed)| allowed.is_none()) {
        return Err(Unfit::NotMigrated(database));
    }
    let find = |asked: &BTreeSet<(&str, &str)>, allowed: bool| {
        let row = rows.iter().find(|(_, table, privilege, is_allowed)| {
            asked.contains(&(table.as_str(), privilege.as_str())) && *is_allowed == Some(allowed)
        });
        row.map(|(name, table, privilege, _)| (name.clone(), format!("{privilege} ON {table}")))
    };
    let suffix = role.suffix();
    if let Some((role, privilege)) = find(&banned, true) {
        return Err(Unfit::TooStrong { role, privilege, suffix });
    }
    match find(&needed, false) {
        Some((role, privilege)) => Err(Unfit::TooWeak { role, privilege, suffix }),
        None => Ok(()),
    }
}

/// Takes `SELECT, INSERT ON a, b` apart: tables with privileges.
fn privileges<'a>(lines: &[&'a str]) -> BTreeSet<(&'a str, &'a str)> {
    let pairs = |line: &'a str| {
        let (privileges, tables) = line.split_once(" ON ").unwrap_or_default();
        tables.split(", ").flat_map(move |table| privileges.split(", ").map(move |name| (table, name)))
    };
    lines.iter().copied().flat_map(pairs).collect()
}

/// Finds keys that are not the log's. `migrate` notes them as the last thing that it does.
async fn check_keys(log: &mut PgConnection, keys: &[KeyCheck]) -> Result<(), Unfit> {
    if keys.is_empty() {
        return Ok(());
    }
    let noted = Noted::read(log).await.map_err(|error| failed(Database::Log, error))?;
    if !keys.iter().all(|key| noted.knows(key)) {
        return Err(Unfit::NotMigrated(Database::Log));
    }
    let wrong = noted.wrong(keys);
    if wrong.is_empty() { Ok(()) } else { Err(Unfit::WrongKeys(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_taken_apart() {
        let taken = privileges(&["SELECT, INSERT ON a, b", "UPDATE ON a"]);
        let expected = [("a", "INSERT"), ("a", "SELECT"), ("a", "UPDATE"), ("b", "INSERT"), ("b", "SELECT")];
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_role_is_granted_what_it_must_not_have() {
        for role in DatabaseRole::ALL {
            let granted = privileges(role.log_grants());
            assert!(granted.is_disjoint(&privileges(role.log_bans())), "{role:?}");
            assert!(privileges(role.read_grants()).is_disjoint(&privileges(role.read_bans())), "{role:?}");
        }
    }
}
