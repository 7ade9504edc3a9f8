//! The node's process: started or adopted, watched, stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use event_store::server_url::escaped;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::epmd;
use super::home::{Home, MARK, Ports, USER};
use super::management::Management;
use super::programs::RabbitPrograms;
use crate::data_dir::DataDir;
use crate::private_server::{Process, open_log, said_since};

/// What it is called in messages.
const SERVER: &str = "RabbitMQ";

/// How long a node may take to be ready: seconds, but it shares the machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often a start is tried: a port may be taken between its choice and its use.
const ATTEMPTS: u32 = 2;
/// How long an adopted node may take to be ready.
const ADOPTION_PATIENCE: Duration = Duration::from_secs(20);
/// How often a node that starts is asked whether it is ready.
const KNOCK: Duration = Duration::from_millis(100);

/// How it is stopped.
const STOP: [(Signal, Duration); 2] = [
    // In order: two seconds, and more when the disk is slow.
    (Signal::SIGTERM, Duration::from_secs(10)),
    // What it has confirmed is on the disk: the next start recovers.
    (Signal::SIGKILL, Duration::from_secs(2)),
];

/// The longest piece of the node's words that an error repeats.
const LAST_WORDS_MAX: usize = 300;

/// A running RabbitMQ node that belongs to one data folder.
///
/// Dropped without [`PrivateRabbit::stop`], it is told to stop and not waited for; killed with our process,
/// it runs on and is adopted by the next start.
pub struct PrivateRabbit {
    process: Process,
    name: String,
    password: String,
    ports: Ports,
    management: Management,
}

impl PrivateRabbit {
    /// Starts the node of a data folder, or adopts the one that a killed run left behind, and returns when
    /// it takes messages. The first start may install RabbitMQ.
    ///
    /// `rabbitmq_bin` is the folder of RabbitMQ's programs where the user has named one. Ports, password
    /// and durable queues are the same at each start, unless someone else has taken a port meanwhile or
    /// another series of RabbitMQ has been installed, which begins with empty queues. To be called again,
    /// on the same folder, when the node has died.
    ///
    /// # Errors
    ///
    /// RabbitMQ is missing and can't be installed, the folder can't be used, or the node is not ready
    /// within 60 s; the error says what to do or ends with the node's own words.
    pub async fn start(data: &DataDir, rabbitmq_bin: Option<&Path>) -> Result<PrivateRabbit> {
        let programs = RabbitPrograms::find_or_install(rabbitmq_bin)?;
        let home = Home::open(data)?;
        if let Some(node) = adopt(&home).await? {
            return Ok(node);
        }
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            match launch(&home, &programs, START_PATIENCE.saturating_sub(started.elapsed())).await {
                Ok(node) => return Ok(node),
                Err(error) if attempt == ATTEMPTS || started.elapsed() >= START_PATIENCE => {
                    return Err(error);
                }
                Err(error) => tracing::warn!("{error:#}; trying again"),
            }
            attempt += 1;
        }
    }

    /// Returns the URL by which a virtual host of this node is reached; the first is called `/`.
    ///
    /// It holds the password: not for logs.
    #[must_use]
    pub fn amqp_url(&self, vhost: &str) -> String {
        let PrivateRabbit { password, ports: Ports { amqp, .. }, .. } = self;
        format!("amqp://{USER}:{password}@127.0.0.1:{amqp}/{}", escaped(vhost))
    }

    /// Returns the URL of the node's management API, whose user and password are those of
    /// [`PrivateRabbit::amqp_url`].
    #[must_use]
    pub fn management_url(&self) -> String {
        self.management.url.clone()
    }

    /// Returns the process id of the node.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid.as_raw()
    }

    /// Makes a virtual host, with nothing in it, for [`PrivateRabbit::amqp_url`]. One that exists stays as
    /// it is.
    ///
    /// # Errors
    ///
    /// The node does not answer, or refuses the name.
    pub async fn create_vhost(&self, name: &str) -> Result<()> {
        self.management.create_vhost(name).await
    }

    /// Removes a virtual host with all that is in it, and ends its connections. It may be gone already.
    ///
    /// # Errors
    ///
    /// The node does not answer.
    pub async fn delete_vhost(&self, name: &str) -> Result<()> {
        self.management.delete_vhost(name).await
    }

    /// Waits until the node has ended, which without [`PrivateRabbit::stop`] it does only when it was
    /// killed. Cancel-safe.
    pub async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Stops the node and waits until it has, with nothing lost that it has confirmed. After 10 s it is
    /// killed, and recovers at the next start.
    ///
    /// # Errors
    ///
    /// The node runs on, which it does only while the disk hangs.
    pub async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        self.process.stop(&STOP).await?;
        epmd::stop(self.ports.epmd, &self.name);
        Ok(())
    }

    /// Waits until the node takes messages.
    async fn accept(&mut self, patience: Duration) -> Result<()> {
        let asked = Instant::now();
        loop {
            let Err(refusal) = self.management.check(self.ports.amqp).await else { return Ok(()) };
            if !self.process.is_running() {
                bail!("RabbitMQ did not start");
            }
            if asked.elapsed() > patience {
                return Err(refusal)
                    .with_context(|| format!("RabbitMQ (process {}) is not ready", self.pid()));
            }
            tokio::time::sleep(KNOCK).await;
        }
    }
}

