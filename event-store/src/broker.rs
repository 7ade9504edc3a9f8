//! The broker: an accelerator between the log and its projectors (I8).
//!
//! A projector learns from it that there is something new, perhaps with the events themselves. Whatever
//! the broker loses, doubles or reorders, the projector reads from the log: nothing depends on it.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::PgListener;

use crate::writer::WAKE_CHANNEL;

/// What a subscription delivers.
#[derive(Debug)]
pub enum Signal {
    /// The log may have grown, or enough time has passed to look.
    Wake,
}

/// Brings news of the log.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Subscribes a projection, by its name and generation.
    async fn subscribe(&self, projection: &str) -> Box<dyn Subscription>;
}

/// One projection's news.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next news, at most for `patience`; never fails: without news, look at the log.
    async fn next(&mut self, patience: Duration) -> Signal;
}

/// The broker without a broker: PostgreSQL's NOTIFY as the hint, the log as the source.
#[derive(Clone, Debug)]
pub struct EmbeddedBroker {
    pool: PgPool,
}

impl EmbeddedBroker {
    /// Listens through connections of the log's database.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn subscribe(&self, _projection: &str) -> Box<dyn Subscription> {
        Box::new(Listening { pool: self.pool.clone(), listener: None })
    }
}

struct Listening {
    pool: PgPool,
    listener: Option<PgListener>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self, patience: Duration) -> Signal {
        // Whatever goes wrong here costs at most `patience`: the caller looks at the log either way.
        if tokio::time::timeout(patience, self.notified()).await.is_ok_and(|heard| !heard) {
            self.listener = None;
            tokio::time::sleep(patience).await;
        }
        Signal::Wake
    }
}

impl Listening {
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
