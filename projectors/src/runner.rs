//! The runner: reads the log from each checkpoint on, and folds it into the read models.
//!
//! It learns that there is news from the broker, and reads the news from the log: a broker that loses,
//! doubles or reorders costs time, never rows (I8). Generations that stand at one checkpoint share a chunk
//! and a transaction. One that fails leaves them and runs alone, in halves, until the events at fault are
//! named and parked; once it stands where the others do, it is one of them again.
//!
//! Failures that pass by themselves (a database that is away, a lock that is held) are waited out. A
//! checkpoint that the log does not match stops its generation (I14) until it is changed from outside or
//! the process starts anew.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::StoreError;
use event_store::broker::{Broker, Signal};
use event_store::error::is_transient;
use event_store::reader::LogReader;
use ledger_core::LeafHash;
use ledger_core::personal::SecretKey;
use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{self, Checkpoint};
use crate::chunk::{self, ChunkError};
use crate::generation::{self, Generation};
use crate::health::{Health, Stopped};
use crate::parked::{self, Queue};
use crate::personal::Vault;
use crate::projection::{ApplyError, Decoded, Projection};
use crate::projections;

/// How many events one transaction folds at most.
const EVENTS_MAX: u32 = 1000;
/// How many it folds at most where something failed: halving them takes few attempts.
const EVENTS_CAREFUL: u32 = 100;
/// How long a transaction should take: while it does, nobody sees its rows.
const TRANSACTION_TARGET: Duration = Duration::from_millis(20);
/// How long a transaction may take before it is given up.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);
/// How far behind the log a live read model may be.
const NEAR_EVENTS: u64 = 1000;
/// How long to wait for news before looking at the log anyway.
const PATIENCE: Duration = Duration::from_millis(100);
/// The first and the longest pause after failures that pass.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often the generations are looked at: others may make, switch or drop them.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// The first and the longest time between two tries of parked events.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// Trying parked events again takes at most one part in so many of the time.
const RETRY_SHARE: u32 = 20;

/// What a runner is made of.
pub struct RunnerConfig {
    /// The log's database, as the projectors' role: at least three connections, one of which listens.
    pub log: PgPool,
    /// The read models' database, as the same role: at least two connections.
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
    stopped: watch::Sender<Vec<Stopped>>,
}

impl Runner {
    /// Makes a runner of all projections.
    pub fn new(config: RunnerConfig) -> Self {
        let RunnerConfig { log, read, master_key, broker } = config;
        let vault = Vault::new(log.clone(), master_key);
        let (stopped, _) = watch::channel(Vec::new());
        Self { log: LogReader::new(log), read, vault, broker, projections: projections::all(), stopped }
    }

    /// Returns what tells how the runner is.
    pub fn health(&self) -> Health {
        Health(self.stopped.subscribe())
    }

