//! Makes the databases what this version expects: tables, roles, grants.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::database::options;
use crate::error::READ_LIMIT;

static LOG: Migrator = sqlx::migrate!("../migrations/log");
static READ: Migrator = sqlx::migrate!("../migrations/read");

/// The version of what this program writes: a log that asks for a later one is not touched.
pub(crate) const WRITER_VERSION: i32 = 2;

/// How often roles are made anew when another migration met us there.
const ROLE_ATTEMPTS: u32 = 20;
const ROLE_PAUSE: Duration = Duration::from_millis(50);

/// Held while a database's roles and grants are made.
const ROLES_LOCK: i64 = 0x7175_6974_7461_6e63;

/// The roles beside the owner, each with only what it needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DatabaseRole {
    /// Appends.
    Command,
    /// Folds the log into read models.
    Projector,
    /// Reads read models and the log.
    Query,
    /// Reads everything but keys.
    Auditor,
    /// Reads documented views.
    Analyst,
}

impl DatabaseRole {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Command, Self::Projector, Self::Query, Self::Auditor, Self::Analyst];

    /// Returns the role's name behind the prefix.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Projector => "projector",
            Self::Query => "query",
            Self::Auditor => "auditor",
            Self::Analyst => "analyst",
        }
    }

    /// Session settings of the role.
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Command => &[
                "statement_timeout = '5s'",
                "idle_in_transaction_session_timeout = '3s'",
                // A plan made while the log was empty would go on scanning it (docs/decisions.md).
                "enable_seqscan = off",
                "tcp_user_timeout = '5s'",
                "tcp_keepalives_idle = 2",
                "tcp_keepalives_interval = 1",
                "tcp_keepalives_count = 3",
            ],
            // Rows and checkpoint are lost together and made again, so no commit of theirs waits for the disk.
            Self::Projector => &["synchronous_commit = off", "idle_in_transaction_session_timeout = '30s'"],
            Self::Query | Self::Auditor | Self::Analyst => {
                &["default_transaction_read_only = on", "statement_timeout = '30s'"]
            }
        }
    }

    /// What the role may do in the log's database.
    pub(crate) const fn log_grants(self) -> &'static [&'static str] {
        match self {
            Self::Command => &[
                "UPDATE ON log_lock",
                "SELECT, INSERT ON events, outcomes, subject_keys",
                "SELECT, INSERT, UPDATE ON owners, balances, cards, api_keys",
                "INSERT ON writer_sessions",
                "SELECT, UPDATE ON relay_cursor",
                "SELECT ON log_identity, key_check, api_keys_view",
            ],
            Self::Projector => &["SELECT ON events, subject_keys, log_identity, key_check"],
            Self::Query => &["SELECT ON events, event_view, log_identity, api_keys_view"],
            Self::Auditor => &[
                "SELECT ON events, event_view, log_identity, api_keys_view, outcomes, owners, balances, cards",
            ],
            Self::Analyst => &[],
        }
    }

    /// What the role may do with where the read models stand.
    pub(crate) const fn read_grants(self) -> &'static [&'static str] {
        match self {
            Self::Projector => &["SELECT, INSERT, UPDATE, DELETE ON projections, parked_keys, parked_events"],
            Self::Query | Self::Auditor => &["SELECT ON projections, parked_keys, parked_events"],
            // It finds what is due there; those tables are granted where they are made.
            Self::Command => &["SELECT ON projections, parked_keys"],
            Self::Analyst => &[],
        }
    }

    /// What the role must not be able to do in the log's database, whoever let it (I1, I9).
    pub(crate) const fn log_bans(self) -> &'static [&'static str] {
        match self {
            Self::Command => &["UPDATE, DELETE, TRUNCATE ON events"],
            Self::Query | Self::Analyst => {
                &["INSERT, UPDATE, DELETE, TRUNCATE ON events", "SELECT ON subject_keys, outcomes, cards"]
            }
            Self::Projector | Self::Auditor => &["INSERT, UPDATE, DELETE, TRUNCATE ON events"],
        }
    }

    /// What the role must not be able to do with where the read models stand (I9).
    pub(crate) const fn read_bans(self) -> &'static [&'static str] {
        match self {
            Self::Projector => &[],
            Self::Command | Self::Query | Self::Auditor | Self::Analyst => {
                &["INSERT, UPDATE, DELETE, TRUNCATE ON projections"]
            }
        }
    }
}

/// How the roles are called and let in.
#[derive(Clone)]
pub struct Roles {
    /// What each role's name begins with; the database's name by default.
    pub prefix: String,
    /// The roles' passwords; a role without one keeps what it has, and is not made.
    pub passwords: BTreeMap<DatabaseRole, String>,
}

impl Roles {
    /// Returns a role's name.
    pub fn name(&self, role: DatabaseRole) -> String {
        format!("{}_{}", self.prefix, role.suffix())
    }
}

/// Migrates both databases as their owner; they may be the same one. Safe to run again, and by several
/// at once.
pub async fn migrate(log_url: &str, read_url: &str, roles: &Roles) -> Result<(), MigrateError> {
    let mut log = connect(log_url).await?;
    let mut read = connect(read_url).await?;
    refuse_newer_log(&mut log).await?;
    LOG.run(&mut log).await?;
    run_read_migrations(&mut read).await?;
    for attempt in 1.. {
        let made = make_roles_and_grants(&mut log, &mut read, roles, read_url != log_url).await;
        match made {
            Err(error) if attempt < ROLE_ATTEMPTS && is_a_race(&error) => {
                tokio::time::sleep(ROLE_PAUSE).await;
            }
            made => return Ok(made?),
        }
    }
    Ok(())
}

