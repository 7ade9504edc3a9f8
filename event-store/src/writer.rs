//! The one way into the log: lock, read, append, commit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ledger_core::Timestamp;
use ledger_core::balance::{ClientBalance, MerchantBalance};
use ledger_core::state::{Key, Record};
use metrics::histogram;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::batch::{Batch, Change, Outcome};
use crate::clock::Clock;
use crate::error::{StoreError, within};
use crate::load;
use crate::reader::Head;

/// The channel that a commit of events wakes readers on.
pub const WAKE_CHANNEL: &str = "quittance_log";

/// Takes the lock: the waiting is not limited by the server, since a waiter keeps its place; what follows
/// is.
const LOCK: &str = "BEGIN; SET LOCAL statement_timeout = 0; LOCK TABLE log_lock IN EXCLUSIVE MODE; \
                    SET LOCAL statement_timeout = '5s'";

/// What ends a writer that stalls with the lock, whatever role it has: it must stop nobody for long.
const GUARDS: [(&str, &str); 5] = [
    ("statement_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "3s"),
    ("tcp_user_timeout", "5s"),
    ("synchronous_commit", "on"),
    // A plan made while the log was empty would go on scanning it (docs/decisions.md).
    ("enable_seqscan", "off"),
];

/// How long we wait for an answer: longer than the server may take, in case it can't tell us.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// How long we wait for the lock: its holder is ended by the server long before.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// How far PostgreSQL's clock may be behind the head's time before commands are refused.
const CLOCK_SKEW_MAX_MICROS: i64 = 2_000_000;

/// Appends to the log, one batch at a time, on a connection of its own.
#[derive(Debug)]
pub struct LogWriter {
    options: PgConnectOptions,
    clock: Clock,
    connection: Option<PgConnection>,
}

impl LogWriter {
    /// Makes a writer; it connects when it is first used, and again whenever the connection breaks.
    pub fn new(options: PgConnectOptions, clock: Clock) -> Self {
        Self { options: options.options(GUARDS), clock, connection: None }
    }

    /// Waits for the log's lock.
    ///
    /// It is taken by a statement of its own: whatever is read after it in READ COMMITTED is read on a
    /// snapshot that is not older than the lock.
    pub async fn lock(&mut self) -> Result<Locked<'_>, StoreError> {
        self.try_lock().await.map_err(|error| StoreError::NotLocked(Box::new(error)))
    }

    async fn try_lock(&mut self) -> Result<Locked<'_>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => within(ANSWER_LIMIT, connect(&self.options)).await?,
        };
        within(LOCK_LIMIT, connection.execute(LOCK)).await?;
        Ok(Locked { home: &mut self.connection, connection, clock: &self.clock })
    }
}

/// Connects, and writes a row: see `writer_sessions`.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    connection.execute("INSERT INTO writer_sessions DEFAULT VALUES").await?;
    Ok(connection)
}

/// PostgreSQL's clock is too far behind the log's last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database's clock is {behind_micros} µs behind the log")]
pub struct ClockSkew {
    /// How far.
    pub behind_micros: i64,
}

/// What a batch begins with, read under the lock.
#[derive(Debug)]
pub struct Beginning {
    /// The log's end, which stays it.
    pub head: Head,
    /// The outcomes that earlier requests with the same idempotency keys have.
    pub outcomes: HashMap<Uuid, Outcome>,
    now: Timestamp,
}

impl Beginning {
    /// Returns the moment for this batch's events: PostgreSQL's time, but later than the head's.
    pub fn recorded_at(&self) -> Result<Timestamp, ClockSkew> {
        let Some(last) = self.head.recorded_at else { return Ok(self.now) };
        let behind_micros = last.micros() - self.now.micros();
        if behind_micros > CLOCK_SKEW_MAX_MICROS {
            return Err(ClockSkew { behind_micros });
        }
        Ok(self.now.max(last.plus_micros(1)))
    }
}

/// The head and the time, in every row, and an outcome if one was found.
#[derive(sqlx::FromRow)]
struct BeginningRow {
    head: Option<i64>,
    leaf_hash: Option<Vec<u8>>,
    recorded_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    #[sqlx(flatten)]
    known: KnownRow,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    key: Option<Uuid>,
    fingerprint: Option<Uuid>,
    status: Option<i16>,
    position: Option<i64>,
    answer: Option<String>,
}

