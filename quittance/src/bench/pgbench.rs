//! PostgreSQL's own benchmark on the same server: the yardstick.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::scratch::Scratch;
use super::target::Target;
use crate::packages::folders_in_path;
use crate::private_postgres::PostgresPrograms;

/// What a single insert writes: a row of the size of an event, under a key that rises.
const TABLE: &str =
    "CREATE TABLE single (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL)";
const INSERT: &str = "INSERT INTO single (payload) VALUES (repeat('x', 600));\n";

/// What pgbench runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Script {
    /// One row in a transaction of its own.
    SingleInsert,
    /// pgbench's built-in one, of five statements.
    TpcB,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SingleInsert => "pgbench single inserts/s",
            Self::TpcB => "pgbench TPC-B transactions/s",
        })
    }
}

/// pgbench with a database of its own.
pub(super) struct PgBench {
    program: PathBuf,
    scratch: Scratch,
    clients: u32,
}

impl PgBench {
    /// Makes the database, with the table of single inserts.
    ///
    /// # Errors
    ///
    /// pgbench is not installed; the error says how it is.
    pub(super) async fn open(target: &Target, pg_bin: Option<&Path>, clients: u32) -> anyhow::Result<Self> {
        let program = find(pg_bin)?;
        let pgbench = Self { program, scratch: Scratch::make(target).await?, clients };
        let mut owner = PgConnection::connect(&pgbench.scratch.url).await?;
        owner.execute(TABLE).await?;
        owner.close().await?;
        Ok(pgbench)
    }

    /// Makes the tables of TPC-B, so large that the clients need not wait for each other's branch.
    pub(super) async fn prepare_tpc_b(&self) -> anyhow::Result<()> {
        let scale = self.clients.to_string();
        self.run(&["--initialize", "--quiet", "--scale", &scale], "").await?;
        Ok(())
    }

    /// Runs a script for some seconds; returns the transactions a second.
    pub(super) async fn transactions_per_second(&self, script: Script, seconds: u64) -> anyhow::Result<f64> {
        let (clients, seconds) = (self.clients.to_string(), seconds.to_string());
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(self.clients as usize);
        let threads = threads.to_string();
        let mut arguments = vec!["--client", &clients, "--jobs", &threads, "--time", &seconds];
        arguments.extend(["--no-vacuum", "--protocol", "prepared"]);
        let said = match script {
            Script::SingleInsert => {
                let said = self.run(&[&arguments[..], &["--file", "-"]].concat(), INSERT).await?;
                self.forget_rows().await?;
                said
            }
            Script::TpcB => self.run(&[&arguments[..], &["--builtin", "tpcb-like"]].concat(), "").await?,
        };
        tps(&said).with_context(|| format!("pgbench did not say how many transactions there were: {said}"))
    }

    /// Empties the table of single inserts: its rows, not yet written, would cost whatever is measured next.
    async fn forget_rows(&self) -> anyhow::Result<()> {
        let mut owner = PgConnection::connect(&self.scratch.url).await?;
        owner.execute("TRUNCATE single").await?;
        Ok(owner.close().await?)
    }

    async fn run(&self, arguments: &[&str], script: &str) -> anyhow::Result<String> {
        let mut pgbench = Command::new(&self.program)
            .args(arguments)
            // Not an argument: it holds the password.
            .env("PGDATABASE", &self.scratch.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't run {}", self.program.display()))?;
        if let Some(mut input) = pgbench.stdin.take() {
            input.write_all(script.as_bytes()).await?;
        }
        let output = pgbench.wait_with_output().await?;
        if !output.status.success() {
            bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Removes the database.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.scratch.remove().await
    }
}

/// Finds pgbench: beside the server's programs, which may be there by links, or in `PATH`.
fn find(pg_bin: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = PostgresPrograms::find_or_install(pg_bin, None)?.folder;
    let real = folder.join("initdb").canonicalize()?;
    let beside = [Some(folder.as_path()), real.parent()].into_iter().flatten().map(Path::to_owned);
    beside
        .chain(folders_in_path())
        .map(|folder| folder.join("pgbench"))
        .find(|program| program.is_file())
        .context(
            "there is no pgbench; install it (Debian: `apt-get install postgresql`, Fedora: `dnf install \
         postgresql-contrib`), or name the folder of PostgreSQL's programs with --pg-bin",
        )
}

/// Finds the rate in what pgbench says.
fn tps(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_says() {
        let said = "number of failed transactions: 0 (0.000%)\nlatency average = 12.5 ms\n\
                    tps = 5104.238017 (without initial connection time)\n";
        assert_eq!(tps(said).map(|tps| tps.to_string()), Some("5104.238017".to_owned()));
        assert_eq!(tps("tps: none"), None);
    }
}
