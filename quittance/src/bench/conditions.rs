//! Under which conditions was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use event_store::entropy;
use serde::Serialize;

use super::latency::{Latencies, millis};
use super::target::Target;

/// How often the disk is asked.
const SYNCS: usize = 200;
/// How much is written each time: a page of PostgreSQL.
const PAGE: [u8; 8192] = [0; 8192];
/// What is told of PostgreSQL.
const SETTINGS: [&str; 8] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_compression",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
];

/// The conditions of a measurement.
#[derive(Serialize)]
pub(super) struct Conditions {
    program: String,
    optimized: bool,
    cores: usize,
    /// How many processes wanted to run in the minute before.
    load_average: Option<f64>,
    /// How long a page takes to the disk of the data folder, by the median.
    sync_ms: f64,
    broker: &'static str,
    postgres: BTreeMap<&'static str, String>,
    /// How many events were in the log.
    log_events: u64,
}

impl Conditions {
    /// Looks at a system before it is measured.
    ///
    /// # Errors
    ///
    /// Its PostgreSQL answers before what it was told is on the disk: nothing measured there would count.
    pub(super) async fn of(target: &Target) -> anyhow::Result<Self> {
        let mut postgres = BTreeMap::new();
        for setting in SETTINGS {
            let (value,): (String,) =
                sqlx::query_as("SELECT current_setting($1)").bind(setting).fetch_one(&target.log).await?;
            let durable = !matches!(setting, "fsync" | "synchronous_commit") || value != "off";
            ensure!(durable, "{setting} is off in this PostgreSQL, so there would be no result");
            postgres.insert(setting, value);
        }
        let folder = target.folder.clone();
        let syncs = tokio::task::spawn_blocking(move || sync(&folder)).await?;
        Ok(Self {
            program: format!("quittance {}", env!("CARGO_PKG_VERSION")),
            optimized: !cfg!(debug_assertions),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_average: load_average(),
            sync_ms: millis(syncs.context("can't write to the data folder")?.permille(500)),
            broker: if target.credentials.amqp_url.is_some() { "RabbitMQ" } else { "embedded" },
            postgres,
            log_events: target.head().await?,
        })
    }
}

/// Writes a page to a file and waits until it is on the disk, again and again.
fn sync(folder: &Path) -> std::io::Result<Latencies> {
    let path = folder.join(format!("sync-{}", hex::encode(entropy::bytes::<4>())));
    let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        let mut latencies = Latencies::new();
        for _ in 0..SYNCS {
            let began = Instant::now();
            file.write_all(&PAGE)?;
            file.sync_data()?;
            latencies.note(began.elapsed().max(Duration::from_micros(1)));
        }
        Ok(latencies)
    });
    std::fs::remove_file(&path)?;
    written
}

fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, optimized, cores, load_average, sync_ms, broker, postgres, log_events } = self;
        let build = if *optimized { "release build" } else { "debug build: not what it can do" };
        let load = load_average.map_or_else(String::new, |load| format!(", load average {load:.2}"));
        writeln!(f, "{program} ({build}), {cores} cores shared by all{load}, {broker} broker")?;
        writeln!(f, "a page to the disk takes {sync_ms:.2} ms; {log_events} events in the log")?;
        let settings: Vec<String> = postgres.iter().map(|(name, value)| format!("{name} {value}")).collect();
        write!(f, "PostgreSQL: {}", settings.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_asked_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let latencies = sync(folder.path()).unwrap();
        assert_eq!(latencies.count(), SYNCS as u64);
        assert!(latencies.permille(500) > Duration::ZERO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
