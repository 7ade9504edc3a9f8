//! Balances, histories, payments and the log: read only.
//!
//! Every answer is read in one snapshot with the checkpoint of its read model ([`reading`]), so its
//! `Ledger-Position` is exact. A caller who must see a position waits for it without holding anything
//! ([`watch`]); a past moment is a position of the log ([`moment`]). [`routes`] has one file per noun.

mod asked;
mod moment;
mod page;
mod reading;
mod routes;
mod watch;

use std::sync::Arc;

use axum::Router;
use event_store::clock::Clock;
use event_store::reader::LogReader;
use sqlx::PgPool;

use watch::Watch;

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct QueryApi {
    log_pool: PgPool,
    log: LogReader,
    read: PgPool,
    clock: Clock,
    watch: Arc<Watch>,
}

impl QueryApi {
    /// Makes a query API; both pools are of the query role, which can only read (I9).
    pub fn new(log: PgPool, read: PgPool, clock: Clock) -> Self {
        let watch = Watch::start(read.clone());
        Self { log: LogReader::new(log.clone()), log_pool: log, read, clock, watch }
    }

    /// Returns all routes.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }
}
