//! The vocabulary of the log: what happened, in the form that is stored for ever.
//!
//! Each type carries only what can't be told from its stream and its postings. Stored events are never
//! changed: a new shape of a type gets a new `schema_version`, and [`upcast`] turns the old one into it
//! (I11). `fixtures/` holds the golden bytes of every type and version, which tests read back.

mod api_key;
mod card;
mod cash;
mod client;
mod correction;
mod decline;
mod dispute;
mod fx;
mod merchant;
mod payment;
mod payout;
mod reconciliation;
mod settlement;

pub use api_key::{ApiKeyCreated, ApiKeyRevoked};
pub use card::{Because, CardIssued};
pub use cash::CashMoved;
pub use client::{ClientOpened, Closed};
pub use correction::{
    CorrectionApproved, CorrectionRequested, DisputeResumed, JournalCorrected, ResumedStatus, Reversed,
};
pub use decline::DeclineCode;
pub use dispute::{DisputeDecided, DisputeReopened, EvidenceSubmitted, PaymentDisputed};
pub use fx::FxRateSet;
pub use merchant::{BalanceWrittenOff, MerchantOpened, Settings, StandingChanged};
pub use payment::{
    CaptureMode, Funding, PaymentAuthorized, PaymentCaptured, PaymentCard, PaymentDeclined, PaymentDetails,
    PaymentExpired, PaymentExpiring, PaymentIncremented, PaymentRefunded, PaymentVoided,
};
pub use payout::{PayoutChanged, PayoutRequested};
pub use reconciliation::{ReconciliationItems, ReconciliationRun};
pub use settlement::SettlementClosed;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One thing that happened to one stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// A client was opened.
    #[serde(rename = "client.opened")]
    ClientOpened(ClientOpened),
    /// Money came from the bank to a client.
    #[serde(rename = "client.deposited")]
    ClientDeposited(CashMoved),
    /// Money went from a client to the bank.
    #[serde(rename = "client.withdrawn")]
    ClientWithdrawn(CashMoved),
    /// A client was closed.
    #[serde(rename = "client.closed")]
    ClientClosed(Closed),
    /// A card was issued to a client, or an existing number registered.
    #[serde(rename = "card.issued")]
    CardIssued(CardIssued),
    /// A card was blocked, by a person or by too many wrong attempts.
    #[serde(rename = "card.blocked")]
    CardBlocked(Because),
    /// A card was unblocked.
    #[serde(rename = "card.unblocked")]
    CardUnblocked(Because),
    /// A merchant was opened.
    #[serde(rename = "merchant.opened")]
    MerchantOpened(MerchantOpened),
    /// A merchant's settings were replaced.
    #[serde(rename = "merchant.settings_changed")]
    MerchantSettingsChanged(Settings),
    /// A merchant was kept from new payments and payouts.
    #[serde(rename = "merchant.suspended")]
    MerchantSuspended(StandingChanged),
    /// A merchant's suspension ended.
    #[serde(rename = "merchant.reinstated")]
    MerchantReinstated(StandingChanged),
    /// Money came from the bank to a merchant.
    #[serde(rename = "merchant.deposited")]
    MerchantDeposited(CashMoved),
    /// A merchant's debt, or a part of it, ended at the house's expense.
    #[serde(rename = "merchant.balance_written_off")]
    MerchantBalanceWrittenOff(BalanceWrittenOff),
    /// An API key was created.
    #[serde(rename = "api_key.created")]
    ApiKeyCreated(ApiKeyCreated),
    /// An API key was revoked.
    #[serde(rename = "api_key.revoked")]
    ApiKeyRevoked(ApiKeyRevoked),
    /// A payment was authorized: the amount is held.
    #[serde(rename = "payment.authorized")]
    PaymentAuthorized(PaymentAuthorized),
    /// A payment was declined: nothing is held.
    #[serde(rename = "payment.declined")]
    PaymentDeclined(PaymentDeclined),
    /// More was held for a payment.
    #[serde(rename = "payment.authorization_incremented")]
    PaymentAuthorizationIncremented(PaymentIncremented),
    /// An authorization has a day left.
    #[serde(rename = "payment.authorization_expiring")]
    PaymentAuthorizationExpiring(PaymentExpiring),
    /// Held money was captured for the merchant, the rest perhaps released.
    #[serde(rename = "payment.captured")]
    PaymentCaptured(PaymentCaptured),
    /// All that was not captured was released.
    #[serde(rename = "payment.voided")]
    PaymentVoided(PaymentVoided),
    /// What was not captured in time was released.
    #[serde(rename = "payment.expired")]
    PaymentExpired(PaymentExpired),
    /// Captured money went back to the client.
    #[serde(rename = "payment.refunded")]
    PaymentRefunded(PaymentRefunded),
    /// A dispute was opened: the merchant's money is reserved.
    #[serde(rename = "payment.disputed")]
    PaymentDisputed(PaymentDisputed),
    /// The merchant had something to say in a dispute.
    #[serde(rename = "payment.dispute_evidence_submitted")]
    PaymentDisputeEvidenceSubmitted(EvidenceSubmitted),
    /// A dispute ended for the merchant.
    #[serde(rename = "payment.dispute_won")]
    PaymentDisputeWon(DisputeDecided),
    /// A dispute ended for the client.
    #[serde(rename = "payment.dispute_lost")]
    PaymentDisputeLost(DisputeDecided),
    /// A dispute that the merchant had won was opened again.
    #[serde(rename = "payment.dispute_reopened")]
    PaymentDisputeReopened(DisputeReopened),
    /// Captures became available to their merchant.
    #[serde(rename = "settlement.closed")]
    SettlementClosed(SettlementClosed),
    /// Available money is on its way to a merchant's bank account.
    #[serde(rename = "payout.requested")]
    PayoutRequested(PayoutRequested),
    /// The bank has sent a payout.
    #[serde(rename = "payout.paid")]
    PayoutPaid(PayoutChanged),
    /// The bank has not sent a payout.
    #[serde(rename = "payout.failed")]
    PayoutFailed(PayoutChanged),
    /// A payout came back.
    #[serde(rename = "payout.returned")]
    PayoutReturned(PayoutChanged),
    /// An operator asks for an event to be corrected.
    #[serde(rename = "correction.requested")]
    CorrectionRequested(CorrectionRequested),
    /// Another operator has approved a correction.
    #[serde(rename = "correction.approved")]
    CorrectionApproved(CorrectionApproved),
    /// An event of the stream was corrected: its postings are mirrored.
    #[serde(rename = "journal.corrected")]
    JournalCorrected(JournalCorrected),
    /// The rate from one currency to another was set.
    #[serde(rename = "fx.rate_set")]
    FxRateSet(FxRateSet),
    /// A bank statement was compared with the ledger.
    #[serde(rename = "reconciliation.run")]
    ReconciliationRun(ReconciliationRun),
    /// Some of what came out of it.
    #[serde(rename = "reconciliation.items")]
    ReconciliationItems(ReconciliationItems),
}

