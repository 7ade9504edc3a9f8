//! Folding a read model anew, beside the live one, while that goes on being asked.
//!
//! A new generation starts from nothing and catches up, like any other. Then it and the live one are brought
//! to the same position, and every table is compared in a snapshot, while both go on. A short transaction
//! makes the new one live, so that no answer is ever wrong or missing. A live one that the log does not match
//! (I14) has nothing to be compared with, and is replaced.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use event_store::StoreError;
use event_store::error::is_transient;
use event_store::migrate::identifier;
use event_store::reader::{Checkpoint, LogReader, leaf};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::checkpoint;
use crate::chunk;
use crate::generation::{self, Generation};
use crate::parked::{self, Queue};
use crate::personal::Vault;
use crate::projection::Projection;
use crate::projections;
use crate::runner::{NEAR_EVENTS, Runner, RunnerConfig, is_long};
use crate::running::{EVENTS_MAX, Running};

/// Held while read models are rebuilt.
const REBUILD_LOCK: i64 = 0x7265_6275_696c_6473;
/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long queries may go on that began on the old generation.
const QUERIES_END: Duration = Duration::from_secs(2);
/// How long the new and the live one may take to be seen at one position.
const MEETING_LIMIT: Duration = Duration::from_secs(60);
/// How often what others may hold for a moment is tried.
const ATTEMPTS: u32 = 20;

/// How far a rebuild is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Where the new generation that is furthest behind stands.
    pub position: u64,
    /// Where the log ends.
    pub head: u64,
}

/// A read model that was rebuilt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// Which one.
    pub name: &'static str,
    /// The generation that is live now.
    pub generation: i32,
    /// What it reflected when it was made live.
    pub position: u64,
    /// What the comparison with the old one has found.
    pub comparison: Comparison,
}

/// A comparison of a new generation with the one that was live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// Every row of every table is the same.
    Equal {
        /// How many rows.
        rows: i64,
    },
    /// The old one was wrong in these tables.
    Different(Vec<String>),
    /// There was nothing to compare with: the log does not match the old one.
    Impossible,
}

/// Rebuilds read models, by their names, and tells of each as soon as it is live.
///
/// # Errors
///
/// There is no read model of a name, another rebuild runs, a new generation can't be folded as far as the live
/// one, or a database is away. What was not told of is as it was.
pub async fn rebuild(
    config: RunnerConfig,
    names: &[String],
    progress: impl Fn(Progress),
    done: impl Fn(Rebuilt),
) -> anyhow::Result<()> {
    let all = projections::all();
    let mut chosen: Vec<&dyn Projection> = Vec::new();
    for name in names {
        let Some(known) = all.iter().find(|projection| projection.name() == name) else {
            let known: Vec<_> = all.iter().map(|projection| projection.name()).collect();
            bail!("there is no read model {name:?}; there are {}", known.join(", "));
        };
        chosen.push(known.as_ref());
    }
    let rebuild = Rebuild {
        read: config.read.clone(),
        log: LogReader::new(config.log.clone()),
        vault: Vault::new(config.log.clone(), config.master_key.clone()),
    };
    let mut lock = rebuild.read.acquire().await.context("can't reach the read models")?.detach();
    let (is_ours,): (bool,) =
        sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(REBUILD_LOCK).fetch_one(&mut lock).await?;
    ensure!(is_ours, "another rebuild is running");

    // What is live from here on has tables that can be compared with.
    generation::prepare(&rebuild.read, &all, is_long(&rebuild.log).await).await?;
    rebuild.drop_leftovers(&chosen).await?;
    let token = CancellationToken::new();
    let running = tokio::spawn(Runner::new(config).run(token.clone()));
    let rebuilt = rebuild.run(&chosen, progress, done).await;
    token.cancel();
    running.await??;
    // Queries may go on for a while that began on what was live. After a failure it is the new ones that go.
    tokio::time::sleep(QUERIES_END).await;
    if let Err(error) = rebuild.drop_leftovers(&chosen).await {
        let error = format!("{error:#}");
        tracing::warn!(error, "tables that are not used any more are left to the next rebuild");
    }
    lock.close().await?;
    rebuilt
}

struct Rebuild {
    read: PgPool,
    log: LogReader,
    vault: Vault,
}

/// A generation as the switch finds it.
struct Side {
    generation: Generation,
    checkpoint: Checkpoint,
}

impl Rebuild {
    /// Makes the new generations, waits until they have caught up, and makes them live one after another.
    async fn run(
        &self,
        chosen: &[&dyn Projection],
        progress: impl Fn(Progress),
        done: impl Fn(Rebuilt),
    ) -> anyhow::Result<()> {
        let mut fresh = Vec::new();
        for projection in chosen {
            let is_long = is_long(&self.log).await;
            fresh.push(generation::begin_next(&self.read, *projection, is_long).await?);
        }
        self.catch_up(&fresh, progress).await?;
        for (projection, generation) in chosen.iter().zip(fresh) {
            let comparison = self.compare(*projection, generation).await?;
            let position = patiently(async || self.switch(*projection, generation).await).await?;
            let Generation { name, number: generation } = generation;
            done(Rebuilt { name, generation, position, comparison });
        }
        Ok(())
    }

