//! The services as processes of their own on one log: to be started, asked, stopped, killed and paused.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use event_store::migrate::DatabaseRole;
use event_store::server_url::with_user;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quittance::secrets::write_parts;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::broker;
use crate::cluster::{ROLE_PREFIX, cluster};

/// How long a service may take to listen, to be ready and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The paths of the programs: Cargo tells them to tests only.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// The tools.
    pub quittance: &'static str,
    /// The command API.
    pub command_api: &'static str,
    /// The projectors.
    pub projectors: &'static str,
    /// The query API.
    pub query_api: &'static str,
}

/// A migrated database of the test cluster and the files of secrets, for any number of services.
pub struct Deployment {
    /// The database, as its owner.
    pub database_url: String,
    programs: Programs,
    /// The broker of the run, which its services use unless told otherwise.
    amqp_url: Option<String>,
    folder: TempDir,
}

impl Deployment {
    /// Makes a database, and migrates it by the program.
    pub async fn new(programs: Programs) -> Self {
        let cluster = cluster().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secrets = cluster.secrets().unwrap();
        std::fs::write(folder.path().join("secrets.json"), secrets.to_text()).unwrap();
        write_parts(folder.path(), &secrets).unwrap();
        let database_url = cluster.database().await.unwrap();
        let amqp_url = broker::of_run().await.unwrap().map(|vhost| vhost.amqp_url);
        let deployment = Self { database_url, programs, amqp_url, folder };
        let migrated = deployment.quittance(&["migrate", "--role-prefix", ROLE_PREFIX]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        deployment
    }

    /// Returns the folder of its files of secrets.
    pub fn secrets(&self) -> &Path {
        self.folder.path()
    }

    /// Runs one of the tools on the database.
    pub fn quittance(&self, arguments: &[&str]) -> Output {
        Command::new(self.programs.quittance)
            .args(arguments)
            .args(["--database-url", &self.database_url, "--secrets"])
            .arg(self.secrets().join("secrets.json"))
            .output()
            .unwrap()
    }

    /// Creates an operator's API key.
    pub fn operator(&self) -> String {
        let created = self.quittance(&["api-keys", "create", "--role", "operator"]);
        let line = String::from_utf8_lossy(&created.stdout).into_owned();
        line.trim().split_once("  ").unwrap().1.to_owned()
    }

    /// Returns how a command API is started.
    pub fn command_api(&self) -> Launch {
        self.on_broker(self.launch(self.programs.command_api, DatabaseRole::Command, "command-api.json"))
    }

    /// Returns how projectors are started.
    pub fn projectors(&self) -> Launch {
        self.on_broker(self.launch(self.programs.projectors, DatabaseRole::Projector, "projectors.json"))
    }

    /// Returns how a query API is started.
    pub fn query_api(&self) -> Launch {
        self.launch(self.programs.query_api, DatabaseRole::Query, "query-api.json")
    }

    /// Returns the database's URL as a role, without its password.
    pub fn url_as(&self, role: DatabaseRole) -> String {
        let user = format!("{ROLE_PREFIX}_{}", role.suffix());
        with_user(&self.database_url, &user, "").unwrap().replacen(":@", "@", 1)
    }

    fn on_broker(&self, launch: Launch) -> Launch {
        match &self.amqp_url {
            Some(url) => launch.with("--amqp-url", url),
            None => launch,
        }
    }

    fn launch(&self, program: &'static str, role: DatabaseRole, secrets: &str) -> Launch {
        let launch = Launch {
            program,
            logs: self.folder.path().to_owned(),
            options: BTreeMap::new(),
            logging: "info".to_owned(),
        };
        launch
            .with("--database-url", self.url_as(role))
            .with("--secrets", self.secrets().join(secrets).to_str().unwrap())
            .with("--addr", "127.0.0.1:0")
    }
}

/// How a service is started. Nothing comes from the environment.
#[derive(Clone, Debug)]
pub struct Launch {
    program: &'static str,
    logs: PathBuf,
    options: BTreeMap<&'static str, String>,
    logging: String,
}

impl Launch {
    /// Sets what is logged, as `RUST_LOG` says it.
    #[must_use]
    pub fn logging(mut self, what: &str) -> Self {
        what.clone_into(&mut self.logging);
        self
    }

    /// Sets an option, or replaces it.
    #[must_use]
    pub fn with(mut self, option: &'static str, value: impl Into<String>) -> Self {
        self.options.insert(option, value.into());
        self
    }

    /// Leaves an option out.
    #[must_use]
    pub fn without(mut self, option: &str) -> Self {
        self.options.remove(option);
        self
    }

    /// Runs a start that must fail; returns the exit code and the one line that says why.
    pub async fn refused(self) -> (i32, String) {
        let ended = tokio::task::spawn_blocking(move || self.command().output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).trim_end().to_owned();
        assert_eq!(said.lines().count(), 1, "{said}");
        (ended.status.code().unwrap(), said)
    }

    /// Starts the service, and waits until it says where it listens.
    pub async fn start(self) -> Service {
        let log = NamedTempFile::new_in(&self.logs).unwrap().into_temp_path().keep().unwrap();
        let log_file = std::fs::File::create(&log).unwrap();
        let mut child = self.command().stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).map(|_| line)
        });
        let mut service = Service { url: String::new(), log, child };
        let line = tokio::time::timeout(PATIENCE, first_line).await.unwrap().unwrap().unwrap();
        let url = line.trim_end().rsplit_once(" listens on ").map(|(_, url)| url.to_owned());
        service.url = url.unwrap_or_else(|| panic!("it said {line:?} and {}", service.logged()));
        service
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().env("RUST_LOG", &self.logging).stdin(Stdio::null());
        for (option, value) in &self.options {
            command.args([*option, value.as_str()]);
        }
        command
    }
}

/// A running service. Dropped, it is killed.
pub struct Service {
    /// Where it listens.
    pub url: String,
    log: PathBuf,
    child: Child,
}

impl Service {
    /// Waits until the service says that it can serve.
    pub async fn ready(&self) {
        let began = Instant::now();
        loop {
            let reasons = self.not_ready().await;
            if reasons.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} is not ready: {reasons:?}; {}", self.url, self.logged());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks for the reasons why the service can't serve; none if it can.
    pub async fn not_ready(&self) -> Vec<String> {
        let answer = match reqwest::get(format!("{}/readyz", self.url)).await {
            Ok(answer) => answer,
            Err(error) => return vec![error.to_string()],
        };
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        let reasons: Vec<String> = serde_json::from_value(body["reasons"].clone()).unwrap_or_default();
        assert_eq!(status == 200, reasons.is_empty(), "{status} and {body}");
        reasons
    }

    /// Returns what the service has logged.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks the service to stop, as an orchestrator does, and waits until it has ended.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Waits until the service has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end: {}", self.url, self.logged());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills the service (`kill -9`).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops the service in the middle of whatever it does, as a stalled machine would; returns when none of
    /// its threads runs any more.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        while !std::fs::read_dir(&tasks).unwrap().all(|task| is_stopped(task.unwrap())) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a paused service go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