impl Event {
    /// Returns the type's name, as stored.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::ClientOpened(_) => "client.opened",
            Self::ClientDeposited(_) => "client.deposited",
            Self::ClientWithdrawn(_) => "client.withdrawn",
            Self::ClientClosed(_) => "client.closed",
            Self::CardIssued(_) => "card.issued",
            Self::CardBlocked(_) => "card.blocked",
            Self::CardUnblocked(_) => "card.unblocked",
            Self::MerchantOpened(_) => "merchant.opened",
            Self::MerchantSettingsChanged(_) => "merchant.settings_changed",
            Self::MerchantSuspended(_) => "merchant.suspended",
            Self::MerchantReinstated(_) => "merchant.reinstated",
            Self::MerchantDeposited(_) => "merchant.deposited",
            Self::MerchantBalanceWrittenOff(_) => "merchant.balance_written_off",
            Self::ApiKeyCreated(_) => "api_key.created",
            Self::ApiKeyRevoked(_) => "api_key.revoked",
            Self::PaymentAuthorized(_) => "payment.authorized",
            Self::PaymentDeclined(_) => "payment.declined",
            Self::PaymentAuthorizationIncremented(_) => "payment.authorization_incremented",
            Self::PaymentAuthorizationExpiring(_) => "payment.authorization_expiring",
            Self::PaymentCaptured(_) => "payment.captured",
            Self::PaymentVoided(_) => "payment.voided",
            Self::PaymentExpired(_) => "payment.expired",
            Self::PaymentRefunded(_) => "payment.refunded",
            Self::PaymentDisputed(_) => "payment.disputed",
            Self::PaymentDisputeEvidenceSubmitted(_) => "payment.dispute_evidence_submitted",
            Self::PaymentDisputeWon(_) => "payment.dispute_won",
            Self::PaymentDisputeLost(_) => "payment.dispute_lost",
            Self::PaymentDisputeReopened(_) => "payment.dispute_reopened",
            Self::SettlementClosed(_) => "settlement.closed",
            Self::PayoutRequested(_) => "payout.requested",
            Self::PayoutPaid(_) => "payout.paid",
            Self::PayoutFailed(_) => "payout.failed",
            Self::PayoutReturned(_) => "payout.returned",
            Self::CorrectionRequested(_) => "correction.requested",
            Self::CorrectionApproved(_) => "correction.approved",
            Self::JournalCorrected(_) => "journal.corrected",
            Self::FxRateSet(_) => "fx.rate_set",
            Self::ReconciliationRun(_) => "reconciliation.run",
            Self::ReconciliationItems(_) => "reconciliation.items",
        }
    }

    /// Returns the version of the type's shape that is written today.
    pub const fn schema_version(&self) -> u32 {
        match self {
            Self::ClientOpened(_)
            | Self::ClientDeposited(_)
            | Self::ClientWithdrawn(_)
            | Self::ClientClosed(_)
            | Self::CardIssued(_)
            | Self::CardBlocked(_)
            | Self::CardUnblocked(_)
            | Self::MerchantOpened(_)
            | Self::MerchantSettingsChanged(_)
            | Self::MerchantSuspended(_)
            | Self::MerchantReinstated(_)
            | Self::MerchantDeposited(_)
            | Self::MerchantBalanceWrittenOff(_)
            | Self::ApiKeyCreated(_)
            | Self::ApiKeyRevoked(_)
            | Self::PaymentDeclined(_)
            | Self::PaymentAuthorizationIncremented(_)
            | Self::PaymentAuthorizationExpiring(_)
            | Self::PaymentCaptured(_)
            | Self::PaymentVoided(_)
            | Self::PaymentExpired(_)
            | Self::PaymentRefunded(_)
            | Self::PaymentDisputed(_)
            | Self::PaymentDisputeEvidenceSubmitted(_)
            | Self::PaymentDisputeWon(_)
            | Self::PaymentDisputeLost(_)
            | Self::PaymentDisputeReopened(_)
            | Self::SettlementClosed(_)
            | Self::PayoutRequested(_)
            | Self::PayoutPaid(_)
            | Self::PayoutFailed(_)
            | Self::PayoutReturned(_)
            | Self::CorrectionRequested(_)
            | Self::CorrectionApproved(_)
            | Self::JournalCorrected(_)
            | Self::FxRateSet(_)
            | Self::ReconciliationRun(_)
            | Self::ReconciliationItems(_) => 1,
            // 2: `funding`.
            Self::PaymentAuthorized(_) => 2,
        }
    }

    /// Reads the stored `data` of a type and version, whatever version it is.
    pub fn decode(type_name: &str, schema_version: u32, data: &RawValue) -> Result<Self, DecodeError> {
        let data = upcast(type_name, schema_version, data.get().into())?;
        // The type is one of ours, so nothing in it is escaped. It comes first: serde would keep the data in a
        // tree until it knows their type.
        let event = [r#"{"type":""#, type_name, r#"","data":"#, &data, "}"].concat();
        Ok(serde_json::from_str(&event)?)
    }
}

