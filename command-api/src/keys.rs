//! The secret keys of a ledger: kept in files, never in the database.

use event_store::key_check::KeyCheck;
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::personal::SecretKey;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key and the version that events and outcomes record of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VersionedKey {
    /// The version.
    pub version: u32,
    /// The key.
    pub bytes: [u8; 32],
}

/// Every key that a gateway needs. Cards' fingerprints and CVCs have separate keys, so that one leak is
/// not two.
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
    /// Returns the master key.
    pub fn master_key(&self) -> SecretKey {
        SecretKey::new(self.master.bytes)
    }

    /// Returns one-way values of all keys, for the comparison with the log's at a start.
    pub fn checks(&self) -> Vec<KeyCheck> {
        let named = [
            ("fingerprint", &self.fingerprint),
            ("cvc", &self.cvc),
            ("master", &self.master),
            ("idempotency", &self.idempotency),
        ];
        named
            .map(|(purpose, key)| KeyCheck {
                purpose,
                key_id: key.version.cast_signed(),
                check_value: hmac(&key.bytes, &[b"key check", purpose.as_bytes()])[..16].to_vec(),
            })
            .to_vec()
    }
}

/// Computes HMAC-SHA256 over parts, each behind its length.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
