//! Generations of read models: each has its tables in a schema of its own, and one is live.

use event_store::migrate::DatabaseRole;
use ledger_core::LeafHash;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

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
    pub async fn enter(&self, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT set_config('search_path', $1, true)")
            .bind(self.schema())
            .execute(transaction)
            .await?;
        Ok(())
    }
}

/// Finds the live generation of each read model, and makes what is missing.
pub async fn prepare(
    read: &PgPool,
    projections: &[Box<dyn Projection>],
) -> Result<Vec<Generation>, sqlx::Error> {
    let mut connection = read.acquire().await?;
    let mut work = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GENERATIONS_LOCK).execute(&mut *work).await?;
    let mut live = Vec::new();
    for projection in projections {
        let known: Option<(i32,)> =
            sqlx::query_as("SELECT generation FROM projections WHERE name = $1 AND active")
                .bind(projection.name())
                .fetch_optional(&mut *work)
                .await?;
        let generation = Generation { name: projection.name(), number: known.map_or(1, |(number,)| number) };
        if known.is_none() {
            make(&mut work, generation, projection.tables()).await?;
        }
        live.push(generation);
    }
    work.commit().await?;
    Ok(live)
}

/// Makes the tables of a generation, and lets the readers' roles read them.
async fn make(
    work: &mut PgConnection,
    generation: Generation,
    tables: &'static str,
) -> Result<(), sqlx::Error> {
    let schema = generation.schema();
    work.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await?;
    let (search_path,): (String,) =
        sqlx::query_as("SELECT current_setting('search_path')").fetch_one(&mut *work).await?;
    generation.enter(work).await?;
    work.execute(tables).await?;
    sqlx::query("SELECT set_config('search_path', $1, true)").bind(search_path).execute(&mut *work).await?;
    let (user,): (String,) = sqlx::query_as("SELECT current_user::text").fetch_one(&mut *work).await?;
    for role in [DatabaseRole::Query, DatabaseRole::Auditor] {
        let Some(prefix) = user.strip_suffix(DatabaseRole::Projector.suffix()) else { continue };
        let reader = format!("{prefix}{}", role.suffix());
        let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM pg_roles WHERE rolname = $1")
            .bind(&reader)
            .fetch_optional(&mut *work)
            .await?;
        if known.is_some() {
            let grants = format!(
                "GRANT USAGE ON SCHEMA {schema} TO \"{reader}\"; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO \"{reader}\""
            );
            work.execute(AssertSqlSafe(grants)).await?;
        }
    }
    sqlx::query(
        "INSERT INTO projections (name, generation, active, position, leaf_hash, status) VALUES ($1, $2, true, 0, $3, 'live')",
    )
    .bind(generation.name)
    .bind(generation.number)
    .bind(LeafHash::ZERO.0.as_slice())
    .execute(work)
    .await?;
    Ok(())
}