/// Tells whether a database holds a log already.
pub async fn is_log(url: &str) -> Result<bool, MigrateError> {
    let mut connection = connect(url).await?;
    let (exists,): (bool,) =
        sqlx::query_as("SELECT to_regclass('events') IS NOT NULL").fetch_one(&mut connection).await?;
    Ok(exists)
}

async fn connect(url: &str) -> Result<PgConnection, MigrateError> {
    // Statements here hold passwords: `options` keeps them out of logs.
    let options = options(url, "quittance migrate")
        .map_err(|_| sqlx::Error::Configuration("malformed database URL".into()))?;
    match tokio::time::timeout(READ_LIMIT, PgConnection::connect_with(&options)).await {
        Ok(connected) => Ok(connected?),
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into()).into()),
    }
}

/// Refuses a log that programs of this version would not write right.
async fn refuse_newer_log(log: &mut PgConnection) -> Result<(), MigrateError> {
    let (exists,): (bool,) =
        sqlx::query_as("SELECT to_regclass('log_identity') IS NOT NULL").fetch_one(&mut *log).await?;
    if !exists {
        return Ok(());
    }
    newer_version(log).await?.map_or(Ok(()), |needed| Err(MigrateError::NewerLog { needed }))
}

/// Returns the version that a log asks for, if it is later than what this program writes.
pub(crate) async fn newer_version(log: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let newer: Option<(i32,)> =
        sqlx::query_as("SELECT min_writer_version FROM log_identity WHERE min_writer_version > $1")
            .bind(WRITER_VERSION)
            .fetch_optional(log)
            .await?;
    Ok(newer.map(|(needed,)| needed))
}

async fn make_roles_and_grants(
    log: &mut PgConnection,
    read: &mut PgConnection,
    roles: &Roles,
    is_apart: bool,
) -> Result<(), sqlx::Error> {
    let mut work = log.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ROLES_LOCK).execute(&mut *work).await?;
    make_roles(&mut work, roles).await?;
    grant(&mut work, roles, DatabaseRole::log_grants).await?;
    work.commit().await?;

    let mut work = read.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ROLES_LOCK).execute(&mut *work).await?;
    if is_apart {
        make_roles(&mut work, roles).await?;
    }
    grant(&mut work, roles, DatabaseRole::read_grants).await?;
    let projector = roles.name(DatabaseRole::Projector);
    // The read models' tables are the projectors' own; the owner must reach them for its tools.
    let create = format!(
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), {}); END $$;
         GRANT {} TO CURRENT_USER",
        literal(&projector),
        identifier(&projector)
    );
    work.execute(AssertSqlSafe(create)).await?;
    work.commit().await
}

/// Roles belong to the whole server, and advisory locks to one database: migrations of two databases that
/// share a prefix can meet at a role.
fn is_a_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["XX000", "23505", "42710"].contains(&code.as_ref()))
}

/// A migration that did not run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// PostgreSQL refused or could not be reached.
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    /// A later version of the program has written to the log.
    #[error(
        "the log needs a program that writes version {needed} or later; this one writes {WRITER_VERSION}"
    )]
    NewerLog {
        /// The version that the log asks for.
        needed: i32,
    },
    /// A migration failed, or one that has run was edited.
    #[error("migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// The read models' migrations keep books of their own, so that they can share a database with the log's.
async fn run_read_migrations(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let mut migrator = Migrator::with_migrations(READ.iter().cloned().collect());
    migrator.dangerous_set_table_name("_sqlx_read_migrations");
    Ok(migrator.run(connection).await?)
}

async fn make_roles(connection: &mut PgConnection, roles: &Roles) -> Result<(), sqlx::Error> {
    for (role, password) in &roles.passwords {
        let name = roles.name(*role);
        let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM pg_roles WHERE rolname = $1")
            .bind(&name)
            .fetch_optional(&mut *connection)
            .await?;
        let verb = if known.is_some() { "ALTER" } else { "CREATE" };
        let statement = format!("{verb} ROLE {} LOGIN PASSWORD {}", identifier(&name), literal(password));
        connection.execute(AssertSqlSafe(statement)).await?;
        for setting in role.settings() {
            let statement = format!("ALTER ROLE {} SET {setting}", identifier(&name));
            connection.execute(AssertSqlSafe(statement)).await?;
        }
    }
    Ok(())
}

async fn grant(
    connection: &mut PgConnection,
    roles: &Roles,
    grants: fn(DatabaseRole) -> &'static [&'static str],
) -> Result<(), sqlx::Error> {
    for role in roles.passwords.keys() {
        for what in grants(*role) {
            let statement = format!("GRANT {what} TO {}", identifier(&roles.name(*role)));
            connection.execute(AssertSqlSafe(statement)).await?;
        }
    }
    Ok(())
}

/// Quotes a name, so that it can't break out of a statement.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_can_not_break_out() {
        assert_eq!(identifier("a\"; DROP ROLE x; --"), "\"a\"\"; DROP ROLE x; --\"");
        assert_eq!(literal("a'; DROP ROLE x; --"), "'a''; DROP ROLE x; --'");
    }

    #[test]
    fn only_the_command_role_appends_and_none_changes_events() {
        for role in DatabaseRole::ALL {
            let grants = role.log_grants().join("\n");
            let appends = grants.contains("INSERT ON events");
            assert_eq!(appends, role == DatabaseRole::Command, "{role:?}");
            for grant in
                role.log_grants().iter().filter(|grant| grant.contains("UPDATE") || grant.contains("DELETE"))
            {
                assert!(!grant.contains("events") && !grant.contains("outcomes"), "{role:?}: {grant}");
            }
        }
    }
}
