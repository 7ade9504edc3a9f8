//! The RabbitMQ of a test run, and what a test does to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use quittance::data_dir::DataDir;
use quittance::private_rabbitmq::PrivateRabbit;
use reqwest::Method;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::cluster::undertaker;

/// Where the relay publishes.
const EXCHANGE: &str = "quittance.log";

/// How long a queue may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

static NODE: OnceCell<Node> = OnceCell::const_new();
static VHOSTS: AtomicU32 = AtomicU32::new(0);

/// A node of its own, in a folder that goes away with it.
pub struct Node {
    data: DataDir,
    rabbit: Option<PrivateRabbit>,
    folder: PathBuf,
}

/// A virtual host: all that one ledger has on a broker.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// Where programs connect to.
    pub amqp_url: String,
    name: String,
    management_url: String,
    http: reqwest::Client,
}

/// Names the broker that the tests run on: `embedded`, unless it says `rabbitmq`.
const BROKER_OF_RUN: &str = "QUITTANCE_TEST_BROKER";

/// Makes a virtual host for a test, if the run is one on RabbitMQ.
pub async fn of_run() -> anyhow::Result<Option<Vhost>> {
    #[expect(clippy::disallowed_methods, reason = "cargo hands tests no arguments")]
    match std::env::var(BROKER_OF_RUN).as_deref() {
        Ok("rabbitmq") => Ok(Some(vhost().await?)),
        Ok("embedded") | Err(_) => Ok(None),
        Ok(other) => bail!("{BROKER_OF_RUN} is {other:?}, neither `embedded` nor `rabbitmq`"),
    }
}

/// Makes a virtual host on the run's node, which the first test starts.
pub async fn vhost() -> anyhow::Result<Vhost> {
    let node = NODE
        .get_or_try_init(async || {
            let node = Node::start().await?;
            let pid = node.rabbit()?.pid();
            // Ends with the pipe to us, not with the handle.
            std::mem::forget(undertaker(pid, &node.folder)?);
            anyhow::Ok(node)
        })
        .await?;
    node.vhost().await
}

