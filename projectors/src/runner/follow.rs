//! The runner's loop: from what has come in to the groups that go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use event_store::reader::Checkpoint;
use event_store::tail::Tail;
use tokio::sync::watch;

use super::ahead::Ahead;
use super::refresh::Refreshing;
use super::{Group, PATIENCE, Runner, queue};
use crate::chunk::Source;
use crate::generation::Generation;
use crate::inbox::Inbox;
use crate::running::Running;

/// How long a checkpoint may stand still behind the log before the log is read, whatever the broker does.
const BROKER_PATIENCE: Duration = Duration::from_millis(50);
/// The same where another process has moved it last.
const IDLE_PATIENCE: Duration = Duration::from_millis(300);

impl Runner {
    /// Follows the log, for ever.
    pub(super) async fn follow(&self) {
        let (queues, wanted) = watch::channel(BTreeSet::new());
        let mut deliveries = self.broker.subscribe(wanted);
        let mut tail = Tail::new(self.log_pool.clone());
        let mut inbox = Inbox::default();
        let mut ahead = Ahead::default();
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
            self.take_up_completed(&mut running).await;
            let head = self.look_at_head(&mut running, &mut inbox).await;
            let mut progress = false;
            for group in self.groups(&mut running, &inbox) {
                progress |= self.advance(group, &mut inbox, &mut ahead, head).await;
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

    /// Finds out where the log ends and who does not stand there. Who reads the log at any news finds that
    /// out by itself.
    async fn look_at_head(&self, running: &mut [Running<'_>], inbox: &mut Inbox) -> u64 {
        if running.iter().all(|one| self.patience(one).is_zero()) {
            return 0;
        }
        // A log that is away is met, and told of, by whoever reads it. Its end may be anywhere.
        let Ok(head) = self.log.head().await else { return u64::MAX };
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
    fn groups<'r, 'a>(&self, running: &'r mut [Running<'a>], inbox: &Inbox) -> Vec<Group<'r, 'a>> {
        let mut groups: BTreeMap<(Checkpoint, Option<Generation>), Group<'r, 'a>> = BTreeMap::new();
        for one in running {
            let Some(from) = one.ready() else { continue };
            let Some(source) = self.source(one, from, inbox) else { continue };
            let apart = one.alone.then_some(one.generation);
            let group = groups.entry((from, apart)).or_insert_with(|| Group::new(from, source));
            group.limit = group.limit.min(one.limit);
            group.members.push(one);
        }
        meeting(groups)
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
}

/// Lets groups meet: none goes further than to where the next one stands, which waits if that is one step away.
/// Otherwise two that have parted would stay so for as long as the log grows. Nobody waits for one that runs alone.
fn meeting<'r, 'a>(groups: BTreeMap<(Checkpoint, Option<Generation>), Group<'r, 'a>>) -> Vec<Group<'r, 'a>> {
    let places: Vec<(u64, u64, bool)> = groups
        .iter()
        .map(|((from, apart), group)| (from.position, u64::from(group.limit), apart.is_some()))
        .collect();
    let meet = |mut group: Group<'r, 'a>| {
        let at = group.from.position;
        let is_near = |(place, limit, alone): &(u64, u64, bool)| *place < at && !alone && place + limit >= at;
        group.until = places.iter().map(|(place, ..)| *place).find(|place| *place > at);
        (!places.iter().any(is_near)).then_some(group)
    };
    groups.into_values().filter_map(meet).collect()
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
