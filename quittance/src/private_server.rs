//! What the private servers of a data folder have in common: ports that stay, logs with an end, and
//! processes that are started or adopted, watched and stopped.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use event_store::entropy;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often the state of a process is looked at while something is awaited of it.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// The ports that one is chosen from: below those that systems lend to outgoing connections, so that
/// it is still free at the next start.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// The size that the log of the last runs is put aside at.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Returns the port of the last start if it is free, else another that is.
pub(crate) fn keep_or_choose_port(server: &str, last: Option<u16>) -> Result<u16> {
    if let Some(port) = last.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    for _ in 0..100 {
        let draw = u16::from_le_bytes(entropy::bytes()) % (PORTS.end - PORTS.start);
        let port = PORTS.start + draw;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free for {server}", PORTS.start, PORTS.end)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Opens a log to append to, a new one when the last runs have said much.
pub(crate) fn open_log(path: &Path) -> Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("1"))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Reads what was said in a log from where a run began.
pub(crate) fn said_since(log: &Path, start: usize) -> String {
    let said = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(said.get(start..).unwrap_or_default()).into_owned()
}

/// A server's process, our child or adopted.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// What the server is called in messages.
    server: &'static str,
    /// Ours to reap; none for an adopted one.
    child: Option<Child>,
    /// The folder that the server serves.
    folder: PathBuf,
    /// Says whether a process is a server of this folder.
    serves: fn(Pid, &Path) -> bool,
}

impl Process {
    /// Takes charge of a server that we have started.
    pub(crate) fn started(
        server: &'static str,
        child: Child,
        folder: &Path,
        serves: fn(Pid, &Path) -> bool,
    ) -> Result<Process> {
        let pid = i32::try_from(child.id()).context("a process id is a positive i32")?;
        Ok(Process { child: Some(child), ..Process::adopted(server, Pid::from_raw(pid), folder, serves) })
    }

    /// Takes charge of a server that an earlier run left behind.
    pub(crate) fn adopted(
        server: &'static str,
        pid: Pid,
        folder: &Path,
        serves: fn(Pid, &Path) -> bool,
    ) -> Process {
        Process { pid, server, child: None, folder: folder.to_owned(), serves }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        match &mut self.child {
            // Not reaped before it is asked here: the number is nobody else's.
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => (self.serves)(self.pid, &self.folder),
        }
    }

    /// Waits until the server has ended. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        while self.is_running() {
            tokio::time::sleep(5 * POLL).await;
        }
    }

    /// Asks the server to stop, with one signal after the other, and waits for each as long as is said.
    pub(crate) async fn stop(&mut self, signals: &[(Signal, Duration)]) -> Result<()> {
        for (signal, patience) in signals {
            if self.ends_by(*signal, *patience).await {
                return Ok(());
            }
            tracing::warn!(
                "{} (process {}) did not stop within {} s",
                self.server,
                self.pid,
                patience.as_secs()
            );
        }
        bail!("{} (process {}) can't be stopped", self.server, self.pid)
    }

    async fn ends_by(&mut self, signal: Signal, patience: Duration) -> bool {
        self.signal(signal);
        let asked = Instant::now();
        while self.is_running() {
            if asked.elapsed() > patience {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Sends a signal, and waits for nothing.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            // It fails only for a process that has just ended, which whoever waits finds out.
            let _ = kill(self.pid, signal);
        }
    }
}
