//! The server process: started or adopted, watched, stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::cluster::{Cluster, SUPERUSER};
use crate::data_dir::{DataDir, write_private};
use crate::private_server::{POLL, Process, keep_or_choose_port, open_log, said_since};

/// What it is called in messages.
const SERVER: &str = "PostgreSQL";

/// How long a start is tried: backends that outlived a killed server hold its shared memory, and end
/// with the statement that they are in.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a server may be silent, neither answering nor saying that it is on its way.
const SILENCE_PATIENCE: Duration = Duration::from_secs(10);

/// How it is stopped.
const STOP: [(Signal, Duration); 3] = [
    // A fast shutdown.
    (Signal::SIGINT, Duration::from_secs(4)),
    // An immediate one: the server itself kills its children after 5 s, and the next start recovers.
    (Signal::SIGQUIT, Duration::from_secs(6)),
    // The operating system ends a process that has no say in it.
    (Signal::SIGKILL, Duration::from_secs(2)),
];

/// What the server is told beyond its configuration file; the command line has the last word.
const SETTINGS: [&str; 18] = [
    // Reachable from this machine only, and by TCP only: a socket's path may be no longer than 107
    // bytes, and data folders are where users want them.
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    // An answer is given after COMMIT, and COMMIT means on the disk.
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    // Fewer checkpoints, after each of which whole pages are logged: random keys do not compress
    // (docs/decisions.md).
    "wal_compression=off",
    "checkpoint_timeout=15min",
    "max_wal_size=4GB",
    // Compiling pays for long queries only.
    "jit=off",
    "timezone=UTC",
    // The log is the file that we hand over; rows are personal data and stay out of it.
    "log_timezone=UTC",
    "log_destination=stderr",
    "logging_collector=off",
    "log_error_verbosity=terse",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
    "cluster_name=quittance",
];

/// A running PostgreSQL server that belongs to one data folder.
///
/// Dropped without [`PrivatePostgres::stop`], it is told to stop and not waited for; killed with our
/// process, it runs on and is adopted by the next start.
pub struct PrivatePostgres {
    process: Process,
    port: u16,
    password: String,
}

