//! One key, one outcome: how a request is recognised when it comes again.

use event_store::lookup::Principal;
use event_store::secrets::VersionedKey;
use ledger_core::Timestamp;
use ledger_core::ids::MerchantId;
use uuid::Uuid;

/// What a request is recognised by. Neither the key nor the body can be told from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Idempotency {
    /// 16 bytes of an HMAC over the key's owner and the key.
    pub key: Uuid,
    /// 16 bytes of an HMAC over method, path and body.
    pub fingerprint: Uuid,
}

impl Idempotency {
    /// Computes both. A merchant's keys are its own; the other roles share theirs by role.
    ///
    /// `body` is a file's bytes, or the RFC 8785 form of JSON without `card.cvc`: not even a keyed hash of a
    /// CVC is stored.
    pub fn of(secret: &VersionedKey, principal: &Principal, key: &str, path: &str, body: &[u8]) -> Self {
        let owner =
            principal.merchant_id.map_or_else(|| principal.role.to_string(), |id: MerchantId| id.to_string());
        Self {
            key: short(secret.hmac(&[b"key", owner.as_bytes(), key.as_bytes()])),
            fingerprint: short(secret.hmac(&[b"request", b"POST", path.as_bytes(), body])),
        }
    }

    /// Computes both for what is due by the clock: the same deadline is the same command, whoever carries it
    /// out and however often.
    pub fn of_system(secret: &VersionedKey, what: &str, due_at: Timestamp) -> Self {
        let due_at = due_at.to_string();
        let parts = [what.as_bytes(), due_at.as_bytes()];
        Self {
            key: short(secret.hmac(&[b"key", b"system", parts[0], parts[1]])),
            fingerprint: short(secret.hmac(&[b"request", b"system", parts[0], parts[1]])),
        }
    }

    /// Makes one that no other request has: for commands that nobody sends twice.
    pub fn unique() -> Self {
        Self { key: Uuid::from_bytes(event_store::entropy::bytes()), fingerprint: Uuid::nil() }
    }
}

fn short(digest: [u8; 32]) -> Uuid {
    Uuid::from_u128(digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte)))
}
