//! The runner: follows the log from each checkpoint on, and folds it into the read models.
//!
//! The broker brings what is next; what it does not bring in time is read from the log, and before a
//! transaction commits, its events are compared with the log: a broker that loses, doubles, reorders or
//! makes up costs time, never rows (I8). Without a broker the log is read as it grows.
//!
//! Any number of processes may run. Each checkpoint moves only from where it is known to stand, so no two
//! can apply the same events; whoever moved it last goes on, and the others look on until it stands still.
//!
//! Generations that stand at one checkpoint share a chunk and a transaction. One that fails leaves them and
//! runs alone, in halves, until the events at fault are named and parked; once it stands where the others
//! do, it is one of them again.
//!
//! Failures that pass by themselves (a database that is away, a lock that is held) are waited out. A
//! checkpoint that the log does not match stops its generation (I14) until it is changed from outside or
//! the process starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::StoreError;
use event_store::broker::{Broker, queue_name};
use event_store::error::{READ_LIMIT, is_transient, within};
use event_store::reader::{Checkpoint, LogReader};
use event_store::tail::Tail;
use ledger_core::personal::SecretKey;
use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::checkpoint;
use crate::chunk::{self, Chunk, ChunkError, Source};
use crate::generation::{self, Generation};
use crate::health::{Health, Stopped};
use crate::inbox::Inbox;
use crate::parked::{self, Queue};
use crate::personal::Vault;
use crate::projection::{ApplyError, Projection};
use crate::projections;
use crate::retry;
use crate::running::{Running, pause};

