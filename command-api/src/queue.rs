//! The queue before the executor: bounded in time, not in length.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::order::{Answered, Order, Refusal};

/// An order that waits for so long is dropped undecided.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long a handler waits on for an order that was taken up before its deadline.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many orders one batch takes at most, and of how many bytes.
const BATCH_ORDERS_MAX: usize = 300;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// An order in the queue, or taken from it.
#[derive(Debug)]
pub struct Ticket {
    /// The order.
    pub order: Order,
    /// When it began to wait.
    pub since: Instant,
    claim: Arc<AtomicU8>,
    reply: oneshot::Sender<Answered>,
}

impl Ticket {
    /// Tells whether its deadline has passed.
    pub fn is_late(&self) -> bool {
        self.since.elapsed() >= DEADLINE
    }

    /// Answers the handler, if it still waits.
    pub fn answer(self, answered: Answered) {
        let _ = self.reply.send(answered);
    }
}

/// An order's handler, while it waits for the answer.
#[derive(Debug)]
pub struct Waiting {
    claim: Arc<AtomicU8>,
    answer: oneshot::Receiver<Answered>,
}

impl Waiting {
    /// Waits for the answer.
    ///
    /// At the deadline an order that still waits is given up: it will certainly not run. One that was
    /// taken is waited for a while longer, then its outcome is unknown to us, though it may come.
    pub async fn answer(mut self) -> Answered {
        if let Ok(answered) = tokio::time::timeout(DEADLINE, &mut self.answer).await {
            return answered.unwrap_or(Answered::Refused(Refusal::Unknown));
        }
        if self.claim.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Answered::Refused(Refusal::DeadlinePassed);
        }
        match tokio::time::timeout(PATIENCE, self.answer).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) | Err(_) => Answered::Refused(Refusal::Unknown),
        }
    }
}

/// Orders that wait, in two lines: those of bulk requests never fill more than half of a batch.
#[derive(Debug, Default)]
struct Lines {
    single: VecDeque<Ticket>,
    bulk: VecDeque<Together>,
}

/// What waits of one bulk request.
#[derive(Debug)]
struct Together {
    tickets: VecDeque<Ticket>,
    /// Whether some were taken already.
    begun: bool,
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.single.is_empty() && self.bulk.is_empty()
    }
}

/// Orders that wait for the executor.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Lines>,
    arrived: Notify,
    wait_max: Duration,
    closed: AtomicBool,
}

impl Queue {
    /// Makes a queue that refuses new orders when its oldest has waited for `wait_max`.
    pub fn new(wait_max: Duration) -> Self {
        Self { waiting: Mutex::default(), arrived: Notify::new(), wait_max, closed: AtomicBool::new(false) }
    }

    /// Tells whether a new order would be taken: asked before its body is read.
    pub fn has_room(&self) -> bool {
        self.is_fresh(self.lock().single.front())
    }

    /// Tells whether the orders of a bulk request would be taken. The rest of one that is being carried out is
    /// its own length, not a wait: the oldest that has not begun counts.
    pub fn has_room_for_bulk(&self) -> bool {
        let lines = self.lock();
        self.is_fresh(
            lines.bulk.iter().find(|request| !request.begun).and_then(|request| request.tickets.front()),
        )
    }

    fn is_fresh(&self, oldest: Option<&Ticket>) -> bool {
        let waited = oldest.map_or(Duration::ZERO, |ticket| ticket.since.elapsed());
        waited < self.wait_max && !self.closed.load(Ordering::Acquire)
    }

    /// Queues an order and waits for its answer.
    pub async fn submit(&self, order: Order) -> Answered {
        if self.closed.load(Ordering::Acquire) {
            return Answered::Refused(Refusal::QueueFull);
        }
        let (ticket, waiting) = ticket(order);
        self.lock().single.push_back(ticket);
        self.arrived.notify_one();
        waiting.answer().await
    }

    /// Queues the orders of a bulk request, in their order and with none between them; none if the queue is
    /// closed.
    pub fn push_bulk(&self, orders: Vec<Order>) -> Vec<Waiting> {
        if self.closed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let (tickets, waiting): (VecDeque<_>, Vec<_>) = orders.into_iter().map(ticket).unzip();
        if !tickets.is_empty() {
            self.lock().bulk.push_back(Together { tickets, begun: false });
            self.arrived.notify_one();
        }
        waiting
    }

