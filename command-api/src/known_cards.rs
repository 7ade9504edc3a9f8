//! Which cards numbers are, as far as this process has asked before.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use event_store::{StoreError, lookup};
use ledger_core::card_number::Fingerprint;
use ledger_core::ids::{CardId, ClientId};
use lru::LruCache;
use sqlx::PgPool;

/// How many cards are remembered: some twenty megabytes.
const CARDS_MAX: NonZeroUsize = NonZeroUsize::new(131_072).expect("it is not zero");

/// Cards by their numbers' fingerprints.
///
/// One number is one card for ever, so what was found stays; what was not found is asked for again. A card
/// of a history that was lost is not recognised under the lock.
pub struct KnownCards {
    pool: PgPool,
    known: Mutex<LruCache<Fingerprint, (CardId, ClientId)>>,
}

impl KnownCards {
    /// Knows nothing yet.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Mutex::new(LruCache::new(CARDS_MAX)) }
    }

    /// Finds the card of a number and its holder.
    pub async fn find(&self, fingerprint: Fingerprint) -> Result<Option<(CardId, ClientId)>, StoreError> {
        if let Some(known) = self.lock().get(&fingerprint) {
            return Ok(Some(*known));
        }
        let found = lookup::card(&self.pool, fingerprint).await?;
        if let Some(card) = found {
            self.lock().put(fingerprint, card);
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Fingerprint, (CardId, ClientId)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
