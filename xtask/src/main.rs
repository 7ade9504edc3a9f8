//! What developers and CI run: `cargo xtask test` is the whole check, on a machine that has Rust.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

// The program's own files: both must find the same PostgreSQL and RabbitMQ.
#[path = "../../quittance/src/packages.rs"]
mod packages;
#[path = "../../quittance/src/private_postgres/programs.rs"]
mod postgres_programs;
#[path = "../../quittance/src/private_rabbitmq/programs.rs"]
mod rabbitmq_programs;

use postgres_programs::PostgresPrograms;
use rabbitmq_programs::RabbitPrograms;

/// What `cargo xtask` tells this program about itself. Build scripts would take it for theirs, and a
/// check run through `xtask` and one run by hand would undo each other's builds.
const ABOUT_XTASK: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// What tells the black-box tests which broker to run on; the embedded one otherwise.
const TEST_BROKER: &str = "QUITTANCE_TEST_BROKER";

/// What tells proptest how many cases to run of each property.
const PROPTEST_CASES: &str = "PROPTEST_CASES";

/// How many cases over HTTP there are at least, unless it is said.
const HTTP_CASES_MIN: u32 = 32;

/// The project's tasks
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,

    /// The folder of PostgreSQL's programs, where it is not to be looked for
    #[arg(long, env = "QUITTANCE_PG_BIN", value_name = "DIR", global = true)]
    pg_bin: Option<PathBuf>,

    /// The folder of RabbitMQ's programs, where it is not to be looked for
    #[arg(long, env = "QUITTANCE_RABBITMQ_BIN", value_name = "DIR", global = true)]
    rabbitmq_bin: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, then check the format, the lints and all tests
    Test,
    /// Only install what the tests need
    Setup,
    /// Run the property tests with many random cases: the domain's, optimized, then a running service over HTTP
    Properties {
        /// How many cases of each of the domain's properties
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        cases: u32,

        /// How many cases over HTTP, each of which takes half a second; 0 leaves them out, and needs no server
        /// [default: a thousandth of N, at least 32]
        #[arg(long, value_name = "M")]
        http_cases: Option<u32>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ready = || setup(arguments.pg_bin.as_deref(), arguments.rabbitmq_bin.as_deref());
    let done = match arguments.task {
        Task::Test => ready().and_then(|()| test()),
        Task::Setup => ready().map(|()| ExitCode::SUCCESS),
        Task::Properties { cases, http_cases } => {
            let http_cases = http_cases.unwrap_or((cases / 1_000).max(HTTP_CASES_MIN));
            properties(cases, http_cases, arguments.pg_bin.as_deref())
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

/// Finds or installs the servers that tests run on.
fn setup(pg_bin: Option<&Path>, rabbitmq_bin: Option<&Path>) -> Result<()> {
    let PostgresPrograms { folder, major } = PostgresPrograms::find_or_install(pg_bin, None)?;
    eprintln!("xtask: PostgreSQL {major} in {}", folder.display());
    let RabbitPrograms { folder, version } = RabbitPrograms::find_or_install(rabbitmq_bin)?;
    eprintln!("xtask: RabbitMQ {version} in {}", folder.display());
    Ok(())
}

/// Runs every check, the quick ones first, and passes on the exit code of the first that fails.
fn test() -> Result<ExitCode> {
    for component in ["fmt", "clippy"] {
        need(component)?;
    }
    let checks: [(&[&str], Option<&str>); 5] = [
        (&["fmt", "--all", "--check"], None),
        (&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], None),
        // The examples in the docs first, so that what stands last is the tests' summary.
        (&["test", "--workspace", "--doc"], None),
        (&["test", "--workspace", "--lib", "--bins", "--tests"], None),
        // All of the black-box tests again, on the other broker.
        (&["test", "--workspace", "--test", "it"], Some("rabbitmq")),
    ];
    for (check, broker) in checks {
        let mut cargo = cargo(check);
        let mut on_broker = String::new();
        if let Some(broker) = broker {
            cargo.env(TEST_BROKER, broker);
            on_broker = format!("{TEST_BROKER}={broker} ");
        }
        eprintln!("xtask: {on_broker}cargo {}", check.join(" "));
        let status = cargo.status().context("cannot run cargo")?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs all property tests of the domain, each with so many random cases; then those of a running service. One
/// that fails prints its seed, shrinks, and is kept beside the tests, to be tried first from then on.
fn properties(cases: u32, http_cases: u32, pg_bin: Option<&Path>) -> Result<ExitCode> {
    if http_cases > 0 {
        PostgresPrograms::find_or_install(pg_bin, None)?;
    }
    let domain = ["test", "--release", "--package", "ledger-core", "--lib", "--test", "properties"];
    let service = ["test", "--workspace", "--test", "it", "properties::"];
    for (tests, cases) in [(&domain[..], cases), (&service[..], http_cases)] {
        if cases == 0 {
            continue;
        }
        eprintln!("xtask: {PROPTEST_CASES}={cases} cargo {}", tests.join(" "));
        let status = cargo(tests).env(PROPTEST_CASES, cases.to_string()).status();
        let status = status.context("cannot run cargo")?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says in one line which component of the toolchain is missing, before it fails in many.
fn need(component: &str) -> Result<()> {
    let probe = cargo(&[component, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        bail!("`cargo {component}` is missing: run `rustup component add clippy rustfmt`");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    for variable in ABOUT_XTASK {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // None: ended by a signal.
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
