//! A generation at work: where it stands, and when it is to go on.

use std::time::{Duration, Instant};

use event_store::pause::Pause;
use event_store::reader::Checkpoint;
use metrics::counter;
use sqlx::PgConnection;
use tokio_util::task::AbortOnDropHandle;

use crate::generation::{self, Generation};
use crate::parked::Queue;
use crate::projection::{ApplyError, Decoded, Projection};

/// How many events one transaction folds at most.
pub(crate) const EVENTS_MAX: u32 = 2000;
/// How many it folds at most where something failed: halving them takes few attempts.
const EVENTS_CAREFUL: u32 = 100;
/// How long a transaction should take: while it does, nobody sees its rows. Where less waits than that, it
/// takes what is there; smaller ones would only leave more behind, since each costs the same to begin with.
const TRANSACTION_TARGET: Duration = Duration::from_millis(100);
/// The first and the longest pause after failures that pass.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A generation at work.
pub(crate) struct Running<'a> {
    pub(crate) projection: &'a dyn Projection,
    pub(crate) generation: Generation,
    /// `None`: another process has moved it, and it is not known where to.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Whether its row says that it is near the log's end; `None` if it is not known to say either.
    pub(crate) settled: Option<bool>,
    /// Whether it has the indexes that folding does without.
    pub(crate) indexed: bool,
    /// Makes them: meanwhile it stands still.
    pub(crate) completing: Option<AbortOnDropHandle<Result<(), sqlx::Error>>>,
    /// Why it is stopped.
    pub(crate) stopped: Option<String>,
    /// Whether it has failed in a group, and runs alone now.
    pub(crate) alone: bool,
    /// Whether it was this process that moved it last. If not, another one is at work.
    pub(crate) is_ours: bool,
    /// Since when it is seen to stand elsewhere than the log ends, without moving.
    pub(crate) behind_since: Option<Instant>,
    /// How many events its next transaction takes at most.
    pub(crate) limit: u32,
    /// How long its rows took to fold in last.
    pub(crate) took: Duration,
    pause: Pause,
    /// Until when it pauses.
    paused_until: Option<Instant>,
}

impl<'a> Running<'a> {
    /// Takes up a generation that stands at a checkpoint.
    pub(crate) fn new(
        projection: &'a dyn Projection,
        generation: Generation,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            projection,
            generation,
            checkpoint: Some(checkpoint),
            settled: None,
            indexed: true,
            completing: None,
            stopped: None,
            alone: false,
            is_ours: false,
            behind_since: None,
            limit: EVENTS_MAX,
            took: Duration::ZERO,
            pause: pause(),
            paused_until: None,
        }
    }

    pub(crate) const fn is_astray(&self) -> bool {
        self.checkpoint.is_none()
    }

    /// Returns where it stands, unless it is stopped, pauses, or is being completed.
    pub(crate) fn ready(&self) -> Option<Checkpoint> {
        let pauses = self.paused_until.is_some_and(|until| until > Instant::now());
        self.checkpoint.filter(|_| self.stopped.is_none() && self.completing.is_none() && !pauses)
    }

    /// Notes where the log ends.
    pub(crate) fn note_head(&mut self, head: Checkpoint) {
        self.behind_since = match self.checkpoint {
            Some(at) if at != head => self.behind_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }

    /// Notes that this process has moved it, in a step of at most `limit` events.
    pub(crate) fn moved(&mut self, to: Checkpoint, limit: u32, events: u32, took: Duration) {
        self.checkpoint = Some(to);
        self.is_ours = true;
        self.behind_since = None;
        self.alone = false;
        self.pause.reset();
        self.paused_until = None;
        self.limit = next_limit(limit, events, took);
    }

    /// Pauses, then goes on in smaller steps: perhaps it is the size of a step that fails.
    pub(crate) fn wait(&mut self) {
        self.paused_until = Some(Instant::now() + self.pause.longer());
        self.limit = (self.limit / 2).clamp(1, EVENTS_CAREFUL);
        counter!("quittance_projection_retries_total", "projection" => self.generation.name).increment(1);
    }

    /// Takes it out of its group: it goes on alone, in small steps.
    pub(crate) fn step_aside(&mut self, error: &ApplyError) {
        self.limit = (self.limit / 2).clamp(1, EVENTS_CAREFUL);
        self.alone = true;
        tracing::warn!(
            error = error as &dyn std::error::Error,
            projection = self.generation.name,
            position = self.checkpoint.map(|at| at.position),
            "a projection can't apply a batch, and runs alone"
        );
    }

    /// Applies events in a transaction that others share: any failure is everybody's.
    pub(crate) async fn apply_together(
        &self,
        work: &mut PgConnection,
        mut queue: Queue,
        events: &[Decoded],
    ) -> Result<(), ApplyError> {
        let admitted = queue.admit(self.projection, events);
        if !admitted.is_empty() {
            self.generation.enter(work).await?;
            self.projection.apply(work, &admitted).await?;
        }
        if queue.has_grown() {
            generation::leave(work).await?;
            queue.save(work, self.generation).await?;
        }
        Ok(())
    }

    /// Applies events in a transaction of its own: what can't be applied is parked.
    pub(crate) async fn apply_alone(
        &self,
        work: &mut PgConnection,
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

/// Returns how failures are waited out.
pub(crate) const fn pause() -> Pause {
    Pause::new(PAUSES.0, PAUSES.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_while_they_are_quick_and_shrink_while_they_are_slow() {
        let (quick, slow) = (Duration::from_millis(25), Duration::from_millis(250));
        assert_eq!(next_limit(1, 1, quick), 2);
        assert_eq!(next_limit(3000, 3000, quick), EVENTS_MAX);
        assert_eq!(next_limit(1000, 3, quick), 1000);
        assert_eq!(next_limit(1000, 1000, slow), 500);
        // A machine that is slow all the time does not come to a standstill.
        assert_eq!(next_limit(100, 100, slow), 200);
        assert_eq!(next_limit(1, 1, slow), 2);
    }
}
