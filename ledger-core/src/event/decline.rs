//! Why payments are declined.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::card_number::Expiry;
use crate::money::Money;
use crate::rejection::Rule;

/// Why a payment was declined, in the order in which the reasons are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineCode {
    /// The number fails Luhn, or no brand has its prefix and length.
    InvalidNumber,
    /// The expiry that was sent has passed.
    ExpiredCard,
    /// No card of ours has the number.
    CardNotRecognised,
    /// The expiry is not this card's.
    InvalidExpiry,
    /// The CVC is not this card's.
    InvalidCvc,
    /// The card is blocked.
    CardBlocked,
    /// The client's available balance does not cover the amount.
    InsufficientFunds,
}

impl DeclineCode {
    /// Every rule, in the order in which they are checked.
    pub const RULES: [Rule; 7] = [
        Rule {
            code: "invalid_number",
            title: "No card has this number",
            rule: "A card number passes Luhn and has a prefix and a length of a brand.",
        },
        Rule {
            code: "expired_card",
            title: "The card has expired",
            rule: "A card is valid to the end of its expiry's month, UTC.",
        },
        Rule {
            code: "card_not_recognised",
            title: "The card is not known",
            rule: "A payment is made with a card that was issued or registered here.",
        },
        Rule {
            code: "invalid_expiry",
            title: "The expiry is not this card's",
            rule: "The expiry is the card's own; five wrong ones or CVCs in a row block it.",
        },
        Rule {
            code: "invalid_cvc",
            title: "The CVC is not this card's",
            rule: "The CVC is the card's own; five wrong ones or expiries in a row block it.",
        },
        Rule {
            code: "card_blocked",
            title: "The card can not pay",
            rule: "A blocked card does not pay, and no card of a closed client does.",
        },
        Rule {
            code: "insufficient_funds",
            title: "The client's money does not cover the amount",
            rule: "What is held is covered by what is available in the payment's currency, else by that of one \
                   currency with a rate to it.",
        },
    ];

    /// Explains a decline: the rule that decided, and its numbers. They are those that the merchant sent;
    /// what a client has is not the merchant's to know.
    pub fn explanation(self, amount: Money, expiry: Expiry) -> Value {
        let numbers = match self {
            Self::ExpiredCard | Self::InvalidExpiry => {
                serde_json::json!({ "exp_month": expiry.month, "exp_year": expiry.year })
            }
            Self::InsufficientFunds => serde_json::json!({ "requested": amount }),
            Self::InvalidNumber | Self::CardNotRecognised | Self::InvalidCvc | Self::CardBlocked => {
                serde_json::json!({})
            }
        };
        serde_json::json!({ "rule": self.rule().rule, "numbers": numbers })
    }

    /// Returns the rule that decided.
    pub const fn rule(self) -> Rule {
        match self {
            Self::InvalidNumber => Self::RULES[0],
            Self::ExpiredCard => Self::RULES[1],
            Self::CardNotRecognised => Self::RULES[2],
            Self::InvalidExpiry => Self::RULES[3],
            Self::InvalidCvc => Self::RULES[4],
            Self::CardBlocked => Self::RULES[5],
            Self::InsufficientFunds => Self::RULES[6],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_decline_has_its_rule() {
        let codes = [
            DeclineCode::InvalidNumber,
            DeclineCode::ExpiredCard,
            DeclineCode::CardNotRecognised,
            DeclineCode::InvalidExpiry,
            DeclineCode::InvalidCvc,
            DeclineCode::CardBlocked,
            DeclineCode::InsufficientFunds,
        ];
        assert_eq!(codes.map(|code| code.rule().code), DeclineCode::RULES.map(|rule| rule.code));
        for code in codes {
            assert_eq!(serde_json::to_value(code).unwrap(), code.rule().code);
            assert!(code.rule().rule.ends_with('.'));
        }
        let amount = Money::new(5, "EUR".parse().unwrap());
        let explained = DeclineCode::InsufficientFunds.explanation(amount, Expiry { year: 2029, month: 11 });
        assert_eq!(explained["numbers"], json!({ "requested": { "amount": 5, "currency": "EUR" } }));
    }
}
