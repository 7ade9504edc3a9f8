//! The `command-api` program: any number of them work on one log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use api_kit::{admission, program};
use clap::Parser;
use event_store::migrate::DatabaseRole;
use event_store::secrets::Secrets;
use event_store::start_check;

use crate::authorization_days::AuthorizationDays;
use crate::keys::LedgerKeys;
use crate::relay::Relay;
use crate::scheduler::Scheduler;
use crate::service::{CommandApi, Settings};

/// The name that logs, errors and the database know the program by.
const NAME: &str = "command-api";

/// Takes payment commands over HTTP, and appends them to the log.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Arguments {
    /// The log's PostgreSQL, as the command role that `quittance migrate` makes. A URL without a password
    /// takes the one in the secrets.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The read models' PostgreSQL, which tells what is due; the log's unless set.
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true)]
    read_database_url: Option<String>,
    /// The file of keys and passwords; command-api.json of `quittance secrets` holds what is needed.
    #[arg(long, env = "QUITTANCE_SECRETS")]
    secrets: PathBuf,
    /// Where commands are listened for.
    #[arg(long, env = "QUITTANCE_COMMAND_ADDR", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How many milliseconds the oldest command may have waited when a new one is still taken; then 503.
    #[arg(long, env = "QUITTANCE_QUEUE_WAIT_MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_wait_ms: u64,
    /// How many days authorizations can be captured, for brands and for all others: visa=7,amex=30,10.
    #[arg(long, env = "QUITTANCE_AUTHORIZATION_DAYS", default_value = "7")]
    authorization_days: AuthorizationDays,
    #[command(flatten)]
    broker: program::Broker,
    #[command(flatten)]
    clock: program::TestClock,
    #[command(flatten)]
    logging: program::Logging,
}

/// Runs the program with the arguments that it was given.
pub fn main() -> ExitCode {
    program::main(|arguments: &Arguments| arguments.logging, run)
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let secrets = Secrets::read(&arguments.secrets)?;
    let keys = LedgerKeys::of(&secrets)?;
    let url = ("--database-url", arguments.database_url.as_str());
    let log = program::database(NAME, url, Some(&secrets), DatabaseRole::Command)?;
    let read_url = arguments.read_database_url.as_deref().unwrap_or(&arguments.database_url);
    let read =
        program::database(NAME, ("--read-database-url", read_url), Some(&secrets), DatabaseRole::Command)?;
    let relay = arguments.broker.open(&secrets)?.map(|broker| Relay::new(log.clone(), broker));

    let stop = program::stop_signals()?;
    let listener = program::listen(arguments.addr, "--addr").await?;
    program::say_address(NAME, &listener)?;
    let check = async || start_check::log(&log, DatabaseRole::Command, &keys.checks()).await;
    if admission::wait(&listener, &stop, check).await? {
        let settings = Settings {
            queue_wait_max: Duration::from_millis(arguments.queue_wait_ms),
            authorization_days: arguments.authorization_days,
        };
        let health = relay.as_ref().map(Relay::health);
        let api = CommandApi::start(log, keys, arguments.clock.into_clock(), settings, health)?;
        let scheduler = Scheduler::new(read, &api);
        let relaying = async {
            if let Some(relay) = relay {
                relay.run(stop.clone()).await;
            }
            Ok(())
        };
        let scheduling = async {
            scheduler.run(stop.clone()).await;
            Ok(())
        };
        tokio::try_join!(api.serve(listener, stop.clone()), relaying, scheduling)?;
    }
    Ok(ExitCode::SUCCESS)
}
