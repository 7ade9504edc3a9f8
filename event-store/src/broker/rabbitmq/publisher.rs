//! Publishing with confirms: what is confirmed is on the disks of a majority of the queues' nodes.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::time::Instant;

use super::{ANSWER_LIMIT, BrokerError, EXCHANGE, RabbitBroker, declare_exchange, within};

/// AMQP's mark of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection that publishes. After an error it is of no more use.
#[derive(Debug)]
pub struct Publisher {
    channel: Channel,
    /// Closed when it is dropped.
    _connection: Connection,
}

/// A message under way.
pub struct Confirm {
    promise: PublisherConfirm,
    deadline: Instant,
}

/// Where a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routed {
    /// Into every queue that is bound.
    Queues,
    /// Nowhere: no queue is bound. Whoever comes later reads the log.
    Nowhere,
}

impl RabbitBroker {
    /// Opens a connection that publishes.
    pub async fn publisher(&self) -> Result<Publisher, BrokerError> {
        let connection = self.connect("quittance relay").await?;
        let channel = within(connection.create_channel()).await?;
        declare_exchange(&channel).await?;
        within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(Publisher { channel, _connection: connection })
    }
}

impl Publisher {
    /// Publishes a message. One with a time to live is of no use to anyone later, and not kept.
    pub async fn publish(&self, body: &[u8], lives: Option<Duration>) -> Result<Confirm, BrokerError> {
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/x-ndjson".into());
        if let Some(lives) = lives {
            properties = properties.with_expiration(lives.as_millis().to_string().into());
        }
        // Mandatory: otherwise a message that no queue takes is confirmed like any other.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published =
            self.channel.basic_publish(EXCHANGE.into(), ShortString::default(), options, body, properties);
        Ok(Confirm { promise: within(published).await?, deadline: Instant::now() + ANSWER_LIMIT })
    }
}

impl Confirm {
    /// Waits until the broker has the message. Cancel-safe.
    ///
    /// # Errors
    ///
    /// It is not known whether the broker has it: publish it again, on a new connection.
    pub async fn wait(&mut self) -> Result<Routed, BrokerError> {
        // The client leaves confirms open for as long as an outage lasts.
        match tokio::time::timeout_at(self.deadline, &mut self.promise).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(Routed::Queues),
            Ok(Ok(Confirmation::Ack(Some(_returned)))) => Ok(Routed::Nowhere),
            Ok(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => Err(BrokerError::Refused),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(BrokerError::Timeout),
        }
    }
}
