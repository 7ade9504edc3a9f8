//! The command line of the `quittance` program.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use event_store::broker::rabbitmq::RabbitBroker;
use event_store::clock::Clock;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::credentials::Credentials;
use crate::{api_keys, audit_command, bench, demo, migrate_command, parked, place, rebuild, up};

/// A payment ledger: commands in, immutable events, read models and proofs out.
#[derive(Parser)]
#[command(name = "quittance", version)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the ledger is.
#[derive(Args)]
struct Place {
    /// The data folder.
    #[arg(long, global = true, env = "QUITTANCE_DATA", default_value = ".quittance")]
    data: PathBuf,
    /// The log's PostgreSQL, as the database's owner; without it, `up` runs a private one.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The read models' PostgreSQL; the log's unless set.
    #[arg(long, global = true, env = "READ_DATABASE_URL", hide_env_values = true)]
    read_database_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole system in one process tree.
    Up(Up),
    /// Sends traffic to a running system, with a live summary.
    Demo {
        /// Requests a second.
        #[arg(long, default_value_t = 20)]
        rate: u32,
        /// For how long; without it, until Ctrl-C.
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Replays the log and proves that everything follows from it.
    #[command(subcommand)]
    Audit(Audit),
    /// Makes the database what this version expects: tables, roles, grants.
    Migrate {
        /// What the roles' names begin with; the database's name by default.
        #[arg(long)]
        role_prefix: Option<String>,
    },
    /// Creates, lists and revokes API keys.
    #[command(subcommand)]
    ApiKeys(api_keys::Action),
    /// Measures a running system, and audits its books afterwards.
    #[command(subcommand)]
    Bench(bench::Measure),
    /// Folds a read model anew beside the live one, compares the two and switches, with no downtime.
    Rebuild(rebuild::Which),
    /// Shows and retries what a read model could not apply.
    #[command(subcommand)]
    Parked(parked::Action),
}

#[derive(Args)]
struct Up {
    /// Where commands are listened for.
    #[arg(long, env = "QUITTANCE_COMMAND_ADDR", default_value = "127.0.0.1:8080")]
    command_addr: SocketAddr,
    /// Where queries are listened for.
    #[arg(long, env = "QUITTANCE_QUERY_ADDR", default_value = "127.0.0.1:8081")]
    query_addr: SocketAddr,
    /// What carries events to the read models: `embedded`, or the URL of a RabbitMQ (`amqp://…`, `amqps://…`).
    #[arg(long, env = "QUITTANCE_BROKER", hide_env_values = true, default_value = "embedded", value_parser = broker)]
    broker: Broker,
    /// How many milliseconds the oldest command may have waited when a new one is still taken; then 503.
    #[arg(long, env = "QUITTANCE_QUEUE_WAIT_MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_wait_ms: u64,
    /// Opens clients and merchants, and keeps realistic traffic running.
    #[arg(long)]
    demo: bool,
    /// Where PostgreSQL's programs are; found or installed without it.
    #[arg(long, env = "QUITTANCE_PG_BIN")]
    pg_bin: Option<PathBuf>,
    /// For tests: seconds in a file are added to the clock.
    #[arg(long, env = "QUITTANCE_TEST_CLOCK_OFFSET_FILE", requires = "allow_test_clock")]
    test_clock_offset_file: Option<PathBuf>,
    /// Allows a clock that can be moved.
    #[arg(long)]
    allow_test_clock: bool,
}

/// What carries events to the read models.
#[derive(Clone)]
enum Broker {
    Embedded,
    Url(String),
}

fn broker(given: &str) -> Result<Broker, String> {
    match given {
        "embedded" => Ok(Broker::Embedded),
        url => match RabbitBroker::new(url) {
            Ok(_) => Ok(Broker::Url(url.to_owned())),
            Err(_) => {
                Err("neither `embedded` nor a URL like amqp://user:password@host:5672/vhost".to_owned())
            }
        },
    }
}

#[derive(Subcommand)]
enum Audit {
    /// Checks positions, versions, hashes, postings, the write side and every read model.
    Verify,
}

/// Runs the program with the arguments that it was given.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Shows help and version as they are; of anything wrong, the one line that says what.
#[expect(clippy::print_stderr, reason = "the last word of a program")]
fn refused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let said = error.render().to_string();
    let said: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    eprintln!("quittance: {} (see --help)", said.join(" ").trim_start_matches("error: "));
    ExitCode::from(2)
}

/// Says in one line what went wrong.
#[expect(clippy::print_stderr, reason = "the last word of a program")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("quittance: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { place, command } = cli;
    match command {
        Command::Up(up) => up::run(up_options(place, up)).await?,
        Command::Demo { rate, seconds } => {
            let token = CancellationToken::new();
            let stop = token.clone();
            tokio::spawn(async move {
                let _ = tokio::signal::ctrl_c().await;
                stop.cancel();
            });
            let credentials = Credentials::load(&place.data)?;
            demo::run(&credentials, rate, seconds.map(Duration::from_secs), true, token).await?;
        }
        Command::Audit(Audit::Verify) => return audit_command::verify(&place.into_database()).await,
        Command::Migrate { role_prefix } => migrate_command::run(&place.into_database(), role_prefix).await?,
        Command::ApiKeys(action) => api_keys::run(&place.into_database(), action).await?,
        Command::Bench(measure) => bench::run(&place.into_database(), measure).await?,
        Command::Rebuild(which) => rebuild::run(&place.into_database(), which).await?,
        Command::Parked(action) => parked::run(&place.into_database(), action).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Place {
    fn into_database(self) -> place::Place {
        place::Place {
            data: self.data,
            database_url: self.database_url,
            read_database_url: self.read_database_url,
        }
    }
}

fn up_options(place: Place, up: Up) -> up::Options {
    up::Options {
        data: place.data,
        database_url: place.database_url,
        read_database_url: place.read_database_url,
        pg_bin: up.pg_bin,
        amqp_url: match up.broker {
            Broker::Embedded => None,
            Broker::Url(url) => Some(url),
        },
        command_addr: up.command_addr,
        query_addr: up.query_addr,
        queue_wait_max: Duration::from_millis(up.queue_wait_ms),
        demo: up.demo,
        clock: up.test_clock_offset_file.map_or_else(Clock::system, Clock::with_offset_file),
    }
}
