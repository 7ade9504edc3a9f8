//! One step of a group: the next chunk, folded and committed with the checkpoints, or why not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_store::StoreError;
use event_store::error::is_transient;
use event_store::reader::Checkpoint;
use metrics::{counter, histogram};

use super::ahead::Ahead;
use super::{Group, Members, NEAR_EVENTS, Runner, has_code};
use crate::checkpoint;
use crate::chunk::{self, Chunk, ChunkError, Source};
use crate::generation::Generation;
use crate::inbox::Inbox;
use crate::parked::{self, Queue};
use crate::projection::ApplyError;
use crate::running::Running;

/// How long a transaction may take before it is given up.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);
/// From how many events on each read model of a group has a transaction of its own.
const APART_FROM: usize = 500;

/// From how many events on a group goes on in two transactions side by side.
const HALVED_FROM: usize = 50;

/// A lock was not to be had in time.
const LOCK_TIMEOUT: &str = "55P03";

impl Runner {
    /// Folds the next chunk into a group; tells whether it went on, or might at once.
    pub(super) async fn advance(
        &self,
        group: Group<'_, '_>,
        inbox: &mut Inbox,
        ahead: &mut Ahead,
        head: u64,
    ) -> bool {
        let Group { from, source, limit, until, members: group } = group;
        let start = Start { from, limit, alone: group.len() == 1 };
        let between = until.map_or(u64::MAX, |until| until.saturating_sub(from.position));
        let upto = u32::try_from(between).map_or(limit, |between| limit.min(between));
        let next = self.next(from, upto, source, inbox, ahead, head);
        let next = tokio::time::timeout(TRANSACTION_LIMIT, next).await;
        let chunk = match next.map_err(|_| Failure::TimedOut).and_then(|next| Ok(next?)) {
            Ok(chunk) => chunk,
            Err(failure) => return self.note(group, start, Err(failure), inbox).await,
        };
        let group = if chunk.behind <= NEAR_EVENTS { self.complete(group) } else { group };
        if group.is_empty() {
            return false;
        }
        let parts = if source == Source::Log && chunk.events.len() >= APART_FROM {
            if chunk.behind > 0
                && let Some(last) = chunk.events.last()
            {
                let to = Checkpoint::on(&last.entry);
                ahead.begin(&self.log, &self.vault, to, reach(inbox, to, limit));
            }
            by_name(group)
        } else if chunk.events.len() >= HALVED_FROM {
            halves(group)
        } else {
            vec![group]
        };
        // Two at a time: the server folds one read model's rows in while those of another are made.
        let parts = Mutex::new(parts.into_iter());
        let (mut done, others) =
            tokio::join!(self.step_each(&parts, start, &chunk), self.step_each(&parts, start, &chunk));
        done.extend(others);
        let mut progress = false;
        for (part, step) in done {
            progress |= self.note(part, start, step, inbox).await;
        }
        progress
    }

