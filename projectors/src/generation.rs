//! Generations of read models: each has its tables in a schema of its own, and one of a name is live.

use event_store::migrate::{DatabaseRole, identifier};
use ledger_core::LeafHash;
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};

use crate::projection::Projection;

/// Held while generations are made: several processes may start at once.
const GENERATIONS_LOCK: i64 = 0x7072_6f6a_6563_7473;

/// One generation of a read model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation {
    /// The read model.
    pub name: &'static str,
    /// Which one.
    pub number: i32,
}

impl Generation {
    /// Returns the schema of its tables.
    pub fn schema(&self) -> String {
        format!("{}_{}", self.name.replace('-', "_"), self.number)
    }

    /// Leads a transaction to its tables.
    pub(crate) async fn enter(&self, work: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT set_config('search_path', $1, true)").bind(self.schema()).execute(work).await?;
        Ok(())
    }
}

/// Leads a transaction back to the tables that all generations share.
pub(crate) async fn leave(work: &mut PgConnection) -> Result<(), sqlx::Error> {
    work.execute("SET LOCAL search_path TO DEFAULT").await?;
    Ok(())
}

/// Makes the first generation of each read model that has none yet.
pub async fn prepare(read: &PgPool, projections: &[Box<dyn Projection>]) -> Result<(), sqlx::Error> {
    let mut work = read.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GENERATIONS_LOCK).execute(&mut *work).await?;
    for projection in projections {
        let known: Option<(i32,)> = sqlx::query_as("SELECT generation FROM projections WHERE name = $1")
            .bind(projection.name())
            .fetch_optional(&mut *work)
            .await?;
        if known.is_none() {
            let first = Generation { name: projection.name(), number: 1 };
            make(&mut work, first, true, projection.tables()).await?;
        }
    }
    work.commit().await
}

/// Begins the next generation of a read model, beside the live one.
pub(crate) async fn begin_next(
    read: &PgPool,
    projection: &dyn Projection,
) -> Result<Generation, sqlx::Error> {
    let mut work = read.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GENERATIONS_LOCK).execute(&mut *work).await?;
    let (number,): (i32,) =
        sqlx::query_as("SELECT coalesce(max(generation), 0) + 1 FROM projections WHERE name = $1")
            .bind(projection.name())
            .fetch_one(&mut *work)
            .await?;
    let next = Generation { name: projection.name(), number };
    make(&mut work, next, false, projection.tables()).await?;
    work.commit().await?;
    Ok(next)
}

/// Drops a generation that is not live, with all that was parked in it.
pub(crate) async fn drop_idle(read: &PgPool, generation: Generation) -> Result<(), sqlx::Error> {
    let mut work = read.begin().await?;
    // Somebody may still read its tables: rather wait than hold others up behind us.
    work.execute("SET LOCAL lock_timeout = '2s'").await?;
    let dropped = sqlx::query("DELETE FROM projections WHERE name = $1 AND generation = $2 AND NOT active")
        .bind(generation.name)
        .bind(generation.number)
        .execute(&mut *work)
        .await?;
    if dropped.rows_affected() == 0 {
        return Ok(());
    }
    for table in ["parked_keys", "parked_events"] {
        let delete = format!("DELETE FROM {table} WHERE name = $1 AND generation = $2");
        sqlx::query(AssertSqlSafe(delete))
            .bind(generation.name)
            .bind(generation.number)
            .execute(&mut *work)
            .await?;
    }
    let schema = identifier(&generation.schema());
    work.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).await?;
    work.commit().await
}

/// Makes the tables of a generation, and lets the readers' roles read them.
async fn make(
    work: &mut PgConnection,
    generation: Generation,
    active: bool,
    tables: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO projections (name, generation, active, position, leaf_hash, status)
         VALUES ($1, $2, $3, 0, $4, CASE WHEN $3 THEN 'catching_up' ELSE 'rebuilding' END)",
    )
    .bind(generation.name)
    .bind(generation.number)
    .bind(active)
    .bind(LeafHash::ZERO.0.as_slice())
    .execute(&mut *work)
    .await?;
    // Tables without a checkpoint are of no known history.
    let schema = identifier(&generation.schema());
    let anew = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    work.execute(AssertSqlSafe(anew)).await?;
    generation.enter(work).await?;
    work.execute(tables).await?;
    leave(work).await?;
    for reader in readers(work).await? {
        let reader = identifier(&reader);
        let grants = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
        );
        work.execute(AssertSqlSafe(grants)).await?;
    }
    Ok(())
}

/// Finds the roles that read: their names begin as the projectors' own.
async fn readers(work: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let (user,): (String,) = sqlx::query_as("SELECT current_user::text").fetch_one(&mut *work).await?;
    let Some(prefix) = user.strip_suffix(DatabaseRole::Projector.suffix()) else {
        tracing::warn!(role = user, "not the projectors' role: nobody is granted the new tables");
        return Ok(Vec::new());
    };
    let names = [DatabaseRole::Query, DatabaseRole::Auditor].map(|role| format!("{prefix}{}", role.suffix()));
    let known: Vec<(String,)> = sqlx::query_as("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)")
        .bind(&names[..])
        .fetch_all(work)
        .await?;
    Ok(known.into_iter().map(|(name,)| name).collect())
}
