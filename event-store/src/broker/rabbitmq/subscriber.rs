//! Consuming the queues of read models.
//!
//! Each queue has a connection of its own, made anew after any error: RabbitMQ answers some failures of one
//! queue by closing the connection, and a queue that can't be had must not hold the others up.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Connection, Consumer, ErrorKind};
use metrics::counter;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::{BrokerError, RabbitBroker, bind, declare, within};
use crate::broker::Delivery;
use crate::entropy;
use crate::pause::Pause;

/// How long the deletion of a queue may take: the broker itself waits 5 s for one that has no leader.
const DELETION_LIMIT: Duration = Duration::from_secs(10);
/// How many messages of a queue may be out before the first is acknowledged.
const PREFETCH: u16 = 32;
/// How long a queue may not answer, or be refused, before it is deleted to be made anew: what was in it is a
/// hole. After a crash a quorum queue may never find a leader again, and hangs whoever publishes to it; another
/// one may have been declared with other arguments. It is far longer than a busy broker takes to begin a queue:
/// until then it refuses whoever else declares it, and one that is deleted meanwhile may be broken for good.
const UNFIT_MAX: Duration = Duration::from_secs(10);
/// The first and the longest pause before a new connection. A queue that was deleted a moment ago may be
/// broken for good by declaring it again at once.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(8));
/// How often exchange and binding are declared again, in case somebody has deleted one of them.
const BIND_EVERY: Duration = Duration::from_secs(10);

/// Says that a message, and all before it from the same queue, are done with.
#[derive(Debug)]
pub struct Receipt(Acker);

impl From<Acker> for Receipt {
    fn from(acker: Acker) -> Self {
        Self(acker)
    }
}

impl Receipt {
    /// Acknowledges. If the connection is not the one that brought the message any more, nothing happens:
    /// the message comes again.
    pub async fn acknowledge(self) {
        // `Ok(false)` and an error both mean that it comes again, as a duplicate.
        let _ = within(self.0.ack(BasicAckOptions { multiple: true })).await;
    }
}

/// Consumes a changing set of queues, for as long as anyone wants the deliveries. Queues that leave the set
/// are deleted.
pub(super) async fn run(
    broker: RabbitBroker,
    mut queues: watch::Receiver<BTreeSet<String>>,
    deliver: mpsc::Sender<Delivery>,
) {
    // Ended with this task.
    let mut tasks = JoinSet::new();
    let mut consumed: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let mut deletions: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        let wanted = queues.borrow_and_update().clone();
        let mut useless = Vec::new();
        for (queue, task) in consumed.extract_if(.., |queue, _| !wanted.contains(queue)) {
            task.abort();
            useless.push(queue);
        }
        for queue in wanted.iter().filter(|queue| !consumed.contains_key(*queue)).cloned().collect::<Vec<_>>()
        {
            // The number of a generation that came to nothing is given again.
            if let Some(deletion) = deletions.remove(&queue) {
                deletion.abort();
            }
            // It may have been dropped while nobody consumed.
            useless.extend(generation_before(&queue).filter(|before| !wanted.contains(before)));
            let task = tasks.spawn(consume_for_ever(broker.clone(), queue.clone(), deliver.clone()));
            consumed.insert(queue, task);
        }
        for queue in useless {
            let deletion = tasks.spawn(delete(broker.clone(), queue.clone()));
            if let Some(before) = deletions.insert(queue, deletion) {
                before.abort();
            }
        }
        tokio::select! {
            () = deliver.closed() => return,
            changed = queues.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Consumes a queue, whatever happens to it.
async fn consume_for_ever(broker: RabbitBroker, queue: String, deliver: mpsc::Sender<Delivery>) {
    let mut pause = Pause::new(PAUSES.0, PAUSES.1);
    // Several processes should not delete it at one time.
    let unfit_max = UNFIT_MAX + Duration::from_millis(20) * entropy::bytes::<1>()[0].into();
    let mut unfit_since: Option<Instant> = None;
    let mut told = String::new();
    loop {
        let ended = match Consuming::begin(&broker, &queue).await {
            Ok(consuming) => {
                counter!("quittance_broker_subscriber_connections_total").increment(1);
                tracing::info!(queue, "a queue is consumed");
                unfit_since = None;
                pause.reset();
                told.clear();
                consuming.run(&queue, &deliver).await
            }
            Err(error) => error,
        };
        counter!("quittance_broker_subscriber_failures_total").increment(1);
        // Once for each reason.
        let reason = format!("{ended:?}");
        if reason != told {
            let error = &ended as &dyn Error;
            tracing::warn!(queue, error, "a queue can't be consumed; the log is read instead");
            told = reason;
        }
        let is_unfit = matches!(ended, BrokerError::Unfit(_));
        unfit_since = unfit_since.filter(|_| is_unfit).or_else(|| is_unfit.then(Instant::now));
        let mut rest = pause.longer();
        if let Some(since) = unfit_since {
            let left = unfit_max.saturating_sub(since.elapsed());
            if !left.is_zero() {
                rest = rest.min(left);
            } else if delete_once(&broker, &queue).await.is_ok() {
                tracing::warn!(queue, "a queue does not work, and is made anew");
                counter!("quittance_broker_queues_made_anew_total").increment(1);
                unfit_since = None;
                pause.reset();
                rest = pause.longer();
            }
        }
        tokio::time::sleep(rest).await;
    }
}

/// A queue that is consumed.
struct Consuming {
    consumer: Consumer,
    /// Binds again, apart from the consumer: what is refused there ends the channel.
    channel: Channel,
    /// Closed with it.
    _connection: Connection,
}

impl Consuming {
    /// Connects and begins.
    async fn begin(broker: &RabbitBroker, queue: &str) -> Result<Self, BrokerError> {
        let connection = broker.connect("quittance projectors").await?;
        let channel = within(connection.create_channel()).await?;
        let consumer = consume(&connection, &channel, queue).await.map_err(|error| {
            // The broker has just answered: it is this queue that does not, or that it refuses.
            let is_refusal = matches!(&error, BrokerError::Amqp(error) if is_protocol_error(error));
            if is_refusal || matches!(error, BrokerError::Timeout) {
                BrokerError::Unfit(Box::new(error))
            } else {
                error
            }
        })?;
        Ok(Self { consumer, channel, _connection: connection })
    }

    /// Passes messages on until there are no more; returns why.
    async fn run(mut self, queue: &str, deliver: &mpsc::Sender<Delivery>) -> BrokerError {
        let name: Arc<str> = queue.into();
        let mut binding = tokio::time::interval(BIND_EVERY);
        loop {
            let delivery = tokio::select! {
                delivery = self.consumer.next() => delivery,
                _ = binding.tick() => match bind(&self.channel, queue).await {
                    Ok(()) => continue,
                    Err(error) => return error,
                },
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let receipt = Receipt(delivery.acker);
                    // Nobody to deliver to: `run` is about to end.
                    let _ = deliver
                        .send(Delivery { queue: Arc::clone(&name), body: delivery.data, receipt })
                        .await;
                }
                Some(Err(error)) => return error.into(),
                // The broker has ended it: the queue was deleted, or has moved to another node.
                None => return BrokerError::Ended,
            }
        }
    }
}

fn is_protocol_error(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(_))
}

