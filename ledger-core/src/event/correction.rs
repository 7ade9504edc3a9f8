//! What happens to corrections, and to what they correct.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::ids::{ClientId, CorrectionId, DisputeId, EventId, MerchantId, StreamId};
use crate::money::Money;
use crate::personal::Reason;
use crate::time::{Day, Timestamp};

/// `correction.requested`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CorrectionRequested {
    /// The event to correct.
    pub reverses: EventId,
    /// Its place in the log.
    pub reverses_position: u64,
    /// The stream that it belongs to.
    pub reverses_stream: StreamId,
    /// What it was.
    #[serde(flatten)]
    pub reversed: Reversed,
    /// The day that the correction belongs to, for accountants; balances change when it is approved.
    pub effective_date: Day,
    /// Why.
    pub reason: Reason,
}

/// `correction.approved`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CorrectionApproved {}

/// `journal.corrected`, in the stream of the event that it corrects. Its postings are that event's, mirrored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalCorrected {
    /// The correction.
    pub correction_id: CorrectionId,
    /// The event that is corrected; an earlier one of the stream.
    pub reverses: EventId,
    /// What it was.
    #[serde(flatten)]
    pub reversed: Reversed,
    /// The day that the correction belongs to, for accountants.
    pub effective_date: Day,
    /// The dispute that is open again, where one was lost.
    pub dispute: Option<DisputeResumed>,
}

/// An event that can be corrected, as far as whoever folds its correction must know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "reverses_type")]
pub enum Reversed {
    /// A client's deposit.
    #[serde(rename = "client.deposited")]
    ClientDeposited {
        /// How much came.
        amount: Money,
    },
    /// A client's withdrawal.
    #[serde(rename = "client.withdrawn")]
    ClientWithdrawn {
        /// How much went.
        amount: Money,
    },
    /// A merchant's deposit.
    #[serde(rename = "merchant.deposited")]
    MerchantDeposited {
        /// How much came.
        amount: Money,
    },
    /// A payout that the bank has sent.
    #[serde(rename = "payout.paid")]
    PayoutPaid {
        /// Who was paid.
        merchant_id: MerchantId,
        /// How much.
        amount: Money,
    },
    /// A dispute that ended for the client.
    #[serde(rename = "payment.dispute_lost")]
    DisputeLost {
        /// Whose money was reserved.
        merchant_id: MerchantId,
        /// Who disputed.
        client_id: ClientId,
        /// The dispute.
        dispute_id: DisputeId,
        /// How much was disputed.
        amount: Money,
    },
}

impl Reversed {
    /// Takes an event; `None` if its type can't be corrected.
    pub const fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::ClientDeposited(moved) => Self::ClientDeposited { amount: moved.amount },
            Event::ClientWithdrawn(moved) => Self::ClientWithdrawn { amount: moved.amount },
            Event::MerchantDeposited(moved) => Self::MerchantDeposited { amount: moved.amount },
            Event::PayoutPaid(paid) => {
                Self::PayoutPaid { merchant_id: paid.merchant_id, amount: paid.amount }
            }
            Event::PaymentDisputeLost(lost) => Self::DisputeLost {
                merchant_id: lost.merchant_id,
                client_id: lost.client_id,
                dispute_id: lost.dispute_id,
                amount: lost.amount,
            },
            _ => return None,
        })
    }

    /// Returns the type's name, as stored.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::ClientDeposited { .. } => "client.deposited",
            Self::ClientWithdrawn { .. } => "client.withdrawn",
            Self::MerchantDeposited { .. } => "merchant.deposited",
            Self::PayoutPaid { .. } => "payout.paid",
            Self::DisputeLost { .. } => "payment.dispute_lost",
        }
    }

    /// Returns how much the event was about.
    pub const fn amount(&self) -> Money {
        match self {
            Self::ClientDeposited { amount }
            | Self::ClientWithdrawn { amount }
            | Self::MerchantDeposited { amount }
            | Self::PayoutPaid { amount, .. }
            | Self::DisputeLost { amount, .. } => *amount,
        }
    }
}

/// Where a dispute stands that a correction has opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DisputeResumed {
    /// Whom it waits for.
    pub status: ResumedStatus,
    /// Until then evidence is taken, as before.
    pub respond_by: Timestamp,
}

/// Whom a dispute waits for that a correction has opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumedStatus {
    /// The merchant, who has said nothing and still has time to.
    NeedsResponse,
    /// An operator.
    UnderReview,
}
