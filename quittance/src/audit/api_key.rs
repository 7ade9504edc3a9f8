//! API keys: created, revoked; who may cause which event.

use ledger_core::ids::{KeyId, MerchantId, StreamId};

use super::account::Move;
use super::event::Event;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};

/// The roles.
const ROLES: [&str; 4] = ["operator", "merchant", "auditor", "analyst"];

/// An API key.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApiKey {
    pub(super) role: &'static str,
    pub(super) merchant: Option<MerchantId>,
    pub(super) revoked: bool,
}

/// What a merchant does itself. Too many wrong attempts block a card with the merchant's request.
const OF_MERCHANTS: [&str; 8] = [
    "payment.authorized",
    "payment.authorization_incremented",
    "payment.captured",
    "payment.declined",
    "payment.dispute_evidence_submitted",
    "payment.refunded",
    "payment.voided",
    "payout.requested",
];

/// What only time brings about.
const OF_SCHEDULERS: [&str; 2] = ["payment.authorization_expiring", "payment.expired"];

/// What a part of the system does without a request, beside what time brings about.
const OF_THE_SYSTEM: [&str; 3] = ["api_key.created", "api_key.revoked", "settlement.closed"];

/// Tells whether the event is one that a part of the system causes by itself.
pub(super) fn needs_no_request(event: &Event) -> bool {
    let kind = event.kind.as_str();
    OF_SCHEDULERS.contains(&kind) || OF_THE_SYSTEM.contains(&kind) || is_lost_in_silence(event)
}

/// Tells whether the event ends a dispute because nobody responded: only there the machine has a reason.
fn is_lost_in_silence(event: &Event) -> bool {
    event.kind == "payment.dispute_lost" && event.data().has("reason")
}

impl ApiKey {
    /// Tells whether the key's role may have caused the event. A revoked key's last requests may still
    /// have been on their way, so revocation is not asked for.
    pub(super) fn may_cause(&self, event: &Event) -> bool {
        let kind = event.kind.as_str();
        let is_merchants = OF_MERCHANTS.contains(&kind);
        match self.role {
            "operator" => !is_merchants && !OF_SCHEDULERS.contains(&kind) && !is_lost_in_silence(event),
            "merchant" if is_merchants => event.data().id("merchant_id").ok() == self.merchant,
            "merchant" => kind == "card.blocked" && event.data().text("reason").is_ok(),
            _ => false,
        }
    }
}

impl Ledger {
    pub(super) fn api_key_created(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = key_id(event)?;
        let data = event.data_of(&[&["role", "merchant_id"]])?;
        let role = data.text("role")?;
        let role = ROLES.into_iter().find(|known| *known == role).ok_or(Malformed::new("role", "a role"))?;
        let merchant: Option<MerchantId> = data.maybe_id("merchant_id")?;
        let bound = merchant.is_some_and(|id| self.merchants.contains_key(&id));
        let fits = if role == "merchant" { bound } else { merchant.is_none() };
        desk.check.holds(
            fits,
            "merchant_id",
            "a merchant that was opened, for merchants' keys only",
            "otherwise",
        );
        self.keys.insert(id, ApiKey { role, merchant, revoked: false });
        Ok(Vec::new())
    }

    pub(super) fn api_key_revoked(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        event.data_of(&[])?;
        let key = self
            .keys
            .get_mut(&key_id(event)?)
            .ok_or(Malformed::new("stream_id", "a key that was created"))?;
        desk.check.holds(!key.revoked, "api_key.revoked", "a key that was not revoked", "one that was");
        key.revoked = true;
        Ok(Vec::new())
    }
}

fn key_id(event: &Event) -> Result<KeyId, Malformed> {
    match event.stream {
        StreamId::Key(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "an API key's")),
    }
}
