//! A whole ledger for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use command_api::scheduler::Scheduler;
use command_api::service::Settings;
use event_store::broker::rabbitmq::RabbitBroker;
use event_store::clock::Clock;
use event_store::{database, entropy};
use ledger_core::Timestamp;
use ledger_core::api_key::Role;
use quittance::audit::{VerifyOptions, verify};
use quittance::system::{System, SystemConfig};
use serde_json::Value;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::broker;
use crate::cluster::{ROLE_PREFIX, cluster};

/// Tests gather hundreds of commands behind a held lock, on a machine that does other things.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(8);

/// How long read models may take to reach the head.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(20);

/// A running ledger, with keys of every role but merchants'.
pub struct TestLedger {
    /// An operator's API key.
    pub operator: String,
    /// An auditor's.
    pub auditor: String,
    /// An analyst's.
    pub analyst: String,
    /// The database, as its owner: for faults.
    pub owner: PgPool,
    /// Its URL.
    pub database_url: String,
    /// Where commands go.
    pub command_url: String,
    /// Where queries go.
    pub query_url: String,
    http: reqwest::Client,
    system: System,
    clock: tempfile::NamedTempFile,
}

impl TestLedger {
    /// Starts a ledger on a fresh database, and on the broker of the run.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(broker::of_run().await?.map(|vhost| vhost.amqp_url)).await
    }

    /// Starts a ledger on a fresh database, and on RabbitMQ at a URL, or on the embedded broker.
    pub async fn start_on(amqp_url: Option<String>) -> anyhow::Result<Self> {
        // What goes wrong inside is shown if the test fails.
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_test_writer().try_init();
        let cluster = cluster().await?;
        let database_url = cluster.database().await?;
        let clock = tempfile::NamedTempFile::new()?;
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let system = System::start(SystemConfig {
            log_url: database_url.clone(),
            read_url: database_url.clone(),
            role_prefix: Some(ROLE_PREFIX.to_owned()),
            secrets: cluster.secrets()?,
            broker: amqp_url.as_deref().map(RabbitBroker::new).transpose()?,
            clock: Clock::with_offset_file(PathBuf::from(clock.path())),
            settings: Settings { queue_wait_max: QUEUE_WAIT_MAX, ..Settings::default() },
            command_addr: free_port,
            query_addr: free_port,
        })
        .await?;
        let mint =
            async |role| anyhow::Ok(system.command_api.create_key(role, None, "system:cli").await?.secret);
        Ok(Self {
            operator: mint(Role::Operator).await?,
            auditor: mint(Role::Auditor).await?,
            analyst: mint(Role::Analyst).await?,
            owner: PgPool::connect(&database_url).await?,
            database_url,
            command_url: format!("http://{}", system.command_addr),
            query_url: format!("http://{}", system.query_addr),
            http: reqwest::Client::new(),
            system,
            clock,
        })
    }

    /// Moves the clock to so many seconds ahead of the system's.
    pub fn set_clock_ahead(&self, seconds: i64) {
        std::fs::write(self.clock.path(), seconds.to_string()).unwrap();
    }

    /// Tells the time by the ledger's clock.
    pub fn now(&self) -> Timestamp {
        Clock::with_offset_file(PathBuf::from(self.clock.path())).now()
    }

    /// Keeps the ledger's scheduler from seeing what is due. From then on it is as late as a test wants it,
    /// until [`Self::let_scheduler_act`].
    pub async fn hold_scheduler(&self) {
        let statement = format!("REVOKE SELECT ON {} FROM {ROLE_PREFIX}_command", self.deadlines().await);
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&self.owner).await.unwrap();
    }

    /// Lets a scheduler act until nothing is due any more.
    pub async fn let_scheduler_act(&self) {
        let (began, stop, deadlines) = (Instant::now(), CancellationToken::new(), self.deadlines().await);
        let read = database::options(&self.database_url, "quittance tests").unwrap();
        let scheduler = Scheduler::new(read, &self.system.command_api);
        let acting = tokio::spawn(scheduler.run(stop.clone()));
        let statement = format!("SELECT count(*) FROM {deadlines} WHERE due_at <= $1");
        loop {
            self.caught_up().await.unwrap();
            let due = sqlx::query_as(sqlx::AssertSqlSafe(statement.clone())).bind(self.now().get());
            let (due,): (i64,) = due.fetch_one(&self.owner).await.unwrap();
            if due == 0 {
                break;
            }
            assert!(began.elapsed() < CATCH_UP_LIMIT, "{due} things are due, and stay so");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        acting.await.unwrap();
    }

    /// Names the table of what is due.
    async fn deadlines(&self) -> String {
        let (table,): (String,) = sqlx::query_as(
            "SELECT 'deadlines_' || generation || '.deadlines' FROM projections WHERE name = 'deadlines' AND active",
        )
        .fetch_one(&self.owner)
        .await
        .unwrap();
        table
    }

    /// Sends a command under a key of its own.
    pub async fn post(&self, api_key: &str, path: &str, body: Value) -> Answer {
        self.post_keyed(api_key, &entropy::uuid().to_string(), path, body).await
    }

    /// Sends a command under a given idempotency key; a 503 did not run, and is sent again.
    pub async fn post_keyed(&self, api_key: &str, key: &str, path: &str, body: Value) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.post_once(api_key, key, path, body.to_string()).await.unwrap();
            if answer.status != 503 || began.elapsed() > Duration::from_secs(30) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a command once, with any body.
    pub async fn post_once(
        &self,
        api_key: &str,
        key: &str,
        path: &str,
        body: String,
    ) -> anyhow::Result<Answer> {
        let request = self
            .http
            .post(format!("{}{path}", self.command_url))
            .bearer_auth(api_key)
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/json")
            .body(body);
        Answer::read(request.send().await?).await
    }

    /// Begins a request of any kind to the command API.
    pub fn command(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.command_url))
    }

    /// Begins a request of any kind to the query API.
    pub fn query(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.query_url))
    }

    /// Asks the query API, for what is at the log's head or later.
    pub async fn get(&self, api_key: &str, path: &str) -> Answer {
        let head = self.head().await;
        let request = self.query(reqwest::Method::GET, path).bearer_auth(api_key);
        let response = request.header("Ledger-Min-Position", head.to_string()).send().await.unwrap();
        Answer::read(response).await.unwrap()
    }

    /// Returns the position of the log's last event.
    pub async fn head(&self) -> i64 {
        let (head,): (i64,) = sqlx::query_as("SELECT coalesce(max(position), 0) FROM events")
            .fetch_one(&self.owner)
            .await
            .unwrap();
        head
    }

    /// Counts the rows of a table that answers and events could have left behind.
    pub async fn count(&self, table: &str) -> i64 {
        let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let (count,): (i64,) = sqlx::query_as(statement).fetch_one(&self.owner).await.unwrap();
        count
    }

    /// Waits until every read model has applied the whole log.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let head = self.head().await;
        loop {
            let (behind,): (i64,) =
                sqlx::query_as("SELECT count(*) FROM projections WHERE active AND position < $1")
                    .bind(head)
                    .fetch_one(&self.owner)
                    .await?;
            if behind == 0 {
                return Ok(());
            }
            if began.elapsed() > CATCH_UP_LIMIT {
                bail!("{behind} read models are not at {head} after {CATCH_UP_LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Audits the whole ledger: every finding fails the test.
    pub async fn audit(&self) -> anyhow::Result<()> {
        self.caught_up().await?;
        let report = verify(VerifyOptions {
            log_url: self.database_url.clone(),
            read_url: self.database_url.clone(),
            master_key: Some(self.system.keys.master_key()),
            progress: false,
        })
        .await?;
        if !report.holds() {
            bail!("the audit found something:\n{report}");
        }
        Ok(())
    }

    /// Ends the test: audits the ledger, then stops it.
    pub async fn finish(self) {
        self.audit().await.unwrap();
        self.abandon().await;
    }

    /// Ends a test that has broken its ledger on purpose.
    pub async fn abandon(self) {
        self.owner.close().await;
        self.system.stop().await;
    }
}

/// Waits until something holds that comes about by itself.
///
/// # Panics
///
/// It does not in 30 seconds.
pub async fn eventually(holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "what should come about by itself did not");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