impl KnownRow {
    fn into_outcome(self) -> Option<Outcome> {
        let (status, position) = (self.status?.unsigned_abs(), self.position?.unsigned_abs());
        Some(Outcome {
            key: self.key?,
            fingerprint: self.fingerprint?,
            status,
            position,
            answer: self.answer?,
        })
    }
}

/// The log, locked: nobody else appends until this is committed or dropped.
///
/// Dropped without a commit, its connection is closed and the server rolls back.
#[derive(Debug)]
pub struct Locked<'a> {
    home: &'a mut Option<PgConnection>,
    connection: PgConnection,
    clock: &'a Clock,
}

impl Locked<'_> {
    /// Reads the log's end, the time, and the outcomes of the given idempotency keys.
    pub async fn begin(&mut self, keys: &[Uuid]) -> Result<Beginning, StoreError> {
        let query = sqlx::query_as(
            "SELECT last.position AS head, leaf_hash, recorded_at, clock_timestamp() AS now,
                    key, fingerprint, status, known.position, answer
             FROM (VALUES (1)) AS always (here)
             LEFT JOIN (SELECT position, leaf_hash, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last ON true
             LEFT JOIN (SELECT * FROM outcomes WHERE key = ANY ($1)) AS known ON true",
        )
        .bind(keys);
        let rows: Vec<BeginningRow> = within(ANSWER_LIMIT, query.fetch_all(&mut self.connection)).await?;
        let mut begun = None;
        let mut outcomes = HashMap::new();
        for BeginningRow { head, leaf_hash, recorded_at, now, known } in rows {
            begun = Some((Head::from((head, leaf_hash, recorded_at)), now));
            outcomes.extend(known.into_outcome().map(|outcome| (outcome.key, outcome)));
        }
        let (head, now) = begun.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Beginning { head, outcomes, now: self.clock.moved(Timestamp::new(now)) })
    }

    /// Tells which event stands at a position.
    pub async fn event_id_at(&mut self, position: u64) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_as("SELECT canonical::jsonb ->> 'event_id' FROM events WHERE position = $1")
            .bind(position.cast_signed());
        let row: Option<(String,)> = within(ANSWER_LIMIT, query.fetch_optional(&mut self.connection)).await?;
        Ok(row.map(|(event_id,)| event_id))
    }

    /// Looks records up; a key without a record comes back with `None`.
    pub async fn load(&mut self, keys: &[Key]) -> Result<HashMap<Key, Option<Record>>, StoreError> {
        match tokio::time::timeout(ANSWER_LIMIT, load::records(&mut self.connection, keys)).await {
            Ok(found) => found,
            Err(_) => Err(StoreError::Timeout(ANSWER_LIMIT)),
        }
    }

    /// Appends a batch and commits it. After an error nothing is committed, except when the error is
    /// [`StoreError::CommitUnknown`].
    pub async fn commit(mut self, batch: &Batch) -> Result<(), StoreError> {
        match tokio::time::timeout(ANSWER_LIMIT, append(&mut self.connection, batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.roll_back().await;
                return Err(error);
            }
            Err(_) => return Err(StoreError::Timeout(ANSWER_LIMIT)),
        }
        let started = Instant::now();
        match tokio::time::timeout(ANSWER_LIMIT, self.connection.execute("COMMIT")).await {
            Ok(Ok(_)) => {
                histogram!("quittance_commit_seconds").record(started.elapsed());
                *self.home = Some(self.connection);
                Ok(())
            }
            Ok(Err(error)) if is_refusal(&error) => Err(error.into()),
            Ok(Err(error)) => Err(StoreError::CommitUnknown(error)),
            Err(elapsed) => Err(StoreError::CommitUnknown(sqlx::Error::Io(elapsed.into()))),
        }
    }

    /// Lets the lock go without appending. The connection is kept if it still answers.
    pub async fn roll_back(mut self) {
        if let Ok(Ok(_)) = tokio::time::timeout(ANSWER_LIMIT, self.connection.execute("ROLLBACK")).await {
            *self.home = Some(self.connection);
        }
    }
}

/// Tells whether COMMIT was refused for certain. A server that ends the session (57P), or that fails
/// itself (FATAL, PANIC), may have written the commit before.
fn is_refusal(error: &sqlx::Error) -> bool {
    let Some(refusal) = error.as_database_error() else { return false };
    let severity = refusal.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    let ended = refusal.code().is_some_and(|code| code.starts_with("57P"));
    !ended && matches!(severity, Some(PgSeverity::Error))
}

