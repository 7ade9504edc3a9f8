//! API keys, asked of the database: those who wait meanwhile share the next question.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use event_store::lookup::{self, Principal};
use lru::LruCache;
use sqlx::PgPool;
use tokio::sync::oneshot;

use crate::problem::ApiError;

/// How many keys are remembered: some ten megabytes.
const KEYS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");

/// A request's question, and where its answer goes: an error if the database gave none.
type Asking = ([u8; 32], oneshot::Sender<Result<Option<Principal>, ApiError>>);

/// Finds whom keys belong to. Cheap to clone.
///
/// A revocation counts at once in every process, since the database is asked each time; but one query answers
/// all who came while the last one ran, so that the busier a service is, the fewer it asks for each request.
/// Whose a key was is remembered for those who find out by themselves whether it still lives.
#[derive(Clone)]
pub struct ApiKeys {
    pool: PgPool,
    waiting: Arc<Mutex<Vec<Asking>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    known: Arc<Mutex<LruCache<[u8; 32], Principal>>>,
}

impl ApiKeys {
    /// Looks keys up through a pool.
    pub fn new(pool: PgPool) -> Self {
        let known = Arc::new(Mutex::new(LruCache::new(KEYS_MAX)));
        Self { pool, waiting: Arc::default(), turn: Arc::default(), known }
    }

    /// Tells whose a key was when it was looked up last: it may have been revoked since.
    pub fn known(&self, secret_hash: &[u8; 32]) -> Option<Principal> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(secret_hash).cloned()
    }

    #[cfg(test)]
    pub(crate) fn remember(&self, secret_hash: [u8; 32], principal: Principal) {
        self.known.lock().unwrap().put(secret_hash, principal);
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
        if let Ok(principals) = &principals {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for secret_hash in secret_hashes {
                match principals.get(&secret_hash) {
                    Some(principal) => known.put(secret_hash, principal.clone()),
                    None => known.pop(&secret_hash),
                };
            }
        }
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
