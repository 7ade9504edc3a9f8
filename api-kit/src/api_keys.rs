//! API keys, asked of the database for every request: those who wait meanwhile share the next question.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use event_store::lookup::{self, Principal};
use sqlx::PgPool;
use tokio::sync::oneshot;

use crate::problem::ApiError;

/// A request's question, and where its answer goes: an error if the database gave none.
type Asking = ([u8; 32], oneshot::Sender<Result<Option<Principal>, ApiError>>);

/// Finds whom keys belong to. Cheap to clone.
///
/// Nothing is remembered, so that a revocation counts at once in every process; but one query answers all
/// who came while the last one ran, so that the busier a service is, the fewer it asks for each request.
#[derive(Clone)]
pub struct ApiKeys {
    pool: PgPool,
    waiting: Arc<Mutex<Vec<Asking>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl ApiKeys {
    /// Looks keys up through a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, waiting: Arc::default(), turn: Arc::default() }
    }

    /// Finds whom the key of a secret's SHA-256 belongs to; `None` if there is none or it is revoked.
    pub async fn find(&self, secret_hash: [u8; 32]) -> Result<Option<Principal>, ApiError> {
        loop {
            let (answer, mut found) = oneshot::channel();
            self.lock().push((secret_hash, answer));
            // Whoever's turn it is asks for all that wait; the others find their answer at theirs, which came
            // of a query that began after they asked.
            let turn = self.turn.lock().await;
            if let Ok(principal) = found.try_recv() {
                return principal;
            }
            // Still nothing: it is our turn to ask, or whoever asked for us was gone before it heard.
            self.ask().await?;
            drop(turn);
            if let Ok(principal) = found.try_recv() {
                return principal;
            }
        }
    }

    /// Asks for all that wait. If that fails, the caller gets the cause and the others hear of it.
    async fn ask(&self) -> Result<(), ApiError> {
        let asking = mem::take(&mut *self.lock());
        if asking.is_empty() {
            return Ok(());
        }
        let mut secret_hashes: Vec<_> = asking.iter().map(|(secret_hash, _)| *secret_hash).collect();
        secret_hashes.sort_unstable();
        secret_hashes.dedup();
        let principals = lookup::principals(&self.pool, &secret_hashes).await;
        for (secret_hash, answer) in asking {
            let found = principals.as_ref().map(|known| known.get(&secret_hash).cloned());
            let _ = answer.send(found.map_err(|_| ApiError::StoreUnavailable(None)));
        }
        Ok(principals.map(drop)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asking>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