    /// Makes the read models that are missing. Safe to run again, and by several processes at once.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        Ok(generation::prepare(&self.read, &self.projections).await?)
    }

    /// Runs until the token is cancelled.
    ///
    /// # Errors
    ///
    /// Only at the start, if the read models can't be made.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let work = async {
            self.prepare_patiently().await?;
            tokio::join!(self.follow(), self.retry_parked());
            Ok(())
        };
        // What is dropped in the middle of its transaction is rolled back with its checkpoint.
        tokio::select! {
            () = token.cancelled() => Ok(()),
            ended = work => ended,
        }
    }

    async fn prepare_patiently(&self) -> anyhow::Result<()> {
        let mut pause = Pause::default();
        loop {
            match generation::prepare(&self.read, &self.projections).await {
                Ok(()) => return Ok(()),
                Err(error) if is_transient(&error) => {
                    tracing::warn!(error = &error as &dyn Error, "read models can't be prepared yet");
                    tokio::time::sleep(pause.longer()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Follows the log, for ever.
    async fn follow(&self) {
        let mut news = self.broker.subscribe("projectors").await;
        let mut running = Vec::new();
        let mut refreshed: Option<Instant> = None;
        loop {
            if refreshed.is_none_or(|at| at.elapsed() > REFRESH_EVERY)
                || running.iter().any(Running::is_astray)
            {
                match self.refresh(&mut running).await {
                    Ok(()) => refreshed = Some(Instant::now()),
                    Err(error) => tracing::warn!(error = &error as &dyn Error, "read models are away"),
                }
            }
            let mut progress = false;
            for group in groups(&mut running) {
                progress |= self.advance(group).await;
            }
            if !progress {
                let Signal::Wake = news.next(PATIENCE).await;
            }
        }
    }

    /// Reads where all generations stand. What is known of those that have not been moved by others stays.
    async fn refresh<'a>(&'a self, running: &mut Vec<Running<'a>>) -> Result<(), sqlx::Error> {
        let standing = checkpoint::all(&self.read, &self.projections).await?;
        let mut known: BTreeMap<Generation, Running<'a>> =
            running.drain(..).map(|one| (one.generation, one)).collect();
        for row in standing {
            let same = known.remove(&row.generation).filter(|one| one.checkpoint == Some(row.checkpoint));
            let projection = self.projections.iter().find(|known| known.name() == row.generation.name);
            running.extend(same.or_else(|| {
                Some(Running {
                    projection: projection?.as_ref(),
                    generation: row.generation,
                    checkpoint: Some(row.checkpoint),
                    settled: row.settled,
                    stopped: None,
                    alone: false,
                    limit: EVENTS_MAX,
                    pause: Pause::default(),
                })
            }));
        }
        self.tell_stopped(running);
        Ok(())
    }

    /// Folds the next chunk into a group at one checkpoint; tells whether it went on, or might at once.
    async fn advance(&self, mut group: Vec<&mut Running<'_>>) -> bool {
        let Some((from, limit)) = start_of(&group) else { return false };
        let step = tokio::time::timeout(TRANSACTION_LIMIT, self.step(&mut group, from, limit)).await;
        match step.unwrap_or(Err(Failure::TimedOut)) {
            Ok(Step { to, took, events }) => {
                for one in group {
                    one.checkpoint = Some(to);
                    one.alone = false;
                    one.pause = Pause::default();
                    one.limit = next_limit(limit, events, took);
                }
                events > 0
            }
            Err(Failure::Moved) => {
                group.iter_mut().for_each(|one| one.checkpoint = None);
                false
            }
            Err(Failure::Stop(reason)) => {
                for one in group {
                    self.stop(one, from, &reason).await;
                }
                false
            }
            Err(Failure::Apply { member, error }) => {
                let was_alone = group.len() == 1;
                if let Some(one) = group.get_mut(member) {
                    self.step_aside(one, &error);
                    if was_alone || error.is_transient() {
                        one.wait();
                    }
                }
                !was_alone
            }
            Err(Failure::Commit(error)) if group.len() > 1 && !is_transient(&error) => {
                let error = ApplyError::from(error);
                group.iter_mut().for_each(|one| self.step_aside(one, &error));
                true
            }
            Err(failure) => {
                tracing::warn!(error = &failure as &dyn Error, position = from.position, "projections wait");
                for one in group {
                    one.wait();
                }
                false
            }
        }
    }

    /// Reads the next chunk for a group and applies it.
    async fn step(
        &self,
        group: &mut [&mut Running<'_>],
        from: Checkpoint,
        limit: u32,
    ) -> Result<Step, Failure> {
        let chunk = chunk::read_behind(&self.log, &self.vault, from, limit).await?;
        let generations: Vec<Generation> = group.iter().map(|one| one.generation).collect();
        // Said before it is applied, so that one that does not get on does not say that it is live.
        let near = chunk.behind <= NEAR_EVENTS;
        if group.iter().any(|one| one.settled != Some(near)) {
            checkpoint::mark(&self.read, &generations, from, near).await.map_err(Failure::Read)?;
            group.iter_mut().for_each(|one| one.settled = Some(near));
        }
        let Some(last) = chunk.events.last() else {
            tell(&generations, from.position, 0);
            return Ok(Step { to: from, took: Duration::ZERO, events: 0 });
        };
        let to = Checkpoint::on(&last.entry);
        let started = Instant::now();
        self.apply(group, &generations, from, to, &chunk.events).await?;
        let (took, events) = (started.elapsed(), u32::try_from(chunk.events.len()).unwrap_or(u32::MAX));
        histogram!("quittance_projection_batch_events").record(events);
        histogram!("quittance_projection_apply_seconds").record(took);
        tell(&generations, to.position, chunk.behind);
        Ok(Step { to, took, events })
    }

    /// Applies events to generations at one checkpoint, in one transaction.
    async fn apply(
        &self,
        group: &[&mut Running<'_>],
        generations: &[Generation],
        from: Checkpoint,
        to: Checkpoint,
        events: &[Decoded],
    ) -> Result<(), Failure> {
        let mut work = checkpoint::begin(&self.read).await.map_err(Failure::Read)?;
        let there = checkpoint::advance(&mut work, generations, from, to).await.map_err(Failure::Read)?;
        if !there {
            return Err(Failure::Moved);
        }
        let mut halted = parked::halted(&mut work, generations).await.map_err(Failure::Read)?;
        for (member, one) in group.iter().enumerate() {
            let queue = Queue::of(halted.remove(&one.generation).unwrap_or_default());
            let applied = if group.len() == 1 {
                one.apply_alone(&mut work, queue, events).await
            } else {
                one.apply_together(&mut work, queue, events).await
            };
            applied.map_err(|error| Failure::Apply { member, error })?;
        }
        // No ghost of a lost history gets in: the log may have been restored to an older copy meanwhile.
        if self.log.leaf_hash(to.position).await.map_err(Failure::Log)? != Some(to.leaf_hash) {
            return Err(ChunkError::HistoryMismatch(to.position).into());
        }
        work.commit().await.map_err(Failure::Commit)
    }

    /// Takes a generation out of its group: it goes on alone, in small steps.
    fn step_aside(&self, one: &mut Running<'_>, error: &ApplyError) {
        one.limit = (one.limit / 2).clamp(1, EVENTS_CAREFUL);
        one.alone = true;
        tracing::warn!(
            error = error as &dyn Error,
            projection = one.generation.name,
            position = one.checkpoint.map(|at| at.position),
            "a projection can't apply a batch, and runs alone"
        );
    }

    /// Stops a generation: what it would apply is another history, or can't be read.
    async fn stop(&self, one: &mut Running<'_>, at: Checkpoint, reason: &str) {
        tracing::error!(projection = one.generation.name, reason, "a projection is stopped");
        match checkpoint::stop(&self.read, one.generation, at, reason).await {
            Ok(()) => {
                one.stopped = Some(reason.to_owned());
                self.stopped.send_modify(|stopped| {
                    stopped.push(Stopped { generation: one.generation, reason: reason.to_owned() });
                });
            }
            // It is found again, and said then.
            Err(_) => one.wait(),
        }
    }

    fn tell_stopped(&self, running: &[Running<'_>]) {
        let stopped = running.iter().filter_map(|one| {
            let reason = one.stopped.clone()?;
            Some(Stopped { generation: one.generation, reason })
        });
        let stopped: Vec<Stopped> = stopped.collect();
        self.stopped.send_if_modified(|known| {
            let changed = *known != stopped;
            *known = stopped;
            changed
        });
    }

    /// Tries parked events again and again, so that rows come right by themselves once the cause is gone.
    async fn retry_parked(&self) {
        let mut waits: BTreeMap<&'static str, (Instant, Duration)> = BTreeMap::new();
        loop {
            tokio::time::sleep(RETRIES.0).await;
            let Ok(parked) = parked::counts(&self.read).await else { continue };
            for projection in &self.projections {
                let name = projection.name();
                let keys = parked.get(name).copied().unwrap_or(0);
                gauge!("quittance_projection_parked_keys", "projection" => name).set(gauge_value(keys));
                let (due, last) = waits.get(name).copied().unwrap_or((Instant::now(), RETRIES.0));
                if keys > 0 && due <= Instant::now() {
                    let started = Instant::now();
                    let wait =
                        if self.retry_parked_of(projection.as_ref()).await { RETRIES.0 } else { last * 2 };
                    let wait = wait.min(RETRIES.1);
                    waits.insert(name, (Instant::now() + wait.max(started.elapsed() * RETRY_SHARE), wait));
                }
            }
        }
    }

    /// Tries a projection's parked events again; tells whether any keys were freed.
    async fn retry_parked_of(&self, projection: &dyn Projection) -> bool {
        let name = projection.name();
        counter!("quittance_projection_parked_retries_total", "projection" => name).increment(1);
        match parked::retry(&self.read, &self.log, &self.vault, projection, None).await {
            Ok(0) => false,
            Ok(keys) => {
                tracing::info!(projection = name, keys, "parked keys are free again");
                true
            }
            Err(error) => {
                tracing::warn!(projection = name, error = format!("{error:#}"), "parked events wait on");
                false
            }
        }
    }
}

/// A generation at work.
struct Running<'a> {
    projection: &'a dyn Projection,
    generation: Generation,
    /// `None`: another process has moved it, and it is not known where to.
    checkpoint: Option<Checkpoint>,
    /// Whether its row says that it is near the log's end; `None` if it is not known to say either.
    settled: Option<bool>,
    /// Why it is stopped.
    stopped: Option<String>,
    /// Whether it has failed in a group, and runs alone now.
    alone: bool,
    /// How many events its next transaction takes at most.
    limit: u32,
    pause: Pause,
}

impl Running<'_> {
    fn is_astray(&self) -> bool {
        self.checkpoint.is_none()
    }

    /// Pauses, then goes on in smaller steps: perhaps it is the size of a step that fails.
    fn wait(&mut self) {
        self.pause.begin();
        self.limit = (self.limit / 2).clamp(1, EVENTS_CAREFUL);
        counter!("quittance_projection_retries_total", "projection" => self.generation.name).increment(1);
    }

    /// Applies events in a transaction that others share: any failure is everybody's.
    async fn apply_together(
        &self,
        work: &mut sqlx::PgConnection,
        mut queue: Queue,
        events: &[Decoded],
    ) -> Result<(), ApplyError> {
        let admitted = queue.admit(self.projection, events);
        if !admitted.is_empty() {
            self.generation.enter(work).await?;
            self.projection.apply(work, &admitted).await?;
            generation::leave(work).await?;
        }
        if queue.has_grown() {
            queue.save(work, self.generation).await?;
        }
        Ok(())
    }

    /// Applies events in a transaction of its own: what can't be applied is parked.
    async fn apply_alone(
        &self,
        work: &mut sqlx::PgConnection,
        mut queue: Queue,
        events: &[Decoded],
    ) -> Result<(), ApplyError> {
        self.generation.enter(work).await?;
        queue.apply_in_halves(work, self.projection, events).await?;
        generation::leave(work).await?;
        if queue.has_grown() {
            queue.save(work, self.generation).await?;
        }
        Ok(())
    }
}

/// What one transaction did.
struct Step {
    to: Checkpoint,
    took: Duration,
    events: u32,
}

/// Why a chunk was not applied.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Another process has moved a checkpoint.
    #[error("checkpoint was moved by another process")]
    Moved,
    /// Going on would be wrong.
    #[error("{0}")]
    Stop(String),
    /// One of the group refused.
    #[error("a projection failed")]
    Apply {
        member: usize,
        #[source]
        error: ApplyError,
    },
    /// The transaction could not be committed, or it is not known whether it was.
    #[error("commit failed")]
    Commit(#[source] sqlx::Error),
    #[error("read models are away")]
    Read(#[source] sqlx::Error),
    #[error("log is away")]
    Log(#[source] StoreError),
    #[error("databases did not answer within {TRANSACTION_LIMIT:?}")]
    TimedOut,
}

impl From<ChunkError> for Failure {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::HistoryMismatch(_) => Self::Stop(error.to_string()),
            ChunkError::Unreadable(cause) => Self::Stop(cause.to_string()),
            ChunkError::Away(cause) => Self::Log(cause),
        }
    }
}

/// Pauses that grow while failures go on.
#[derive(Default)]
struct Pause {
    last: Option<Duration>,
    until: Option<Instant>,
}

impl Pause {
    fn longer(&mut self) -> Duration {
        let next = self.last.map_or(PAUSES.0, |last| (last * 2).min(PAUSES.1));
        self.last = Some(next);
        next
    }

    fn begin(&mut self) {
        self.until = Some(Instant::now() + self.longer());
    }

    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }
}

/// Puts generations that stand at one checkpoint together; those furthest behind come first.
fn groups<'r, 'a>(running: &'r mut [Running<'a>]) -> Vec<Vec<&'r mut Running<'a>>> {
    let mut groups: BTreeMap<(u64, LeafHash, Option<Generation>), Vec<&mut Running<'a>>> = BTreeMap::new();
    for one in running {
        let Some(Checkpoint { position, leaf_hash }) = one.checkpoint else { continue };
        if one.stopped.is_none() && one.pause.is_over() {
            let alone = one.alone.then_some(one.generation);
            groups.entry((position, leaf_hash, alone)).or_default().push(one);
        }
    }
    groups.into_values().collect()
}

/// Returns where a group stands, and how many events it may take.
fn start_of(group: &[&mut Running<'_>]) -> Option<(Checkpoint, u32)> {
    let from = group.first()?.checkpoint?;
    Some((from, group.iter().map(|one| one.limit).min()?))
}

/// Finds how many events the next transaction may take: more until one is full or takes too long.
fn next_limit(limit: u32, events: u32, took: Duration) -> u32 {
    if took > TRANSACTION_TARGET && events > EVENTS_CAREFUL {
        events / 2
    } else if events >= limit {
        limit.saturating_mul(2).min(EVENTS_MAX)
    } else {
        limit
    }
}

/// Tells the metrics where generations stand.
fn tell(generations: &[Generation], position: u64, behind: u64) {
    for Generation { name, .. } in generations {
        gauge!("quittance_projection_position", "projection" => *name).set(gauge_value(position));
        gauge!("quittance_projection_lag_events", "projection" => *name).set(gauge_value(behind));
    }
}

/// Metrics are floating point; positions are exact in them up to 2^53.
const fn gauge_value(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_while_they_are_quick_and_shrink_while_they_are_slow() {
        let (quick, slow) = (Duration::from_millis(5), Duration::from_millis(50));
        assert_eq!(next_limit(1, 1, quick), 2);
        assert_eq!(next_limit(600, 600, quick), EVENTS_MAX);
        assert_eq!(next_limit(1000, 3, quick), 1000);
        assert_eq!(next_limit(1000, 1000, slow), 500);
        // A machine that is slow all the time does not come to a standstill.
        assert_eq!(next_limit(100, 100, slow), 200);
        assert_eq!(next_limit(1, 1, slow), 2);
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..8).map(|_| pause.longer().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
    }
}
