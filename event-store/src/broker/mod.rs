//! The broker: an accelerator between the log and its projectors (I8).
//!
//! It carries [`chunk`]s of the log to one queue per read model. Whatever it loses, doubles, reorders or
//! makes up, a projector compares with the log before it commits, and reads from the log what is missing:
//! nothing depends on the broker. [`rabbitmq`] is one; [`EmbeddedBroker`] is the way without any.

pub mod chunk;
pub mod rabbitmq;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::broker::rabbitmq::{RabbitBroker, Receipt};

/// How many deliveries may wait for whoever reads them.
const DELIVERIES_WAITING_MAX: usize = 64;

/// Brings chunks of the log to read models.
pub trait Broker: Send + Sync {
    /// Tells whether it carries events: then a projector waits a moment for them before it reads the log.
    fn carries_events(&self) -> bool;

    /// Brings what is published to the queues of a set, which may change, until the receiver is dropped.
    /// It never fails: what can't be brought is missing, and in the log.
    fn subscribe(&self, queues: watch::Receiver<BTreeSet<String>>) -> mpsc::Receiver<Delivery>;
}

/// A message as it came out of a queue.
#[derive(Debug)]
pub struct Delivery {
    /// The queue.
    pub queue: Arc<str>,
    /// What was published: a [`chunk::Chunk`], unless someone else has published there.
    pub body: Vec<u8>,
    /// Gives it back as done.
    pub receipt: Receipt,
}

/// Names the queue of one generation of a read model.
pub fn queue_name(projection: &str, generation: i32) -> String {
    format!("quittance.projection.{projection}.v{generation}")
}

/// Returns the broker that there is, or the embedded one.
pub fn or_embedded(rabbit: Option<RabbitBroker>) -> Arc<dyn Broker> {
    match rabbit {
        Some(rabbit) => Arc::new(rabbit),
        None => Arc::new(EmbeddedBroker),
    }
}

/// The broker without a broker: it brings nothing, and the log is read as it grows.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedBroker;

impl Broker for EmbeddedBroker {
    fn carries_events(&self) -> bool {
        false
    }

    fn subscribe(&self, _queues: watch::Receiver<BTreeSet<String>>) -> mpsc::Receiver<Delivery> {
        mpsc::channel(DELIVERIES_WAITING_MAX).1
    }
}
