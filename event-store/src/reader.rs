//! Reading the log: ranges of positions and streams, each in one short statement.

use ledger_core::{Envelope, LeafHash, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};

use crate::error::{READ_LIMIT, StoreError, within};

/// Where the log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The position of the last event; 0 in an empty log.
    pub position: u64,
    /// Its leaf hash; [`LeafHash::ZERO`] in an empty log.
    pub leaf_hash: LeafHash,
    /// Its moment.
    pub recorded_at: Option<Timestamp>,
}

/// A moment's place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The position of the last event recorded at or before it; 0 if there is none.
    pub position: u64,
    /// Whether a later moment's event is there, so that no more can come before it.
    pub is_past: bool,
    /// PostgreSQL's time when this was found.
    pub now: Timestamp,
}

/// A moment whose place is sought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sought {
    /// The moment.
    pub moment: Timestamp,
    /// A position that may be at its place or before it. If it is not, nothing but time is lost.
    pub from: u64,
    /// A position that may be behind its place. If it is not, nothing but time is lost.
    pub before: u64,
}

impl Sought {
    /// Seeks a moment in the whole log.
    pub const fn anywhere(moment: Timestamp) -> Self {
        Self { moment, from: 0, before: 0 }
    }
}

/// The head as a row.
pub(crate) type HeadRow = (Option<i64>, Option<Vec<u8>>, Option<DateTime<Utc>>);

impl From<HeadRow> for Head {
    fn from((position, leaf_hash, recorded_at): HeadRow) -> Self {
        Self {
            position: position.unwrap_or(0).unsigned_abs(),
            leaf_hash: leaf_hash.map_or(LeafHash::ZERO, |bytes| leaf(&bytes)),
            recorded_at: recorded_at.map(Timestamp::new),
        }
    }
}

/// Takes 32 bytes as a leaf hash; the column's constraint says that there are no other.
pub fn leaf(bytes: &[u8]) -> LeafHash {
    bytes.try_into().map_or(LeafHash::ZERO, LeafHash)
}

/// An event as it was read.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Place in the log.
    pub position: u64,
    /// The canonical text, byte for byte.
    pub canonical: String,
    /// The hash that is stored beside it.
    pub leaf_hash: LeafHash,
}

impl LogEntry {
    /// Reads the event.
    pub fn envelope(&self) -> Result<Envelope, StoreError> {
        Envelope::parse(&self.canonical)
            .map_err(|source| StoreError::Corrupt { what: format!("event {}", self.position), source })
    }
}

/// The last event that someone has taken in: a position, and the leaf hash that says in which history
/// (I14).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Checkpoint {
    /// Its position; 0 before the first.
    pub position: u64,
    /// Its leaf hash.
    pub leaf_hash: LeafHash,
}

impl Checkpoint {
    /// Stands on an event.
    pub const fn on(entry: &LogEntry) -> Self {
        Self { position: entry.position, leaf_hash: entry.leaf_hash }
    }
}

impl From<Head> for Checkpoint {
    fn from(head: Head) -> Self {
        Self { position: head.position, leaf_hash: head.leaf_hash }
    }
}

/// A row of `events`, as far as readers want it.
type EntryRow = (i64, String, Vec<u8>);

fn entry((position, canonical, leaf_hash): EntryRow) -> LogEntry {
    LogEntry { position: position.unsigned_abs(), canonical, leaf_hash: leaf(&leaf_hash) }
}

/// Reads the log. Cheap to clone; never holds a transaction open.
#[derive(Clone, Debug)]
pub struct LogReader {
    pool: PgPool,
}

