//! What the broker has brought and is not applied yet.
//!
//! All queues bring the same log, so a chunk is kept once, whichever queue was first. Each queue gets its
//! messages acknowledged when its own read model has committed what is in them, and not before.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use event_store::broker::Delivery;
use event_store::broker::chunk::{Chunk, Header, Malformed};
use event_store::broker::rabbitmq::Receipt;
use event_store::reader::{Checkpoint, LogEntry};
use metrics::counter;
use tokio::sync::mpsc;

use crate::seldom::Seldom;

/// How many chunks are kept at most. Where one read model is far behind the others, the oldest go: what it
/// misses then, it reads from the log.
const CHUNKS_MAX: usize = 128;

/// Chunks and the receipts of the messages that brought them.
#[derive(Default)]
pub(crate) struct Inbox {
    chunks: Vec<Chunk>,
    queues: HashMap<Arc<str>, Received>,
    malformed: Seldom,
    ghosts: Seldom,
}

/// What one queue has brought.
struct Received {
    /// Messages that are not acknowledged, in the order of their coming, and the last event in each.
    open: VecDeque<(u64, Receipt)>,
    /// The last event that it has ever brought.
    furthest: u64,
    /// What is to be acknowledged.
    done: mpsc::UnboundedSender<Receipt>,
}

impl Received {
    /// Begins with a task that acknowledges, in order: one acknowledgement overtaken by a later one is an
    /// error. Nobody waits for it, since a connection that hangs must not hold the read models up.
    fn begin() -> Self {
        let (done, mut committed) = mpsc::unbounded_channel::<Receipt>();
        tokio::spawn(async move {
            while let Some(receipt) = committed.recv().await {
                receipt.acknowledge().await;
            }
        });
        Self { open: VecDeque::new(), furthest: 0, done }
    }
}

impl Inbox {
    /// Takes a message in.
    pub(crate) fn take_in(&mut self, delivery: Delivery) {
        let Delivery { queue, body, receipt } = delivery;
        let received = self.queues.entry(Arc::clone(&queue)).or_insert_with(Received::begin);
        let last = match Header::read(&body) {
            Ok((header, _)) if header.is_heartbeat() => 0,
            Ok((header, rest)) => match keep(&mut self.chunks, header, rest) {
                Ok(()) => header.to,
                Err(malformed) => tell_malformed(&mut self.malformed, &queue, malformed),
            },
            Err(malformed) => tell_malformed(&mut self.malformed, &queue, malformed),
        };
        if last > 0 && last <= received.furthest {
            counter!("quittance_broker_duplicates_skipped_total", "queue" => queue.to_string()).increment(1);
        }
        received.furthest = received.furthest.max(last);
        received.open.push_back((last, receipt));
    }

    /// Tells whether the event right behind a checkpoint is here.
    pub(crate) fn has_next(&self, from: Checkpoint) -> bool {
        self.continuation(from).is_some()
    }

    /// Tells whether a queue itself has brought the event behind a position, or a later one.
    pub(crate) fn has_brought(&self, queue: &str, position: u64) -> bool {
        self.queues.get(queue).is_some_and(|received| received.furthest > position)
    }

    /// Returns the events right behind a checkpoint, up to a limit; none if they are not here. They are what
    /// the broker says, and to be compared with the log before they are committed.
    pub(crate) fn behind(&self, from: Checkpoint, limit: u32) -> Vec<LogEntry> {
        let mut found: Vec<LogEntry> = Vec::new();
        let mut at = from;
        while let Some(room) = (limit as usize).checked_sub(found.len()).filter(|room| *room > 0)
            && let Some(chunk) = self.continuation(at)
        {
            let known = usize::try_from(at.position + 1 - chunk.header.from).unwrap_or(usize::MAX);
            found.extend(chunk.entries.iter().skip(known).take(room).cloned());
            let Some(last) = found.last() else { break };
            at = Checkpoint::on(last);
        }
        found
    }

    /// Returns the first position that is here of those beyond a checkpoint, if there is one.
    pub(crate) fn next_beyond(&self, from: Checkpoint) -> Option<u64> {
        let ahead = |chunk: &&Chunk| chunk.header.from > from.position + 1;
        self.chunks.iter().filter(ahead).map(|chunk| chunk.header.from).min()
    }