/// Writes all of a batch's rows. What happens with every command goes in one statement.
async fn append(connection: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    let (new_balances, balances): (Vec<_>, Vec<_>) =
        balance_rows(&batch.changes).into_iter().partition(|row| row.expected_version == 0);
    events_outcomes_and_balances(connection, batch, &balances).await?;
    if !new_balances.is_empty() {
        insert_balances(connection, &new_balances).await?;
    }
    for Change { key, record, expected_version } in &batch.changes {
        match record {
            Record::Client(client) => {
                let row = (client.id.to_string(), json(client)?, client.stamp.version, client.stamp.position);
                put_owner(connection, row, *expected_version).await?;
            }
            Record::Merchant(merchant) => {
                let row = (
                    merchant.id.to_string(),
                    json(merchant)?,
                    merchant.stamp.version,
                    merchant.stamp.position,
                );
                put_owner(connection, row, *expected_version).await?;
            }
            Record::Card(_) => put_card(connection, batch, key, record, *expected_version).await?,
            Record::ApiKey(_) => put_api_key(connection, batch, record, *expected_version).await?,
            Record::CardOf(_)
            | Record::Payment(_)
            | Record::ClientBalance(_)
            | Record::MerchantBalance(_)
            | Record::Settlement(_)
            | Record::Payout(_)
            | Record::Correction(_)
            | Record::CorrectionOf(_)
            | Record::FxRate(_)
            | Record::Reconciliation(_)
            | Record::ReconciliationOf(_) => {}
        }
    }
    if !batch.subject_keys.is_empty() {
        insert_subject_keys(connection, batch).await?;
    }
    Ok(())
}

/// A row of `balances`.
struct BalanceRow {
    owner: String,
    currency: String,
    client: ClientBalance,
    merchant: MerchantBalance,
    expected_version: u64,
}

impl BalanceRow {
    const fn version(&self) -> (u64, u64) {
        let row = if self.client.row.version > 0 { self.client.row } else { self.merchant.row };
        (row.version, row.position)
    }
}

fn balance_rows(changes: &[Change]) -> Vec<BalanceRow> {
    let row = |change: &Change| match (&change.key, &change.record) {
        (Key::ClientBalance(id, currency), Record::ClientBalance(balance)) => Some(BalanceRow {
            owner: id.to_string(),
            currency: currency.to_string(),
            client: balance.clone(),
            merchant: MerchantBalance::default(),
            expected_version: change.expected_version,
        }),
        (Key::MerchantBalance(id, currency), Record::MerchantBalance(balance)) => Some(BalanceRow {
            owner: id.to_string(),
            currency: currency.to_string(),
            client: ClientBalance::default(),
            merchant: balance.clone(),
            expected_version: change.expected_version,
        }),
        _ => None,
    };
    changes.iter().filter_map(row).collect()
}

/// The columns of `balances`, as arrays.
struct BalanceColumns {
    owner: Vec<String>,
    currency: Vec<String>,
    available: Vec<i64>,
    held: Vec<i64>,
    open: Vec<i64>,
    pending: Vec<i64>,
    reserved: Vec<i64>,
    in_transit: Vec<i64>,
    drawn: Vec<i64>,
    unsettled: Vec<String>,
    version: Vec<i64>,
    position: Vec<i64>,
    expected: Vec<i64>,
}

impl BalanceColumns {
    fn of(rows: &[BalanceRow]) -> Result<Self, StoreError> {
        let each = |column: fn(&BalanceRow) -> i64| rows.iter().map(column).collect::<Vec<_>>();
        Ok(Self {
            owner: rows.iter().map(|row| row.owner.clone()).collect(),
            currency: rows.iter().map(|row| row.currency.clone()).collect(),
            available: each(|row| row.client.available + row.merchant.available),
            held: each(|row| row.client.held),
            open: each(|row| row.client.open.into()),
            pending: each(|row| row.merchant.pending),
            reserved: each(|row| row.merchant.reserved),
            in_transit: each(|row| row.merchant.in_transit),
            drawn: each(|row| row.merchant.drawn),
            unsettled: rows.iter().map(|row| json(&row.merchant.unsettled)).collect::<Result<_, _>>()?,
            version: each(|row| row.version().0.cast_signed()),
            position: each(|row| row.version().1.cast_signed()),
            expected: each(|row| row.expected_version.cast_signed()),
        })
    }
}