    /// Waits until an order waits; `false` when the queue is closed and empty.
    pub async fn wait(&self) -> bool {
        loop {
            if !self.lock().is_empty() {
                return true;
            }
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes what waits, oldest first, up to a batch: at most half of it from bulk requests. What was given
    /// up or is late is dropped.
    pub fn take(&self) -> Vec<Ticket> {
        let mut lines = self.lock();
        let mut batch = Taken::default();
        while let Some(request) = lines.bulk.front_mut() {
            let waiting = request.tickets.len();
            batch.take(&mut request.tickets, BATCH_ORDERS_MAX / 2, BATCH_BYTES_MAX / 2);
            request.begun |= request.tickets.len() < waiting;
            if !request.tickets.is_empty() {
                break;
            }
            lines.bulk.pop_front();
        }
        batch.take(&mut lines.single, BATCH_ORDERS_MAX, BATCH_BYTES_MAX);
        batch.tickets
    }

    /// Drops what was given up or is late, while nothing can be taken.
    pub fn drop_given_up(&self) {
        let mut late = Vec::new();
        let mut lines = self.lock();
        drop_late(&mut lines.single, &mut late);
        lines.bulk.iter_mut().for_each(|request| drop_late(&mut request.tickets, &mut late));
        lines.bulk.retain(|request| !request.tickets.is_empty());
        drop(lines);
        late.into_iter().for_each(|ticket| ticket.answer(Answered::Refused(Refusal::DeadlinePassed)));
    }

    /// Takes no more orders; what waits is still carried out.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.arrived.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        // Nothing panics while it is held; and if it did, the lines would still be whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what is late out of a line.
fn drop_late(line: &mut VecDeque<Ticket>, late: &mut Vec<Ticket>) {
    let (is_late, rest): (Vec<_>, Vec<_>) = line.drain(..).partition(Ticket::is_late);
    late.extend(is_late);
    line.extend(rest);
}

/// Makes an order's ticket, and what its handler waits with.
fn ticket(order: Order) -> (Ticket, Waiting) {
    let (reply, answer) = oneshot::channel();
    let claim = Arc::new(AtomicU8::new(WAITING));
    let waiting = Waiting { claim: Arc::clone(&claim), answer };
    (Ticket { order, since: Instant::now(), claim, reply }, waiting)
}

/// A batch while it is taken.
#[derive(Default)]
struct Taken {
    tickets: Vec<Ticket>,
    bytes: usize,
}

impl Taken {
    /// Takes from a line until the batch has so many orders or bytes; one that is larger than a batch gets
    /// its turn too, alone.
    fn take(&mut self, line: &mut VecDeque<Ticket>, orders_max: usize, bytes_max: usize) {
        while let Some(next) = line.front() {
            let bytes = self.bytes + next.order.size;
            if self.tickets.len() >= orders_max || (bytes > bytes_max && !self.tickets.is_empty()) {
                return;
            }
            let Some(ticket) = line.pop_front() else { return };
            let claimed = ticket.claim.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
            match claimed {
                Ok(_) if ticket.is_late() => ticket.answer(Answered::Refused(Refusal::DeadlinePassed)),
                Ok(_) => {
                    self.bytes = bytes;
                    self.tickets.push(ticket);
                }
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::Command;
    use ledger_core::ids::KeyId;
    use uuid::Uuid;

    use super::*;
    use crate::idempotency::Idempotency;

    fn order(size: usize) -> Order {
        Order {
            command: Command::RevokeKey(KeyId::new(Uuid::nil())),
            idempotency: Idempotency::unique(),
            event_id: Order::draw_event_id(),
            actor: "system:test".to_owned(),
            api_key: None,
            request_id: None,
            subject_key: None,
            size,
        }
    }

    /// Lets all tasks go as far as they can.
    async fn gathered(queue: &Queue, orders: usize) {
        while queue.lock().single.len() < orders {
            tokio::task::yield_now().await;
        }
    }

    fn submit(queue: &Arc<Queue>, size: usize) -> tokio::task::JoinHandle<Answered> {
        let queue = Arc::clone(queue);
        tokio::spawn(async move { queue.submit(order(size)).await })
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_orders_and_bytes() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        for _ in 0..BATCH_ORDERS_MAX + 1 {
            submit(&queue, 10);
        }
        gathered(&queue, BATCH_ORDERS_MAX + 1).await;
        let sizes = [queue.take().len(), queue.take().len(), queue.take().len()];
        assert_eq!(sizes, [BATCH_ORDERS_MAX, 1, 0]);
        for _ in 0..3 {
            submit(&queue, BATCH_BYTES_MAX / 2);
        }
        gathered(&queue, 3).await;
        assert_eq!((queue.take().len(), queue.take().len()), (2, 1));
        submit(&queue, BATCH_BYTES_MAX * 2);
        gathered(&queue, 1).await;
        assert_eq!(queue.take().len(), 1, "one that is larger than a batch still gets its turn");
    }

    #[tokio::test]
    async fn bulk_requests_get_half_of_a_batch_and_keep_their_order() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        let many = (0..BATCH_ORDERS_MAX).map(|n| order(n + 1)).collect();
        let _waiting = queue.push_bulk(many);
        for _ in 0..BATCH_ORDERS_MAX {
            submit(&queue, 0);
        }
        gathered(&queue, BATCH_ORDERS_MAX).await;
        let sizes = |batch: Vec<Ticket>| batch.iter().map(|ticket| ticket.order.size).collect::<Vec<_>>();
        let half = BATCH_ORDERS_MAX / 2;
        let first = sizes(queue.take());
        assert_eq!(first[..half], (1..=half).collect::<Vec<_>>());
        assert_eq!(first[half..], vec![0; half]);
        let second = sizes(queue.take());
        assert_eq!(second[..half], (half + 1..=BATCH_ORDERS_MAX).collect::<Vec<_>>());
        assert_eq!(second[half..], vec![0; half]);
        assert!(queue.take().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_past_its_deadline_is_given_up_and_never_taken() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        let waiting = submit(&queue, 10);
        assert_eq!(waiting.await.unwrap(), Answered::Refused(Refusal::DeadlinePassed));
        assert!(queue.take().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_waited_for_and_then_unknown() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        let waiting = submit(&queue, 10);
        gathered(&queue, 1).await;
        let taken = queue.take();
        assert_eq!(waiting.await.unwrap(), Answered::Refused(Refusal::Unknown));
        drop(taken);
    }

    #[tokio::test]
    async fn a_closed_queue_takes_no_more_and_empties() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        let waiting = submit(&queue, 10);
        gathered(&queue, 1).await;
        queue.close();
        assert!(!queue.has_room());
        assert_eq!(queue.submit(order(10)).await, Answered::Refused(Refusal::QueueFull));
        assert!(queue.wait().await);
        for ticket in queue.take() {
            ticket.answer(Answered::Refused(Refusal::NotFound));
        }
        assert!(!queue.wait().await);
        assert_eq!(waiting.await.unwrap(), Answered::Refused(Refusal::NotFound));
    }

    #[tokio::test]
    async fn a_bulk_request_is_no_wait_for_its_own_end() {
        let queue = Queue::new(Duration::from_millis(20));
        let many = || (0..BATCH_ORDERS_MAX).map(order).collect();
        let _first = queue.push_bulk(many());
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!queue.has_room_for_bulk(), "the first has not begun");
        assert_eq!(queue.take().len(), BATCH_ORDERS_MAX / 2);
        assert!(queue.has_room_for_bulk(), "its rest is its own");
        let _second = queue.push_bulk(many());
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!queue.has_room_for_bulk(), "the second has waited");
    }

    #[tokio::test]
    async fn a_queue_whose_oldest_waits_too_long_has_no_room() {
        let queue = Arc::new(Queue::new(Duration::ZERO));
        assert!(!queue.has_room(), "no wait at all is allowed");
        let queue = Arc::new(Queue::new(Duration::from_secs(60)));
        submit(&queue, 10);
        gathered(&queue, 1).await;
        assert!(queue.has_room());
    }
}
