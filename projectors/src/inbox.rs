//! What the broker has brought and is not applied yet.
//!
//! All queues bring the same log, so a chunk is kept once, whichever queue was first. Each queue gets its
//! messages acknowledged when its own read model has committed what is in them, and not before.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use event_store::broker::Delivery;
use event_store::broker::chunk::{Chunk, Header, Malformed};
use event_store::broker::rabbitmq::Receipt;
use event_store::reader::{Checkpoint, LogEntry};
use metrics::counter;
use tokio::sync::mpsc;

/// Chunks and the receipts of the messages that brought them.
#[derive(Default)]
pub(crate) struct Inbox {
    chunks: Vec<Chunk>,
    queues: HashMap<Arc<str>, Received>,
    head: u64,
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
        let header = match Header::read(&body) {
            Ok((header, rest)) => keep(&mut self.chunks, header, rest).map(|()| header),
            Err(malformed) => Err(malformed),
        };
        match header {
            Ok(header) => {
                if !header.is_heartbeat() && header.to <= received.furthest {
                    counter!("quittance_broker_duplicates_skipped_total", "queue" => queue.to_string())
                        .increment(1);
                }
                self.head = self.head.max(header.head);
                received.furthest = received.furthest.max(header.to);
                received.open.push_back((header.to, receipt));
            }
            Err(malformed) => {
                tracing::warn!(%queue, error = %malformed, "a message is dropped");
                received.open.push_back((0, receipt));
            }
        }
    }

    /// Tells whether the event right behind a checkpoint is here.
    pub(crate) fn has_next(&self, from: Checkpoint) -> bool {
        self.continuation(from).is_some()
    }

    /// Returns where the log ended when the newest message was published.
    pub(crate) const fn head(&self) -> u64 {
        self.head
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
        self.chunks.retain(|chunk| chunk.leaf_hash(from.position) != Some(from.leaf_hash));
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
    if !header.is_heartbeat() && chunks.iter().all(|chunk| chunk.header != header) {
        chunks.push(Chunk::decode(header, rest)?);
    }
    Ok(())
}
