//! Consuming the queues of read models, over one connection that is made anew after any error.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::pause::Pause;

/// How long the deletion of a queue may take: the broker itself waits 5 s for one that has no leader.
const DELETION_LIMIT: Duration = Duration::from_secs(10);
/// How many messages of each queue may be out before the first is acknowledged.
const PREFETCH: u16 = 32;
/// How often in a row a queue may not answer before it is deleted and made anew: what was in it is a hole.
const SILENCES_MAX: u32 = 2;
/// The first and the longest pause before a new connection.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

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

type Deliveries = SelectAll<BoxStream<'static, Result<Delivery, BrokerError>>>;

/// Consumes for as long as anyone wants the deliveries.
pub(super) async fn run(
    broker: RabbitBroker,
    mut queues: watch::Receiver<BTreeSet<String>>,
    deliver: mpsc::Sender<Delivery>,
) {
    // Queues that may be there, and are of no more use.
    let mut useless = BTreeSet::new();
    let mut consumed = BTreeSet::new();
    // How often in a row a queue has not answered. After a crash a quorum queue may never find a leader
    // again, and hangs whoever publishes to it.
    let mut silences: BTreeMap<String, u32> = BTreeMap::new();
    let mut pause = Pause::new(PAUSES.0, PAUSES.1);
    loop {
        let wanted = queues.borrow_and_update().clone();
        if wanted.is_empty() && consumed.is_empty() && queues.changed().await.is_ok() {
            continue;
        }
        useless.extend(consumed.difference(&wanted).cloned());
        useless.extend(wanted.iter().filter_map(|queue| generation_before(queue)));
        useless.retain(|queue| !wanted.contains(queue));
        let stuck = silences.iter().filter(|(_, times)| **times >= SILENCES_MAX).map(|(queue, _)| queue);
        let dropped: BTreeSet<String> = useless.iter().chain(stuck).cloned().collect();
        consumed.clone_from(&wanted);
        let ended = tokio::select! {
            () = deliver.closed() => return,
            ended = consume(&broker, &wanted, &dropped, &mut queues, &deliver) => ended,
        };
        let (failure, had_begun) = match ended {
            Ended::Changed => (None, true),
            Ended::Failed { error, had_begun } => (Some(error), had_begun),
        };
        if had_begun {
            useless.clear();
            silences.clear();
            pause.reset();
        }
        if let Some(error) = failure {
            counter!("quittance_broker_subscriber_failures_total").increment(1);
            if pause.is_first() {
                tracing::warn!(error = &error as &dyn Error, "broker is away; the log is read instead");
            }
            if let BrokerError::Silent(queues) = error {
                note_silences(&mut silences, queues);
            }
            tokio::time::sleep(pause.longer()).await;
        }
    }
}

/// Counts queues that have not answered; those that have are forgotten.
fn note_silences(silences: &mut BTreeMap<String, u32>, queues: Vec<String>) {
    let times = |queue: &String| silences.get(queue).copied().unwrap_or(0) + 1;
    let noted: BTreeMap<String, u32> =
        queues.into_iter().map(|queue| (queue.clone(), times(&queue))).collect();
    for (queue, _) in noted.iter().filter(|(_, times)| **times == SILENCES_MAX) {
        tracing::warn!(queue, "a queue does not answer, and is made anew");
        counter!("quittance_broker_queues_made_anew_total").increment(1);
    }
    *silences = noted;
}

/// Names the queue of the generation before, which may have been dropped while nobody consumed.
fn generation_before(queue: &str) -> Option<String> {
    let (projection, number) = queue.rsplit_once(".v")?;
    let before = number.parse::<u32>().ok()?.checked_sub(1).filter(|number| *number > 0)?;
    Some(format!("{projection}.v{before}"))
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
    dropped: &BTreeSet<String>,
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
    dropped: &BTreeSet<String>,
) -> Result<(Connection, Deliveries), BrokerError> {
    let connection = broker.connect("quittance projectors").await?;
    try_join_all(dropped.iter().map(|queue| delete_queue(&connection, queue))).await?;
    let consuming = wanted.iter().map(|queue| consume_queue(&connection, queue));
    let (mut deliveries, mut silent) = (Deliveries::new(), Vec::new());
    for consumed in join_all(consuming).await {
        match consumed {
            Ok(consumed) => deliveries.push(consumed),
            Err(BrokerError::Silent(queues)) => silent.extend(queues),
            Err(error) => return Err(error),
        }
    }
    if silent.is_empty() { Ok((connection, deliveries)) } else { Err(BrokerError::Silent(silent)) }
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
    let consuming = async {
        declare_queue(&channel, queue).await?;
        within(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let consumer = channel.basic_consume(
            ShortString::from(queue),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        within(consumer).await
    };
    let consumer = consuming.await.map_err(|error| match error {
        BrokerError::Timeout => BrokerError::Silent(vec![queue.to_owned()]),
        other => other,
    })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_is_silent_again_and_again_is_given_up() {
        let mut silences = BTreeMap::new();
        note_silences(&mut silences, vec!["a".to_owned(), "b".to_owned()]);
        note_silences(&mut silences, vec!["b".to_owned()]);
        assert_eq!(silences, BTreeMap::from([("b".to_owned(), 2)]));
    }

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