/// How long a transaction may take before it is given up.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);
/// How far behind the log a live read model may be.
pub(crate) const NEAR_EVENTS: u64 = 1000;
/// How long to wait for news before looking at the log anyway.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a checkpoint may stand still behind the log before the log is read, whatever the broker does.
const BROKER_PATIENCE: Duration = Duration::from_millis(50);
/// The same where another process has moved it last.
const IDLE_PATIENCE: Duration = Duration::from_millis(300);
/// How often the generations are looked at: others may make, switch or drop them.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

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
    log_pool: PgPool,
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
        Self {
            log: LogReader::new(log.clone()),
            log_pool: log,
            read,
            vault,
            broker,
            projections: projections::all(),
            stopped,
        }
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
            let retrying = retry::run(&self.read, &self.log, &self.vault, &self.projections);
            tokio::join!(self.follow(), retrying);
            Ok(())
        };
        // What is dropped in the middle of its transaction is rolled back with its checkpoint.
        tokio::select! {
            () = token.cancelled() => Ok(()),
            ended = work => ended,
        }
    }

    async fn prepare_patiently(&self) -> anyhow::Result<()> {
        let mut pause = pause();
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
        let (queues, wanted) = watch::channel(BTreeSet::new());
        let mut deliveries = self.broker.subscribe(wanted);
        let mut tail = Tail::new(self.log_pool.clone());
        let mut inbox = Inbox::default();
        let mut running = Vec::new();
        let mut refreshing = Refreshing::default();
        loop {
            if refreshing.is_due(&running) {
                let refreshed = self.refresh(&mut running, &queues, &mut inbox).await;
                refreshing.note(refreshed);
                self.tell(&running).await;
            }
            while let Ok(delivery) = deliveries.try_recv() {
                inbox.take_in(delivery);
            }
            let head = self.look_at_head(&mut running, &mut inbox).await;
            let mut progress = false;
            for (source, group) in self.groups(&mut running, &inbox) {
                progress |= self.advance(group, source, &mut inbox, head).await;
            }
            settle(&running, &mut inbox);
            if !progress {
                tokio::select! {
                    Some(delivery) = deliveries.recv() => inbox.take_in(delivery),
                    () = self.wait(&mut tail) => {}
                }
            }
        }
    }

    /// Reads where all generations stand. What is known of those that have not been moved by others stays.
    async fn refresh<'a>(
        &'a self,
        running: &mut Vec<Running<'a>>,
        queues: &watch::Sender<BTreeSet<String>>,
        inbox: &mut Inbox,
    ) -> Result<(), StoreError> {
        let standing = within(READ_LIMIT, checkpoint::all(&self.read, &self.projections)).await?;
        let mut known: BTreeMap<Generation, Running<'a>> =
            running.drain(..).map(|one| (one.generation, one)).collect();
        for row in standing {
            let same = known.remove(&row.generation).filter(|one| one.checkpoint == Some(row.checkpoint));
            let projection = self.projections.iter().find(|known| known.name() == row.generation.name);
            running.extend(same.or_else(|| {
                Some(Running::new(projection?.as_ref(), row.generation, row.checkpoint, row.settled))
            }));
        }
        // One that is stopped would never acknowledge what its queue brings.
        let working = running.iter().filter(|one| one.stopped.is_none());
        let names: BTreeSet<String> = working.map(|one| queue(one.generation)).collect();
        inbox.forget_queues(&names);
        queues.send_if_modified(|known| {
            let changed = *known != names;
            *known = names;
            changed
        });
        self.tell_stopped(running);
        Ok(())
    }

    /// Finds out where the log ends and who does not stand there. Who reads the log at any news finds that
    /// out by itself.
    async fn look_at_head(&self, running: &mut [Running<'_>], inbox: &mut Inbox) -> u64 {
        if running.iter().all(|one| self.patience(one).is_zero()) {
            return 0;
        }
        // A log that is away is met, and told of, by whoever reads it.
        let Ok(head) = self.log.head().await else { return 0 };
        running.iter_mut().for_each(|one| one.note_head(head.into()));
        inbox.disprove_beyond(head.position);
        head.position
    }

    /// Returns how long a generation may stand behind the log before the log is read.
    fn patience(&self, one: &Running<'_>) -> Duration {
        if !one.is_ours {
            IDLE_PATIENCE
        } else if self.broker.carries_events() {
            BROKER_PATIENCE
        } else {
            Duration::ZERO
        }
    }

    /// Waits for the log to grow, or for the broker's time to be over.
    async fn wait(&self, tail: &mut Tail) {
        if self.broker.carries_events() {
            // The broker brings news: to hear of each commit twice helps nobody.
            tokio::time::sleep(BROKER_PATIENCE / 2).await;
        } else {
            tail.wait(PATIENCE).await;
        }
    }

    /// Puts generations together that stand at one checkpoint and have events to apply, or may have; those
    /// furthest behind come first.
    fn groups<'r, 'a>(
        &self,
        running: &'r mut [Running<'a>],
        inbox: &Inbox,
    ) -> Vec<(Source, Members<'r, 'a>)> {
        let mut groups: BTreeMap<(Checkpoint, Option<Generation>), (Source, Members<'r, 'a>)> =
            BTreeMap::new();
        for one in running {
            let Some(at) = one.ready() else { continue };
            let Some(source) = self.source(one, at, inbox) else { continue };
            let alone = one.alone.then_some(one.generation);
            groups.entry((at, alone)).or_insert_with(|| (source, Vec::new())).1.push(one);
        }
        groups.into_values().collect()
    }

    /// Says where a generation's next events come from; `None` if it waits for the broker or another
    /// process to bring it on.
    ///
    /// Of several processes, the one that consumes a read model's queue is the one to apply what it brings;
    /// it may also use what its other queues have brought first.
    fn source(&self, one: &Running<'_>, at: Checkpoint, inbox: &Inbox) -> Option<Source> {
        let patience = self.patience(one);
        let is_its_turn = one.is_ours || inbox.has_brought(&queue(one.generation), at.position);
        if is_its_turn && inbox.has_next(at) {
            Some(Source::Broker)
        } else if patience.is_zero()
            || (is_its_turn && inbox.next_beyond(at).is_some())
            || one.behind_since.is_some_and(|since| since.elapsed() >= patience)
        {
            Some(Source::Log)
        } else {
            None
        }
    }

    /// Folds the next chunk into a group at one checkpoint; tells whether it went on, or might at once.
    async fn advance(
        &self,
        mut group: Members<'_, '_>,
        source: Source,
        inbox: &mut Inbox,
        head: u64,
    ) -> bool {
        let Some((from, limit)) = start_of(&group) else { return false };
        let chunk = self.next(from, limit, source, inbox, head);
        let step = async { self.step(&mut group, from, chunk.await?).await };
        let step = tokio::time::timeout(TRANSACTION_LIMIT, step).await;
        match step.unwrap_or(Err(Failure::TimedOut)) {
            Ok(Step { to, took, events }) => {
                if events > 0 {
                    group.iter_mut().for_each(|one| one.moved(to, limit, events, took));
                }
                events > 0
            }
            Err(Failure::Moved) => {
                group.iter_mut().for_each(|one| one.checkpoint = None);
                false
            }
            Err(Failure::Ghost) => {
                inbox.disprove(from);
                true
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
                    one.step_aside(&error);
                    if was_alone || error.is_transient() {
                        one.wait();
                    }
                }
                !was_alone
            }
            Err(Failure::Commit(error)) if group.len() > 1 && !is_transient(&error) => {
                let error = ApplyError::from(error);
                group.iter_mut().for_each(|one| one.step_aside(&error));
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

    /// Returns the next chunk behind a checkpoint.
    async fn next(
        &self,
        from: Checkpoint,
        limit: u32,
        source: Source,
        inbox: &Inbox,
        head: u64,
    ) -> Result<Chunk, ChunkError> {
        match source {
            Source::Broker => chunk::brought(&self.vault, inbox.behind(from, limit), head).await,
            Source::Log => {
                // No further than to what the broker has brought.
                let hole = inbox.next_beyond(from).map_or(u64::MAX, |next| next - 1 - from.position);
                let limit = limit.min(u32::try_from(hole).unwrap_or(u32::MAX));
                chunk::read_behind(&self.log, &self.vault, from, limit).await
            }
        }
    }

    /// Applies a chunk to a group.
    async fn step(
        &self,
        group: &mut [&mut Running<'_>],
        from: Checkpoint,
        chunk: Chunk,
    ) -> Result<Step, Failure> {
        let generations: Vec<Generation> = group.iter().map(|one| one.generation).collect();
        // Said before it is applied, so that one that does not get on does not say that it is live.
        let near = chunk.behind <= NEAR_EVENTS;
        if group.iter().any(|one| one.settled != Some(near)) {
            checkpoint::mark(&self.read, &generations, from, near).await.map_err(Failure::Read)?;
            group.iter_mut().for_each(|one| one.settled = Some(near));
        }
        let Some(last) = chunk.events.last() else {
            return Ok(Step { to: from, took: Duration::ZERO, events: 0 });
        };
        let to = Checkpoint::on(&last.entry);
        let started = Instant::now();
        self.apply(group, &generations, from, to, &chunk).await?;
        let (took, events) = (started.elapsed(), u32::try_from(chunk.events.len()).unwrap_or(u32::MAX));
        histogram!("quittance_projection_batch_events").record(events);
        histogram!("quittance_projection_apply_seconds").record(took);
        let fills_hole = self.fills_hole(chunk.source);
        for Generation { name, .. } in generations {
            counter!("quittance_projection_events_total", "projection" => name).increment(events.into());
            counter!("quittance_projection_holes_filled_total", "projection" => name)
                .increment(fills_hole.into());
        }
        Ok(Step { to, took, events })
    }

    /// Applies events to generations at one checkpoint, in one transaction.
    async fn apply(
        &self,
        group: &[&mut Running<'_>],
        generations: &[Generation],
        from: Checkpoint,
        to: Checkpoint,
        chunk: &Chunk,
    ) -> Result<(), Failure> {
        let mut work = checkpoint::begin(&self.read).await.map_err(Failure::Read)?;
        let moving = checkpoint::advance(&mut work, generations, from, to, self.fills_hole(chunk.source));
        match moving.await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Moved),
            // Another process is at it.
            Err(error) if is_lock_timeout(&error) && group.iter().all(|one| !one.is_ours) => {
                return Err(Failure::Moved);
            }
            Err(error) => return Err(Failure::Read(error)),
        }
        let mut halted = parked::halted(&mut work, generations).await.map_err(Failure::Read)?;
        for (member, one) in group.iter().enumerate() {
            let queue = Queue::of(halted.remove(&one.generation).unwrap_or_default());
            let applied = if group.len() == 1 {
                one.apply_alone(&mut work, queue, &chunk.events).await
            } else {
                one.apply_together(&mut work, queue, &chunk.events).await
            };
            applied.map_err(|error| Failure::Apply { member, error })?;
        }
        self.compare(from, to, chunk).await?;
        work.commit().await.map_err(Failure::Commit)
    }

    /// Lets no ghost of a lost history in: the log may have been restored to an older copy meanwhile, and
    /// the broker may bring anything.
    async fn compare(&self, from: Checkpoint, to: Checkpoint, chunk: &Chunk) -> Result<(), Failure> {
        let is_there = match chunk.source {
            Source::Broker => self.log.has(from, chunk.events.iter().map(|event| &event.entry)).await,
            Source::Log => self.log.leaf_hash(to.position).await.map(|there| there == Some(to.leaf_hash)),
        };
        if is_there.map_err(Failure::Log)? { Ok(()) } else { Err(Failure::Ghost) }
    }

    /// Tells whether events from there should have come from the broker.
    fn fills_hole(&self, source: Source) -> bool {
        source == Source::Log && self.broker.carries_events()
    }

    /// Stops a generation: what it would apply is another history, or can't be read.
    async fn stop(&self, one: &mut Running<'_>, at: Checkpoint, reason: &str) {
        match within(READ_LIMIT, checkpoint::stop(&self.read, one.generation, at, reason)).await {
            Ok(true) => {
                tracing::error!(projection = one.generation.name, reason, "a projection is stopped");
                one.stopped = Some(reason.to_owned());
                self.stopped.send_modify(|stopped| {
                    stopped.push(Stopped { generation: one.generation, reason: reason.to_owned() });
                });
            }
            // The read models were restored, too, or others have moved it.
            Ok(false) => one.checkpoint = None,
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

    /// Tells the metrics how far generations are behind the log, and how old the oldest event is that each
    /// has not applied: those that are stopped, too, and with the read models away, from where they stood.
    async fn tell(&self, running: &[Running<'_>]) {
        let Ok(head) = self.log.head().await else { return };
        let places: BTreeSet<u64> = running.iter().filter_map(|one| Some(one.checkpoint?.position)).collect();
        for place in places {
            let Ok(age) = self.log.age_behind(place).await else { return };
            let lag = head.position.saturating_sub(place);
            for one in running.iter().filter(|one| one.checkpoint.is_some_and(|at| at.position == place)) {
                let Generation { name, number } = one.generation;
                let labels = [("projection", name.to_owned()), ("generation", number.to_string())];
                gauge!("quittance_projection_position", &labels).set(place as f64);
                gauge!("quittance_projection_lag_events", &labels).set(lag as f64);
                gauge!("quittance_projection_age_seconds", &labels).set(age);
            }
        }
    }
}

/// When to look where generations stand.
#[derive(Default)]
struct Refreshing {
    /// When that was last tried.
    tried: Option<Instant>,
    fails: bool,
}

impl Refreshing {
    /// More often where others are at work, or have been.
    fn is_due(&self, running: &[Running<'_>]) -> bool {
        let Some(tried) = self.tried else { return true };
        let after = if self.fails {
            PATIENCE
        } else if running.iter().any(Running::is_astray) {
            Duration::ZERO
        } else if running.iter().all(|one| one.is_ours) {
            REFRESH_EVERY
        } else {
            PATIENCE
        };
        tried.elapsed() >= after
    }

    /// Notes how it went; says so once.
    fn note(&mut self, refreshed: Result<(), StoreError>) {
        self.tried = Some(Instant::now());
        if let Err(error) = &refreshed
            && !self.fails
        {
            tracing::warn!(error = error as &dyn Error, "read models are away");
        }
        self.fails = refreshed.is_err();
    }
}

/// Generations that go on together.
type Members<'r, 'a> = Vec<&'r mut Running<'a>>;

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
    /// The log does not have the events, or not any more.
    #[error("log does not have the events")]
    Ghost,
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
            ChunkError::Ghost => Self::Ghost,
            ChunkError::Unreadable(cause) => Self::Stop(cause.to_string()),
            ChunkError::Away(cause) => Self::Log(cause),
        }
    }
}

fn queue(Generation { name, number }: Generation) -> String {
    queue_name(name, number)
}

/// Returns where a group stands, and how many events it may take.
fn start_of(group: &[&mut Running<'_>]) -> Option<(Checkpoint, u32)> {
    let from = group.first()?.checkpoint?;
    Some((from, group.iter().map(|one| one.limit).min()?))
}

/// Lets go of what is committed, and of nothing else.
fn settle(running: &[Running<'_>], inbox: &mut Inbox) {
    for one in running {
        if let Some(at) = one.checkpoint {
            inbox.settle(&queue(one.generation), at.position);
        }
    }
    let applied = running.iter().filter_map(|one| Some(one.ready()?.position)).min();
    inbox.forget(applied.unwrap_or(0));
}

/// Tells whether a lock was not to be had in time.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}