async fn events_outcomes_and_balances(
    connection: &mut PgConnection,
    batch: &Batch,
    balances: &[BalanceRow],
) -> Result<(), StoreError> {
    let columns = BalanceColumns::of(balances)?;
    let (events, outcomes) = (&batch.events, &batch.outcomes);
    let (changed,): (i64,) = sqlx::query_as(
        // Arrays are taken apart in the lists of columns: in FROM, each is copied into a table of its own first.
        "WITH appended AS (
             INSERT INTO events (position, stream_id, version, type, recorded_at, canonical, leaf_hash)
             SELECT unnest($2::bigint[]), unnest($3::text[]), unnest($4::bigint[]), unnest($5::text[]),
                    $1::timestamptz, unnest($6::text[]), unnest($7::bytea[])
         ), answered AS (
             INSERT INTO outcomes (key, fingerprint, status, position, answer)
             SELECT unnest($8::uuid[]), unnest($9::uuid[]), unnest($10::smallint[]), unnest($11::bigint[]),
                    unnest($12::text[])
         ), moved AS (
             UPDATE balances SET available = new.available, held = new.held, open = new.open, pending = new.pending,
                    reserved = new.reserved, in_transit = new.in_transit, drawn = new.drawn,
                    unsettled = new.unsettled, version = new.version, position = new.position
             FROM (SELECT unnest($13::text[]) AS owner, unnest($14::text[]) AS currency,
                          unnest($15::bigint[]) AS available, unnest($16::bigint[]) AS held,
                          unnest($17::bigint[]) AS open, unnest($18::bigint[]) AS pending,
                          unnest($19::bigint[]) AS reserved, unnest($20::bigint[]) AS in_transit,
                          unnest($21::bigint[]) AS drawn, unnest($22::text[]) AS unsettled,
                          unnest($23::bigint[]) AS version, unnest($24::bigint[]) AS position,
                          unnest($25::bigint[]) AS expected) AS new
             WHERE balances.owner = new.owner AND balances.currency = new.currency
               AND balances.version = new.expected
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM moved), CASE WHEN cardinality($2) > 0 THEN pg_notify($26, '') END",
    )
    .bind(batch.recorded_at.map(Timestamp::get))
    .bind(events.iter().map(|event| event.position.cast_signed()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.stream_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.version.cast_signed()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.type_name).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.canonical.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.leaf_hash.0.as_slice()).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|outcome| outcome.key).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|outcome| outcome.fingerprint).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|outcome| outcome.status.cast_signed()).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|outcome| outcome.position.cast_signed()).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|outcome| outcome.answer.as_str()).collect::<Vec<_>>())
    .bind(columns.owner)
    .bind(columns.currency)
    .bind(columns.available)
    .bind(columns.held)
    .bind(columns.open)
    .bind(columns.pending)
    .bind(columns.reserved)
    .bind(columns.in_transit)
    .bind(columns.drawn)
    .bind(columns.unsettled)
    .bind(columns.version)
    .bind(columns.position)
    .bind(columns.expected)
    .bind(WAKE_CHANNEL)
    .fetch_one(connection)
    .await?;
    expect_rows("balances", balances.len() as u64, changed.unsigned_abs())
}

async fn insert_balances(connection: &mut PgConnection, rows: &[BalanceRow]) -> Result<(), StoreError> {
    let columns = BalanceColumns::of(rows)?;
    let inserted = sqlx::query(
        "INSERT INTO balances (owner, currency, available, held, open, pending, reserved,
                               in_transit, drawn, unsettled, version, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                              $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[])
              AS new (owner, currency, available, held, open, pending, reserved,
                      in_transit, drawn, unsettled, version, position)
         WHERE NOT EXISTS (SELECT FROM balances AS old WHERE old.owner = new.owner AND old.currency = new.currency)",
    )
    .bind(columns.owner)
    .bind(columns.currency)
    .bind(columns.available)
    .bind(columns.held)
    .bind(columns.open)
    .bind(columns.pending)
    .bind(columns.reserved)
    .bind(columns.in_transit)
    .bind(columns.drawn)
    .bind(columns.unsettled)
    .bind(columns.version)
    .bind(columns.position)
    .execute(connection)
    .await?;
    expect_rows("balances", rows.len() as u64, inserted.rows_affected())
}

