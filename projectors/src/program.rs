//! The `projectors` program: several of them on one log share the work by its checkpoints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api_kit::health::Readiness;
use api_kit::{admission, program, serve, service};
use async_trait::async_trait;
use clap::Parser;
use event_store::migrate::DatabaseRole;
use event_store::reader::LogReader;
use event_store::secrets::{KeyPurpose, Secrets};
use event_store::{broker, database, start_check};
use sqlx::PgPool;

use crate::health::Health;
use crate::runner::{Runner, RunnerConfig};

/// The name that logs, errors and the database know the program by.
const NAME: &str = "projectors";

/// Connections to the log: one listens, the others read.
const LOG_CONNECTIONS: u32 = 4;
/// Connections to the read models.
const READ_CONNECTIONS: u32 = 8;

/// Follows the log, and folds it into the read models.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Arguments {
    /// The log's PostgreSQL, as the projector role that `quittance migrate` makes. A URL without a password
    /// takes the one in the secrets.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The read models' PostgreSQL, as the same role; the log's unless set.
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true)]
    read_database_url: Option<String>,
    /// The file of keys and passwords; projectors.json of `quittance secrets` holds what is needed.
    #[arg(long, env = "QUITTANCE_SECRETS")]
    secrets: PathBuf,
    /// Where /healthz, /readyz and /metrics are listened for.
    #[arg(long, env = "QUITTANCE_PROJECTORS_ADDR", default_value = "127.0.0.1:8082")]
    addr: SocketAddr,
    #[command(flatten)]
    broker: program::Broker,
    #[command(flatten)]
    logging: program::Logging,
}

/// Runs the program with the arguments that it was given.
pub fn main() -> ExitCode {
    program::main(|arguments: &Arguments| arguments.logging, run)
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let secrets = Secrets::read(&arguments.secrets)?;
    let master = secrets.key(KeyPurpose::Master)?;
    let log_url = ("--database-url", arguments.database_url.as_str());
    let read_url = arguments.read_database_url.as_deref().map_or(log_url, |url| ("--read-database-url", url));
    let log = program::database(NAME, log_url, Some(&secrets), DatabaseRole::Projector)?;
    let read = program::database(NAME, read_url, Some(&secrets), DatabaseRole::Projector)?;
    let broker = broker::or_embedded(arguments.broker.open(&secrets)?);

    let stop = program::stop_signals()?;
    let listener = program::listen(arguments.addr, "--addr").await?;
    program::say_address(NAME, &listener)?;
    let check = async || {
        start_check::log(&log, DatabaseRole::Projector, &[master.check(KeyPurpose::Master)]).await?;
        start_check::read_models(&read, DatabaseRole::Projector).await
    };
    if !admission::wait(&listener, &stop, check).await? {
        return Ok(ExitCode::SUCCESS);
    }
    let log = database::pool(log, LOG_CONNECTIONS);
    let read = database::pool(read, READ_CONNECTIONS);
    let runner = Runner::new(RunnerConfig {
        broker,
        log: log.clone(),
        read: read.clone(),
        master_key: master.secret_key(),
    });
    let ready = Ready { health: runner.health(), log: LogReader::new(log), read };
    let serving = serve::serve(listener, service::health_only(Arc::new(ready)), stop.clone());
    let serving = async { serving.await.context("can't serve") };
    tokio::try_join!(serving, runner.run(stop))?;
    Ok(ExitCode::SUCCESS)
}

/// What the process needs to go on.
struct Ready {
    health: Health,
    log: LogReader,
    read: PgPool,
}

#[async_trait]
impl Readiness for Ready {
    async fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.health.stopped().iter().map(ToString::to_string).collect();
        if self.log.head().await.is_err() {
            reasons.push("the log is unavailable".to_owned());
        }
        if sqlx::query("SELECT FROM projections").execute(&self.read).await.is_err() {
            reasons.push("the read models are unavailable".to_owned());
        }
        reasons
    }
}
