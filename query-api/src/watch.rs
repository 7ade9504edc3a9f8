//! Waits until a read model has reached a position: one look at the checkpoints serves all who wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_kit::problem::ApiError;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// How long a query waits.
const LIMIT: Duration = Duration::from_secs(5);
/// How often the checkpoints are looked at while anyone waits.
const EVERY: Duration = Duration::from_millis(5);

type Positions = HashMap<String, u64>;

/// The watcher. Those who wait hold no connection.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: watch::Receiver<Positions>,
    waiting: Arc<AtomicUsize>,
    someone: Arc<Notify>,
    task: AbortHandle,
}

impl Watch {
    /// Starts the task that looks.
    pub(crate) fn start(read: PgPool) -> Arc<Self> {
        let (waiting, someone) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (sender, seen) = watch::channel(Positions::new());
        let (counted, woken) = (Arc::clone(&waiting), Arc::clone(&someone));
        let task = tokio::spawn(async move {
            loop {
                if counted.load(Ordering::Acquire) == 0 {
                    woken.notified().await;
                }
                if let Ok(positions) = look(&read).await {
                    sender.send_replace(positions);
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Arc::new(Self { seen, waiting, someone, task: task.abort_handle() })
    }

    /// Waits until a read model is at a position or later.
    ///
    /// # Errors
    ///
    /// 504 `projection_behind` when it is not within 5 s.
    pub(crate) async fn wait(&self, projection: &str, position: u64) -> Result<(), ApiError> {
        let _counted = Counted::new(&self.waiting);
        self.someone.notify_one();
        let mut seen = self.seen.clone();
        let there = |positions: &Positions| positions.get(projection).is_some_and(|at| *at >= position);
        if let Ok(Ok(_)) = tokio::time::timeout(LIMIT, seen.wait_for(there)).await {
            return Ok(());
        }
        let at = seen.borrow().get(projection).copied().unwrap_or(0);
        Err(ApiError::ProjectionBehind {
            position: at,
            wanted: position,
            lag_events: position.saturating_sub(at),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts one who waits, however the waiting ends.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn look(read: &PgPool) -> Result<Positions, sqlx::Error> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, position FROM projections WHERE active").fetch_all(read).await?;
    Ok(rows.into_iter().map(|(name, position)| (name, position.unsigned_abs())).collect())
}