/// A stored event can't be read: an unknown type or version, or a shape that it never had.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A program of a later version wrote it.
    #[error("unknown event type or schema version")]
    Unknown,
    /// The text is not what any version writes.
    #[error("malformed event")]
    Malformed(#[from] serde_json::Error),
}

/// Every type's name, as stored.
const TYPES: [&str; 39] = [
    "client.opened",
    "client.deposited",
    "client.withdrawn",
    "client.closed",
    "card.issued",
    "card.blocked",
    "card.unblocked",
    "merchant.opened",
    "merchant.settings_changed",
    "merchant.suspended",
    "merchant.reinstated",
    "merchant.deposited",
    "merchant.balance_written_off",
    "api_key.created",
    "api_key.revoked",
    "payment.authorized",
    "payment.declined",
    "payment.authorization_incremented",
    "payment.authorization_expiring",
    "payment.captured",
    "payment.voided",
    "payment.expired",
    "payment.refunded",
    "payment.disputed",
    "payment.dispute_evidence_submitted",
    "payment.dispute_won",
    "payment.dispute_lost",
    "payment.dispute_reopened",
    "settlement.closed",
    "payout.requested",
    "payout.paid",
    "payout.failed",
    "payout.returned",
    "correction.requested",
    "correction.approved",
    "journal.corrected",
    "fx.rate_set",
    "reconciliation.run",
    "reconciliation.items",
];

