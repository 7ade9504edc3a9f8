//! The next events behind a checkpoint, read from the log.

use event_store::StoreError;
use event_store::reader::LogReader;

use crate::checkpoint::Checkpoint;
use crate::personal::Vault;
use crate::projection::Decoded;

/// Events in a row.
pub(crate) struct Chunk {
    /// The events; none at the end of the log.
    pub(crate) events: Vec<Decoded>,
    /// How many more the log has.
    pub(crate) behind: u64,
}

/// Why there is no chunk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    /// The log does not have the event that was folded in last, or it has a hole behind it (I14).
    #[error("history_mismatch at position {0}")]
    HistoryMismatch(u64),
    /// The next event can't be read.
    #[error("next event is unreadable")]
    Unreadable(#[source] StoreError),
    /// The log could not be reached.
    #[error("log is away")]
    Away(#[source] StoreError),
}

/// Reads up to `limit` events behind a checkpoint.
///
/// The checkpoint's own event is read again with them, in the same statement: what follows it there is its
/// history's continuation, or nothing is applied.
pub(crate) async fn read_behind(
    log: &LogReader,
    vault: &Vault,
    from: Checkpoint,
    limit: u32,
) -> Result<Chunk, ChunkError> {
    let overlap = u32::from(from.position > 0);
    let after = from.position.saturating_sub(1);
    let mut entries = log.range(after, limit + overlap).await.map_err(ChunkError::Away)?;
    if overlap > 0 {
        if entries.first().map(Checkpoint::on) != Some(from) {
            return Err(ChunkError::HistoryMismatch(from.position));
        }
        entries.remove(0);
    }
    if let Some((_, hole)) =
        entries.iter().zip(from.position + 1..).find(|(entry, expected)| entry.position != *expected)
    {
        return Err(ChunkError::HistoryMismatch(hole));
    }
    let full = entries.len() == limit as usize;
    let events = vault.decode(entries).await.map_err(|error| match error {
        StoreError::Corrupt { .. } => ChunkError::Unreadable(error),
        other => ChunkError::Away(other),
    })?;
    let behind = match events.last() {
        Some(last) if full => {
            let head = log.head().await.map_err(ChunkError::Away)?;
            head.position.saturating_sub(last.entry.position)
        }
        _ => 0,
    };
    Ok(Chunk { events, behind })
}
