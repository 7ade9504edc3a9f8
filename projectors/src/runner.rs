//! The runner: reads the log from each checkpoint on, and folds it into the read models.
//!
//! It learns that there is news from the broker, and reads the news from the log: a broker that loses,
//! doubles or reorders costs time, never rows (I8). Projections that stand at one position share a chunk
//! and a transaction; one that fails runs alone, in halves, until one event is named and parked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::StoreError;
use event_store::broker::{Broker, Signal};
use event_store::error::is_transient;
use event_store::reader::{LogReader, leaf};
use ledger_core::LeafHash;
use ledger_core::personal::SecretKey;
use metrics::{counter, gauge, histogram};
use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::generation::{self, Generation};
use crate::parked;
use crate::personal::Vault;
use crate::projection::{Decoded, Projection};
use crate::projections;

/// How many events one transaction folds at most.
const CHUNK_EVENTS: u32 = 1000;
/// How long to wait for news before looking at the log anyway.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait after a passing failure.
const PAUSE: Duration = Duration::from_millis(250);
/// How often parked events are tried again.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// What a runner is made of.
pub struct RunnerConfig {
    /// The log's database, as the projectors' role.
    pub log: PgPool,
    /// The read models' database, as the same role.
    pub read: PgPool,
    /// Opens personal fields.
    pub master_key: SecretKey,
    /// Brings news.
    pub broker: Arc<dyn Broker>,
}

/// Runs all projections of one process.
pub struct Runner {
    log: LogReader,
    read: PgPool,
    vault: Vault,
    broker: Arc<dyn Broker>,
    projections: Vec<Box<dyn Projection>>,
}

/// How far a generation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Checkpoint {
    position: u64,
    leaf_hash: LeafHash,
}

/// A projection at work.
struct Running<'a> {
    projection: &'a dyn Projection,
    generation: Generation,
    checkpoint: Checkpoint,
    stopped: bool,
}

