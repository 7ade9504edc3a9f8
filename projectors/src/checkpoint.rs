//! Where a generation stands: a position, and the leaf hash that says in which history (I14).

use std::time::{Duration, Instant};

use event_store::read_model::ReadModel;
use event_store::reader::{Checkpoint, leaf};
use sqlx::{Executor, PgConnection, PgPool, Postgres, Transaction};

use crate::generation::Generation;
use crate::projection::Projection;

/// How often [`wait_until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until every live read model has folded the event at a position in, and has all of its indexes; tells
/// whether it has.
pub async fn wait_until(read: &PgPool, position: u64, patience: Duration) -> Result<bool, sqlx::Error> {
    let began = Instant::now();
    loop {
        let (there,): (bool,) = sqlx::query_as(
            "SELECT coalesce(bool_and(position >= $1 AND indexed), false) FROM projections WHERE active",
        )
        .bind(position.cast_signed())
        .fetch_one(read)
        .await?;
        if there || began.elapsed() > patience {
            return Ok(there);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A row of `projections`.
pub(crate) struct Standing {
    pub(crate) generation: Generation,
    pub(crate) checkpoint: Checkpoint,
    /// Whether the row says that the generation is near the log's end; `None` if it says neither.
    pub(crate) settled: Option<bool>,
    /// Whether it has the indexes that folding does without.
    pub(crate) indexed: bool,
}

type StandingRow = (String, i32, Option<Vec<u8>>, i64, Vec<u8>, Option<bool>, bool);

/// Reads where all generations of the given read models stand, as far as this version of the program can fold
/// into their tables.
pub(crate) async fn all(
    read: &PgPool,
    projections: &[Box<dyn Projection>],
) -> Result<Vec<Standing>, sqlx::Error> {
    let rows: Vec<StandingRow> = sqlx::query_as(
        "SELECT name, generation, shape, position, leaf_hash,
                CASE status WHEN 'live' THEN true WHEN 'catching_up' THEN false END, indexed
         FROM projections ORDER BY name, generation",
    )
    .fetch_all(read)
    .await?;
    let models: Vec<(ReadModel, [u8; 32])> =
        projections.iter().map(|projection| projection.model()).map(|model| (model, model.shape())).collect();
    let standing = |(name, number, shape, position, leaf_hash, settled, indexed): StandingRow| {
        let (known, _) = models
            .iter()
            .find(|(model, known)| model.name == name && shape.as_deref() == Some(known.as_slice()))?;
        let checkpoint = Checkpoint { position: position.unsigned_abs(), leaf_hash: leaf(&leaf_hash) };
        let generation = Generation { name: known.name, number };
        Some(Standing { generation, checkpoint, settled, indexed })
    };
    Ok(rows.into_iter().filter_map(standing).collect())
}

/// Begins a transaction on read models. Whoever waits in it for a lock or a statement without end gives up:
/// others may share the transaction. A process that stalls in it is ended, and another goes on.
///
/// Rows are found by their keys: a plan that was made for an empty table must not go on reading all of it
/// while it grows, and there is no other plan to look for each time.
pub(crate) async fn begin(read: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    read.begin_with(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off;
         SET LOCAL lock_timeout = '250ms'; SET LOCAL statement_timeout = '10s';
         SET LOCAL idle_in_transaction_session_timeout = '3s'; SET LOCAL enable_seqscan = off;
         SET LOCAL plan_cache_mode = force_generic_plan",
    )
    .await
}

/// Moves generations on from the checkpoint where they must be, as the first statement of a transaction;
/// tells whether they were there. Until it ends, nobody else moves them or frees their parked keys.
/// `fills_hole`: the events are from the log, where a broker should have brought them.
pub(crate) async fn advance(
    work: &mut PgConnection,
    generations: &[Generation],
    from: Checkpoint,
    to: Checkpoint,
    fills_hole: bool,
) -> Result<bool, sqlx::Error> {
    let (names, numbers) = columns(generations);
    let moved = sqlx::query(
        "UPDATE projections
         SET position = $5, leaf_hash = $6, holes_filled = holes_filled + $7
         FROM unnest($1::text[], $2::integer[]) AS group_of (name, generation)
         WHERE projections.name = group_of.name AND projections.generation = group_of.generation
           AND position = $3 AND leaf_hash = $4",
    )
    .bind(names)
    .bind(numbers)
    .bind(from.position.cast_signed())
    .bind(from.leaf_hash.0.as_slice())
    .bind(to.position.cast_signed())
    .bind(to.leaf_hash.0.as_slice())
    .bind(i64::from(fills_hole))
    .execute(work)
    .await?;
    Ok(moved.rows_affected() == generations.len() as u64)
}

/// Takes the row of a generation, so that nobody moves it before the transaction ends, and reads where it
/// stands. `None` if it is stopped or gone. As the first statement of a transaction it holds nobody up, and
/// can wait for whoever has the row.
pub(crate) async fn hold(
    work: &mut PgConnection,
    generation: Generation,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    work.execute("SET LOCAL lock_timeout = '5s'").await?;
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT position, leaf_hash FROM projections
         WHERE name = $1 AND generation = $2 AND status <> 'stopped' FOR UPDATE",
    )
    .bind(generation.name)
    .bind(generation.number)
    .fetch_optional(&mut *work)
    .await?;
    work.execute("SET LOCAL lock_timeout = '250ms'").await?;
    Ok(row.map(|(position, hash)| Checkpoint { position: position.unsigned_abs(), leaf_hash: leaf(&hash) }))
}

/// Says how far from the log's end generations are that stand at a checkpoint. Waits for nobody who has their rows.
pub(crate) async fn mark(
    read: &PgPool,
    generations: &[Generation],
    at: Checkpoint,
    near: bool,
) -> Result<(), sqlx::Error> {
    let (names, numbers) = columns(generations);
    let mut work = begin(read).await?;
    sqlx::query(
        "UPDATE projections
         SET status = CASE WHEN NOT active THEN 'rebuilding' WHEN $5 THEN 'live' ELSE 'catching_up' END,
             last_error = NULL
         FROM unnest($1::text[], $2::integer[]) AS group_of (name, generation)
         WHERE projections.name = group_of.name AND projections.generation = group_of.generation
           AND position = $3 AND leaf_hash = $4",
    )
    .bind(names)
    .bind(numbers)
    .bind(at.position.cast_signed())
    .bind(at.leaf_hash.0.as_slice())
    .bind(near)
    .execute(&mut *work)
    .await?;
    work.commit().await
}

/// Says that a generation is stopped, and why; `false` if it does not stand where it was stopped any more.
pub(crate) async fn stop(
    read: &PgPool,
    generation: Generation,
    at: Checkpoint,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let stopped = sqlx::query(
        "UPDATE projections SET status = 'stopped', last_error = $5
         WHERE name = $1 AND generation = $2 AND position = $3 AND leaf_hash = $4",
    )
    .bind(generation.name)
    .bind(generation.number)
    .bind(at.position.cast_signed())
    .bind(at.leaf_hash.0.as_slice())
    .bind(reason)
    .execute(read)
    .await?;
    Ok(stopped.rows_affected() > 0)
}

/// Turns generations into arrays of their names and numbers.
pub(crate) fn columns(generations: &[Generation]) -> (Vec<&'static str>, Vec<i32>) {
    generations.iter().map(|generation| (generation.name, generation.number)).unzip()
}
