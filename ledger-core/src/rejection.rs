//! Why a command is rejected, with the numbers that decided.

use serde_json::{Map, Value, json};

use crate::ids::CorrectionId;
use crate::money::Money;
use crate::time::Timestamp;

/// A command that was not carried out; nothing was appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// The object does not exist, or is another merchant's.
    NotFound,
    /// The amount's currency is not the object's.
    CurrencyMismatch,
    /// The object's state or a balance forbids it.
    Conflict(Conflict),
    /// The date is later than today, or earlier than what it is about.
    DateOutOfRange,
    /// Its time is still to come, by the clock that decides: nothing is decided.
    TooEarly,
}

impl From<Conflict> for Rejection {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

/// What stands in a command's way. Each code is stable; the numbers go into the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// Nothing is left to capture.
    PaymentNotCapturable {
        /// Where the payment stands.
        payment_status: &'static str,
    },
    /// Nothing is left to void.
    PaymentNotVoidable {
        /// Where the payment stands.
        payment_status: &'static str,
    },
    /// Nothing is held any more that could be added to.
    PaymentNotIncrementable {
        /// Where the payment stands.
        payment_status: &'static str,
    },
    /// Nothing is left to refund.
    PaymentNotRefundable {
        /// Where the payment stands.
        payment_status: &'static str,
    },
    /// Nothing is left to dispute.
    PaymentNotDisputable {
        /// Where the payment stands.
        payment_status: &'static str,
    },
    /// The authorization's time is over.
    AuthorizationExpired {
        /// When it ended.
        expires_at: Timestamp,
    },
    /// Less is held than was asked for.
    CaptureExceedsAuthorization {
        /// What can be captured.
        capturable: Money,
        /// What was asked for.
        requested: Money,
    },
    /// Less can be refunded than was asked for.
    RefundExceedsCaptured {
        /// What can be refunded.
        refundable: Money,
        /// What was asked for.
        requested: Money,
    },
    /// Less can be disputed than was asked for.
    DisputeExceedsRefundable {
        /// What can be refunded.
        refundable: Money,
        /// What was asked for.
        requested: Money,
    },
    /// The dispute is not in a state for it.
    DisputeClosed {
        /// Where the dispute stands.
        dispute_status: &'static str,
        /// Until when evidence is taken.
        respond_by: Timestamp,
    },
    /// The client's money does not cover it.
    InsufficientFunds {
        /// What is available.
        available: Money,
        /// What was asked for.
        requested: Money,
    },
    /// The balance does not cover it.
    InsufficientAvailableBalance {
        /// What is available (for refunds: with pending, down to the negative limit).
        available: Money,
        /// What was asked for.
        requested: Money,
    },
    /// The merchant is suspended.
    MerchantSuspended {
        /// Since when.
        suspended_at: Timestamp,
    },
    /// The client is closed.
    ClientClosed {
        /// Since when.
        closed_at: Timestamp,
    },
    /// The client still has or waits for something.
    ClientNotEmpty {
        /// What it has, by currency: available and held.
        posted: Vec<Money>,
        /// How many authorizations and disputes are open.
        open: u32,
    },
    /// One number is one card, for ever.
    CardAlreadyRegistered,
    /// The payout is not in a state for it.
    PayoutClosed {
        /// Where the payout stands.
        payout_status: &'static str,
    },
    /// Events of this type are not corrected.
    EventNotCorrectable {
        /// The event's type.
        event_type: &'static str,
    },
    /// The event was corrected before.
    EventAlreadyCorrected {
        /// By which correction.
        correction_id: CorrectionId,
    },
    /// Who asked for the correction can't approve it.
    CorrectionNeedsAnotherKey {
        /// The key that asked for it.
        requested_by: String,
    },
    /// The rate would never be used.
    FxRateExpired {
        /// When it would end.
        valid_until: Timestamp,
        /// The moment of the decision.
        now: Timestamp,
    },
    /// A balance would pass what JSON numbers hold.
    BalanceLimitExceeded {
        /// The limit.
        limit: Money,
    },
    /// The merchant owes less.
    WriteOffExceedsDebt {
        /// What it owes.
        debt: Money,
        /// What was asked for.
        requested: Money,
    },
}

/// A rule that commands meet: what its code means. Docs and OpenAPI are made from the tables of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The stable code.
    pub code: &'static str,
    /// What stands in the way, in a few words.
    pub title: &'static str,
    /// The rule itself.
    pub rule: &'static str,
}