    /// Drops the generations that are not live: of a rebuild that was interrupted, or of this one.
    async fn drop_leftovers(&self, chosen: &[&dyn Projection]) -> anyhow::Result<()> {
        for projection in chosen {
            let idle: Vec<(i32,)> =
                sqlx::query_as("SELECT generation FROM projections WHERE name = $1 AND NOT active")
                    .bind(projection.name())
                    .fetch_all(&self.read)
                    .await?;
            for (number,) in idle {
                let generation = Generation { name: projection.name(), number };
                patiently(async || Ok(generation::drop_idle(&self.read, generation).await?)).await?;
            }
        }
        Ok(())
    }

    /// Waits until the new generations are near the log's end, and nobody makes indexes of theirs or of the live
    /// ones any more.
    async fn catch_up(&self, fresh: &[Generation], progress: impl Fn(Progress)) -> anyhow::Result<()> {
        loop {
            let (names, numbers) = checkpoint::columns(fresh);
            let rows: Vec<(String, i64, String, Option<String>, bool)> = sqlx::query_as(
                "SELECT name, position, status, last_error,
                        NOT EXISTS (SELECT FROM projections AS bare
                                    WHERE bare.name = new.name AND NOT bare.indexed AND bare.status <> 'stopped')
                 FROM projections JOIN unnest($1::text[], $2::integer[]) AS new (name, generation)
                      USING (name, generation)",
            )
            .bind(names)
            .bind(numbers)
            .fetch_all(&self.read)
            .await?;
            if let Some((name, _, _, error, _)) = rows.iter().find(|(_, _, status, ..)| status == "stopped") {
                bail!("{name} can't be rebuilt: {}", error.as_deref().unwrap_or("it is stopped"));
            }
            ensure!(rows.len() == fresh.len(), "somebody dropped the new tables");
            let position = rows.iter().map(|(_, position, ..)| position.unsigned_abs()).min().unwrap_or(0);
            let head = self.log.head().await?.position;
            progress(Progress { position, head });
            if head <= position + NEAR_EVENTS && rows.iter().all(|(.., indexed)| *indexed) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Compares a new generation with the live one, where they stand at one position.
    async fn compare(&self, projection: &dyn Projection, fresh: Generation) -> anyhow::Result<Comparison> {
        let began = Instant::now();
        loop {
            let mut snapshot =
                self.read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            snapshot.execute("SET LOCAL statement_timeout = 0").await?;
            let (live, next) = sides(&mut snapshot, fresh, "").await?;
            let Some(live) = live else { return Ok(Comparison::Impossible) };
            if live.checkpoint == next.checkpoint {
                return Ok(compare(&mut snapshot, live.generation, next.generation).await?);
            }
            drop(snapshot);
            if !self.has(live.checkpoint).await? {
                return Ok(Comparison::Impossible);
            }
            ensure!(began.elapsed() < MEETING_LIMIT, "{} and its new tables do not meet", fresh.name);
            patiently(async || self.bring_together(projection, fresh).await).await?;
        }
    }

    /// Brings a new generation and the live one to the same position.
    async fn bring_together(&self, projection: &dyn Projection, fresh: Generation) -> anyhow::Result<()> {
        let mut work = checkpoint::begin(&self.read).await?;
        let (live, mut next) = sides(&mut work, fresh, " FOR UPDATE").await?;
        if let Some(mut live) = live {
            self.meet(&mut work, projection, &mut live, &mut next).await?;
        }
        Ok(work.commit().await?)
    }

    /// Makes a new generation live, in a transaction that nobody else moves either of the two in. Returns
    /// where it stands.
    async fn switch(&self, projection: &dyn Projection, fresh: Generation) -> anyhow::Result<u64> {
        let mut work = checkpoint::begin(&self.read).await?;
        let (live, mut next) = sides(&mut work, fresh, " FOR UPDATE").await?;
        if let Some(mut live) = live
            && self.has(live.checkpoint).await?
        {
            self.meet(&mut work, projection, &mut live, &mut next).await?;
            let (lost, kept) =
                (parked(&mut work, next.generation).await?, parked(&mut work, live.generation).await?);
            ensure!(
                lost <= kept,
                "{} is left as it is: {lost} keys can't be applied anew, {kept} can't now; see `parked list`",
                fresh.name
            );
        }
        ensure!(self.has(next.checkpoint).await?, "the log was restored meanwhile; begin again");
        sqlx::query("UPDATE projections SET active = false WHERE name = $1 AND active")
            .bind(fresh.name)
            .execute(&mut *work)
            .await?;
        sqlx::query(
            "UPDATE projections SET active = true, status = 'live' WHERE name = $1 AND generation = $2",
        )
        .bind(fresh.name)
        .bind(fresh.number)
        .execute(&mut *work)
        .await?;
        work.commit().await?;
        Ok(next.checkpoint.position)
    }

    /// Tells whether the log has a checkpoint's event.
    async fn has(&self, at: Checkpoint) -> anyhow::Result<bool> {
        match self.log.behind(at, 0).await {
            Ok(_) => Ok(true),
            Err(StoreError::HistoryMismatch { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings the one that is behind to where the other stands.
    async fn meet(
        &self,
        work: &mut PgConnection,
        projection: &dyn Projection,
        live: &mut Side,
        next: &mut Side,
    ) -> anyhow::Result<()> {
        let (behind, ahead) =
            if live.checkpoint.position < next.checkpoint.position { (live, next) } else { (next, live) };
        self.bring_on(work, projection, behind, ahead.checkpoint.position).await
    }

    /// Applies the events from where a generation stands up to a position.
    async fn bring_on(
        &self,
        work: &mut PgConnection,
        projection: &dyn Projection,
        side: &mut Side,
        position: u64,
    ) -> anyhow::Result<()> {
        while side.checkpoint.position < position {
            let room = u32::try_from(position - side.checkpoint.position).unwrap_or(u32::MAX);
            let chunk =
                chunk::read_behind(&self.log, &self.vault, side.checkpoint, room.min(EVENTS_MAX)).await?;
            let last = chunk.events.last().context("the log has become shorter")?;
            let to = Checkpoint::on(&last.entry);
            let generations = [side.generation];
            checkpoint::advance(work, &generations, side.checkpoint, to, false).await?;
            let mut halted = parked::halted(work, &generations).await?;
            let queue = Queue::of(halted.remove(&side.generation).unwrap_or_default());
            let running = Running::new(projection, side.generation, side.checkpoint);
            running.apply_alone(work, queue, &chunk.events).await?;
            side.checkpoint = to;
        }
        Ok(())
    }
}

/// Reads where the live generation stands, unless it is stopped, and where the new one does; both are held
/// by `FOR UPDATE`.
async fn sides(
    work: &mut PgConnection,
    fresh: Generation,
    hold: &'static str,
) -> anyhow::Result<(Option<Side>, Side)> {
    let statement = AssertSqlSafe(format!(
        "SELECT generation, position, leaf_hash, active, status = 'stopped'
         FROM projections WHERE name = $1 ORDER BY generation{hold}"
    ));
    let rows: Vec<(i32, i64, Vec<u8>, bool, bool)> =
        sqlx::query_as(statement).bind(fresh.name).fetch_all(work).await?;
    let (mut live, mut next) = (None, None);
    for (number, position, hash, is_active, is_stopped) in rows {
        let generation = Generation { name: fresh.name, number };
        let checkpoint = Checkpoint { position: position.unsigned_abs(), leaf_hash: leaf(&hash) };
        let side = Some(Side { generation, checkpoint }).filter(|_| !is_stopped);
        if generation == fresh {
            next = side;
        } else if is_active {
            live = side;
        }
    }
    Ok((live, next.context("the new tables were dropped or stopped by somebody else")?))
}

/// Counts the keys that stand still in a generation.
async fn parked(work: &mut PgConnection, generation: Generation) -> Result<i64, sqlx::Error> {
    let (keys,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM parked_keys WHERE name = $1 AND generation = $2")
            .bind(generation.name)
            .bind(generation.number)
            .fetch_one(work)
            .await?;
    Ok(keys)
}

/// Compares all tables of two generations, which stand at one position.
async fn compare(
    work: &mut PgConnection,
    live: Generation,
    fresh: Generation,
) -> Result<Comparison, sqlx::Error> {
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1",
    )
    .bind(fresh.schema())
    .fetch_all(&mut *work)
    .await?;
    let (mut rows, mut different) = (0, Vec::new());
    for (table,) in tables {
        let of_live = digest(work, live, &table).await?;
        let of_fresh = digest(work, fresh, &table).await?;
        rows += of_fresh.as_ref().map_or(0, |(rows, _)| *rows);
        if of_live != of_fresh {
            different.push(table);
        }
    }
    Ok(if different.is_empty() { Comparison::Equal { rows } } else { Comparison::Different(different) })
}

/// Sums up a table, whatever the order of its rows; `None` if the generation has none of that name.
async fn digest(
    work: &mut PgConnection,
    generation: Generation,
    table: &str,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    let table = format!("{}.{}", identifier(&generation.schema()), identifier(table));
    let (exists,): (bool,) =
        sqlx::query_as("SELECT to_regclass($1) IS NOT NULL").bind(&table).fetch_one(&mut *work).await?;
    if !exists {
        return Ok(None);
    }
    let digest = format!(
        "SELECT count(*), coalesce(sum(hashtextextended(rows::text, 0)::numeric), 0)::text FROM {table} AS rows"
    );
    Ok(Some(sqlx::query_as(AssertSqlSafe(digest)).fetch_one(work).await?))
}

/// Tries something again that others may be in the way of, or that passes by itself.
async fn patiently<T>(mut work: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut attempt = 1;
    loop {
        match work().await {
            Err(error) if attempt < ATTEMPTS && passes(&error) => {
                attempt += 1;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            done => return done,
        }
    }
}

fn passes(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<sqlx::Error>().is_some_and(is_transient)
            || cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient)
    })
}
