//! The relay: carries the log to the broker.
//!
//! The log is the outbox: the relay reads what is behind its cursor, in order, publishes it in chunks with
//! several under way at once, and moves the cursor over what was confirmed without a gap. After any error
//! it drops the connection and starts again from the cursor, so that nothing is left out; what is published
//! twice, projectors skip. Any number of relays may run: a lock saves double work, and nothing depends on it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::time::{Duration, Instant};

use event_store::broker::chunk::{self, Chunk};
use event_store::broker::rabbitmq::{BrokerError, Confirm, Publisher, RabbitBroker, Routed};
use event_store::error::{READ_LIMIT, within};
use event_store::pause::Pause;
use event_store::reader::{Checkpoint, LogReader, leaf};
use event_store::tail::Tail;
use event_store::{StoreError, database};
use metrics::{counter, gauge, histogram};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many chunks may be under way at once.
const WINDOW: usize = 32;
/// Who is further behind than so many events leaves them to the log, and goes on at its head.
const BEHIND_MAX: u64 = 20_000;
/// How long to wait for news before looking at the log anyway.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often the head is published when there is nothing else, to find out whether the way is open, and how
/// long that may lie in a queue.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
const HEARTBEAT_LIVES: Duration = Duration::from_secs(5);
/// How often the cursor is moved: what was confirmed since is published again after a crash.
const SAVE_EVERY: Duration = Duration::from_millis(100);
/// The first and the longest pause after failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Held by the relay that publishes.
const RELAY_LOCK: i64 = 0x7265_6c61_7965_7273;
/// How often a relay asks whether it is its turn.
const TURN_EVERY: Duration = Duration::from_millis(500);
/// A relay that holds the lock, but has not moved the cursor for so long, is stood in for.
const STAND_IN_AFTER: Duration = Duration::from_secs(2);

/// Cursor, lock and listening.
const CONNECTIONS: u32 = 4;

/// Carries the log to a broker.
#[derive(Debug)]
pub struct Relay {
    broker: RabbitBroker,
    log: LogReader,
    pool: PgPool,
    options: PgConnectOptions,
    stopped: watch::Sender<Option<String>>,
}

/// Tells why a relay is stopped, if it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RelayHealth(watch::Receiver<Option<String>>);

