//! The runner: follows the log from each checkpoint on, and folds it into the read models.
//!
//! The broker brings what is next; what it does not bring in time is read from the log, and before a
//! transaction commits, its events are compared with the log: a broker that loses, doubles, reorders or
//! makes up costs time, never rows (I8). Without a broker the log is read as it grows.
//!
//! Any number of processes may run. Each checkpoint moves only from where it is known to stand, so no two
//! can apply the same events; whoever moved it last goes on, and the others look on until it stands still.
//!
//! Generations that stand at one checkpoint share a chunk and a transaction; two of them, side by side, if the chunk
//! is not small. Where the log is far ahead they share the chunk only, and the next one is read meanwhile. One that fails leaves them and runs alone, in
//! halves, until the events at fault are named and parked; once it stands where the others do, it is one of
//! them again.
//!
//! A generation that begins with a long log has no indexes but those that its fold asks for. The others are made
//! when the log's end is near, before it says that it is live.
//!
//! Failures that pass by themselves (a database that is away, a lock that is held) are waited out. A
//! checkpoint that the log does not match stops its generation (I14) until it is changed from outside or
//! the process starts anew.
mod advance;
mod ahead;
mod complete;
mod follow;
mod refresh;
mod tell;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use event_store::broker::{Broker, queue_name};
use event_store::error::is_transient;
use event_store::reader::{Checkpoint, LogReader};
use ledger_core::personal::SecretKey;
use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::chunk::Source;
use crate::generation::{self, Generation};
use crate::health::{Health, Stopped};
use crate::personal::Vault;
use crate::projection::Projection;
use crate::projections;
use crate::retry;
use crate::running::{Running, pause};

/// How far behind the log a live read model may be.
pub(crate) const NEAR_EVENTS: u64 = 1000;
/// How long to wait for news before looking at the log anyway.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a runner is made of.
pub struct RunnerConfig {
    /// The log's database, as the projectors' role: at least three connections, one of which listens.
    pub log: PgPool,
    /// The read models' database, as the same role: at least four connections.
    pub read: PgPool,
    /// Opens personal fields.
    pub master_key: SecretKey,
    /// Brings news.
    pub broker: Arc<dyn Broker>,
}

/// Runs all projections of one process.
pub struct Runner {
    log: LogReader,
    log_pool: PgPool,
    read: PgPool,
    vault: Vault,
    broker: Arc<dyn Broker>,
    projections: Vec<Box<dyn Projection>>,
    stopped: watch::Sender<Vec<Stopped>>,
    /// How many generations may be completed at a time.
    completing: Arc<Semaphore>,
}

impl Runner {
    /// Makes a runner of all projections.
    pub fn new(config: RunnerConfig) -> Self {
        let RunnerConfig { log, read, master_key, broker } = config;
        let vault = Vault::new(log.clone(), master_key);
        let (stopped, _) = watch::channel(Vec::new());
        Self {
            log: LogReader::new(log.clone()),
            log_pool: log,
            read,
            vault,
            broker,
            projections: projections::all(),
            stopped,
            completing: Arc::new(Semaphore::new(2)),
        }
    }

    /// Returns what tells how the runner is.
    pub fn health(&self) -> Health {
        Health(self.stopped.subscribe())
    }

    /// Makes the read models that are missing. Safe to run again, and by several processes at once.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        Ok(generation::prepare(&self.read, &self.projections, is_long(&self.log).await).await?)
    }

    /// Runs until the token is cancelled.
    ///
    /// # Errors
    ///
    /// Only at the start, if the read models can't be made.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let work = async {
            self.prepare_patiently().await?;
            let retrying = retry::run(&self.read, &self.log, &self.vault, &self.projections);
            tokio::join!(self.follow(), retrying);
            Ok(())
        };
        // What is dropped in the middle of its transaction is rolled back with its checkpoint.
        tokio::select! {
            () = token.cancelled() => Ok(()),
            ended = work => ended,
        }
    }

    async fn prepare_patiently(&self) -> anyhow::Result<()> {
        let mut pause = pause();
        loop {
            match generation::prepare(&self.read, &self.projections, is_long(&self.log).await).await {
                Ok(()) => return Ok(()),
                Err(error) if is_transient(&error) => {
                    tracing::warn!(error = &error as &dyn Error, "read models can't be prepared yet");
                    tokio::time::sleep(pause.longer()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Tells whether folding the log takes long enough to do it without indexes; a log that is away may be long.
pub(crate) async fn is_long(log: &LogReader) -> bool {
    !log.head().await.is_ok_and(|head| head.position <= NEAR_EVENTS)
}

/// Generations that go on together.
type Members<'r, 'a> = Vec<&'r mut Running<'a>>;

/// Generations at one checkpoint, and what they do next.
struct Group<'r, 'a> {
    from: Checkpoint,
    /// Where the next events come from.
    source: Source,
    /// How many of them may be taken.
    limit: u32,
    /// Where the next group stands, which is not passed.
    until: Option<u64>,
    members: Members<'r, 'a>,
}

impl Group<'_, '_> {
    const fn new(from: Checkpoint, source: Source) -> Self {
        Self { from, source, limit: u32::MAX, until: None, members: Vec::new() }
    }
}

fn queue(Generation { name, number }: Generation) -> String {
    queue_name(name, number)
}

/// Tells whether PostgreSQL refused something with an SQLSTATE.
fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|known| known == code)
}
