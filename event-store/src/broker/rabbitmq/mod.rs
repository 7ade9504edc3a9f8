//! RabbitMQ: a fanout exchange, and one quorum queue per read model.
//!
//! All that is declared stands in this file: to declare a queue again with other arguments is an error that
//! ends the channel. The client's own recovery is not used: it waits for ever in some outages and gives up
//! silently in others. After any error the connection is dropped, and a new one begins from what is known
//! for certain: the [`publisher`]'s user from its cursor, the [`subscriber`] from what was not acknowledged.

mod publisher;
mod subscriber;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

pub use self::publisher::{Confirm, Publisher, Routed};
pub use self::subscriber::Receipt;
use crate::broker::{Broker, DELIVERIES_WAITING_MAX, Delivery};

/// Where chunks are published.
const EXCHANGE: &str = "quittance.log";
/// How many bytes a queue holds at most; then it drops its oldest, which the log still has.
const QUEUE_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// How long a connection and each request on it may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// What a client begins with (AMQP 0-9-1, section 4.2.2).
const PROTOCOL_HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// After so many seconds without a sign of life a connection counts as dead, unless the URL says otherwise.
const HEARTBEAT_SECONDS: u16 = 10;

/// A RabbitMQ that a URL names. Cheap to clone; connects when it is used.
#[derive(Clone)]
pub struct RabbitBroker {
    uri: Arc<AMQPUri>,
    certificates: Option<String>,
    /// Whether the last attempt to connect got no answer.
    is_silent: Arc<AtomicBool>,
}

/// RabbitMQ said no, or said nothing.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not one of a RabbitMQ.
    #[error("a broker URL looks like amqp://user:password@host:5672/vhost")]
    Url,
    /// The file of certificates that the URL names can't be read.
    #[error("can't read the certificates in {path}")]
    Certificates {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no way to it.
    #[error("broker can't be reached")]
    Unreachable(#[source] std::io::Error),
    /// The connection or a request on it failed.
    #[error("broker failed")]
    Amqp(#[from] lapin::Error),
    /// No answer came in time.
    #[error("broker did not answer within {ANSWER_LIMIT:?}")]
    Timeout,
    /// A queue does not answer or is refused, though the broker answers.
    #[error("queue is unfit")]
    Unfit(#[source] Box<BrokerError>),
    /// A message was not taken.
    #[error("broker refused a message")]
    Refused,
    /// A consumer was ended by the broker: its queue was deleted, say.
    #[error("broker ended the consumer")]
    Ended,
}

impl RabbitBroker {
    /// Reads a URL: `amqp://` or, for TLS, `amqps://`. Certificates are checked against the system's, or
    /// those in the PEM file that the parameter `cacertfile` names.
    pub fn new(url: &str) -> Result<Self, BrokerError> {
        let mut uri: AMQPUri = url.parse().map_err(|_| BrokerError::Url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let path = form_urlencoded::parse(parameters.as_bytes()).find(|(name, _)| name == "cacertfile");
        let certificates = match path {
            Some((_, path)) => Some(
                read_certificates(&path)
                    .map_err(|source| BrokerError::Certificates { path: path.into_owned(), source })?,
            ),
            None => None,
        };
        Ok(Self { uri: Arc::new(uri), certificates, is_silent: Arc::default() })
    }

    /// Opens a connection.
    async fn connect(&self, name: &str) -> Result<Connection, BrokerError> {
        // The client's thread and socket outlive an attempt that is given up. So no further one is made at a
        // broker that does not answer.
        if self.is_silent.load(Ordering::Relaxed) {
            self.knock().await?;
        }
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.certificates.clone() };
        let runtime = lapin::runtime::default_runtime()?;
        let uri = AMQPUri::clone(&self.uri);
        let connected = within(Connection::connect_uri_with_config(uri, properties, tls, runtime)).await;
        self.is_silent.store(matches!(connected, Err(BrokerError::Timeout)), Ordering::Relaxed);
        connected
    }

    /// Finds out whether anybody answers: whatever it is, a refusal too.
    async fn knock(&self) -> Result<(), BrokerError> {
        let authority = &self.uri.authority;
        let knocking = async {
            let mut stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
            stream.write_all(PROTOCOL_HEADER).await?;
            stream.read(&mut [0; 1]).await
        };
        match tokio::time::timeout(ANSWER_LIMIT, knocking).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(BrokerError::Unreachable(error)),
            Err(_) => Err(BrokerError::Timeout),
        }
    }
}

impl Broker for RabbitBroker {
    fn carries_events(&self) -> bool {
        true
    }

    fn subscribe(&self, queues: watch::Receiver<BTreeSet<String>>) -> mpsc::Receiver<Delivery> {
        let (deliver, deliveries) = mpsc::channel(DELIVERIES_WAITING_MAX);
        tokio::spawn(subscriber::run(self.clone(), queues, deliver));
        deliveries
    }
}

async fn declare_exchange(channel: &Channel) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, options, FieldTable::default());
    within(declared).await
}

/// Declares the queue of a read model, with the exchange and its binding. It is a quorum
/// queue, so that it survives any one node; with one active consumer, so that its messages stay in order; and
/// without dead letters, since what is dropped is in the log.
async fn declare(channel: &Channel, queue: &str) -> Result<(), BrokerError> {
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(QUEUE_BYTES_MAX));
    arguments.insert("x-overflow".into(), text("drop-head"));
    let name = ShortString::from(queue);
    within(channel.queue_declare(name, QueueDeclareOptions::durable(), arguments)).await?;
    bind(channel, queue).await
}

/// Declares the exchange, and binds a queue that is there: neither is missed by whoever consumes it.
async fn bind(channel: &Channel, queue: &str) -> Result<(), BrokerError> {
    declare_exchange(channel).await?;
    let bound = channel.queue_bind(
        ShortString::from(queue),
        EXCHANGE.into(),
        ShortString::default(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    within(bound).await
}

/// Reads a file of certificates.
fn read_certificates(path: &str) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "there is none in it, in PEM form"))
    }
}

/// Waits for RabbitMQ, but not for ever.
async fn within<T>(work: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, BrokerError> {
    match tokio::time::timeout(ANSWER_LIMIT, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(BrokerError::Timeout),
    }
}

impl fmt::Debug for RabbitBroker {
    /// Without the credentials of the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.uri.authority.host;
        write!(f, "RabbitBroker({}:{}/{})", host, self.uri.authority.port, self.uri.vhost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_connected() {
        let broker = RabbitBroker::new("amqps://ada:secret@broker.example:5671/ledger").unwrap();
        assert_eq!(format!("{broker:?}"), "RabbitBroker(broker.example:5671/ledger)");
        assert_eq!(broker.uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
        assert!(matches!(RabbitBroker::new("http://broker.example"), Err(BrokerError::Url)));
        assert!(matches!(
            RabbitBroker::new("amqps://broker.example/%2f?cacertfile=/nowhere/ca.pem"),
            Err(BrokerError::Certificates { path, .. }) if path == "/nowhere/ca.pem"
        ));
    }
}
