//! API keys, asked of the database, together with those of other requests.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use event_store::lookup::{self, Principal};
use lru::LruCache;
use sqlx::PgPool;

use crate::problem::ApiError;
use crate::together::Together;

/// How many keys are remembered: some ten megabytes.
const KEYS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");

/// Finds whom keys belong to. Cheap to clone.
///
/// A revocation counts at once in every process, since the database is asked each time. Whose a key was is
/// remembered for those who find out by themselves whether it still lives.
#[derive(Clone)]
pub struct ApiKeys {
    pool: PgPool,
    asked: Arc<Together<[u8; 32], Option<Principal>>>,
    known: Arc<Mutex<LruCache<[u8; 32], Principal>>>,
}

impl ApiKeys {
    /// Looks keys up through a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, asked: Arc::default(), known: Arc::new(Mutex::new(LruCache::new(KEYS_MAX))) }
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
        self.asked.ask(secret_hash, |secret_hashes| self.find_all(secret_hashes)).await
    }

    async fn find_all(&self, secret_hashes: Vec<[u8; 32]>) -> Result<Vec<Option<Principal>>, ApiError> {
        let mut distinct = secret_hashes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let principals = lookup::principals(&self.pool, &distinct).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for secret_hash in distinct {
            match principals.get(&secret_hash) {
                Some(principal) => known.put(secret_hash, principal.clone()),
                None => known.pop(&secret_hash),
            };
        }
        Ok(secret_hashes.iter().map(|secret_hash| principals.get(secret_hash).cloned()).collect())
    }
}