impl Drop for PrivateRabbit {
    fn drop(&mut self) {
        if self.process.is_running() {
            self.process.signal(Signal::SIGTERM);
            epmd::stop(self.ports.epmd, &self.name);
        }
    }
}

/// Takes over the node that a killed run left behind, or ends it where it is not ready.
async fn adopt(home: &Home) -> Result<Option<PrivateRabbit>> {
    let Some(ports) = home.last_ports() else { return Ok(None) };
    let Some(pid) = left_behind(home) else {
        // A node that was killed leaves its epmd, at the port that the next is to have.
        epmd::stop(ports.epmd, &home.name);
        return Ok(None);
    };
    let mut node = running(home, Process::adopted(SERVER, pid, &home.folder, serves), ports)?;
    if node.accept(ADOPTION_PATIENCE).await.is_ok() {
        tracing::info!("took over the RabbitMQ (process {pid}) that an earlier run left behind");
        return Ok(Some(node));
    }
    node.end().await?;
    Ok(None)
}

/// Finds the node that a killed run left behind, if it still lives.
fn left_behind(home: &Home) -> Option<Pid> {
    let pid = fs::read_to_string(home.pid_file()).ok()?.trim().parse().ok().filter(|pid| *pid > 1)?;
    Some(Pid::from_raw(pid)).filter(|pid| serves(*pid, &home.folder))
}

async fn launch(home: &Home, programs: &RabbitPrograms, patience: Duration) -> Result<PrivateRabbit> {
    home.make_room(programs)?;
    let ports = home.choose_ports()?;
    let log = open_log(&home.log_file())?;
    let log_start = usize::try_from(log.metadata()?.len())?;

    let mut command = home.command(programs, ports)?;
    let child = command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot run rabbitmq-server")?;
    let process = Process::started(SERVER, child, &home.folder, serves)?;
    let mut node = running(home, process, ports)?;
    match node.accept(patience).await {
        Ok(()) => Ok(node),
        Err(error) => {
            node.end().await?;
            Err(anyhow!("{error:#}; {}", last_words(&home.log_file(), log_start)))
        }
    }
}

fn running(home: &Home, process: Process, ports: Ports) -> Result<PrivateRabbit> {
    let management = Management::new(ports.management, &home.password)?;
    Ok(PrivateRabbit { process, name: home.name.clone(), password: home.password.clone(), ports, management })
}

/// Finds what the node said last, from where its run began.
fn last_words(log: &Path, from: usize) -> String {
    let said = said_since(log, from);
    let reason = match said.rsplit_once("Error during startup:") {
        // It goes on over many lines, the telling ones first.
        Some((_, reason)) => reason.split_whitespace().collect::<Vec<_>>().join(" "),
        // Lines of nothing but a time are the rest of longer messages.
        None => said.lines().rev().find(|line| !line.ends_with("> ")).unwrap_or_default().to_owned(),
    };
    if reason.is_empty() {
        return format!("see {}", log.display());
    }
    let reason: String = reason.chars().take(LAST_WORDS_MAX).collect();
    format!("it said: {reason} (more in {})", log.display())
}

/// Says whether a process is the node of this folder, which its arguments name.
fn serves(pid: Pid, folder: &Path) -> bool {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let ours = [MARK.as_bytes(), folder.as_os_str().as_encoded_bytes()];
        return arguments.windows(2).any(|pair| pair == ours);
    }
    // Without /proc (macOS).
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    output
        .is_ok_and(|ps| String::from_utf8_lossy(&ps.stdout).contains(&format!("{MARK} {}", folder.display())))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_process_is_told_by_the_folder_in_its_arguments() {
        let folder = Path::new("/data of/rabbitmq");
        let mut node = Command::new("/bin/sh")
            .args(["-c", "echo; read -r _", "sh", MARK, "/data of/rabbitmq"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has its arguments once it runs.
        node.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let pid = Pid::from_raw(i32::try_from(node.id()).unwrap());
        assert!(serves(pid, folder));
        assert!(!serves(pid, Path::new("/data of")));
        node.kill().unwrap();
        node.wait().unwrap();
        assert!(!serves(pid, folder));
    }
}
