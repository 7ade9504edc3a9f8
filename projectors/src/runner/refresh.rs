//! Looks at where generations stand: others make, move, switch and drop them, too.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use event_store::StoreError;
use event_store::error::{READ_LIMIT, within};
use tokio::sync::watch;

use super::{PATIENCE, Runner, queue};
use crate::checkpoint;
use crate::generation::Generation;
use crate::inbox::Inbox;
use crate::running::Running;

/// How often the generations are looked at: others may make, switch or drop them.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

impl Runner {
    /// Reads where all generations stand. What is known of those that have not been moved by others stays.
    pub(super) async fn refresh<'a>(
        &'a self,
        running: &mut Vec<Running<'a>>,
        queues: &watch::Sender<BTreeSet<String>>,
        inbox: &mut Inbox,
    ) -> Result<(), StoreError> {
        let standing = within(READ_LIMIT, checkpoint::all(&self.read, &self.projections)).await?;
        let mut known: BTreeMap<Generation, Running<'a>> =
            running.drain(..).map(|one| (one.generation, one)).collect();
        for row in standing {
            let mut old = known.remove(&row.generation);
            if let Some(same) = old.take_if(|one| one.checkpoint == Some(row.checkpoint)) {
                running.push(same);
                continue;
            }
            let projection = self.projections.iter().find(|known| known.name() == row.generation.name);
            let Some(projection) = projection else { continue };
            let mut one = Running::new(projection.as_ref(), row.generation, row.checkpoint);
            (one.settled, one.indexed) = (row.settled, row.indexed);
            one.completing = old.and_then(|old| old.completing);
            running.push(one);
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
}

/// When to look where generations stand.
#[derive(Default)]
pub(super) struct Refreshing {
    /// When that was last tried.
    tried: Option<Instant>,
    fails: bool,
}

impl Refreshing {
    /// More often where others are at work, or have been.
    pub(super) fn is_due(&self, running: &[Running<'_>]) -> bool {
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
    pub(super) fn note(&mut self, refreshed: Result<(), StoreError>) {
        self.tried = Some(Instant::now());
        if let Err(error) = &refreshed
            && !self.fails
        {
            tracing::warn!(error = error as &dyn Error, "read models are away");
        }
        self.fails = refreshed.is_err();
    }
}