impl PrivatePostgres {
    /// Starts the server of a data folder, or adopts the one that a killed run left behind, and returns
    /// when it accepts connections. The first start makes the cluster and may install PostgreSQL.
    ///
    /// `pg_bin` is the folder of PostgreSQL's programs where the user has named one. The port is the
    /// same at each start unless someone else has taken it meanwhile. To be called again, on the same
    /// folder, when the server has died.
    ///
    /// # Errors
    ///
    /// PostgreSQL is missing and can't be installed, the folder can't be used, or the server does not
    /// come up within 30 s; the error says what to do or ends with the server's own words.
    pub async fn start(data: &DataDir, pg_bin: Option<&Path>) -> Result<PrivatePostgres> {
        let cluster = Cluster::open(data, pg_bin).await?;
        let started = Instant::now();
        let mut complained = false;
        loop {
            let error = match adopt_or_launch(&cluster).await {
                Ok(server) => return Ok(server),
                Err(error) if started.elapsed() >= START_PATIENCE => return Err(error),
                Err(error) => error,
            };
            if !complained {
                tracing::warn!("{error:#}; trying again for {} s", START_PATIENCE.as_secs());
                complained = true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Returns the URL by which the superuser reaches a database of this server.
    ///
    /// It holds the password: not for logs.
    #[must_use]
    pub fn owner_url(&self, database: &str) -> String {
        let PrivatePostgres { password, port, .. } = self;
        format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Returns the port that the server listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id of the server.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid.as_raw()
    }

    /// Waits until the server has ended, which without [`PrivatePostgres::stop`] it does only when it
    /// was killed. Cancel-safe.
    pub async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Stops the server and waits until it has: at once for its clients, whose open transactions are
    /// rolled back, and with nothing lost. After 4 s it is stopped harder, and recovers at the next start.
    ///
    /// # Errors
    ///
    /// The server runs on, which it does only while the disk hangs.
    pub async fn stop(mut self) -> Result<()> {
        self.process.stop(&STOP).await
    }

    /// Waits until the server accepts connections.
    async fn accept(&mut self) -> Result<()> {
        let mut silent_since = Instant::now();
        loop {
            match self.knock().await {
                Ok(Answer::Open) => return Ok(()),
                // It may be recovering from a crash, which takes what it takes.
                Ok(Answer::NotYet) => silent_since = Instant::now(),
                Ok(Answer::Silence) => {}
                // Whoever answers may be another server, at the port that ours did not get.
                Err(_) if !self.process.is_running() => bail!("PostgreSQL did not start"),
                Err(error) => return Err(error),
            }
            if !self.process.is_running() {
                bail!("PostgreSQL did not start");
            }
            if silent_since.elapsed() > SILENCE_PATIENCE {
                bail!("PostgreSQL (process {}) does not answer on port {}", self.pid(), self.port);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn knock(&self) -> Result<Answer> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(&self.password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        match tokio::time::timeout(Duration::from_secs(3), options.connect()).await {
            Ok(Ok(connection)) => {
                // The answer is in; how the farewell goes does not matter.
                let _ = connection.close().await;
                Ok(Answer::Open)
            }
            // Class 57: starting up or shutting down. Class 53: no connection to spare.
            Ok(Err(sqlx::Error::Database(error)))
                if error.code().is_some_and(|code| code.starts_with("57") || code.starts_with("53")) =>
            {
                Ok(Answer::NotYet)
            }
            Ok(Err(error @ sqlx::Error::Database(_))) => {
                Err(error).with_context(|| format!("PostgreSQL on port {} turns us away", self.port))
            }
            Ok(Err(_)) | Err(_) => Ok(Answer::Silence),
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGINT);
    }
}

enum Answer {
    Open,
    NotYet,
    Silence,
}

async fn adopt_or_launch(cluster: &Cluster) -> Result<PrivatePostgres> {
    if let Some((pid, port)) = left_behind(cluster)? {
        let process = Process::adopted(SERVER, pid, &cluster.folder, serves);
        let mut server = PrivatePostgres { process, port, password: cluster.password.clone() };
        if let Ok(Ok(())) = tokio::time::timeout(SILENCE_PATIENCE, server.accept()).await {
            tracing::info!("took over the PostgreSQL (process {pid}) that an earlier run left behind");
            return Ok(server);
        }
        // Ending, hanging, or turning us away: a new one takes its place.
        server.process.stop(&STOP).await?;
    }
    launch(cluster).await
}

/// Finds the server that a killed run left behind: the one that the cluster's lock file names, if it
/// still lives.
fn left_behind(cluster: &Cluster) -> Result<Option<(Pid, u16)>> {
    let lock_file = cluster.folder.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&lock_file) else { return Ok(None) };
    let mut lines = text.lines();
    let Some(pid) = lines.next().and_then(|line| line.trim().parse().ok()).filter(|pid| *pid > 1) else {
        return Ok(None);
    };
    let pid = Pid::from_raw(pid);
    if serves(pid, &cluster.folder) {
        // The fourth line; 0 answers nobody, and is then taken for a server that hangs.
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        return Ok(Some((pid, port)));
    }
    // PostgreSQL sees through a dead process's number by itself, but not through one that another
    // program bears by now, after a restart of the machine, say.
    if kill(pid, None).is_ok() {
        fs::remove_file(&lock_file).with_context(|| format!("cannot remove {}", lock_file.display()))?;
    }
    Ok(None)
}

async fn launch(cluster: &Cluster) -> Result<PrivatePostgres> {
    let port = choose_port(&cluster.port_file())?;
    let log = open_log(&cluster.log_file())?;
    let log_start = usize::try_from(log.metadata()?.len())?;

    let mut command = cluster.command("postgres");
    command.arg("-D").arg(&cluster.folder).arg("-p").arg(port.to_string());
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!("shared_buffers={}MB", shared_buffers_mb()));
    let child = command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot run postgres")?;

    let process = Process::started(SERVER, child, &cluster.folder, serves)?;
    let mut server = PrivatePostgres { process, port, password: cluster.password.clone() };
    match server.accept().await {
        Ok(()) => Ok(server),
        Err(error) => {
            server.process.stop(&STOP).await?;
            Err(anyhow!("{error:#}; {}", last_words(&cluster.log_file(), log_start)))
        }
    }
}

/// Returns the port of the last start if it is free, else chooses another and remembers that.
fn choose_port(remembered: &Path) -> Result<u16> {
    let last = fs::read_to_string(remembered).ok().and_then(|text| text.trim().parse().ok());
    let port = keep_or_choose_port(SERVER, last)?;
    if last != Some(port) {
        write_private(remembered, port.to_string().as_bytes())?;
    }
    Ok(port)
}

/// Finds what the server said last, from where its run began.
fn last_words(log: &Path, from: usize) -> String {
    let said = said_since(log, from);
    let line = said.lines().rev().find(|line| line.contains("FATAL") || line.contains("PANIC"));
    match line.or_else(|| said.lines().last()) {
        Some(line) => format!("it said: {line} (more in {})", log.display()),
        None => format!("see {}", log.display()),
    }
}

/// A sixteenth of the memory, within reason: the server shares the machine with what it serves, and the
/// operating system caches too.
fn shared_buffers_mb() -> u64 {
    let total_kb = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    total_kb.map_or(128, |kb| (kb / 1024 / 16).clamp(32, 1024))
}

/// Says whether a process is a server of this cluster: servers work in their cluster's folder.
fn serves(pid: Pid, cluster: &Path) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster);
    }
    // Without /proc (macOS), by its command line, which ends with our settings but begins with the folder.
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|ps| {
        let line = String::from_utf8_lossy(&ps.stdout).into_owned();
        line.contains("postgres") && line.contains(&format!("-D {}", cluster.display()))
    })
}
