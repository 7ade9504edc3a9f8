//! The next chunk of the log, read and opened while the one before it is folded.

use std::time::{Duration, Instant};

use event_store::reader::{Checkpoint, LogReader};
use tokio::task::JoinHandle;

use crate::chunk::{self, Chunk, ChunkError};
use crate::personal::Vault;

/// How long what was read is good for: a subject's key may be deleted meanwhile, and its fields are opened.
const FRESH: Duration = Duration::from_secs(1);

/// What is read ahead.
#[derive(Default)]
pub(super) struct Ahead(Option<Reading>);

struct Reading {
    from: Checkpoint,
    limit: u32,
    since: Instant,
    chunk: JoinHandle<Result<Chunk, ChunkError>>,
}

impl Reading {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < FRESH
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.chunk.abort();
    }
}

impl Ahead {
    /// Begins to read behind a checkpoint, unless what was begun before is still of use.
    pub(super) fn begin(&mut self, log: &LogReader, vault: &Vault, from: Checkpoint, limit: u32) {
        if self.0.as_ref().is_some_and(Reading::is_fresh) {
            return;
        }
        let (log, vault) = (log.clone(), vault.clone());
        let chunk = tokio::spawn(async move { chunk::read_behind(&log, &vault, from, limit).await });
        self.0 = Some(Reading { from, limit, since: Instant::now(), chunk });
    }

    /// Returns the events behind a checkpoint, if they are being read; no more of them than may be taken.
    pub(super) async fn take(&mut self, from: Checkpoint, limit: u32) -> Option<Result<Chunk, ChunkError>> {
        let mut reading = self.0.take_if(|reading| reading.from == from)?;
        if reading.limit > limit || !reading.is_fresh() {
            return None;
        }
        (&mut reading.chunk).await.ok()
    }
}
