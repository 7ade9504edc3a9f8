//! What happens to disputes, in the streams of their payments.

use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, DisputeId, MerchantId};
use crate::money::Money;
use crate::personal::{Reason, Sealed};
use crate::time::Timestamp;

/// `payment.disputed`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentDisputed {
    /// Whose money is reserved.
    pub merchant_id: MerchantId,
    /// Who disputes.
    pub client_id: ClientId,
    /// The dispute.
    pub dispute_id: DisputeId,
    /// How much is disputed.
    pub amount: Money,
    /// Why.
    pub reason: Reason,
    /// Without evidence until this moment the dispute is lost.
    pub respond_by: Timestamp,
}

/// `payment.dispute_evidence_submitted`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EvidenceSubmitted {
    /// Who submitted it.
    pub merchant_id: MerchantId,
    /// Who disputes.
    pub client_id: ClientId,
    /// The dispute.
    pub dispute_id: DisputeId,
    /// Personal: the evidence.
    pub text: Sealed,
}

/// `payment.dispute_won`, `payment.dispute_lost`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DisputeDecided {
    /// Whose money was reserved.
    pub merchant_id: MerchantId,
    /// Who disputed.
    pub client_id: ClientId,
    /// The dispute.
    pub dispute_id: DisputeId,
    /// How much was disputed.
    pub amount: Money,
    /// Why, if the machine decided.
    pub reason: Option<Reason>,
}

/// `payment.dispute_reopened`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DisputeReopened {
    /// Whose money is reserved.
    pub merchant_id: MerchantId,
    /// Who disputes.
    pub client_id: ClientId,
    /// The dispute.
    pub dispute_id: DisputeId,
    /// How much is disputed.
    pub amount: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
    /// Without evidence until this moment the dispute is lost.
    pub respond_by: Timestamp,
}
