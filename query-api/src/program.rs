//! The `query-api` program: it needs no key, and a role that can't write (I9).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use api_kit::{admission, program, serve};
use clap::Parser;
use event_store::migrate::DatabaseRole;
use event_store::secrets::Secrets;
use event_store::start_check;

use crate::service::QueryApi;

/// The name that logs, errors and the database know the program by.
const NAME: &str = "query-api";

/// Answers queries over HTTP, from the read models and the log.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Arguments {
    /// The log's PostgreSQL, as the query role that `quittance migrate` makes. A URL without a password takes
    /// the one in the secrets.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The read models' PostgreSQL, as the same role; the log's unless set.
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true)]
    read_database_url: Option<String>,
    /// The file of the role's password, for URLs that have none: query-api.json of `quittance secrets`.
    #[arg(long, env = "QUITTANCE_SECRETS")]
    secrets: Option<PathBuf>,
    /// Where queries are listened for.
    #[arg(long, env = "QUITTANCE_QUERY_ADDR", default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
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
    let secrets = arguments.secrets.as_deref().map(Secrets::read).transpose()?;
    let log_url = ("--database-url", arguments.database_url.as_str());
    let read_url = arguments.read_database_url.as_deref().map_or(log_url, |url| ("--read-database-url", url));
    let log = program::database(NAME, log_url, secrets.as_ref(), DatabaseRole::Query)?;
    let read = program::database(NAME, read_url, secrets.as_ref(), DatabaseRole::Query)?;

    let stop = program::stop_signals()?;
    let listener = program::listen(arguments.addr, "--addr").await?;
    program::say_address(NAME, &listener)?;
    let check = async || {
        start_check::log(&log, DatabaseRole::Query, &[]).await?;
        start_check::read_models(&read, DatabaseRole::Query).await
    };
    if admission::wait(&listener, &stop, check).await? {
        let api = QueryApi::new(log, read, arguments.clock.into_clock());
        serve::serve(listener, api.router(), stop).await?;
    }
    Ok(ExitCode::SUCCESS)
}