async fn put_owner(
    connection: &mut PgConnection,
    (id, state, version, position): (String, String, u64, u64),
    expected_version: u64,
) -> Result<(), StoreError> {
    let statement = if expected_version == 0 {
        "INSERT INTO owners (id, state, version, position) SELECT $1, $2, $3, $4 WHERE $5 = 0::bigint"
    } else {
        "UPDATE owners SET state = $2, version = $3, position = $4 WHERE id = $1 AND version = $5"
    };
    let done = sqlx::query(statement)
        .bind(id)
        .bind(state)
        .bind(version.cast_signed())
        .bind(position.cast_signed())
        .bind(expected_version.cast_signed())
        .execute(connection)
        .await?;
    expect_rows("owners", 1, done.rows_affected())
}

async fn put_card(
    connection: &mut PgConnection,
    batch: &Batch,
    key: &Key,
    record: &Record,
    expected_version: u64,
) -> Result<(), StoreError> {
    let (Key::Card(id), Record::Card(card)) = (key, record) else { return Ok(()) };
    let done = if expected_version == 0 {
        let fingerprint = batch.fingerprints.get(id).map(|fingerprint| fingerprint.0.to_vec());
        sqlx::query(
            "INSERT INTO cards (fingerprint, id, state, version, position) VALUES ($5, $1, $2, $3, $4)",
        )
        .bind(id.to_string())
        .bind(json(card)?)
        .bind(card.row.version.cast_signed())
        .bind(card.row.position.cast_signed())
        .bind(fingerprint)
        .execute(connection)
        .await?
    } else {
        sqlx::query("UPDATE cards SET state = $2, version = $3, position = $4 WHERE id = $1 AND version = $5")
            .bind(id.to_string())
            .bind(json(card)?)
            .bind(card.row.version.cast_signed())
            .bind(card.row.position.cast_signed())
            .bind(expected_version.cast_signed())
            .execute(connection)
            .await?
    };
    expect_rows("cards", 1, done.rows_affected())
}

async fn put_api_key(
    connection: &mut PgConnection,
    batch: &Batch,
    record: &Record,
    expected_version: u64,
) -> Result<(), StoreError> {
    let Record::ApiKey(key) = record else { return Ok(()) };
    let done = if expected_version == 0 {
        sqlx::query(
            "INSERT INTO api_keys (id, secret_hash, role, merchant_id, revoked, created_at, updated_at, version, position)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(key.id.to_string())
        .bind(batch.secret_hashes.get(&key.id).map(|hash| hash.to_vec()))
        .bind(key.created.role.name())
        .bind(key.created.merchant_id.map(|id| id.to_string()))
        .bind(key.revoked)
        .bind(key.stamp.created_at.get())
        .bind(key.stamp.updated_at.get())
        .bind(key.stamp.version.cast_signed())
        .bind(key.stamp.position.cast_signed())
        .execute(connection)
        .await?
    } else {
        sqlx::query(
            "UPDATE api_keys SET revoked = $2, updated_at = $3, version = $4, position = $5
             WHERE id = $1 AND version = $6",
        )
        .bind(key.id.to_string())
        .bind(key.revoked)
        .bind(key.stamp.updated_at.get())
        .bind(key.stamp.version.cast_signed())
        .bind(key.stamp.position.cast_signed())
        .bind(expected_version.cast_signed())
        .execute(connection)
        .await?
    };
    expect_rows("api_keys", 1, done.rows_affected())
}

async fn insert_subject_keys(connection: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    let (subjects, wrapped): (Vec<_>, Vec<_>) =
        batch.subject_keys.iter().map(|(subject, wrapped)| (subject.to_string(), wrapped.as_slice())).unzip();
    sqlx::query("INSERT INTO subject_keys (subject, wrapped) SELECT * FROM unnest($1::text[], $2::bytea[])")
        .bind(subjects)
        .bind(wrapped)
        .execute(connection)
        .await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|source| StoreError::Corrupt { what: "a write-side row".to_owned(), source: source.into() })
}

const fn expect_rows(table: &'static str, expected: u64, changed: u64) -> Result<(), StoreError> {
    if expected == changed { Ok(()) } else { Err(StoreError::VersionMismatch { table, expected, changed }) }
}
