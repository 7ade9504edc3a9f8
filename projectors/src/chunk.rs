//! The next events behind a checkpoint: as the broker brought them, or read from the log.

use event_store::StoreError;
use event_store::reader::{Checkpoint, LogEntry, LogReader};

use crate::personal::Vault;
use crate::projection::Decoded;

/// Where events come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The broker brought them: they may be of another history than the log.
    Broker,
    /// They were read from the log.
    Log,
}

/// Events in a row.
pub(crate) struct Chunk {
    /// The events; none at the end of the log.
    pub(crate) events: Vec<Decoded>,
    /// How many more the log has.
    pub(crate) behind: u64,
    /// Where they come from.
    pub(crate) source: Source,
}

/// Why there is no chunk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    /// What the broker brought is no part of the log.
    #[error("broker brought what the log does not have")]
    Ghost,
    /// The next event can't be read, or is of another history (I14).
    #[error("next event is unreadable")]
    Unreadable(#[source] StoreError),
    /// The log could not be reached.
    #[error("log is away")]
    Away(#[source] StoreError),
}

impl From<StoreError> for ChunkError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::HistoryMismatch { .. } | StoreError::Corrupt { .. } => Self::Unreadable(error),
            other => Self::Away(other),
        }
    }
}

/// Decodes what the broker brought; `head` is where the log ends, as far as it is known.
pub(crate) async fn brought(vault: &Vault, entries: Vec<LogEntry>, head: u64) -> Result<Chunk, ChunkError> {
    let events = vault.decode(entries).await.map_err(|error| match error {
        StoreError::Corrupt { .. } => ChunkError::Ghost,
        other => ChunkError::Away(other),
    })?;
    let behind = events.last().map_or(0, |last| head.saturating_sub(last.entry.position));
    Ok(Chunk { events, behind, source: Source::Broker })
}

/// Reads up to `limit` events behind a checkpoint, after comparing it with the log.
pub(crate) async fn read_behind(
    log: &LogReader,
    vault: &Vault,
    from: Checkpoint,
    limit: u32,
) -> Result<Chunk, ChunkError> {
    let entries = log.behind(from, limit).await?;
    let full = entries.len() == limit as usize;
    let events = vault.decode(entries).await?;
    let behind = match events.last() {
        Some(last) if full => log.head().await?.position.saturating_sub(last.entry.position),
        _ => 0,
    };
    Ok(Chunk { events, behind, source: Source::Log })
}