impl LogReader {
    /// Reads through a pool.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Returns the log's end.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let query = sqlx::query_as(
            "SELECT position, leaf_hash, recorded_at FROM events ORDER BY position DESC LIMIT 1",
        )
        .fetch_optional(&self.pool);
        let row: Option<HeadRow> = within(READ_LIMIT, query).await?;
        Ok(row.unwrap_or_default().into())
    }

    /// Returns up to `limit` events after a position, in order.
    pub async fn range(&self, after: u64, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        let query = sqlx::query_as(
            "SELECT position, canonical, leaf_hash FROM events WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(after.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.pool);
        let rows: Vec<EntryRow> = within(READ_LIMIT, query).await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Returns up to `limit` events behind a checkpoint, in order.
    ///
    /// The checkpoint's own event is read again with them, in the same statement: what follows it there is
    /// its history's continuation, or nothing is returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::HistoryMismatch`] if the log does not have that event, or has a hole behind it.
    pub async fn behind(&self, from: Checkpoint, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        let overlap = u32::from(from.position > 0);
        let mut entries = self.range(from.position.saturating_sub(1), limit + overlap).await?;
        if overlap > 0 {
            if entries.first().map(Checkpoint::on) != Some(from) {
                return Err(StoreError::HistoryMismatch { position: from.position });
            }
            entries.remove(0);
        }
        let mut expected = entries.iter().zip(from.position + 1..);
        match expected.find(|(entry, position)| entry.position != *position) {
            Some((_, position)) => Err(StoreError::HistoryMismatch { position }),
            None => Ok(entries),
        }
    }

    /// Returns all events of a stream, in order.
    pub async fn stream(&self, stream_id: &str) -> Result<Vec<LogEntry>, StoreError> {
        let query = sqlx::query_as(
            "SELECT position, canonical, leaf_hash FROM events WHERE stream_id = $1 ORDER BY version",
        )
        .bind(stream_id)
        .fetch_all(&self.pool);
        let rows: Vec<EntryRow> = within(READ_LIMIT, query).await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Returns the events at the given positions, in order.
    pub async fn at(&self, positions: &[i64]) -> Result<Vec<LogEntry>, StoreError> {
        let query = sqlx::query_as(
            "SELECT position, canonical, leaf_hash FROM events WHERE position = ANY ($1) ORDER BY position",
        )
        .bind(positions)
        .fetch_all(&self.pool);
        let rows: Vec<EntryRow> = within(READ_LIMIT, query).await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Returns the leaf hash at a position; [`LeafHash::ZERO`] at 0, `None` past the end.
    pub async fn leaf_hash(&self, position: u64) -> Result<Option<LeafHash>, StoreError> {
        if position == 0 {
            return Ok(Some(LeafHash::ZERO));
        }
        let query = sqlx::query_as("SELECT leaf_hash FROM events WHERE position = $1")
            .bind(position.cast_signed())
            .fetch_optional(&self.pool);
        let row: Option<(Vec<u8>,)> = within(READ_LIMIT, query).await?;
        Ok(row.map(|(bytes,)| leaf(&bytes)))
    }

    /// Tells whether the log has a checkpoint's event and these very events behind it, by their leaf hashes.
    pub async fn has<'e>(
        &self,
        from: Checkpoint,
        entries: impl Iterator<Item = &'e LogEntry>,
    ) -> Result<bool, StoreError> {
        let mut hashes = Sha256::new();
        if from.position > 0 {
            hashes.update(from.leaf_hash.0);
        }
        let mut last = from.position;
        for entry in entries {
            hashes.update(entry.leaf_hash.0);
            last = entry.position;
        }
        let query = sqlx::query_as(
            "SELECT sha256(coalesce(string_agg(leaf_hash, '' ORDER BY position), ''))
             FROM events WHERE position BETWEEN $1 AND $2",
        )
        .bind(from.position.cast_signed())
        .bind(last.cast_signed())
        .fetch_one(&self.pool);
        let (there,): (Vec<u8>,) = within(READ_LIMIT, query).await?;
        Ok(there == hashes.finalize().as_slice())
    }

    /// Tells how long ago the event behind a position was recorded, in seconds; 0 if there is none.
    pub async fn age_behind(&self, position: u64) -> Result<f64, StoreError> {
        let query = sqlx::query_as(
            "SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float8 FROM events WHERE position = $1",
        )
        .bind(position.cast_signed() + 1)
        .fetch_optional(&self.pool);
        let row: Option<(f64,)> = within(READ_LIMIT, query).await?;
        Ok(row.map_or(0.0, |(age,)| age))
    }

    /// Finds the places of moments in the log, in their order, all of them in one snapshot.
    ///
    /// Positions and moments rise together, so the primary key is searched by halving: a few dozen
    /// look-ups in the largest log, fewer between good bounds, and no index on time that appends would pay for.
    pub async fn places_of(&self, sought: &[Sought]) -> Result<Vec<Place>, StoreError> {
        let query = sqlx::query_as(
            "WITH RECURSIVE search (nth, moment, low, high) AS (
                 SELECT nth, moment,
                        CASE WHEN (SELECT recorded_at FROM events WHERE position = from_there) <= moment
                             THEN from_there ELSE 0 END,
                        CASE WHEN (SELECT recorded_at FROM events WHERE position = before_there) > moment
                             THEN before_there - 1 ELSE coalesce((SELECT max(position) FROM events), 0) END
                 FROM unnest($1::timestamptz[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                      AS sought (moment, from_there, before_there, nth)
                 UNION ALL
                 SELECT nth, moment, CASE WHEN early THEN middle ELSE low END,
                        CASE WHEN early THEN high ELSE middle - 1 END
                 FROM (SELECT nth, moment, low, high, (low + high + 1) / 2 AS middle,
                              (SELECT recorded_at FROM events WHERE position = (low + high + 1) / 2) <= moment
                                  AS early
                       FROM search WHERE low < high) AS step
             )
             SELECT low, clock_timestamp(),
                    coalesce((SELECT recorded_at FROM events ORDER BY position DESC LIMIT 1) > moment, false)
             FROM search WHERE low >= high ORDER BY nth",
        )
        .bind(sought.iter().map(|sought| sought.moment.get()).collect::<Vec<_>>())
        .bind(sought.iter().map(|sought| sought.from.cast_signed()).collect::<Vec<_>>())
        .bind(sought.iter().map(|sought| sought.before.cast_signed()).collect::<Vec<_>>())
        .fetch_all(&self.pool);
        let rows: Vec<(i64, DateTime<Utc>, bool)> = within(READ_LIMIT, query).await?;
        let place = |(position, now, is_past): (i64, DateTime<Utc>, bool)| Place {
            position: position.unsigned_abs(),
            now: Timestamp::new(now),
            is_past,
        };
        Ok(rows.into_iter().map(place).collect())
    }

    /// Tells PostgreSQL's time.
    pub async fn database_time(&self) -> Result<Timestamp, StoreError> {
        let query = sqlx::query_as("SELECT clock_timestamp()").fetch_one(&self.pool);
        let (now,): (DateTime<Utc>,) = within(READ_LIMIT, query).await?;
        Ok(Timestamp::new(now))
    }
}
