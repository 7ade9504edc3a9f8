//! What all programs do alike: read their arguments, log, say in one line what is wrong, listen, and stop
//! when told.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, ValueEnum};
use event_store::broker::rabbitmq::RabbitBroker;
use event_store::clock::Clock;
use event_store::migrate::DatabaseRole;
use event_store::secrets::Secrets;
use event_store::server_url::Server;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Requests and answers are many small pieces of text: a faster allocator than the system's is felt at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a program that is ended by a second signal.
const IMPATIENT: i32 = 130;

/// What is logged unless `RUST_LOG` says otherwise. The broker's client logs each error that it returns, and
/// so do we.
const WHAT_IS_LOGGED: &str = "warn,lapin=off";

/// How a program logs; `RUST_LOG` says what.
#[derive(Clone, Copy, Debug, Args)]
pub struct Logging {
    /// The form of the log on standard error; RUST_LOG says what is in it, warnings by default.
    #[arg(long, global = true, env = "QUITTANCE_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A clock that tests can move, which nobody turns on by mistake.
#[derive(Clone, Debug, Args)]
pub struct TestClock {
    /// For tests: seconds in a file are added to the clock.
    #[arg(long, env = "QUITTANCE_TEST_CLOCK_OFFSET_FILE", requires = "allow_test_clock")]
    test_clock_offset_file: Option<PathBuf>,
    /// Allows a clock that can be moved.
    #[arg(long)]
    allow_test_clock: bool,
}

impl TestClock {
    /// Returns the clock that was asked for.
    pub fn into_clock(self) -> Clock {
        self.test_clock_offset_file.map_or_else(Clock::system, Clock::with_offset_file)
    }
}

/// The broker that carries events to the read models.
#[derive(Clone, Args)]
pub struct Broker {
    /// RabbitMQ, as amqp://user@host:5672/vhost, or amqps:// with TLS; without it the projectors follow the
    /// log alone. A URL without a password takes the one in the secrets.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: Option<String>,
}

impl Broker {
    /// Returns the broker, with the password from the secrets where its URL has none.
    ///
    /// # Errors
    ///
    /// It is no broker's URL, or its certificates can't be read.
    pub fn open(&self, secrets: &Secrets) -> anyhow::Result<Option<RabbitBroker>> {
        let Some(url) = &self.amqp_url else { return Ok(None) };
        let refused = "--amqp-url can't be used";
        let password = secrets.broker_password.as_deref();
        let url = Server::Amqp.with_password(url, password).context(refused)?;
        RabbitBroker::new(&url).map(Some).context(refused)
    }
}

/// Reads the URL of a database that an option has given, with the role's password from the secrets where it
/// has none.
///
/// # Errors
///
/// It is no database's URL; what is said does not repeat it.
pub fn database(
    program: &str,
    (option, url): (&str, &str),
    secrets: Option<&Secrets>,
    role: DatabaseRole,
) -> anyhow::Result<PgConnectOptions> {
    let password = secrets.and_then(|secrets| secrets.passwords.get(&role));
    let refused = || format!("{option} can't be used");
    let url = Server::Postgres.with_password(url, password.map(String::as_str)).with_context(refused)?;
    // Its cause alone: what is around it says the same.
    event_store::database::options(&url, program)
        .map_err(|error| anyhow!("{}: {}", refused(), anyhow::Error::from(error).root_cause()))
}

/// Runs a program with the arguments that it was given. Arguments that are wrong end it with code 2 and one
/// line, errors with code 1 and one line.
pub fn main<P, R>(logging: fn(&P) -> Logging, run: fn(P) -> R) -> ExitCode
where
    P: Parser,
    R: Future<Output = anyhow::Result<ExitCode>>,
{
    let name = P::command().get_name().to_owned();
    let arguments = match P::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&name, &error),
    };
    log(logging(&arguments));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&name, &error.into()),
    };
    runtime.block_on(run(arguments)).unwrap_or_else(|error| failed(&name, &error))
}

fn log(Logging { log_format }: Logging) {
    #[expect(
        clippy::disallowed_methods,
        reason = "every Rust program is told what to log like this; --help says so"
    )]
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    // Later directives win, and an empty one changes nothing.
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{WHAT_IS_LOGGED},{asked}")))
        .with_writer(io::stderr);
    match log_format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Shows help and version as they are; of anything wrong, the one line that says what.
#[expect(clippy::print_stderr, reason = "the last word of a program")]
fn refused(name: &str, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let said = error.render().to_string();
    let said: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    eprintln!("{name}: {} (see --help)", said.join(" ").trim_start_matches("error: "));
    ExitCode::from(2)
}

/// Says in one line what went wrong.
#[expect(clippy::print_stderr, reason = "the last word of a program")]
fn failed(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::FAILURE
}

/// Returns a token that Ctrl-C or a polite kill cancels; a second one ends the process at once.
///
/// # Errors
///
/// The operating system does not let us listen for signals.
pub fn stop_signals() -> io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        stop.cancel();
        next().await;
        std::process::exit(IMPATIENT);
    });
    Ok(token)
}

/// Listens at an address that an option has given.
///
/// # Errors
///
/// The address is taken, or not this machine's.
pub async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}; is it taken? Choose another with {option}"))
}

/// Says on standard output where a service listens: port 0 takes a free one.
#[expect(clippy::print_stdout, reason = "whoever starts a service must learn its address")]
pub fn say_address(name: &str, listener: &TcpListener) -> io::Result<()> {
    println!("{name} listens on http://{}", listener.local_addr()?);
    Ok(())
}
