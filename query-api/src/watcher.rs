//! Waiting for a position: one task looks for all who wait, and only while somebody does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::StoreError;
use event_store::reader::LogReader;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::read_model::Model;

/// How long anyone waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(10);

/// Something that has a position, which rises.
pub(crate) enum Watched {
    /// The log's head.
    Log(LogReader),
    /// The checkpoint of a read model's live generation.
    Model(PgPool, Model),
}

impl Watched {
    async fn position(&self) -> Result<u64, StoreError> {
        match self {
            Self::Log(log) => Ok(log.head().await?.position),
            Self::Model(pool, model) => {
                let row: Option<(i64,)> =
                    sqlx::query_as("SELECT position FROM projections WHERE name = $1 AND active")
                        .bind(model.name())
                        .fetch_optional(pool)
                        .await?;
                Ok(row.map_or(0, |(position,)| position.unsigned_abs()))
            }
        }
    }
}

/// Watches one place for all who wait for it.
pub(crate) struct Watcher {
    watched: Watched,
    seen: watch::Sender<u64>,
    looking: Mutex<bool>,
}

impl Watcher {
    pub(crate) fn new(watched: Watched) -> Self {
        Self { watched, seen: watch::Sender::new(0), looking: Mutex::new(false) }
    }

    /// Waits until the place is at a position or beyond, or patience ends: the caller looks then.
    pub(crate) async fn reach(self: &Arc<Self>, wanted: u64) {
        let mut seen = self.seen.subscribe();
        self.look();
        let _ = tokio::time::timeout(PATIENCE, seen.wait_for(|position| *position >= wanted)).await;
    }

    /// Starts looking, unless somebody looks already. Who comes here has subscribed before, so a task
    /// that is about to end sees it, or has said under the lock that it ended.
    fn look(self: &Arc<Self>) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *looking, true) {
            tokio::spawn(Arc::clone(self).look_while_awaited());
        }
    }

    async fn look_while_awaited(self: Arc<Self>) {
        while self.is_awaited() {
            // A database that is away is somebody else's to report: who waits will meet it.
            if let Ok(position) = self.watched.position().await {
                self.seen.send_if_modified(|seen| std::mem::replace(seen, position) != position);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn is_awaited(&self) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        *looking = self.seen.receiver_count() > 0;
        *looking
    }
}