    /// Takes parts of a group, and folds a chunk into each.
    async fn step_each<'r, 'a: 'r>(
        &self,
        parts: &Mutex<impl Iterator<Item = Members<'r, 'a>>>,
        start: Start,
        chunk: &Chunk,
    ) -> Vec<(Members<'r, 'a>, Result<Step, Failure>)> {
        let mut done = Vec::new();
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(mut part) = next() {
            let step = self.step(&mut part, start, chunk);
            let step = tokio::time::timeout(TRANSACTION_LIMIT, step).await;
            done.push((part, step.unwrap_or(Err(Failure::TimedOut))));
        }
        done
    }

    /// Notes how a step went; tells whether its generations went on, or might at once.
    async fn note(
        &self,
        mut group: Members<'_, '_>,
        start: Start,
        step: Result<Step, Failure>,
        inbox: &mut Inbox,
    ) -> bool {
        let Start { from, limit, alone } = start;
        match step {
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
                if let Some(one) = group.get_mut(member) {
                    one.step_aside(&error);
                    if alone || error.is_transient() {
                        one.wait();
                    }
                }
                !alone
            }
            Err(Failure::Commit(error)) if !alone && !is_transient(&error) => {
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
        ahead: &mut Ahead,
        head: u64,
    ) -> Result<Chunk, ChunkError> {
        match source {
            Source::Broker => chunk::brought(&self.vault, inbox.behind(from, limit), head).await,
            Source::Log => {
                let limit = reach(inbox, from, limit);
                match ahead.take(from, limit).await {
                    Some(chunk) => chunk,
                    None => chunk::read_behind(&self.log, &self.vault, from, limit).await,
                }
            }
        }
    }

    /// Applies a chunk to a group.
    async fn step(
        &self,
        group: &mut [&mut Running<'_>],
        start: Start,
        chunk: &Chunk,
    ) -> Result<Step, Failure> {
        let from = start.from;
        let generations: Vec<Generation> = group.iter().map(|one| one.generation).collect();
        // Said before it is applied, so that one that does not get on does not say that it is live.
        let near = chunk.behind <= NEAR_EVENTS;
        if group.iter().any(|one| one.settled != Some(near)) {
            let marked = checkpoint::mark(&self.read, &generations, from, near).await;
            // Who makes their indexes has the rows.
            marked.map_err(|error| {
                if has_code(&error, LOCK_TIMEOUT) { Failure::Moved } else { Failure::Read(error) }
            })?;
            group.iter_mut().for_each(|one| one.settled = Some(near));
        }
        let Some(last) = chunk.events.last() else {
            return Ok(Step { to: from, took: Duration::ZERO, events: 0 });
        };
        let to = Checkpoint::on(&last.entry);
        let started = Instant::now();
        self.apply(group, &generations, start, to, chunk).await?;
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
        group: &mut [&mut Running<'_>],
        generations: &[Generation],
        start: Start,
        to: Checkpoint,
        chunk: &Chunk,
    ) -> Result<(), Failure> {
        let from = start.from;
        let mut work = checkpoint::begin(&self.read).await.map_err(Failure::Read)?;
        let moving = checkpoint::advance(&mut work, generations, from, to, self.fills_hole(chunk.source));
        match moving.await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Moved),
            // Another process is at it.
            Err(error) if has_code(&error, LOCK_TIMEOUT) && group.iter().all(|one| !one.is_ours) => {
                return Err(Failure::Moved);
            }
            Err(error) => return Err(Failure::Read(error)),
        }
        let mut halted = parked::halted(&mut work, generations).await.map_err(Failure::Read)?;
        for (member, one) in group.iter_mut().enumerate() {
            let queue = Queue::of(halted.remove(&one.generation).unwrap_or_default());
            let began = Instant::now();
            let applied = if start.alone {
                one.apply_alone(&mut work, queue, &chunk.events).await
            } else {
                one.apply_together(&mut work, queue, &chunk.events).await
            };
            applied.map_err(|error| Failure::Apply { member, error })?;
            one.took = began.elapsed();
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
}

/// Where a step begins.
#[derive(Clone, Copy)]
struct Start {
    from: Checkpoint,
    limit: u32,
    /// Whether it is a single generation's: what it can't apply is parked.
    alone: bool,
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

/// Returns how many events may be read behind a checkpoint: no further than to what the broker has brought.
fn reach(inbox: &Inbox, from: Checkpoint, limit: u32) -> u32 {
    let hole = inbox.next_beyond(from).map_or(u64::MAX, |next| next - 1 - from.position);
    limit.min(u32::try_from(hole).unwrap_or(u32::MAX))
}

/// Parts a group by read models: a rebuilt generation goes on with the live one.
fn by_name<'r, 'a>(group: Members<'r, 'a>) -> Vec<Members<'r, 'a>> {
    let mut parts: BTreeMap<&str, Members<'r, 'a>> = BTreeMap::new();
    for one in group {
        parts.entry(one.generation.name).or_default().push(one);
    }
    parts.into_values().collect()
}

/// Parts a group in two that take about as long as each other, if each read model takes as long as it took last.
fn halves<'r, 'a>(group: Members<'r, 'a>) -> Vec<Members<'r, 'a>> {
    let takes = |part: &Members<'_, '_>| part.iter().map(|one| one.took).sum::<Duration>();
    let mut models = by_name(group);
    models.sort_by_key(|model| Reverse(takes(model)));
    let mut halves: [Members<'r, 'a>; 2] = Default::default();
    for model in models {
        let [first, second] = &mut halves;
        let lighter = if takes(first) <= takes(second) { first } else { second };
        lighter.extend(model);
    }
    halves.into_iter().filter(|half| !half.is_empty()).collect()
}
