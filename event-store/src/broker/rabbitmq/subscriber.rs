//! Consuming the queues of read models, over one connection that is made anew after any error.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{BoxStream, SelectAll};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Connection};
use metrics::counter;
use tokio::sync::{mpsc, watch};

use super::{BrokerError, RabbitBroker, declare_queue, within};
use crate::broker::Delivery;

/// How long the deletion of a queue may take: the broker itself waits 5 s for one that has no leader.
const DELETION_LIMIT: Duration = Duration::from_secs(10);
/// How many messages of each queue may be out before the first is acknowledged.
const PREFETCH: u16 = 32;
/// The first and the longest pause before a new connection.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Says that a message, and all before it from the same queue, are done with.
#[derive(Debug)]
pub struct Receipt(Acker);

impl Receipt {
    /// Acknowledges. If the connection is not the one that brought the message any more, nothing happens:
    /// the message comes again.
    pub async fn acknowledge(self) {
        // `Ok(false)` and an error both mean that it comes again, as a duplicate.
        let _ = within(self.0.ack(BasicAckOptions { multiple: true })).await;
    }
}

type Deliveries = SelectAll<BoxStream<'static, Result<Delivery, BrokerError>>>;

/// Consumes for as long as anyone wants the deliveries.
pub(super) async fn run(
    broker: RabbitBroker,
    mut queues: watch::Receiver<BTreeSet<String>>,
    deliver: mpsc::Sender<Delivery>,
) {
    // All that may have been declared and not been deleted again.
    let mut declared = BTreeSet::new();
    // A queue that does not answer. After a crash a quorum queue may never find a leader again, and hangs
    // whoever publishes to it; it is deleted, and what was in it is a hole.
    let mut stuck: Vec<String> = Vec::new();
    let mut pause: Option<Duration> = None;
    loop {
        let wanted = queues.borrow_and_update().clone();
        if wanted.is_empty() && declared.is_empty() && queues.changed().await.is_ok() {
            continue;
        }
        let dropped: Vec<String> = declared.difference(&wanted).cloned().chain(stuck.drain(..)).collect();
        declared.extend(wanted.iter().cloned());
        let ended = tokio::select! {
            () = deliver.closed() => return,
            ended = consume(&broker, &wanted, &dropped, &mut queues, &deliver) => ended,
        };
        let (failure, had_begun) = match ended {
            Ended::Changed => (None, true),
            Ended::Failed { error, had_begun } => (Some(error), had_begun),
        };
        if had_begun {
            declared = wanted;
            pause = None;
        }
        if let Some(error) = failure {
            if let BrokerError::Stuck(queues) = &error {
                tracing::warn!(?queues, "queues do not answer, and are made anew");
                counter!("quittance_broker_queues_made_anew_total").increment(queues.len() as u64);
                stuck.clone_from(queues);
            }
            counter!("quittance_broker_subscriber_failures_total").increment(1);
            if pause.is_none() {
                tracing::warn!(error = &error as &dyn Error, "broker is away; the log is read instead");
            }
            let next = pause.map_or(PAUSES.0, |last| (last * 2).min(PAUSES.1));
            pause = Some(next);
            tokio::time::sleep(next).await;
        }
    }
}

/// Why consuming ended.
enum Ended {
    /// Other queues are wanted.
    Changed,
    /// The connection is of no more use.
    Failed { error: BrokerError, had_begun: bool },
}

async fn consume(
    broker: &RabbitBroker,
    wanted: &BTreeSet<String>,
    dropped: &[String],
    queues: &mut watch::Receiver<BTreeSet<String>>,
    deliver: &mpsc::Sender<Delivery>,
) -> Ended {
    // The connection is closed when it is dropped.
    let (_connection, mut deliveries) = match begin(broker, wanted, dropped).await {
        Ok(begun) => begun,
        Err(error) => return Ended::Failed { error, had_begun: false },
    };
    counter!("quittance_broker_subscriber_connections_total").increment(1);
    loop {
        tokio::select! {
            _ = queues.changed() => return Ended::Changed,
            next = deliveries.next(), if !deliveries.is_empty() => match next {
                Some(Ok(delivery)) => {
                    // Nobody to deliver to: `run` is about to end.
                    let _ = deliver.send(delivery).await;
                }
                Some(Err(error)) => return Ended::Failed { error, had_begun: true },
                None => {}
            },
        }
    }
}

/// Connects, deletes the queues that are of no more use, and consumes the others.
async fn begin(
    broker: &RabbitBroker,
    wanted: &BTreeSet<String>,
    dropped: &[String],
) -> Result<(Connection, Deliveries), BrokerError> {
    let connection = broker.connect("quittance projectors").await?;
    try_join_all(dropped.iter().map(|queue| delete_queue(&connection, queue))).await?;
    let consuming = wanted.iter().map(|queue| consume_queue(&connection, queue));
    let (mut deliveries, mut stuck) = (Deliveries::new(), Vec::new());
    for (queue, consumed) in wanted.iter().zip(join_all(consuming).await) {
        match consumed {
            Ok(consumed) => deliveries.push(consumed),
            Err(BrokerError::Timeout) => stuck.push(queue.clone()),
            Err(error) => return Err(error),
        }
    }
    if stuck.is_empty() { Ok((connection, deliveries)) } else { Err(BrokerError::Stuck(stuck)) }
}

async fn delete_queue(connection: &Connection, queue: &str) -> Result<(), BrokerError> {
    let channel = RabbitBroker::open_channel(connection).await?;
    let deleting = channel.queue_delete(ShortString::from(queue), QueueDeleteOptions::default());
    tokio::time::timeout(DELETION_LIMIT, deleting).await.map_err(|_| BrokerError::Timeout)??;
    Ok(())
}

/// Consumes a queue, on a channel of its own: what is acknowledged with all before it is of this queue.
async fn consume_queue(
    connection: &Connection,
    queue: &str,
) -> Result<BoxStream<'static, Result<Delivery, BrokerError>>, BrokerError> {
    let channel: Channel = RabbitBroker::open_channel(connection).await?;
    declare_queue(&channel, queue).await?;
    within(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
    let consumer = channel.basic_consume(
        ShortString::from(queue),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = within(consumer).await?;
    let name: Arc<str> = queue.into();
    let ended = BrokerError::Ended(queue.to_owned());
    // The channel lives as long as its consumer. A stream that ends was ended by the broker: its queue was
    // deleted, or has moved to another node.
    let deliveries = consumer.map(move |delivery| {
        let _ = &channel;
        let delivery = delivery?;
        let receipt = Receipt(delivery.acker);
        Ok(Delivery { queue: Arc::clone(&name), body: delivery.data, receipt })
    });
    Ok(deliveries.chain(futures_util::stream::once(async { Err(ended) })).boxed())
}