/// Why events were not applied.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    /// PostgreSQL said no, or could not be reached.
    #[error("read model's database failed")]
    Read(#[from] sqlx::Error),
    /// The log could not be read.
    #[error("log can't be read")]
    Log(#[from] StoreError),
    /// Another process has moved the checkpoint.
    #[error("checkpoint was moved by another process")]
    Moved,
    /// The log does not have the events that were applied (I14).
    #[error("history_mismatch at position {0}")]
    HistoryMismatch(u64),
}

impl ApplyError {
    /// Tells whether to wait and try again, rather than to look for an event at fault.
    fn passes(&self) -> bool {
        match self {
            Self::Read(error) => is_transient(error),
            Self::Log(error) => error.is_transient(),
            Self::Moved => true,
            Self::HistoryMismatch(_) => false,
        }
    }
}

impl Runner {
    /// Makes a runner of all projections.
    pub fn new(config: RunnerConfig) -> Self {
        let RunnerConfig { log, read, master_key, broker } = config;
        let vault = Vault::new(log.clone(), master_key);
        Self { log: LogReader::new(log), read, vault, broker, projections: projections::all() }
    }

    /// Runs until the token is cancelled. Failures that pass are waited out.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let mut news = self.broker.subscribe("projectors").await;
        let mut tried_parked = Instant::now();
        let mut running = None;
        loop {
            let Signal::Wake = tokio::select! {
                signal = news.next(PATIENCE) => signal,
                () = token.cancelled() => return Ok(()),
            };
            if let Err(error) = self.catch_up(&mut running, &token).await {
                // Whatever it was: look again where everything stands.
                running = None;
                if !error.passes() {
                    tracing::error!(error = &error as &dyn std::error::Error, "projections stand still");
                } else {
                    tracing::warn!(error = &error as &dyn std::error::Error, "projections wait");
                }
                counter!("quittance_projection_failures_total").increment(1);
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = token.cancelled() => return Ok(()),
                }
            }
            if tried_parked.elapsed() >= RETRY_EVERY {
                tried_parked = Instant::now();
                self.retry_parked().await;
            }
        }
    }

    /// Makes what is missing; to be called before queries are served.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        generation::prepare(&self.read, &self.projections).await?;
        Ok(())
    }

    /// Applies all that the log has, until every projection is at its end.
    async fn catch_up<'a>(
        &'a self,
        running: &mut Option<Vec<Running<'a>>>,
        token: &CancellationToken,
    ) -> Result<(), ApplyError> {
        let running = match running {
            Some(running) => running,
            None => running.insert(self.load().await?),
        };
        loop {
            let mut progress = false;
            for group in by_position(running) {
                if token.is_cancelled() {
                    return Ok(());
                }
                progress |= self.advance(group).await?;
            }
            running.retain(|one| !one.stopped);
            if !progress {
                return Ok(());
            }
        }
    }

    /// Finds where every projection stands.
    async fn load(&self) -> Result<Vec<Running<'_>>, ApplyError> {
        let generations = generation::prepare(&self.read, &self.projections).await?;
        let mut running = Vec::new();
        for (projection, generation) in self.projections.iter().zip(generations) {
            let (position, bytes): (i64, Vec<u8>) = sqlx::query_as(
                "SELECT position, leaf_hash FROM projections WHERE name = $1 AND generation = $2",
            )
            .bind(generation.name)
            .bind(generation.number)
            .fetch_one(&self.read)
            .await?;
            let checkpoint = Checkpoint { position: position.unsigned_abs(), leaf_hash: leaf(&bytes) };
            running.push(Running { projection: projection.as_ref(), generation, checkpoint, stopped: false });
        }
        Ok(running)
    }

    /// Reads the next chunk for a group at one position and applies it; tells whether there was any.
    ///
    /// A checkpoint that the log does not match stops its projections: they are of another history (I14).
    async fn advance(&self, mut group: Vec<&mut Running<'_>>) -> Result<bool, ApplyError> {
        let Some(from) = group.first().map(|first| first.checkpoint) else { return Ok(false) };
        if self.log.leaf_hash(from.position).await? != Some(from.leaf_hash) {
            for one in group {
                self.stop(one, &ApplyError::HistoryMismatch(from.position)).await?;
            }
            return Ok(false);
        }
        let entries = self.log.range(from.position, CHUNK_EVENTS).await?;
        if entries.is_empty() {
            return Ok(false);
        }
        let events = self.vault.decode(entries).await?;
        let started = Instant::now();
        let together = self.apply(&mut group, &events).await;
        histogram!("quittance_projection_batch_events")
            .record(u32::try_from(events.len()).unwrap_or(u32::MAX));
        histogram!("quittance_projection_apply_seconds").record(started.elapsed());
        match together {
            Ok(()) => {}
            Err(error) if error.passes() => return Err(error),
            // Someone in the group is at fault: each alone.
            Err(_) => {
                for one in group {
                    self.apply_alone(one, &events).await?;
                }
            }
        }
        Ok(true)
    }

    /// Applies events to one projection, in halves where they fail, until the event at fault is alone and
    /// parked.
    async fn apply_alone(&self, one: &mut Running<'_>, events: &[Decoded]) -> Result<(), ApplyError> {
        let mut work = vec![events];
        while let Some(part) = work.pop() {
            match self.apply(&mut [&mut *one], part).await {
                Ok(()) => {}
                Err(error) if error.passes() => return Err(error),
                Err(error @ ApplyError::HistoryMismatch(_)) => return self.stop(one, &error).await,
                Err(error) => match part {
                    [poison] => self.park(one, poison, &error).await?,
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        work.extend([second, first]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Applies events to projections at one position, in one transaction.
    async fn apply(&self, group: &mut [&mut Running<'_>], events: &[Decoded]) -> Result<(), ApplyError> {
        let Some(last) = events.last() else { return Ok(()) };
        let to = Checkpoint { position: last.entry.position, leaf_hash: last.entry.leaf_hash };
        let mut connection = self.read.acquire().await?;
        let mut work = connection.begin().await?;
        for one in group.iter() {
            move_checkpoint(&mut work, one, to, events.len()).await?;
        }
        for one in group.iter() {
            let parked = parked::keys(&mut work, one.generation).await?;
            let waiting = if parked.is_empty() {
                BTreeSet::new()
            } else {
                parked::queue_behind(&mut work, one.generation, one.projection, parked, events).await?
            };
            one.generation.enter(&mut work).await?;
            if waiting.is_empty() {
                one.projection.apply(&mut work, events).await?;
            } else {
                let free: Vec<Decoded> = events
                    .iter()
                    .filter(|event| !waiting.contains(&event.envelope.position))
                    .cloned()
                    .collect();
                one.projection.apply(&mut work, &free).await?;
            }
            leave(&mut work).await?;
        }
        // A log that was restored to an older copy under us does not have what we have just applied.
        if self.log.leaf_hash(to.position).await? != Some(to.leaf_hash) {
            return Err(ApplyError::HistoryMismatch(to.position));
        }
        work.commit().await?;
        for one in group {
            one.checkpoint = to;
            gauge!("quittance_projection_position", "projection" => one.generation.name)
                .set(gauge_value(to.position));
        }
        Ok(())
    }

    /// Parks an event with its keys, and moves on.
    async fn park(
        &self,
        one: &mut Running<'_>,
        poison: &Decoded,
        error: &ApplyError,
    ) -> Result<(), ApplyError> {
        let keys = one.projection.keys(&poison.envelope);
        tracing::error!(
            error = error as &dyn std::error::Error,
            projection = one.generation.name,
            event.position = poison.envelope.position,
            "event is parked"
        );
        counter!("quittance_projection_parked_total", "projection" => one.generation.name).increment(1);
        let to = Checkpoint { position: poison.entry.position, leaf_hash: poison.entry.leaf_hash };
        let mut connection = self.read.acquire().await?;
        let mut work = connection.begin().await?;
        move_checkpoint(&mut work, one, to, 1).await?;
        parked::park(&mut work, one.generation, &keys, poison.position(), &error.to_string()).await?;
        work.commit().await?;
        one.checkpoint = to;
        Ok(())
    }

    /// Marks a projection as stopped: it applies nothing until someone rebuilds it.
    async fn stop(&self, one: &mut Running<'_>, error: &ApplyError) -> Result<(), ApplyError> {
        let generation = one.generation;
        one.stopped = true;
        tracing::error!(
            error = error as &dyn std::error::Error,
            projection = generation.name,
            "projection is stopped"
        );
        sqlx::query(
            "UPDATE projections SET status = 'stopped', last_error = $3 WHERE name = $1 AND generation = $2",
        )
        .bind(generation.name)
        .bind(generation.number)
        .bind(error.to_string())
        .execute(&self.read)
        .await?;
        Ok(())
    }

    /// Tries all parked events again; what still fails stays where it is.
    async fn retry_parked(&self) {
        for projection in &self.projections {
            match parked::retry(&self.read, &self.log, &self.vault, projection.as_ref(), None).await {
                Ok(0) => {}
                Ok(freed) => {
                    tracing::info!(
                        projection = projection.name(),
                        keys = freed,
                        "parked events were applied"
                    );
                }
                Err(error) => {
                    tracing::warn!(error = %error, projection = projection.name(), "parked events can't be read");
                }
            }
        }
    }
}

/// Puts projections that stand at one position together.
fn by_position<'r, 'a>(running: &'r mut [Running<'a>]) -> Vec<Vec<&'r mut Running<'a>>> {
    let mut groups: BTreeMap<u64, Vec<&mut Running<'a>>> = BTreeMap::new();
    for one in running {
        groups.entry(one.checkpoint.position).or_default().push(one);
    }
    groups.into_values().collect()
}

/// Moves a checkpoint from where it must be: if another process has moved it, nothing is applied.
async fn move_checkpoint(
    work: &mut PgConnection,
    one: &Running<'_>,
    to: Checkpoint,
    events: usize,
) -> Result<(), ApplyError> {
    let status = if events < CHUNK_EVENTS as usize { "live" } else { "catching_up" };
    let moved = sqlx::query(
        "UPDATE projections SET position = $5, leaf_hash = $6, status = $7, last_error = NULL
         WHERE name = $1 AND generation = $2 AND position = $3 AND leaf_hash = $4",
    )
    .bind(one.generation.name)
    .bind(one.generation.number)
    .bind(one.checkpoint.position.cast_signed())
    .bind(one.checkpoint.leaf_hash.0.as_slice())
    .bind(to.position.cast_signed())
    .bind(to.leaf_hash.0.as_slice())
    .bind(status)
    .execute(work)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(ApplyError::Moved) }
}

/// Leads a transaction back to the tables that all projections share.
async fn leave(work: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('search_path', 'public', true)").execute(work).await?;
    Ok(())
}

/// Metrics are floating point; positions are exact in them up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
const fn gauge_value(position: u64) -> f64 {
    position as f64
}
