//! The system that is measured: one that runs, or a private one that is removed afterwards.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use event_store::database;
use event_store::entropy;
use event_store::migrate::{DatabaseRole, Roles};
use event_store::reader::LogReader;
use event_store::secrets::KeyPurpose;
use event_store::server_url::database_name;
use ledger_core::personal::SecretKey;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use projectors::checkpoint;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tokio::process::{Child, Command};

use crate::credentials::Credentials;
use crate::place::Place;

/// How long a private system may take to come up and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A system to measure.
pub(super) struct Target {
    pub(super) credentials: Credentials,
    pub(super) read_url: String,
    /// The log, as its owner.
    pub(super) log: PgPool,
    /// The read models, as their owner.
    pub(super) read: PgPool,
    pub(super) reader: LogReader,
    pub(super) master_key: SecretKey,
    /// The roles of its programs.
    pub(super) roles: Roles,
    pub(super) http: reqwest::Client,
    pub(super) folder: PathBuf,
    private: Option<Private>,
}

/// A private system: a process of this program, in a folder that goes away.
struct Private {
    process: Child,
    folder: PathBuf,
}

impl Target {
    /// Takes the running system of a place.
    pub(super) fn running(place: &Place, role_prefix: Option<&str>) -> anyhow::Result<Self> {
        Self::at(place, role_prefix)
    }

    /// Starts a system of its own beside the data folder, and so on the disk that a real one would have.
    pub(super) async fn private(place: &Place, broker: &str, pg_bin: Option<&Path>) -> anyhow::Result<Self> {
        let data = std::path::absolute(&place.data)?;
        let mut folder = data.into_os_string();
        folder.push(format!(".bench-{}", hex::encode(entropy::bytes::<4>())));
        let folder = PathBuf::from(folder);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("can't make {}", folder.display()))?;
        let mut private = Private { process: start(&folder, broker, pg_bin)?, folder };
        let started = private.ready().await.and_then(|()| {
            let place = Place {
                data: private.folder.clone(),
                database_url: None,
                read_database_url: None,
                secrets: None,
            };
            Self::at(&place, None)
        });
        match started {
            Ok(target) => Ok(Self { private: Some(private), ..target }),
            Err(error) => {
                private.remove().await?;
                Err(error)
            }
        }
    }

    fn at(place: &Place, role_prefix: Option<&str>) -> anyhow::Result<Self> {
        let credentials = Credentials::load(&place.data)?;
        let log_url = &credentials.database_url;
        let read_url = place.read_database_url.clone().unwrap_or_else(|| log_url.clone());
        // What takes long is what is measured: it need not be told of besides.
        let options =
            |url: &str| anyhow::Ok(database::options(url, "quittance bench")?.disable_statement_logging());
        let log = database::pool(options(log_url)?, 3);
        let read = database::pool(options(&read_url)?, 2);
        let secrets = place.secrets()?;
        let master_key = secrets.key(KeyPurpose::Master)?.secret_key();
        let prefix = role_prefix.map_or_else(|| database_name(log_url), |prefix| Ok(prefix.to_owned()))?;
        let roles = Roles { prefix, passwords: secrets.passwords };
        let (reader, http) = (LogReader::new(log.clone()), reqwest::Client::new());
        let folder = place.data.clone();
        Ok(Self { read_url, log, read, reader, master_key, roles, http, folder, private: None, credentials })
    }

    /// Returns the position of the log's last event.
    pub(super) async fn head(&self) -> anyhow::Result<u64> {
        Ok(self.reader.head().await?.position)
    }

    /// Waits until the read models have what is in the log now.
    ///
    /// # Errors
    ///
    /// They do not get there in time.
    pub(super) async fn caught_up(&self, limit: Duration) -> anyhow::Result<()> {
        let head = self.head().await?;
        let there = checkpoint::wait_until(&self.read, head, limit).await?;
        ensure!(there, "the read models are not at {head} after {} s", limit.as_secs());
        Ok(())
    }

    /// Returns how much memory the process of a private system has, in bytes.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let process = self.private.as_ref()?.process.id()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Keeps the projectors of a private system from the database, as an operator would: their role may not
    /// connect, which they wait out like any failure that passes.
    ///
    /// # Errors
    ///
    /// The system is not private: another's must not be left like this if we die.
    pub(super) async fn hold_projectors_back(&self) -> anyhow::Result<()> {
        ensure!(self.private.is_some(), "projectors are held back in a private system only: add --private");
        self.limit_projectors("CONNECTION LIMIT 0").await?;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1")
            .bind(self.roles.name(DatabaseRole::Projector))
            .execute(&self.log)
            .await?;
        Ok(())
    }

    /// Lets them go on.
    pub(super) async fn let_projectors_go(&self) -> anyhow::Result<()> {
        self.limit_projectors("CONNECTION LIMIT -1").await
    }

    async fn limit_projectors(&self, limit: &str) -> anyhow::Result<()> {
        let role = event_store::migrate::identifier(&self.roles.name(DatabaseRole::Projector));
        sqlx::query(AssertSqlSafe(format!("ALTER ROLE {role} {limit}"))).execute(&self.log).await?;
        Ok(())
    }

    /// Removes a private system; leaves another alone.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.log.close().await;
        self.read.close().await;
        match self.private {
            Some(private) => private.remove().await,
            None => Ok(()),
        }
    }
}

fn start(folder: &Path, broker: &str, pg_bin: Option<&Path>) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("can't find this program")?;
    let free_port = "127.0.0.1:0";
    let mut up = Command::new(program);
    up.args(["up", "--command-addr", free_port, "--query-addr", free_port, "--broker", broker, "--data"])
        .arg(folder)
        // A system of its own, whatever this one was told of others.
        .env_remove("DATABASE_URL")
        .env_remove("READ_DATABASE_URL")
        .env_remove("QUITTANCE_SECRETS")
        // Ctrl-C is for us, who stop it in order.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(folder) = pg_bin {
        up.arg("--pg-bin").arg(folder);
    }
    up.spawn().context("can't start a private system")
}

impl Private {
    /// Waits until the system has written how it is reached, which it does when it can be.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while Credentials::load(&self.folder).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("the private system did not start: {status}");
            }
            ensure!(began.elapsed() < PATIENCE, "the private system does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops the system, and removes its folder.
    async fn remove(mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.id() {
            // It fails only for a process that has just ended.
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGTERM);
        }
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.context("the private system does not stop")??;
        // The servers' folders may be elsewhere, where their users can reach them.
        for server in ["postgres", "rabbitmq"] {
            if let Ok(elsewhere) = self.folder.join(server).canonicalize() {
                std::fs::remove_dir_all(elsewhere)?;
            }
        }
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("can't remove {}", self.folder.display()))
    }
}