impl RelayHealth {
    /// Returns the reason, with the position.
    pub fn stopped(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Relay {
    /// Makes a relay that reads the log as the command role.
    pub fn new(options: PgConnectOptions, broker: RabbitBroker) -> Self {
        // A cursor that is behind costs doubles only, so no commit of it waits for the disk.
        let options = options.options([("synchronous_commit", "off")]);
        let pool = database::pool(options.clone(), CONNECTIONS);
        let (stopped, _) = watch::channel(None);
        Self { broker, log: LogReader::new(pool.clone()), pool, options, stopped }
    }

    /// Returns what tells whether the relay is stopped.
    pub fn health(&self) -> RelayHealth {
        RelayHealth(self.stopped.subscribe())
    }

    /// Relays until the token is cancelled.
    pub async fn run(self, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            _ = self.relay() => {}
        }
    }

    /// Relays for ever.
    async fn relay(&self) -> Infallible {
        let mut relayed = None;
        let mut pause = Pause::new(PAUSES.0, PAUSES.1);
        let mut told = String::new();
        loop {
            let before = relayed.map(|relayed: Relayed| relayed.to);
            let turn = self.take_turn(&mut relayed).await;
            if relayed.map(|relayed| relayed.to) != before {
                pause.reset();
                told.clear();
            }
            let Err(error) = turn else { continue };
            if let RelayError::Store(error @ StoreError::HistoryMismatch { .. }) = &error {
                self.stand_still(error, relayed.take()).await;
                continue;
            }
            counter!("quittance_relay_failures_total").increment(1);
            // Once for each reason.
            let reason = format!("{error:?}");
            if reason != told {
                tracing::warn!(error = &error as &dyn Error, "the relay waits");
                told = reason;
            }
            // Whatever is the matter with the broker, how far behind it is shall be known.
            if let Err(error) = self.tell_lag().await {
                tracing::debug!(error = &error as &dyn Error, "the log is away, too");
            }
            tokio::time::sleep(pause.longer()).await;
        }
    }

    /// Stops, since the log is another than the one that was relayed (I14), until an operator says, or has
    /// said since, that this is how it shall be.
    async fn stand_still(&self, why: &StoreError, relayed: Option<Relayed>) {
        tracing::error!(error = why as &dyn Error, "the relay is stopped");
        self.stopped.send_replace(Some(format!("relay is stopped: {why}")));
        loop {
            match self.cursor().await {
                Ok(cursor) if relayed.is_some_and(|relayed| relayed.resets != cursor.resets) => break,
                Ok(_) => {}
                Err(error) => tracing::debug!(error = &error as &dyn Error, "the cursor is away"),
            }
            tokio::time::sleep(TURN_EVERY).await;
        }
        self.stopped.send_replace(None);
    }

    /// Waits until nobody else relays, then does so. As a stand-in, only until the head is reached: then
    /// whoever holds the lock gets its chance. `relayed` is the end of what this process has relayed.
    async fn take_turn(&self, relayed: &mut Option<Relayed>) -> Result<(), RelayError> {
        let mut lock = self.wait_for_turn().await?;
        let publisher = self.broker.publisher().await?;
        counter!("quittance_relay_connections_total").increment(1);
        tracing::info!(is_stand_in = lock.is_none(), "the relay begins");
        let cursor = self.cursor().await?;
        if let Some(relayed) = relayed.filter(|relayed| relayed.resets == cursor.resets) {
            self.log.behind(relayed.to, 0).await?;
        }
        *relayed = Some(cursor);
        let mut window = Window::begin(cursor.to);
        let mut tail = Tail::new(self.pool.clone());
        let mut checked = Instant::now();
        let mut is_at_end = false;
        loop {
            while !is_at_end && window.has_room() {
                is_at_end = !self.publish_next(&publisher, &mut window).await?;
            }
            if is_at_end && window.is_empty() && window.last_sent.elapsed() >= HEARTBEAT_EVERY {
                let head = window.sent;
                self.publish_heartbeat(&publisher, &mut window, head).await?;
            }
            *relayed = Some(Relayed { to: window.confirmed, resets: cursor.resets });
            if window.is_to_be_saved() {
                self.save(&mut window).await?;
            }
            if checked.elapsed() >= HEARTBEAT_EVERY {
                checked = Instant::now();
                self.tell_lag().await?;
                if let Some(lock) = &mut lock {
                    // With its session, the lock is gone, and somebody else relays.
                    within(READ_LIMIT, lock.ping()).await?;
                }
            }
            if is_at_end && window.is_empty() && lock.is_none() {
                return self.save(&mut window).await;
            }
            tokio::select! {
                confirmed = window.confirmed() => confirmed?,
                () = tail.wait(PATIENCE) => is_at_end = false,
            }
        }
    }

    /// Waits for the lock, which the returned connection holds; `None` if whoever holds it stands still.
    async fn wait_for_turn(&self) -> Result<Option<PgConnection>, RelayError> {
        let mut connection = within(READ_LIMIT, PgConnection::connect_with(&self.options)).await?;
        let mut moved = (self.cursor().await?.to, Instant::now());
        loop {
            let trying = sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(RELAY_LOCK);
            let (is_ours,): (bool,) = within(READ_LIMIT, trying.fetch_one(&mut connection)).await?;
            if is_ours {
                return Ok(Some(connection));
            }
            tokio::time::sleep(TURN_EVERY).await;
            self.tell_lag().await?;
            let cursor = self.cursor().await?.to;
            let is_behind = self.log.head().await?.position > cursor.position;
            if cursor != moved.0 || !is_behind {
                moved = (cursor, Instant::now());
            } else if moved.1.elapsed() > STAND_IN_AFTER {
                return Ok(None);
            }
        }
    }

    /// Publishes the next events; tells whether there were any.
    async fn publish_next(&self, publisher: &Publisher, window: &mut Window) -> Result<bool, RelayError> {
        let entries = self.log.behind(window.sent, chunk::EVENTS_MAX).await?;
        let Some(last) = entries.last() else { return Ok(false) };
        let mut head = Checkpoint::on(last);
        if entries.len() == chunk::EVENTS_MAX as usize {
            head = self.log.head().await?.into();
            if head.position > window.sent.position + BEHIND_MAX {
                tracing::info!(
                    from = window.sent.position,
                    to = head.position,
                    "the relay jumps to the head"
                );
                counter!("quittance_relay_jumps_total").increment(1);
                self.publish_heartbeat(publisher, window, head).await?;
                return Ok(true);
            }
        }
        let chunk = Chunk::of(window.sent, entries, head.position);
        let to = chunk.end();
        histogram!("quittance_relay_chunk_events")
            .record(u32::try_from(chunk.entries.len()).unwrap_or(u32::MAX));
        window.push(to, publisher.publish(&chunk.encode(), None).await?);
        Ok(true)
    }

    /// Publishes where the log ends, and goes on from there.
    async fn publish_heartbeat(
        &self,
        publisher: &Publisher,
        window: &mut Window,
        head: Checkpoint,
    ) -> Result<(), RelayError> {
        let chunk = Chunk::of(head, Vec::new(), head.position);
        window.push(head, publisher.publish(&chunk.encode(), Some(HEARTBEAT_LIVES)).await?);
        Ok(())
    }

    async fn cursor(&self) -> Result<Relayed, StoreError> {
        let query =
            sqlx::query_as("SELECT position, leaf_hash, resets FROM relay_cursor").fetch_one(&self.pool);
        let (position, hash, resets): (i64, Vec<u8>, i32) = within(READ_LIMIT, query).await?;
        let to = Checkpoint { position: position.unsigned_abs(), leaf_hash: leaf(&hash) };
        Ok(Relayed { to, resets })
    }

    /// Tells the metrics how far the cursor is behind the log.
    async fn tell_lag(&self) -> Result<(), StoreError> {
        let (head, cursor) = (self.log.head().await?.position, self.cursor().await?.to.position);
        gauge!("quittance_relay_position").set(cursor as f64);
        gauge!("quittance_relay_lag_events").set(head.saturating_sub(cursor) as f64);
        Ok(())
    }

    /// Moves the cursor to what was confirmed. It does not go back, since another relay may be ahead, nor
    /// into a history that the log does not have.
    async fn save(&self, window: &mut Window) -> Result<(), RelayError> {
        let Checkpoint { position, leaf_hash } = window.confirmed;
        let query = sqlx::query(
            "UPDATE relay_cursor SET position = $1, leaf_hash = $2
             WHERE position < $1 AND EXISTS (SELECT FROM events WHERE position = $1 AND leaf_hash = $2)",
        )
        .bind(position.cast_signed())
        .bind(leaf_hash.0.as_slice())
        .execute(&self.pool);
        within(READ_LIMIT, query).await?;
        window.saved = (window.confirmed, Instant::now());
        Ok(())
    }
}

/// How far the log was relayed, and how often an operator had said until then that it was restored.
#[derive(Clone, Copy, Debug)]
struct Relayed {
    to: Checkpoint,
    resets: i32,
}

/// What was published, and what of it was confirmed.
struct Window {
    /// The last event that was published, or jumped to.
    sent: Checkpoint,
    last_sent: Instant,
    /// Messages under way, in order.
    under_way: VecDeque<(Checkpoint, Confirm, Instant)>,
    /// The end of what was confirmed without a gap.
    confirmed: Checkpoint,
    /// Where the cursor stands, and since when.
    saved: (Checkpoint, Instant),
}

impl Window {
    fn begin(cursor: Checkpoint) -> Self {
        let now = Instant::now();
        Self {
            sent: cursor,
            last_sent: now,
            under_way: VecDeque::new(),
            confirmed: cursor,
            saved: (cursor, now),
        }
    }

    fn push(&mut self, to: Checkpoint, confirm: Confirm) {
        self.sent = to;
        self.last_sent = Instant::now();
        self.under_way.push_back((to, confirm, self.last_sent));
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < WINDOW
    }

    fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn is_to_be_saved(&self) -> bool {
        self.confirmed != self.saved.0 && self.saved.1.elapsed() >= SAVE_EVERY
    }

    /// Waits until the first message under way is confirmed; for ever if there is none. Cancel-safe.
    async fn confirmed(&mut self) -> Result<(), BrokerError> {
        let Some((to, confirm, since)) = self.under_way.front_mut() else {
            return std::future::pending().await;
        };
        if confirm.wait().await? == Routed::Nowhere {
            counter!("quittance_relay_unroutable_total").increment(1);
        }
        histogram!("quittance_relay_confirm_seconds").record(since.elapsed());
        self.confirmed = *to;
        self.under_way.pop_front();
        Ok(())
    }
}
