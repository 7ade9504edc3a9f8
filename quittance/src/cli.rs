//! The command line of the `quittance` program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use api_kit::program;
use clap::{Args, Parser, Subcommand};
use command_api::authorization_days::AuthorizationDays;
use command_api::service::Settings;
use event_store::server_url::Server;

use crate::credentials::Credentials;
use crate::servers::BrokerChoice;
use crate::{api_keys, audit_command, bench, demo, migrate_command, parked, place, rebuild, secrets, up};

/// A payment ledger: commands in, immutable events, read models and proofs out.
#[derive(Parser)]
#[command(name = "quittance", version)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    logging: program::Logging,
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
    /// The file of the owner's password, for database URLs that have none.
    #[arg(long, global = true, env = "QUITTANCE_DATABASE_PASSWORD_FILE")]
    database_password_file: Option<PathBuf>,
    /// The file of keys and passwords; without it secrets.json in the data folder, made with a new log.
    #[arg(long, global = true, env = "QUITTANCE_SECRETS")]
    secrets: Option<PathBuf>,
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
    /// Makes the database what this version expects: tables, roles with the passwords of the secrets, grants.
    Migrate {
        /// What the roles' names begin with; the database's name by default.
        #[arg(long)]
        role_prefix: Option<String>,
    },
    /// Makes a folder with the secrets of a new deployment: a file for `migrate`, one for each service, one
    /// for PostgreSQL, one for RabbitMQ.
    Secrets {
        /// The folder; refused if it is there already.
        folder: PathBuf,
    },
    /// Creates, lists and revokes API keys.
    #[command(subcommand)]
    ApiKeys(api_keys::Action),
    /// Measures a running system, or one of its own, and audits its books afterwards.
    Bench(bench::Bench),
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
    /// What carries events to the read models: `embedded`, `rabbitmq` for a private one, or the URL of one
    /// that runs (`amqp://…`, `amqps://…`).
    #[arg(long, env = "QUITTANCE_BROKER", hide_env_values = true, default_value = "embedded")]
    broker: String,
    /// How many milliseconds the oldest command may have waited when a new one is still taken; then 503.
    #[arg(long, env = "QUITTANCE_QUEUE_WAIT_MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_wait_ms: u64,
    /// How many days authorizations can be captured, for brands and for all others: visa=7,amex=30,10.
    #[arg(long, env = "QUITTANCE_AUTHORIZATION_DAYS", default_value = "7")]
    authorization_days: AuthorizationDays,
    /// Opens clients and merchants, and keeps realistic traffic running.
    #[arg(long)]
    demo: bool,
    /// Where PostgreSQL's programs are; found or installed without it.
    #[arg(long, env = "QUITTANCE_PG_BIN")]
    pg_bin: Option<PathBuf>,
    /// Where RabbitMQ's programs are; found or installed without it.
    #[arg(long, env = "QUITTANCE_RABBITMQ_BIN")]
    rabbitmq_bin: Option<PathBuf>,
    #[command(flatten)]
    clock: program::TestClock,
}

#[derive(Subcommand)]
enum Audit {
    /// Checks positions, versions, hashes, postings, the write side and every read model.
    Verify,
}

/// Runs the program with the arguments that it was given.
pub fn main() -> ExitCode {
    program::main(|cli: &Cli| cli.logging, run)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { place, command, .. } = cli;
    match command {
        Command::Up(up) => up::run(up_options(place.into_place()?, up)?).await?,
        Command::Demo { rate, seconds } => {
            let credentials = Credentials::load(&place.data)?;
            let stop = program::stop_signals()?;
            demo::run(&credentials, rate, seconds.map(Duration::from_secs), true, stop).await?;
        }
        Command::Audit(Audit::Verify) => return audit_command::verify(&place.into_place()?).await,
        Command::Migrate { role_prefix } => migrate_command::run(&place.into_place()?, role_prefix).await?,
        Command::Secrets { folder } => secrets::make_folder(&folder)?,
        Command::ApiKeys(action) => api_keys::run(&place.into_place()?, action).await?,
        Command::Bench(bench) => bench::run(&place.into_place()?, bench).await?,
        Command::Rebuild(which) => rebuild::run(&place.into_place()?, which).await?,
        Command::Parked(action) => parked::run(&place.into_place()?, action).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Place {
    /// Puts the owner's password into the URLs that have none.
    fn into_place(self) -> anyhow::Result<place::Place> {
        let password = self.database_password_file.as_deref().map(read_password).transpose()?;
        let with_password = |url: Option<String>, option: &str| {
            url.map(|url| Server::Postgres.with_password(&url, password.as_deref()))
                .transpose()
                .with_context(|| format!("{option} can't be used"))
        };
        Ok(place::Place {
            data: self.data,
            database_url: with_password(self.database_url, "--database-url")?,
            read_database_url: with_password(self.read_database_url, "--read-database-url")?,
            secrets: self.secrets,
        })
    }
}

fn read_password(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("can't read --database-password-file {}", file.display()))?;
    Ok(text.trim_end().to_owned())
}

fn up_options(place: place::Place, up: Up) -> anyhow::Result<up::Options> {
    Ok(up::Options {
        data: place.data,
        database_url: place.database_url,
        read_database_url: place.read_database_url,
        secrets: place.secrets,
        pg_bin: up.pg_bin,
        rabbitmq_bin: up.rabbitmq_bin,
        broker: BrokerChoice::read(&up.broker)?,
        command_addr: up.command_addr,
        query_addr: up.query_addr,
        settings: Settings {
            queue_wait_max: Duration::from_millis(up.queue_wait_ms),
            authorization_days: up.authorization_days,
        },
        demo: up.demo,
        clock: up.clock.into_clock(),
    })
}