    /// Drops whatever claims to follow a checkpoint: the log says something else.
    pub(crate) fn disprove(&mut self, from: Checkpoint) {
        let before = self.chunks.len();
        self.chunks.retain(|chunk| chunk.leaf_hash(from.position) != Some(from.leaf_hash));
        self.tell_ghosts(before - self.chunks.len());
    }

    /// Drops what claims to be beyond the log's end, which has moved on since it came: a chunk is published
    /// when its events are committed, so it is of a history that was lost, or made up.
    pub(crate) fn disprove_beyond(&mut self, head: u64) {
        let before = self.chunks.len();
        self.chunks.retain(|chunk| chunk.header.to <= head);
        self.tell_ghosts(before - self.chunks.len());
        for received in self.queues.values_mut() {
            received.furthest = received.furthest.min(head);
            for (last, _) in received.open.iter_mut().filter(|(last, _)| *last > head) {
                *last = 0;
            }
        }
    }

    /// Acknowledges what a queue has brought up to a position, which its read model has committed.
    pub(crate) fn settle(&mut self, queue: &str, position: u64) {
        let Some(received) = self.queues.get_mut(queue) else { return };
        let mut last = None;
        while let Some((_, receipt)) = received.open.pop_front_if(|(to, _)| *to <= position) {
            last = Some(receipt);
        }
        if let Some(receipt) = last {
            // The task ends with the process only.
            let _ = received.done.send(receipt);
        }
    }

    /// Forgets chunks that every read model has applied.
    pub(crate) fn forget(&mut self, position: u64) {
        self.chunks.retain(|chunk| chunk.header.to > position);
    }

    /// Forgets queues that are not consumed any more.
    pub(crate) fn forget_queues(&mut self, consumed: &BTreeSet<String>) {
        self.queues.retain(|queue, _| consumed.contains(queue.as_ref()));
    }

    fn tell_ghosts(&mut self, chunks: usize) {
        counter!("quittance_broker_ghosts_total").increment(chunks as u64);
        if chunks > 0 && self.ghosts.is_time() {
            tracing::warn!("events are dropped that the broker brought and the log does not have");
        }
    }

    /// Finds the chunk that has the event behind a checkpoint, in the checkpoint's history.
    fn continuation(&self, at: Checkpoint) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| {
            let Header { from, to, .. } = chunk.header;
            from <= at.position + 1 && to > at.position && chunk.leaf_hash(at.position) == Some(at.leaf_hash)
        })
    }
}

/// Keeps a chunk, unless it is here already.
fn keep(chunks: &mut Vec<Chunk>, header: Header, rest: &[u8]) -> Result<(), Malformed> {
    if chunks.iter().any(|chunk| chunk.header == header) {
        return Ok(());
    }
    let chunk = Chunk::decode(header, rest)?;
    if chunks.len() >= CHUNKS_MAX
        && let Some((oldest, _)) = chunks.iter().enumerate().min_by_key(|(_, chunk)| chunk.header.from)
    {
        chunks.swap_remove(oldest);
    }
    chunks.push(chunk);
    Ok(())
}

/// Tells of a message that is none of the relay's; it is done with at once.
fn tell_malformed(told: &mut Seldom, queue: &str, malformed: Malformed) -> u64 {
    counter!("quittance_broker_malformed_total").increment(1);
    if told.is_time() {
        tracing::warn!(queue, error = %malformed, "messages are dropped");
    }
    0
}

#[cfg(test)]
mod tests {
    use ledger_core::LeafHash;

    use super::*;

    /// The events of a log, from 1 on.
    fn log(events: u64) -> Vec<LogEntry> {
        let entry = |position| {
            let canonical = format!("{{\"position\":{position}}}");
            LogEntry { position, leaf_hash: LeafHash::of(&canonical), canonical }
        };
        (1..=events).map(entry).collect()
    }

    fn at(log: &[LogEntry], position: usize) -> Checkpoint {
        let start = Checkpoint { position: 0, leaf_hash: LeafHash::ZERO };
        position.checked_sub(1).map_or(start, |index| Checkpoint::on(&log[index]))
    }

    /// A message with the events from a position on.
    fn chunk(log: &[LogEntry], from: usize, to: usize) -> Vec<u8> {
        let head = log.len() as u64;
        Chunk::of(at(log, from - 1), log[from - 1..to].to_vec(), head).encode()
    }