impl Node {
    /// Starts a node for a test that is going to kill it.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("quittance-rabbit-").tempdir()?.keep();
        let data = DataDir::open(&folder)?;
        let rabbit = PrivateRabbit::start(&data, None).await?;
        Ok(Self { data, rabbit: Some(rabbit), folder })
    }

    fn rabbit(&self) -> anyhow::Result<&PrivateRabbit> {
        self.rabbit.as_ref().context("the node was killed")
    }

    /// Makes a virtual host.
    pub async fn vhost(&self) -> anyhow::Result<Vhost> {
        let name = format!("test_{}", VHOSTS.fetch_add(1, Ordering::Relaxed));
        let rabbit = self.rabbit()?;
        rabbit.create_vhost(&name).await?;
        let amqp_url = rabbit.amqp_url(&name);
        Ok(Vhost { amqp_url, name, management_url: rabbit.management_url(), http: reqwest::Client::new() })
    }

    /// Kills the node (`kill -9`) and starts it again after a while.
    pub async fn kill_and_restart(&mut self, down: Duration) {
        let mut rabbit = self.rabbit.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(rabbit.pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        rabbit.ended().await;
        drop(rabbit);
        tokio::time::sleep(down).await;
        self.rabbit = Some(PrivateRabbit::start(&self.data, None).await.unwrap());
    }

    /// Stops the node for good.
    pub async fn stop(mut self) {
        self.rabbit.take().unwrap().stop().await.unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Vhost {
    /// Splits the URL, for a proxy in between: credentials, then host and port, then the virtual host.
    pub fn through(&self, address: std::net::SocketAddr) -> String {
        let (credentials, rest) = self.amqp_url.split_once('@').unwrap();
        let vhost = rest.split_once('/').unwrap().1;
        format!("{credentials}@{address}/{vhost}")
    }

    /// Returns the address of the broker itself.
    pub fn address(&self) -> std::net::SocketAddr {
        let rest = self.amqp_url.split_once('@').unwrap().1;
        rest.split_once('/').unwrap().0.parse().unwrap()
    }

    /// Returns the queues with their numbers, as the management API shows them.
    pub async fn queues(&self) -> Vec<Value> {
        let answer = self.ask(Method::GET, "queues", "").await;
        serde_json::from_str(&answer).unwrap()
    }

    /// Tells how many messages wait in each queue for a consumer, and how many consumers it has: asked of the
    /// queues themselves, not of statistics that are half a minute old. A queue that is not there, or does not
    /// answer, has neither.
    pub async fn ready_and_consumers(&self, queues: &[&str]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for queue in queues {
            let asking = tokio::time::timeout(ANSWER_LIMIT, self.ask_queue(queue)).await;
            found.push(asking.ok().and_then(Result::ok).unwrap_or_default());
        }
        found
    }

    async fn ask_queue(&self, queue: &str) -> Result<(u32, u32), lapin::Error> {
        // One that has no leader hangs its channel, and may close the connection.
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        Ok((declared.message_count(), declared.consumer_count()))
    }

    /// Throws away what is in every queue.
    pub async fn purge_all(&self) {
        for queue in self.queues().await {
            self.ask(Method::DELETE, "queues", &format!("/{}/contents", queue["name"].as_str().unwrap()))
                .await;
        }
    }

    /// Deletes every queue.
    pub async fn delete_all(&self) {
        for queue in self.queues().await {
            self.ask(Method::DELETE, "queues", &format!("/{}", queue["name"].as_str().unwrap())).await;
        }
    }

    /// Puts another queue in the place of one of ours.
    pub async fn declare_wrong(&self, queue: &str) {
        let (_connection, channel) = self.connect().await;
        let _ = channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await;
        let (options, none) = (QueueDeclareOptions::durable(), FieldTable::default());
        channel.queue_declare(queue.into(), options, none).await.unwrap();
    }

    /// Deletes the exchange, and all bindings with it.
    pub async fn delete_exchange(&self) {
        let (_connection, channel) = self.connect().await;
        let options = lapin::options::ExchangeDeleteOptions::default();
        channel.exchange_delete(EXCHANGE.into(), options).await.unwrap();
    }

    /// Publishes anything where the relay does.
    pub async fn publish(&self, bodies: &[Vec<u8>]) {
        let (_connection, channel) = self.connect().await;
        for body in bodies {
            let options = BasicPublishOptions::default();
            let published =
                channel.basic_publish(EXCHANGE.into(), "".into(), options, body, BasicProperties::default());
            published.await.unwrap();
        }
    }

    /// Binds a queue of its own, and collects all that is published from now on.
    pub async fn spy(&self) -> Spy {
        let (connection, channel) = self.connect().await;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("spy".into(), options, FieldTable::default()).await.unwrap();
        // The relay may not have declared it yet.
        let options = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
        let fanout = lapin::ExchangeKind::Fanout;
        channel.exchange_declare(EXCHANGE.into(), fanout, options, FieldTable::default()).await.unwrap();
        let options = QueueBindOptions::default();
        let none = FieldTable::default();
        channel.queue_bind("spy".into(), EXCHANGE.into(), "".into(), options, none).await.unwrap();
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume("spy".into(), "".into(), options, FieldTable::default()).await.unwrap();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let bodies = std::sync::Arc::clone(&seen);
        let collecting = tokio::spawn(async move {
            let _connection = connection;
            while let Some(Ok(delivery)) = consumer.next().await {
                let _ = delivery.ack(BasicAckOptions::default()).await;
                bodies.lock().unwrap().push(delivery.data);
            }
        });
        Spy { seen, collecting }
    }

    async fn connect(&self) -> (Connection, lapin::Channel) {
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    async fn ask(&self, method: Method, what: &str, rest: &str) -> String {
        let credentials = self.amqp_url.split_once("//").unwrap().1.split_once('@').unwrap().0;
        let (user, password) = credentials.split_once(':').unwrap();
        let url = format!("{}/api/{what}/{}{rest}", self.management_url, self.name);
        let request = self.http.request(method, url).basic_auth(user, Some(password));
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// Messages that were published.
pub struct Spy {
    seen: std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
    collecting: JoinHandle<()>,
}

impl Spy {
    /// Returns what was seen until now.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.collecting.abort();
    }
}
