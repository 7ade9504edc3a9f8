//! The secret keys of a gateway: kept in files, never in the database.

use event_store::key_check::KeyCheck;
use event_store::secrets::{KeyPurpose, Secrets, SecretsError, VersionedKey};
use ledger_core::personal::SecretKey;

/// Every key that a gateway needs.
#[derive(Clone)]
pub struct LedgerKeys {
    /// Finds cards by their numbers.
    pub fingerprint: VersionedKey,
    /// Computes CVCs.
    pub cvc: VersionedKey,
    /// Wraps the keys of personal fields.
    pub master: VersionedKey,
    /// Hashes idempotency keys and requests.
    pub idempotency: VersionedKey,
}

impl LedgerKeys {
    /// Takes the keys from a secrets file.
    ///
    /// # Errors
    ///
    /// One of them is missing.
    pub fn of(secrets: &Secrets) -> Result<Self, SecretsError> {
        Ok(Self {
            fingerprint: secrets.key(KeyPurpose::Fingerprint)?,
            cvc: secrets.key(KeyPurpose::Cvc)?,
            master: secrets.key(KeyPurpose::Master)?,
            idempotency: secrets.key(KeyPurpose::Idempotency)?,
        })
    }

    /// Returns the master key.
    pub const fn master_key(&self) -> SecretKey {
        self.master.secret_key()
    }

    /// Returns one-way values of all keys, for the comparison with the log's at a start.
    pub fn checks(&self) -> Vec<KeyCheck> {
        vec![
            self.fingerprint.check(KeyPurpose::Fingerprint),
            self.cvc.check(KeyPurpose::Cvc),
            self.master.check(KeyPurpose::Master),
            self.idempotency.check(KeyPurpose::Idempotency),
        ]
    }
}
