//! The parts of a ledger in one process: command API, projectors, query API, on one or two databases.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use api_kit::{program, serve};
use command_api::keys::LedgerKeys;
use command_api::relay::Relay;
use command_api::scheduler::Scheduler;
use command_api::service::{CommandApi, Settings};
use event_store::broker;
use event_store::broker::rabbitmq::RabbitBroker;
use event_store::clock::Clock;
use event_store::migrate::{DatabaseRole, Roles};
use event_store::secrets::Secrets;
use event_store::server_url::{database_name, with_user};
use event_store::{database, key_check, migrate};
use projectors::runner::{Runner, RunnerConfig};
use query_api::QueryApi;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the parts get to end by themselves.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// What a system is started with.
pub struct SystemConfig {
    /// The log's database, as its owner.
    pub log_url: String,
    /// The read models' database, as its owner; may be the same.
    pub read_url: String,
    /// What the roles' names begin with; the log database's name by default.
    pub role_prefix: Option<String>,
    /// Keys and passwords.
    pub secrets: Secrets,
    /// A RabbitMQ that carries events to the read models; without one they follow the log alone.
    pub broker: Option<RabbitBroker>,
    /// The clock.
    pub clock: Clock,
    /// How the command API works.
    pub settings: Settings,
    /// Where commands are listened for; port 0 takes a free one.
    pub command_addr: SocketAddr,
    /// Where queries are listened for.
    pub query_addr: SocketAddr,
}

/// A running system.
pub struct System {
    /// Where commands go.
    pub command_addr: SocketAddr,
    /// Where queries go.
    pub query_addr: SocketAddr,
    /// The command API, for commands of the program itself.
    pub command_api: CommandApi,
    /// The keys that it works with.
    pub keys: LedgerKeys,
    token: CancellationToken,
    parts: JoinSet<anyhow::Result<()>>,
}

impl System {
    /// Migrates the databases and starts every part; returns when both APIs listen.
    ///
    /// # Errors
    ///
    /// The database can't be reached, the keys are not the log's, or an address is taken.
    pub async fn start(config: SystemConfig) -> anyhow::Result<Self> {
        let SystemConfig {
            log_url,
            read_url,
            role_prefix,
            secrets,
            broker,
            clock,
            settings,
            command_addr,
            query_addr,
        } = config;
        let keys = LedgerKeys::of(&secrets)?;
        let prefix = role_prefix.map_or_else(|| database_name(&log_url), Ok)?;
        let roles = Roles { prefix, passwords: secrets.passwords };
        // The keys first: a start with others must not so much as change the roles' passwords.
        check_keys(&log_url, &keys).await?;
        migrate::migrate(&log_url, &read_url, &roles).await.context("can't migrate the database")?;
        key_check::note(&log_url, &keys.checks()).await?;

        // Listen first: an address that is taken should stop the start before anything runs.
        let command_listener = program::listen(command_addr, "--command-addr").await?;
        let query_listener = program::listen(query_addr, "--query-addr").await?;
        let as_role = |url: &str, role: DatabaseRole| {
            with_user(url, &roles.name(role), roles.passwords.get(&role).map_or("", String::as_str))
        };
        let token = CancellationToken::new();
        let mut parts = JoinSet::new();

        let log = database::options(&as_role(&log_url, DatabaseRole::Command)?, "quittance command-api")?;
        let relay = broker.clone().map(|broker| Relay::new(log.clone(), broker));
        let health = relay.as_ref().map(Relay::health);
        let command_api = CommandApi::start(log, keys.clone(), clock.clone(), settings, health)?;
        if let Some(relay) = relay {
            let stop = token.clone();
            parts.spawn(async move {
                relay.run(stop).await;
                Ok(())
            });
        }
        let read = database::options(&as_role(&read_url, DatabaseRole::Command)?, "quittance command-api")?;
        let scheduler = Scheduler::new(read, &command_api);
        let stop = token.clone();
        parts.spawn(async move {
            scheduler.run(stop).await;
            Ok(())
        });
        let (command_addr, query_addr) = (command_listener.local_addr()?, query_listener.local_addr()?);
        let (api, stop) = (command_api.clone(), token.clone());
        parts.spawn(async move { api.serve(command_listener, stop).await });

        let log_options =
            database::options(&as_role(&log_url, DatabaseRole::Projector)?, "quittance projectors")?;
        let read_options =
            database::options(&as_role(&read_url, DatabaseRole::Projector)?, "quittance projectors")?;
        let log_pool = database::pool(log_options, 4);
        let runner = Runner::new(RunnerConfig {
            broker: broker::or_embedded(broker),
            log: log_pool,
            read: database::pool(read_options, 8),
            master_key: keys.master_key(),
        });
        runner.prepare().await.context("can't prepare the read models")?;
        let stop = token.clone();
        parts.spawn(async move { runner.run(stop).await });

        let log_options = database::options(&as_role(&log_url, DatabaseRole::Query)?, "quittance query-api")?;
        let read_options =
            database::options(&as_role(&read_url, DatabaseRole::Query)?, "quittance query-api")?;
        let query_api = QueryApi::new(log_options, read_options, clock);
        let stop = token.clone();
        parts.spawn(async move { Ok(serve::serve(query_listener, query_api.router(), stop).await?) });

        Ok(Self { command_addr, query_addr, command_api, keys, token, parts })
    }

    /// Waits for a part to end, which none should: returns why it did.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.parts.join_next().await {
            Some(Ok(Ok(()))) => anyhow::anyhow!("a part of the system ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => panic.into(),
            None => anyhow::anyhow!("nothing runs"),
        }
    }

    /// Stops taking requests, carries out what was taken, and ends every part.
    pub async fn stop(mut self) {
        self.token.cancel();
        let ended =
            tokio::time::timeout(STOP_LIMIT, async { while self.parts.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!("not every part ended in time");
            self.parts.abort_all();
        }
    }
}

/// Refuses to run with other keys than those that the log was written with.
pub async fn check_keys(log_url: &str, keys: &LedgerKeys) -> anyhow::Result<()> {
    let wrong = key_check::compare(log_url, &keys.checks()).await.context("can't reach the database")?;
    if !wrong.is_empty() {
        bail!(
            "the secrets are not those of this log (wrong: {}); restore the secrets.json made with it",
            wrong.join(", ")
        );
    }
    Ok(())
}
