//! Why a command is rejected, with the numbers that decided.

use serde_json::{Map, Value, json};

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
    PaymentNotCapturable,
    /// Nothing is left to void.
    PaymentNotVoidable,
    /// Nothing is left to refund.
    PaymentNotRefundable,
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
    /// The balance does not cover it.
    InsufficientAvailableBalance {
        /// What is available (for refunds: with pending, down to the negative limit).
        available: Money,
        /// What was asked for.
        requested: Money,
    },
    /// One number is one card, for ever.
    CardAlreadyRegistered,
    /// A balance would pass what JSON numbers hold.
    BalanceLimitExceeded {
        /// The limit.
        limit: Money,
    },
}

impl Conflict {
    /// Every code with its title, in the order of the contract; docs and OpenAPI are made from it.
    pub const CODES: [(&'static str, &'static str); 9] = [
        ("payment_not_capturable", "Nothing is left to capture"),
        ("payment_not_voidable", "Nothing is left to void"),
        ("payment_not_refundable", "Nothing is left to refund"),
        ("authorization_expired", "The authorization has expired"),
        ("capture_exceeds_authorization", "More than what is left of the authorization"),
        ("refund_exceeds_captured", "More than what is left to refund"),
        ("insufficient_available_balance", "The available balance does not cover the amount"),
        ("card_already_registered", "A card with this number exists"),
        ("balance_limit_exceeded", "The balance would pass the largest possible one"),
    ];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PaymentNotCapturable => "payment_not_capturable",
            Self::PaymentNotVoidable => "payment_not_voidable",
            Self::PaymentNotRefundable => "payment_not_refundable",
            Self::AuthorizationExpired { .. } => "authorization_expired",
            Self::CaptureExceedsAuthorization { .. } => "capture_exceeds_authorization",
            Self::RefundExceedsCaptured { .. } => "refund_exceeds_captured",
            Self::InsufficientAvailableBalance { .. } => "insufficient_available_balance",
            Self::CardAlreadyRegistered => "card_already_registered",
            Self::BalanceLimitExceeded { .. } => "balance_limit_exceeded",
        }
    }

    /// Returns what to do about it, in a sentence.
    pub const fn detail(&self) -> &'static str {
        match self {
            Self::PaymentNotCapturable => "This payment has nothing left to capture.",
            Self::PaymentNotVoidable => "This payment has nothing left to void; refund what was captured.",
            Self::PaymentNotRefundable => "This payment has nothing left to refund.",
            Self::AuthorizationExpired { .. } => "The authorization is over; make a new payment.",
            Self::CaptureExceedsAuthorization { .. } => "Capture at most what is capturable.",
            Self::RefundExceedsCaptured { .. } => "Refund at most what is refundable.",
            Self::InsufficientAvailableBalance { .. } => {
                "The balance does not cover this; ask for less, or later."
            }
            Self::CardAlreadyRegistered => "This number is a card already; one number is one card, for ever.",
            Self::BalanceLimitExceeded { .. } => {
                "No balance may pass the limit; split the money over other accounts."
            }
        }
    }

    /// Returns the numbers that decided, by name.
    pub fn numbers(&self) -> Map<String, Value> {
        let numbers = match self {
            Self::PaymentNotCapturable
            | Self::PaymentNotVoidable
            | Self::PaymentNotRefundable
            | Self::CardAlreadyRegistered => json!({}),
            Self::AuthorizationExpired { expires_at } => json!({ "expires_at": expires_at }),
            Self::CaptureExceedsAuthorization { capturable, requested } => {
                json!({ "capturable": capturable, "requested": requested })
            }
            Self::RefundExceedsCaptured { refundable, requested } => {
                json!({ "refundable": refundable, "requested": requested })
            }
            Self::InsufficientAvailableBalance { available, requested } => {
                json!({ "available": available, "requested": requested })
            }
            Self::BalanceLimitExceeded { limit } => json!({ "limit": limit }),
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
    use crate::testing::{BEGIN, eur};

    #[test]
    fn every_conflict_has_its_code_its_sentence_and_its_numbers() {
        let expires_at = BEGIN.parse().unwrap();
        let (some, requested) = (eur(1), eur(2));
        let conflicts = [
            (Conflict::PaymentNotCapturable, json!({})),
            (Conflict::PaymentNotVoidable, json!({})),
            (Conflict::PaymentNotRefundable, json!({})),
            (Conflict::AuthorizationExpired { expires_at }, json!({ "expires_at": BEGIN })),
            (
                Conflict::CaptureExceedsAuthorization { capturable: some, requested },
                json!({ "capturable": some, "requested": requested }),
            ),
            (
                Conflict::RefundExceedsCaptured { refundable: some, requested },
                json!({ "refundable": some, "requested": requested }),
            ),
            (
                Conflict::InsufficientAvailableBalance { available: some, requested },
                json!({ "available": { "amount": 1, "currency": "EUR" }, "requested": requested }),
            ),
            (Conflict::CardAlreadyRegistered, json!({})),
            (Conflict::BalanceLimitExceeded { limit: some }, json!({ "limit": some })),
        ];
        let codes = conflicts.each_ref().map(|(conflict, _)| conflict.code());
        assert_eq!(codes, Conflict::CODES.map(|(code, _)| code));
        for (conflict, numbers) in conflicts {
            assert!(conflict.detail().ends_with('.'));
            assert_eq!(Value::Object(conflict.numbers()), numbers);
        }
    }
}