impl Conflict {
    /// Every rule, in the order of the contract.
    pub const RULES: [Rule; 23] = [
        Rule {
            code: "payment_not_capturable",
            title: "Nothing is left to capture",
            rule: "A capture needs capturable > 0, where capturable = authorized − captured − released.",
        },
        Rule {
            code: "payment_not_voidable",
            title: "Nothing is left to void",
            rule: "A void needs capturable > 0, where capturable = authorized − captured − released.",
        },
        Rule {
            code: "payment_not_incrementable",
            title: "The authorization is closed",
            rule: "An increment needs capturable > 0, where capturable = authorized − captured − released.",
        },
        Rule {
            code: "payment_not_refundable",
            title: "Nothing is left to refund",
            rule: "A refund needs refundable > 0, where refundable = captured − refunded − disputed − charged_back.",
        },
        Rule {
            code: "payment_not_disputable",
            title: "Nothing is left to dispute",
            rule: "A dispute needs refundable > 0, where refundable = captured − refunded − disputed − charged_back.",
        },
        Rule {
            code: "authorization_expired",
            title: "The authorization has expired",
            rule: "Captures, voids and increments come before expires_at.",
        },
        Rule {
            code: "capture_exceeds_authorization",
            title: "More than what is left of the authorization",
            rule: "A capture is at most capturable = authorized − captured − released.",
        },
        Rule {
            code: "refund_exceeds_captured",
            title: "More than what is left to refund",
            rule: "A refund is at most refundable = captured − refunded − disputed − charged_back.",
        },
        Rule {
            code: "dispute_exceeds_refundable",
            title: "More than what is left to dispute",
            rule: "A dispute, opened or reopened, is at most refundable = captured − refunded − disputed − charged_back.",
        },
        Rule {
            code: "dispute_closed",
            title: "The state of the dispute forbids it",
            rule: "Evidence comes before respond_by; only an open dispute is won or lost; one that was won is reopened, once; only a lost one is corrected.",
        },
        Rule {
            code: "insufficient_funds",
            title: "The client's available balance does not cover the amount",
            rule: "What is held is covered by the available balance of the currency that pays.",
        },
        Rule {
            code: "insufficient_available_balance",
            title: "The available balance does not cover the amount",
            rule: "A withdrawal, a payout or what a correction takes back is at most available; a refund at most available, then pending, then what negative_limit allows.",
        },
        Rule {
            code: "merchant_suspended",
            title: "The merchant is suspended",
            rule: "A suspended merchant takes no new payments, increments or payouts; all else goes on.",
        },
        Rule {
            code: "client_closed",
            title: "The client is closed",
            rule: "A closed client accepts no deposits and no new cards; refunds, dispute credits and withdrawals go on.",
        },
        Rule {
            code: "client_not_empty",
            title: "The client has money, an open authorization or an open dispute",
            rule: "A client is closed with zero in every currency, no open authorization and no open dispute.",
        },
        Rule {
            code: "card_already_registered",
            title: "A card with this number exists",
            rule: "One number is one card, for ever.",
        },
        Rule {
            code: "payout_closed",
            title: "The state of the payout forbids it",
            rule: "A requested payout is paid or fails; only a paid one is returned, or its payment corrected.",
        },
        Rule {
            code: "event_not_correctable",
            title: "Events of this type are not corrected",
            rule: "Deposits, withdrawals, payouts paid and disputes lost are corrected; a correction is not.",
        },
        Rule {
            code: "event_already_corrected",
            title: "The event was corrected before",
            rule: "An event is corrected once.",
        },
        Rule {
            code: "correction_needs_another_key",
            title: "Who asks for a correction does not approve it",
            rule: "A correction is approved with another operator's key than it was requested with.",
        },
        Rule {
            code: "fx_rate_expired",
            title: "The rate has expired",
            rule: "A rate is valid until a moment that is still to come.",
        },
        Rule {
            code: "balance_limit_exceeded",
            title: "The balance would pass the largest possible one",
            rule: "No total of a payment or settlement and no balance of a client or merchant passes ±9 007 199 254 740 991.",
        },
        Rule {
            code: "write_off_exceeds_debt",
            title: "More than what the merchant owes",
            rule: "A write-off is at most the debt, which is −available where that is negative.",
        },
    ];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PaymentNotCapturable { .. } => "payment_not_capturable",
            Self::PaymentNotVoidable { .. } => "payment_not_voidable",
            Self::PaymentNotIncrementable { .. } => "payment_not_incrementable",
            Self::PaymentNotRefundable { .. } => "payment_not_refundable",
            Self::PaymentNotDisputable { .. } => "payment_not_disputable",
            Self::AuthorizationExpired { .. } => "authorization_expired",
            Self::CaptureExceedsAuthorization { .. } => "capture_exceeds_authorization",
            Self::RefundExceedsCaptured { .. } => "refund_exceeds_captured",
            Self::DisputeExceedsRefundable { .. } => "dispute_exceeds_refundable",
            Self::DisputeClosed { .. } => "dispute_closed",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::InsufficientAvailableBalance { .. } => "insufficient_available_balance",
            Self::MerchantSuspended { .. } => "merchant_suspended",
            Self::ClientClosed { .. } => "client_closed",
            Self::ClientNotEmpty { .. } => "client_not_empty",
            Self::CardAlreadyRegistered => "card_already_registered",
            Self::PayoutClosed { .. } => "payout_closed",
            Self::EventNotCorrectable { .. } => "event_not_correctable",
            Self::EventAlreadyCorrected { .. } => "event_already_corrected",
            Self::CorrectionNeedsAnotherKey { .. } => "correction_needs_another_key",
            Self::FxRateExpired { .. } => "fx_rate_expired",
            Self::BalanceLimitExceeded { .. } => "balance_limit_exceeded",
            Self::WriteOffExceedsDebt { .. } => "write_off_exceeds_debt",
        }
    }

    /// Returns the rule that decided.
    pub fn rule(&self) -> Rule {
        let found = Self::RULES.into_iter().find(|rule| rule.code == self.code());
        found.unwrap_or(Rule { code: self.code(), title: self.code(), rule: self.detail() })
    }

    /// Returns what to do about it, in a sentence.
    pub const fn detail(&self) -> &'static str {
        match self {
            Self::PaymentNotCapturable { .. } => "This payment has nothing left to capture.",
            Self::PaymentNotVoidable { .. } => {
                "This payment has nothing left to void; refund what was captured."
            }
            Self::PaymentNotIncrementable { .. } => {
                "This payment's authorization is closed; make a new payment."
            }
            Self::PaymentNotRefundable { .. } => "This payment has nothing left to refund.",
            Self::PaymentNotDisputable { .. } => "This payment has nothing left to dispute.",
            Self::AuthorizationExpired { .. } => "The authorization is over; make a new payment.",
            Self::CaptureExceedsAuthorization { .. } => "Capture at most what is capturable.",
            Self::RefundExceedsCaptured { .. } => "Refund at most what is refundable.",
            Self::DisputeExceedsRefundable { .. } => "Dispute at most what is refundable.",
            Self::DisputeClosed { .. } => "Look at the dispute: its state does not allow this.",
            Self::InsufficientFunds { .. } => "The client's balance does not cover this; ask for less.",
            Self::InsufficientAvailableBalance { .. } => {
                "The balance does not cover this; ask for less, or later."
            }
            Self::MerchantSuspended { .. } => "The merchant must be reinstated first.",
            Self::ClientClosed { .. } => "The client is closed for good; open a new one.",
            Self::ClientNotEmpty { .. } => "Withdraw what is left, and wait for what is open.",
            Self::CardAlreadyRegistered => "This number is a card already; one number is one card, for ever.",
            Self::PayoutClosed { .. } => "Look at the payout: its state does not allow this.",
            Self::EventNotCorrectable { .. } => {
                "Undo this by a command of its own, such as a refund or a void."
            }
            Self::EventAlreadyCorrected { .. } => "Look at the correction that this event has.",
            Self::CorrectionNeedsAnotherKey { .. } => {
                "Ask another operator to approve this: the key that requested a correction can't."
            }
            Self::FxRateExpired { .. } => "Set a later valid_until.",
            Self::BalanceLimitExceeded { .. } => {
                "No balance may pass the limit; split the money over other accounts."
            }
            Self::WriteOffExceedsDebt { .. } => "Write off at most the debt.",
        }
    }

    /// Returns the numbers that decided, by name.
    pub fn numbers(&self) -> Map<String, Value> {
        let numbers = match self {
            Self::PaymentNotCapturable { payment_status }
            | Self::PaymentNotVoidable { payment_status }
            | Self::PaymentNotIncrementable { payment_status }
            | Self::PaymentNotRefundable { payment_status }
            | Self::PaymentNotDisputable { payment_status } => json!({ "payment_status": payment_status }),
            Self::AuthorizationExpired { expires_at } => json!({ "expires_at": expires_at }),
            Self::CaptureExceedsAuthorization { capturable, requested } => {
                json!({ "capturable": capturable, "requested": requested })
            }
            Self::RefundExceedsCaptured { refundable, requested }
            | Self::DisputeExceedsRefundable { refundable, requested } => {
                json!({ "refundable": refundable, "requested": requested })
            }
            Self::DisputeClosed { dispute_status, respond_by } => {
                json!({ "dispute_status": dispute_status, "respond_by": respond_by })
            }
            Self::InsufficientFunds { available, requested }
            | Self::InsufficientAvailableBalance { available, requested } => {
                json!({ "available": available, "requested": requested })
            }
            Self::MerchantSuspended { suspended_at } => json!({ "suspended_at": suspended_at }),
            Self::ClientClosed { closed_at } => json!({ "closed_at": closed_at }),
            Self::ClientNotEmpty { posted, open } => json!({ "posted": posted, "open": open }),
            Self::CardAlreadyRegistered => json!({}),
            Self::PayoutClosed { payout_status } => json!({ "payout_status": payout_status }),
            Self::EventNotCorrectable { event_type } => json!({ "event_type": event_type }),
            Self::EventAlreadyCorrected { correction_id } => json!({ "correction_id": correction_id }),
            Self::CorrectionNeedsAnotherKey { requested_by } => json!({ "requested_by": requested_by }),
            Self::FxRateExpired { valid_until, now } => json!({ "valid_until": valid_until, "now": now }),
            Self::BalanceLimitExceeded { limit } => json!({ "limit": limit }),
            Self::WriteOffExceedsDebt { debt, requested } => json!({ "debt": debt, "requested": requested }),
        };
        match numbers {
            Value::Object(numbers) => numbers,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BEGIN, correction, eur};

    #[test]
    fn every_conflict_has_its_code_its_sentence_and_its_numbers() {
        let moment = BEGIN.parse().unwrap();
        let (some, requested) = (eur(1), eur(2));
        let payment_status = "voided";
        let standing = || json!({ "payment_status": payment_status });
        let refundable = || json!({ "refundable": some, "requested": requested });
        let available = || json!({ "available": { "amount": 1, "currency": "EUR" }, "requested": requested });
        let conflicts = [
            (Conflict::PaymentNotCapturable { payment_status }, standing()),
            (Conflict::PaymentNotVoidable { payment_status }, standing()),
            (Conflict::PaymentNotIncrementable { payment_status }, standing()),
            (Conflict::PaymentNotRefundable { payment_status }, standing()),
            (Conflict::PaymentNotDisputable { payment_status }, standing()),
            (Conflict::AuthorizationExpired { expires_at: moment }, json!({ "expires_at": BEGIN })),
            (
                Conflict::CaptureExceedsAuthorization { capturable: some, requested },
                json!({ "capturable": some, "requested": requested }),
            ),
            (Conflict::RefundExceedsCaptured { refundable: some, requested }, refundable()),
            (Conflict::DisputeExceedsRefundable { refundable: some, requested }, refundable()),
            (
                Conflict::DisputeClosed { dispute_status: "won", respond_by: moment },
                json!({ "dispute_status": "won", "respond_by": BEGIN }),
            ),
            (Conflict::InsufficientFunds { available: some, requested }, available()),
            (Conflict::InsufficientAvailableBalance { available: some, requested }, available()),
            (Conflict::MerchantSuspended { suspended_at: moment }, json!({ "suspended_at": BEGIN })),
            (Conflict::ClientClosed { closed_at: moment }, json!({ "closed_at": BEGIN })),
            (
                Conflict::ClientNotEmpty { posted: vec![some], open: 2 },
                json!({ "posted": [some], "open": 2 }),
            ),
            (Conflict::CardAlreadyRegistered, json!({})),
            (Conflict::PayoutClosed { payout_status: "paid" }, json!({ "payout_status": "paid" })),
            (
                Conflict::EventNotCorrectable { event_type: "card.issued" },
                json!({ "event_type": "card.issued" }),
            ),
            (
                Conflict::EventAlreadyCorrected { correction_id: correction(1) },
                json!({ "correction_id": correction(1) }),
            ),
            (
                Conflict::CorrectionNeedsAnotherKey { requested_by: "key_1".to_owned() },
                json!({ "requested_by": "key_1" }),
            ),
            (
                Conflict::FxRateExpired { valid_until: moment, now: moment },
                json!({ "valid_until": BEGIN, "now": BEGIN }),
            ),
            (Conflict::BalanceLimitExceeded { limit: some }, json!({ "limit": some })),
            (
                Conflict::WriteOffExceedsDebt { debt: some, requested },
                json!({ "debt": some, "requested": requested }),
            ),
        ];
        let codes = conflicts.each_ref().map(|(conflict, _)| conflict.code());
        assert_eq!(codes, Conflict::RULES.map(|rule| rule.code));
        for (conflict, numbers) in conflicts {
            assert!(conflict.detail().ends_with('.'));
            assert_eq!(conflict.rule().code, conflict.code());
            assert_eq!(Value::Object(conflict.numbers()), numbers);
        }
        assert!(Conflict::RULES.iter().all(|rule| rule.rule.ends_with('.')));
    }
}