    fn delivery(queue: &str, body: Vec<u8>) -> Delivery {
        let acker = lapin::message::Delivery::mock(1, "".into(), "".into(), false, Vec::new()).acker;
        Delivery { queue: queue.into(), body, receipt: acker.into() }
    }

    fn positions(entries: &[LogEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.position).collect()
    }

    /// Counts what is neither committed nor dropped.
    fn open(inbox: &Inbox, queue: &str) -> usize {
        inbox.queues[queue].open.len()
    }

    #[tokio::test]
    async fn chunks_are_joined_in_whatever_order_they_come() {
        let log = log(10);
        let mut inbox = Inbox::default();
        for (from, to) in [(7, 10), (1, 3), (3, 5), (1, 3), (4, 6)] {
            inbox.take_in(delivery("a", chunk(&log, from, to)));
            inbox.take_in(delivery("b", chunk(&log, from, to)));
        }
        assert_eq!(inbox.chunks.len(), 4, "each is kept once");
        assert_eq!(positions(&inbox.behind(at(&log, 0), 100)), (1..=10).collect::<Vec<_>>());
        assert_eq!(positions(&inbox.behind(at(&log, 2), 3)), [3, 4, 5]);
        assert!(inbox.behind(at(&log, 10), 100).is_empty() && !inbox.has_next(at(&log, 10)));
    }

    #[tokio::test]
    async fn only_a_checkpoints_own_history_follows_it() {
        let (log, mut other) = (log(6), log(6));
        other[2].canonical.push(' ');
        other[2].leaf_hash = LeafHash::of(&other[2].canonical);
        let mut inbox = Inbox::default();
        inbox.take_in(delivery("a", chunk(&other, 4, 6)));
        assert!(!inbox.has_next(at(&log, 3)), "it follows another third event");
        inbox.take_in(delivery("a", chunk(&other, 1, 6)));
        assert!(inbox.has_next(at(&log, 2)), "that can't be told before it is compared");
        inbox.disprove(at(&log, 2));
        assert!(!inbox.has_next(at(&log, 2)));
    }

    #[tokio::test]
    async fn a_hole_is_seen_and_what_is_beyond_the_log_is_dropped() {
        let log = log(9);
        let mut inbox = Inbox::default();
        inbox.take_in(delivery("a", chunk(&log, 8, 9)));
        assert_eq!(inbox.next_beyond(at(&log, 4)), Some(8));
        inbox.settle("a", 4);
        assert_eq!(open(&inbox, "a"), 1);
        inbox.disprove_beyond(8);
        assert_eq!(inbox.next_beyond(at(&log, 4)), None);
        inbox.settle("a", 4);
        assert_eq!(open(&inbox, "a"), 0, "a ghost blocks nobody");
    }

    #[tokio::test]
    async fn messages_are_acknowledged_by_their_own_read_model() {
        let log = log(9);
        let mut inbox = Inbox::default();
        for (from, to) in [(1, 3), (4, 5), (6, 9)] {
            inbox.take_in(delivery("a", chunk(&log, from, to)));
            inbox.take_in(delivery("b", chunk(&log, from, to)));
        }
        inbox.settle("a", 5);
        assert_eq!((open(&inbox, "a"), open(&inbox, "b")), (1, 3));
        assert!(inbox.has_brought("b", 8) && !inbox.has_brought("b", 9) && !inbox.has_brought("c", 0));
        inbox.forget(5);
        assert_eq!(inbox.chunks.len(), 1);
        for junk in [b"hello".to_vec(), Chunk::of(at(&log, 9), Vec::new(), 9).encode()] {
            inbox.take_in(delivery("b", junk));
        }
        inbox.settle("b", 9);
        assert_eq!(open(&inbox, "b"), 0);
        inbox.forget_queues(&BTreeSet::from(["a".to_owned()]));
        assert_eq!(inbox.queues.len(), 1);
    }

    #[tokio::test]
    async fn it_is_bounded_and_lets_go_of_the_oldest() {
        let log = log(CHUNKS_MAX as u64 + 5);
        let mut inbox = Inbox::default();
        for position in 1..=log.len() {
            inbox.take_in(delivery("a", chunk(&log, position, position)));
        }
        assert_eq!(inbox.chunks.len(), CHUNKS_MAX);
        assert_eq!(inbox.next_beyond(at(&log, 0)), Some(6));
    }
}