/// Begins to consume a queue, on a channel of its own that lives as long as its consumer.
async fn consume(connection: &Connection, declaring: &Channel, queue: &str) -> Result<Consumer, BrokerError> {
    declare(declaring, queue).await?;
    let channel = within(connection.create_channel()).await?;
    within(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
    let consumer = channel.basic_consume(
        ShortString::from(queue),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    within(consumer).await
}

/// Deletes a queue that is of no more use, however often that fails; and once more a while later, since a consumer
/// that was ended while it declared the queue may have been heard last.
async fn delete(broker: RabbitBroker, queue: String) {
    let mut pause = Pause::new(PAUSES.0, PAUSES.1);
    let mut deletions = 0;
    while deletions < 2 {
        let rest = match delete_once(&broker, &queue).await {
            Ok(()) => {
                deletions += 1;
                BIND_EVERY
            }
            Err(error) => {
                if pause.is_first() {
                    tracing::warn!(
                        queue,
                        error = &error as &dyn Error,
                        "a useless queue can't be deleted yet"
                    );
                }
                pause.longer()
            }
        };
        tokio::time::sleep(rest).await;
    }
}

async fn delete_once(broker: &RabbitBroker, queue: &str) -> Result<(), BrokerError> {
    let connection = broker.connect("quittance projectors").await?;
    let channel = within(connection.create_channel()).await?;
    let deleting = channel.queue_delete(ShortString::from(queue), QueueDeleteOptions::default());
    tokio::time::timeout(DELETION_LIMIT, deleting).await.map_err(|_| BrokerError::Timeout)??;
    Ok(())
}

/// Names the queue of the generation before.
fn generation_before(queue: &str) -> Option<String> {
    let (projection, number) = queue.rsplit_once(".v")?;
    let before = number.parse::<u32>().ok()?.checked_sub(1).filter(|number| *number > 0)?;
    Some(format!("{projection}.v{before}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_before_has_the_number_before() {
        let before = |queue| generation_before(queue);
        assert_eq!(
            before("quittance.projection.payment.v3").as_deref(),
            Some("quittance.projection.payment.v2")
        );
        assert_eq!(before("quittance.projection.payment.v1"), None);
        assert_eq!(before("spy"), None);
    }
}
