//! Hears of the log's growth: PostgreSQL's NOTIFY as a hint, never more than that.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;

use crate::writer::WAKE_CHANNEL;

/// Listens for commits of events, on a connection that it takes from a pool and keeps.
#[derive(Debug)]
pub struct Tail {
    pool: PgPool,
    listener: Option<PgListener>,
}

impl Tail {
    /// Listens through a pool of the log's database; connects when it is first waited on.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool, listener: None }
    }

    /// Waits until the log may have grown, at most for `patience`; never fails: without news, look at the
    /// log. Cancel-safe.
    pub async fn wait(&mut self, patience: Duration) {
        let began = tokio::time::Instant::now();
        if tokio::time::timeout(patience, self.notified()).await.is_ok_and(|heard| !heard) {
            self.listener = None;
            tokio::time::sleep_until(began + patience).await;
        }
    }

    /// Waits for a notification; tells whether listening works.
    async fn notified(&mut self) -> bool {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            None => {
                let Ok(mut fresh) = PgListener::connect_with(&self.pool).await else { return false };
                if fresh.listen(WAKE_CHANNEL).await.is_err() {
                    return false;
                }
                self.listener.insert(fresh)
            }
        };
        // `Ok(None)`: the connection was lost, and notifications with it; the log is looked at now.
        listener.try_recv().await.is_ok()
    }
}
