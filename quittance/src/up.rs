//! `quittance up`: the whole system in one process tree.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use api_kit::program;
use command_api::service::Settings;
use event_store::broker::rabbitmq::RabbitBroker;
use event_store::clock::Clock;
use event_store::migrate::is_log;
use event_store::secrets::Secrets;
use event_store::{database, lookup};
use ledger_core::api_key::Role;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::data_dir::DataDir;
use crate::secrets::load_or_create;
use crate::servers::{BrokerChoice, Servers};
use crate::start_screen::StartScreen;
use crate::system::{System, SystemConfig};

/// How many demo requests a second `--demo` sends.
const DEMO_RATE: u32 = 10;

/// What `up` is told.
#[derive(Clone)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// A PostgreSQL that runs already, as the database's owner.
    pub database_url: Option<String>,
    /// Another one for the read models.
    pub read_database_url: Option<String>,
    /// The secrets file; that of the data folder, made if the log is new, unless given.
    pub secrets: Option<PathBuf>,
    /// Where PostgreSQL's programs are.
    pub pg_bin: Option<PathBuf>,
    /// Where RabbitMQ's programs are.
    pub rabbitmq_bin: Option<PathBuf>,
    /// What carries events to the read models.
    pub broker: BrokerChoice,
    /// Where commands are listened for.
    pub command_addr: SocketAddr,
    /// Where queries are listened for.
    pub query_addr: SocketAddr,
    /// How the command API works.
    pub settings: Settings,
    /// Whether to send demo traffic.
    pub demo: bool,
    /// The clock.
    pub clock: Clock,
}

/// Runs the system until it is told to stop; that can be while it starts, too.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let stop = program::stop_signals()?;
    let data = DataDir::open(&options.data)?;
    let credentials_file = data.credentials();
    let mut servers = Servers::new(data, options.pg_bin.clone(), options.rabbitmq_bin.clone());
    let system = tokio::select! {
        system = start(&options, &mut servers) => Some(system),
        () = stop.cancelled() => None,
    };
    let served = match system {
        Some(Ok((system, credentials))) => {
            say(&StartScreen {
                command: system.command_addr,
                query: system.query_addr,
                credentials: &credentials_file,
                millis: started.elapsed().as_millis(),
            });
            serve(system, credentials, options.demo, &mut servers, &stop).await
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    servers.stop().await?;
    served
}

/// Starts everything, private servers first where they are needed.
async fn start(options: &Options, servers: &mut Servers) -> anyhow::Result<(System, Credentials)> {
    let log_url = match &options.database_url {
        Some(url) => url.clone(),
        None => servers.start_postgres().await?,
    };
    let amqp_url = match &options.broker {
        BrokerChoice::Embedded => None,
        BrokerChoice::Private => Some(servers.start_rabbit().await?),
        BrokerChoice::At(url) => Some(url.clone()),
    };
    let data = servers.data();
    let log_is_new = !is_log(&log_url).await.context("can't reach the database")?;
    let system = System::start(SystemConfig {
        read_url: options.read_database_url.clone().unwrap_or_else(|| log_url.clone()),
        log_url: log_url.clone(),
        role_prefix: None,
        secrets: match &options.secrets {
            Some(file) => Secrets::read(file)?,
            None => load_or_create(&data.secrets(), log_is_new)?,
        },
        broker: amqp_url.as_deref().map(RabbitBroker::new).transpose()?,
        clock: options.clock.clone(),
        settings: options.settings.clone(),
        command_addr: options.command_addr,
        query_addr: options.query_addr,
    })
    .await?;
    let credentials = credentials(&system, data, log_url, amqp_url).await?;
    Ok((system, credentials))
}

/// Waits until the system is told to stop or fails, and stops it.
async fn serve(
    mut system: System,
    credentials: Credentials,
    demo: bool,
    servers: &mut Servers,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let token = CancellationToken::new();
    let traffic = demo.then(|| {
        let token = token.clone();
        tokio::spawn(async move { crate::demo::run(&credentials, DEMO_RATE, None, false, token).await })
    });
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        error = system.failed() => Err(error),
        error = servers.keep_running() => Err(error),
    };
    token.cancel();
    if let Some(traffic) = traffic {
        match traffic.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "demo traffic ended"),
            Err(panic) => tracing::error!(error = %panic, "demo traffic broke"),
        }
    }
    system.stop().await;
    ended
}

#[expect(clippy::print_stdout, reason = "the start screen is what the program is asked for")]
fn say(screen: &StartScreen<'_>) {
    println!("{screen}");
}

/// Reads the API keys of earlier starts, or mints them; the addresses are today's.
async fn credentials(
    system: &System,
    data: &DataDir,
    database_url: String,
    amqp_url: Option<String>,
) -> anyhow::Result<Credentials> {
    let (operator, auditor, analyst) = match Credentials::load(data.path()) {
        Ok(known) if are_live(&known, &database_url).await? => (known.operator, known.auditor, known.analyst),
        _ => (
            system.command_api.create_key(Role::Operator, None, "system:cli").await?.secret,
            system.command_api.create_key(Role::Auditor, None, "system:cli").await?.secret,
            system.command_api.create_key(Role::Analyst, None, "system:cli").await?.secret,
        ),
    };
    let credentials = Credentials {
        operator,
        auditor,
        analyst,
        command_url: format!("http://{}", system.command_addr),
        query_url: format!("http://{}", system.query_addr),
        database_url,
        amqp_url,
    };
    credentials.save(&data.credentials())?;
    Ok(credentials)
}

/// Tells whether the log knows the keys of a credentials file: its database may be a new one.
async fn are_live(known: &Credentials, database_url: &str) -> anyhow::Result<bool> {
    let pool = database::pool(database::options(database_url, "quittance")?, 1);
    let secrets = [&known.operator, &known.auditor, &known.analyst];
    let secret_hashes = secrets.map(|secret| Sha256::digest(secret.as_bytes()).into());
    Ok(lookup::principals(&pool, &secret_hashes).await?.len() == secrets.len())
}
