//! The PostgreSQL of a test run.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use event_store::migrate::{Roles, migrate};
use event_store::secrets::Secrets;
use quittance::data_dir::DataDir;
use quittance::private_postgres::PrivatePostgres;
use quittance::secrets::load_or_create;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// What the roles' names begin with, in every database of the run.
pub const ROLE_PREFIX: &str = "quittance_test";

const TEMPLATE: &str = "quittance_template";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A server with a migrated template.
pub struct Cluster {
    folder: std::path::PathBuf,
    databases: AtomicU32,
    server: PrivatePostgres,
    _data: DataDir,
    _undertaker: Child,
}

/// Returns the run's cluster, which the first test starts.
pub async fn cluster() -> anyhow::Result<&'static Cluster> {
    CLUSTER.get_or_try_init(Cluster::start).await
}

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("quittance-tests-").tempdir()?.keep();
        let data = DataDir::open(&folder)?;
        let server = PrivatePostgres::start(&data, None).await?;
        let undertaker = undertaker(server.pid(), &folder)?;
        let mut connection = PgConnection::connect(&server.owner_url("postgres")).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {TEMPLATE}"))).await?;
        // PostgreSQL holds up DROP DATABASE while a client is connecting, and a test may have paused one then.
        connection.execute("ALTER SYSTEM SET authentication_timeout = '10s'").await?;
        connection.execute("SELECT pg_reload_conf()").await?;
        let cluster =
            Self { folder, databases: AtomicU32::new(0), server, _data: data, _undertaker: undertaker };
        let template = cluster.server.owner_url(TEMPLATE);
        migrate(&template, &template, &cluster.roles()?).await?;
        Ok(cluster)
    }

    /// Makes a database of its own from the template, and returns its owner's URL.
    pub async fn database(&self) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let mut connection = PgConnection::connect(&self.server.owner_url("postgres")).await?;
        // Two copies of one template at once are refused, so they take turns.
        connection.execute("SELECT pg_advisory_lock(1)").await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))).await?;
        connection.close().await?;
        Ok(self.server.owner_url(&name))
    }

    /// Returns the keys and passwords of the run.
    pub fn secrets(&self) -> anyhow::Result<Secrets> {
        load_or_create(&self.folder.join("secrets.json"), true)
    }

    fn roles(&self) -> anyhow::Result<Roles> {
        Ok(Roles { prefix: ROLE_PREFIX.to_owned(), passwords: self.secrets()?.passwords })
    }
}

/// Starts a process that ends a server and removes its folder once this process is gone, however it goes: it
/// reads a pipe that only we hold open. What the server has left running, it tells by the folder.
pub(crate) fn undertaker(server: i32, folder: &std::path::Path) -> anyhow::Result<Child> {
    let script = r#"cat >/dev/null; kill -TERM "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
                    for left in $(grep -lzs -- "$2" /proc/[0-9]*/environ | cut -d/ -f3); do kill "$left"; done
                    rm -rf "$(readlink -f "$2/postgres")" "$(readlink -f "$2/rabbitmq")" "$2""#;
    Command::new("setsid")
        .args(["sh", "-c", script, "undertaker"])
        .arg(server.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("can't start the process that cleans up after the tests")
}
