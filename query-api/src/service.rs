//! The query API as a whole: the log, the read models, the time.

use std::sync::Arc;

use api_kit::health::Readiness;
use api_kit::problem::ApiError;
use async_trait::async_trait;
use axum::Router;
use event_store::clock::Clock;
use event_store::database;
use event_store::reader::LogReader;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::balances::Asking;
use crate::moment::Moments;
use crate::read_model::{Model, ReadModels, Snapshot};
use crate::routes;
use crate::watcher::{Watched, Watcher};

/// Connections to the log.
const LOG_CONNECTIONS: u32 = 8;
/// Connections to the read models.
const READ_CONNECTIONS: u32 = 12;

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct QueryApi {
    pub(crate) log: LogReader,
    pub(crate) log_pool: PgPool,
    pub(crate) models: Arc<ReadModels>,
    pub(crate) clock: Clock,
    /// Those who ask where in the log a past moment is.
    pub(crate) moments: Arc<Moments>,
    /// Those who ask for balances of clients, and of merchants.
    pub(crate) clients: Arc<Asking>,
    pub(crate) merchants: Arc<Asking>,
    head: Arc<Watcher>,
}

impl QueryApi {
    /// Reads two databases, the log's and the read models'; connects when it is first used.
    pub fn new(log: PgConnectOptions, read: PgConnectOptions, clock: Clock) -> Self {
        let (log, read) = (database::pool(log, LOG_CONNECTIONS), database::pool(read, READ_CONNECTIONS));
        let reader = LogReader::new(log.clone());
        let head = Arc::new(Watcher::new(Watched::Log(reader.clone())));
        Self {
            log: reader,
            log_pool: log,
            models: Arc::new(ReadModels::new(read)),
            clock,
            moments: Arc::default(),
            clients: Arc::default(),
            merchants: Arc::default(),
            head,
        }
    }

    /// Returns all routes.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// Opens a snapshot of a read model that reflects a position or a later one.
    ///
    /// # Errors
    ///
    /// 504 if the model does not get there in time, 503 if an event of one of the keys could not be applied.
    pub(crate) async fn snapshot(
        &self,
        model: Model,
        keys: &[&str],
        wanted: u64,
    ) -> Result<Snapshot, ApiError> {
        let mut snapshot = self.models.snapshot(model, keys).await?;
        if snapshot.position < wanted {
            // Dropped first: a waiter holds no connection.
            drop(snapshot);
            self.models.reach(model, wanted).await;
            snapshot = self.models.snapshot(model, keys).await?;
        }
        if snapshot.position < wanted {
            let position = snapshot.position;
            drop(snapshot);
            return Err(self.behind(position, wanted).await);
        }
        if snapshot.parked.is_empty() { Ok(snapshot) } else { Err(ApiError::ProjectionParked) }
    }

    /// Refuses to answer from a read model that did not get to a position in time.
    pub(crate) async fn behind(&self, position: u64, wanted: u64) -> ApiError {
        match self.log.head().await {
            Ok(head) => {
                let lag_events = head.position.saturating_sub(position);
                ApiError::ProjectionBehind { position, wanted, lag_events }
            }
            Err(error) => error.into(),
        }
    }

    /// Returns the log's head for an answer that is read from the log itself.
    ///
    /// # Errors
    ///
    /// 504 if the log does not get to the wanted position in time.
    pub(crate) async fn head(&self, wanted: u64) -> Result<u64, ApiError> {
        let mut head = self.log.head().await?.position;
        if head < wanted {
            self.head.reach(wanted).await;
            head = self.log.head().await?.position;
        }
        if head < wanted {
            return Err(ApiError::ProjectionBehind { position: head, wanted, lag_events: 0 });
        }
        Ok(head)
    }
}

#[async_trait]
impl Readiness for QueryApi {
    async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.log.head().await.is_err() {
            reasons.push("the log is unavailable".to_owned());
        }
        match self.models.unfit().await {
            Ok(unfit) => reasons.extend(unfit),
            Err(_) => reasons.push("the read models are unavailable".to_owned()),
        }
        reasons
    }
}
