//! Many commands in one request: each goes through its own route, then all are queued in their order.
//!
//! The items are prepared at the same time, each by the handler that serves it alone. Where a single
//! request would queue its order, an item hands it to the [`Assembly`], which waits for all of them (an
//! item that was refused before has none) and queues what there is: so each item is decided behind those
//! before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::order::{Answered, Order, Refusal};
use crate::queue::{Queue, Waiting};

/// Where the items of one request gather.
pub struct Assembly {
    queue: Arc<Queue>,
    places: Mutex<Places>,
}

struct Places {
    /// What each item wants; `None` for one that has not come yet, or that was refused.
    orders: Vec<Option<(Order, oneshot::Sender<Waiting>)>>,
    /// Which items have come to an end of their preparation.
    arrived: Vec<bool>,
    missing: usize,
}

/// The place of one item, which its request carries along.
#[derive(Clone)]
pub struct Place {
    assembly: Arc<Assembly>,
    index: usize,
}

impl Assembly {
    /// Makes places for so many items.
    pub fn new(queue: Arc<Queue>, items: usize) -> Arc<Self> {
        let places = Places {
            orders: std::iter::repeat_with(|| None).take(items).collect(),
            arrived: vec![false; items],
            missing: items,
        };
        Arc::new(Self { queue, places: Mutex::new(places) })
    }

    /// Returns the place of an item.
    pub fn place(self: &Arc<Self>, index: usize) -> Place {
        Place { assembly: Arc::clone(self), index }
    }

    /// Notes that an item has come, with an order or without; with the last one, all are queued.
    fn arrive(&self, index: usize, order: Option<(Order, oneshot::Sender<Waiting>)>) {
        let mut places = self.lock();
        if std::mem::replace(&mut places.arrived[index], true) {
            return;
        }
        places.orders[index] = order;
        places.missing -= 1;
        if places.missing > 0 {
            return;
        }
        let (orders, hands): (Vec<_>, Vec<_>) = places.orders.drain(..).flatten().unzip();
        drop(places);
        for (waiting, hand) in self.queue.push_bulk(orders).into_iter().zip(hands) {
            // Nobody waits when the caller has hung up; it is carried out all the same.
            let _ = hand.send(waiting);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Hands an item's order over, and waits for its answer.
    pub async fn submit(&self, order: Order) -> Answered {
        let (hand, queued) = oneshot::channel();
        self.assembly.arrive(self.index, Some((order, hand)));
        match queued.await {
            Ok(waiting) => waiting.answer().await,
            Err(_) => Answered::Refused(Refusal::QueueFull),
        }
    }

    /// Notes that an item is at its end, if it was refused before it had an order.
    pub fn leave(&self) {
        self.assembly.arrive(self.index, None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ledger_core::Command;
    use ledger_core::ids::KeyId;
    use uuid::Uuid;

    use super::*;
    use crate::idempotency::Idempotency;

    fn order(n: u128) -> Order {
        Order {
            command: Command::RevokeKey(KeyId::new(Uuid::from_u128(n))),
            idempotency: Idempotency::unique(),
            event_id: Order::draw_event_id(),
            actor: "system:test".to_owned(),
            api_key: None,
            request_id: None,
            subject_key: None,
            size: 1,
        }
    }

    #[tokio::test]
    async fn items_are_queued_in_their_order_when_the_last_has_come() {
        let queue = Arc::new(Queue::new(Duration::from_secs(1)));
        let assembly = Assembly::new(Arc::clone(&queue), 3);
        let submit = |index: usize| {
            let place = assembly.place(index);
            tokio::spawn(async move { place.submit(order(index as u128)).await })
        };
        let last = submit(2);
        tokio::task::yield_now().await;
        assembly.place(1).leave();
        assembly.place(1).leave();
        assert!(queue.take().is_empty(), "the first has not come yet");
        let first = submit(0);
        assert!(queue.wait().await);
        let taken = queue.take();
        let ids: Vec<_> = taken
            .iter()
            .map(|ticket| match ticket.order.command {
                Command::RevokeKey(id) => id,
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(ids, [0, 2].map(|n| KeyId::new(Uuid::from_u128(n))));
        taken.into_iter().for_each(|ticket| ticket.answer(Answered::Refused(Refusal::NotFound)));
        for item in [first, last] {
            assert_eq!(item.await.unwrap(), Answered::Refused(Refusal::NotFound));
        }
    }
}