/// Turns the stored shape of an older version into today's, one version after another.
fn upcast<'a>(type_name: &str, schema_version: u32, data: Cow<'a, str>) -> Result<Cow<'a, str>, DecodeError> {
    match (type_name, schema_version) {
        ("payment.authorized", 1) => upcast(type_name, 2, with(&data, "funding", Value::Null)?.into()),
        ("payment.authorized", 2) => Ok(data),
        (_, 1) if TYPES.contains(&type_name) => Ok(data),
        _ => Err(DecodeError::Unknown),
    }
}

/// Adds a member that an older shape did not have.
fn with(data: &str, member: &str, value: Value) -> serde_json::Result<String> {
    let mut members: Map<String, Value> = serde_json::from_str(data)?;
    members.insert(member.to_owned(), value);
    serde_json::to_string(&members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_of_types_is_that_of_the_enum() {
        // serde names all variants when it meets one that it does not know.
        let error = serde_json::from_value::<Event>(json!({ "type": "?", "data": null })).unwrap_err();
        let text = error.to_string();
        let named: Vec<_> = text.split('`').skip(3).step_by(2).collect();
        assert_eq!(named, TYPES);
    }

    #[test]
    fn a_later_programs_events_are_unknown_and_broken_ones_malformed() {
        let decode = |name, version, data| Event::decode(name, version, serde_json::from_str(data).unwrap());
        let unknown = |result| matches!(result, Err(DecodeError::Unknown));
        assert!(unknown(decode("payment.teleported", 1, "{}")));
        assert!(unknown(decode("api_key.revoked", 0, "{}")));
        assert!(unknown(decode("api_key.revoked", 2, "{}")));
        assert_eq!(decode("api_key.revoked", 1, "{}").unwrap(), Event::ApiKeyRevoked(ApiKeyRevoked {}));
        for data in ["null", "{}", r#"{"amount":5}"#] {
            let decoded = decode("client.deposited", 1, data);
            assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{data}");
        }
        for data in ["null", "[]", "7"] {
            let decoded = decode("payment.authorized", 1, data);
            assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{data}");
        }
    }
}
