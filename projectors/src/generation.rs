//! Generations of read models: each has its tables in a schema of its own, and one of a name is live. Tables
//! that another version of the program has made are of another shape, and left alone.

use event_store::migrate::{DatabaseRole, identifier};
use event_store::read_model::ReadModel;
use ledger_core::LeafHash;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
};

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

/// Makes a live generation of each read model that this version of the program finds none for: its first, or
/// one in the place of what another version has made with other tables.
///
/// That one is live at once, from position 0 on. The tables of another version are of no use to this one,
/// whose queries do not fit them and whose folds can't go on with them; so nothing is lost by letting go of
/// them, and answers say by their position how far the new ones are. Nor is there a second step for a crash
/// to come in between. If the log is long, the indexes are left for [`complete`].
pub(crate) async fn prepare(
    read: &PgPool,
    projections: &[Box<dyn Projection>],
    is_long: bool,
) -> Result<(), sqlx::Error> {
    let mut replaced = Vec::new();
    let mut work = begin(read).await?;
    for model in projections.iter().map(|projection| projection.model()) {
        let live: Option<(i32, bool)> = sqlx::query_as(
            "SELECT generation, shape IS NOT DISTINCT FROM $2 FROM projections WHERE name = $1 AND active",
        )
        .bind(model.name)
        .bind(model.shape().as_slice())
        .fetch_optional(&mut *work)
        .await?;
        match live {
            Some((_, true)) => continue,
            Some((number, false)) => {
                tracing::info!(projection = model.name, "folded anew: another version has made its tables");
                let retire = "UPDATE projections SET active = false, status = 'stopped',
                                  last_error = 'another version has made its tables'
                              WHERE name = $1 AND active";
                sqlx::query(retire).bind(model.name).execute(&mut *work).await?;
                replaced.push(Generation { name: model.name, number });
            }
            None => {}
        }
        make_next(&mut work, model, true, is_long).await?;
    }
    work.commit().await?;
    for generation in replaced {
        if let Err(error) = drop_idle(read, generation).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, projection = generation.name, "old tables are left to the next rebuild");
        }
    }
    Ok(())
}

/// Begins the next generation of a read model, beside the live one.
pub(crate) async fn begin_next(
    read: &PgPool,
    projection: &dyn Projection,
    is_long: bool,
) -> Result<Generation, sqlx::Error> {
    let mut work = begin(read).await?;
    let next = make_next(&mut work, projection.model(), false, is_long).await?;
    work.commit().await?;
    Ok(next)
}

/// Begins a transaction that makes generations: one at a time.
async fn begin(read: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut work = read.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GENERATIONS_LOCK).execute(&mut *work).await?;
    Ok(work)
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

/// Makes the indexes that a generation was folded without, unless somebody has. Its row is held meanwhile, so
/// that nobody folds on; its tables can be read. On a connection of its own, since that may take minutes, and
/// nobody need be warned of it.
pub(crate) async fn complete(
    read: &PgPool,
    model: ReadModel,
    generation: Generation,
) -> Result<(), sqlx::Error> {
    let options = read.connect_options().as_ref().clone().disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut work = connection.begin().await?;
    // Without the interval, the server would go on for a process that is gone, and keep the row.
    work.execute(
        "SET LOCAL statement_timeout = 0; SET LOCAL client_connection_check_interval = '1s';
         SET LOCAL maintenance_work_mem = '128MB'",
    )
    .await?;
    let bare: Option<(bool,)> = sqlx::query_as(
        "SELECT NOT indexed FROM projections WHERE name = $1 AND generation = $2 AND shape = $3 FOR UPDATE",
    )
    .bind(generation.name)
    .bind(generation.number)
    .bind(model.shape().as_slice())
    .fetch_optional(&mut *work)
    .await?;
    if bare == Some((true,)) {
        generation.enter(&mut work).await?;
        work.execute(model.tables_and_indexes().1).await?;
        leave(&mut work).await?;
        sqlx::query("UPDATE projections SET indexed = true WHERE name = $1 AND generation = $2")
            .bind(generation.name)
            .bind(generation.number)
            .execute(&mut *work)
            .await?;
    }
    work.commit().await?;
    connection.close().await
}

/// Makes the tables of the next generation, and lets the readers' roles read them. If the log is long, its
/// indexes are left for [`complete`].
async fn make_next(
    work: &mut PgConnection,
    model: ReadModel,
    active: bool,
    is_long: bool,
) -> Result<Generation, sqlx::Error> {
    let (tables, indexes) = model.tables_and_indexes();
    let indexed = !is_long || indexes.is_empty();
    let (number,): (i32,) = sqlx::query_as(
        "INSERT INTO projections (name, generation, shape, active, position, leaf_hash, status, indexed)
         SELECT $1, coalesce(max(generation), 0) + 1, $2, $3, 0, $4,
                CASE WHEN $3 THEN 'catching_up' ELSE 'rebuilding' END, $5
         FROM projections WHERE name = $1
         RETURNING generation",
    )
    .bind(model.name)
    .bind(model.shape().as_slice())
    .bind(active)
    .bind(LeafHash::ZERO.0.as_slice())
    .bind(indexed)
    .fetch_one(&mut *work)
    .await?;
    let generation = Generation { name: model.name, number };
    // Tables without a checkpoint are of no known history.
    let schema = identifier(&generation.schema());
    let anew = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    work.execute(AssertSqlSafe(anew)).await?;
    generation.enter(work).await?;
    work.execute(tables).await?;
    if indexed {
        work.execute(indexes).await?;
    }
    leave(work).await?;
    for reader in readers(work, model).await? {
        let reader = identifier(&reader);
        let grants = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
        );
        work.execute(AssertSqlSafe(grants)).await?;
    }
    Ok(generation)
}

/// Finds the roles that read a read model: their names begin as the projectors' own.
async fn readers(work: &mut PgConnection, model: ReadModel) -> Result<Vec<String>, sqlx::Error> {
    let (user,): (String,) = sqlx::query_as("SELECT current_user::text").fetch_one(&mut *work).await?;
    let Some(prefix) = user.strip_suffix(DatabaseRole::Projector.suffix()) else {
        tracing::warn!(role = user, "not the projectors' role: nobody is granted the new tables");
        return Ok(Vec::new());
    };
    let names: Vec<String> = model.readers.iter().map(|role| format!("{prefix}{}", role.suffix())).collect();
    let known: Vec<(String,)> = sqlx::query_as("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)")
        .bind(names)
        .fetch_all(work)
        .await?;
    Ok(known.into_iter().map(|(name,)| name).collect())
}
