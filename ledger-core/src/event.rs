//! The vocabulary of the log: what happened, in the form that is stored for ever.
//!
//! Each type carries only what can't be told from its stream and its postings. Stored events are never
//! changed: a new shape of a type gets a new `schema_version`, and [`upcast`] turns the old one into it
//! (I11). `fixtures/` holds the golden bytes of every type and version, which tests read back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api_key::Role;
use crate::card_number::{Brand, Expiry};
use crate::fee::{FeeSchedule, RefundFee};
use crate::fx::Rate;
use crate::ids::{CardId, ClientId, CorrectionId, DisputeId, EventId, MerchantId, RefundId, StreamId};
use crate::money::{Currency, Money};
use crate::personal::{Reason, Sealed};
use crate::reconciliation::item::{Item, MatchCounts};
use crate::reconciliation::statement::{FileHash, StatementFormat};
use crate::rejection::Rule;
use crate::time::{Day, Timestamp};

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

/// `client.opened`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientOpened {
    /// Personal: the client's name.
    pub name: Sealed,
    /// Personal: the client's e-mail address.
    pub email: Option<Sealed>,
    /// Personal: what the operator noted of the client.
    pub metadata: Option<Sealed>,
}

/// `client.deposited`, `client.withdrawn`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CashMoved {
    /// How much.
    pub amount: Money,
    /// Personal: the bank's or the operator's reference.
    pub reference: Option<Sealed>,
}

/// `client.closed`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closed {
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// `card.issued`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardIssued {
    /// The holder.
    pub client_id: ClientId,
    /// The brand.
    pub brand: Brand,
    /// The last four digits.
    pub last4: String,
    /// When the card stops being valid.
    #[serde(flatten)]
    pub expiry: Expiry,
    /// Whether the number was brought along rather than made by us.
    pub registered: bool,
    /// The version of the key that the fingerprint was computed with.
    pub fingerprint_key: u32,
    /// The version of the key that the CVC was computed with.
    pub cvc_key: u32,
}

/// `card.blocked`, `card.unblocked`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Because {
    /// The holder.
    pub client_id: ClientId,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// A merchant's settings as they are from an event on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// What captures cost.
    pub fee: FeeSchedule,
    /// Counts the settings; captures record it.
    pub fee_version: u32,
    /// Days from a capture to its settlement, 0 to 30.
    pub settlement_delay_days: u32,
    /// Whether refunds give the fee back.
    pub refund_fee: RefundFee,
    /// How far below zero refunds may take the available balance; at most one amount per currency.
    pub negative_limit: Vec<Money>,
}

/// `merchant.opened`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MerchantOpened {
    /// The merchant's name: a company's, in clear.
    pub name: String,
    /// What the operator noted.
    pub metadata: Option<Value>,
    /// The first settings.
    #[serde(flatten)]
    pub settings: Settings,
}

/// `merchant.suspended`, `merchant.reinstated`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StandingChanged {
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// `merchant.balance_written_off`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BalanceWrittenOff {
    /// How much of the debt ended.
    pub amount: Money,
    /// Why.
    pub reason: Reason,
}

/// `api_key.created`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// What the key may do.
    pub role: Role,
    /// The merchant that a merchant's key is bound to.
    pub merchant_id: Option<MerchantId>,
}

/// `api_key.revoked`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKeyRevoked {}

/// The card of a payment, as far as it may be kept. What a decline does not know is null.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentCard {
    /// The card, if the number is known.
    pub id: Option<CardId>,
    /// The number's brand, if it has one.
    pub brand: Option<Brand>,
    /// The number's last four digits.
    pub last4: String,
    /// The expiry that was sent.
    #[serde(flatten)]
    pub expiry: Expiry,
}

/// When a payment is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMode {
    /// With its authorization.
    Automatic,
    /// By a command of its own.
    Manual,
}

/// What the merchant said of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentDetails {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// The amount that was asked for.
    pub amount: Money,
    /// The card.
    pub card: PaymentCard,
    /// When it is captured.
    pub capture: CaptureMode,
    /// The merchant's reference, in clear: payments are found by it.
    pub reference: Option<String>,
    /// Personal: what is paid for.
    pub description: Option<Sealed>,
    /// Personal: what the merchant noted.
    pub metadata: Option<Sealed>,
}

/// The currency that pays for a payment made in another. Recorded once, for the payment's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Funding {
    /// The currency that pays.
    pub currency: Currency,
    /// Major units of the payment's currency per major unit of the one that pays.
    pub rate: Rate,
}

/// `payment.authorized`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// Whose money is held.
    pub client_id: ClientId,
    /// From this moment on nothing more can be captured.
    pub expires_at: Timestamp,
    /// The currency that pays, where it is not the payment's.
    pub funding: Option<Funding>,
    /// What was asked.
    #[serde(flatten)]
    pub details: PaymentDetails,
}

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

/// `payment.declined`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentDeclined {
    /// The holder, if the card is known.
    pub client_id: Option<ClientId>,
    /// Why.
    pub decline_code: DeclineCode,
    /// What was asked.
    #[serde(flatten)]
    pub details: PaymentDetails,
}

/// `payment.authorization_incremented`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentIncremented {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money is held.
    pub client_id: ClientId,
    /// How much more.
    pub amount: Money,
}

/// `payment.authorization_expiring`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentExpiring {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money is held.
    pub client_id: ClientId,
    /// From this moment on nothing more can be captured.
    pub expires_at: Timestamp,
    /// How much can be captured until then.
    pub capturable: Money,
}

/// `payment.captured`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// Who pays.
    pub client_id: ClientId,
    /// How much of the held amount was captured.
    pub amount: Money,
    /// The house's part of it.
    pub fee: Money,
    /// The settings that the fee was computed with.
    pub fee_version: u32,
    /// Whether the rest was released.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// How much was released.
    pub released: Money,
    /// The first UTC day whose settlement takes this capture.
    pub settles_on: Day,
}

/// `payment.voided`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentVoided {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money was held.
    pub client_id: ClientId,
    /// How much was released.
    pub amount: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

/// `payment.expired`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentExpired {
    /// Whose payment it is.
    pub merchant_id: MerchantId,
    /// Whose money was held.
    pub client_id: ClientId,
    /// How much was released.
    pub amount: Money,
}

/// `payment.refunded`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// Who pays back.
    pub merchant_id: MerchantId,
    /// Who gets it.
    pub client_id: ClientId,
    /// The refund.
    pub refund_id: RefundId,
    /// How much the client gets.
    pub amount: Money,
    /// How much of it the house gives back of its fee.
    pub fee_returned: Money,
    /// How much of it came from the merchant's pending balance.
    pub drawn: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}

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

/// `settlement.closed`. Its items are the merchant's captures in the currency that no earlier settlement
/// took, with `settles_on` up to `through_day`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettlementClosed {
    /// Who is settled.
    pub merchant_id: MerchantId,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The last day that is taken.
    pub through_day: Day,
    /// How many captures it takes.
    pub count: u64,
    /// What they captured.
    pub gross: Money,
    /// The house's part of it.
    pub fees: Money,
    /// What refunds had drawn before and is made up for now.
    pub absorbed: Money,
    /// What becomes available: `gross − fees − absorbed`.
    pub amount: Money,
}

/// `payout.requested`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PayoutRequested {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// The merchant's reference, in clear.
    pub reference: Option<String>,
}

/// `payout.paid`, `payout.failed`, `payout.returned`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PayoutChanged {
    /// Who is paid.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Money,
    /// Why, if anyone said.
    pub reason: Option<Reason>,
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

/// `fx.rate_set`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FxRateSet {
    /// The currency that pays.
    pub from: Currency,
    /// The currency that is paid in.
    pub to: Currency,
    /// Major units of `to` per major unit of `from`.
    pub rate: Rate,
    /// From then on the rate is used no more.
    pub valid_until: Timestamp,
}

/// `reconciliation.run`. Its items follow in `reconciliation.items`, as many as are counted here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReconciliationRun {
    /// How the statement is written.
    pub format: StatementFormat,
    /// What the file is known by.
    pub file_hash: FileHash,
    /// The first day that the statement speaks of.
    pub from: Day,
    /// The last day that it speaks of.
    pub to: Day,
    /// The currencies that it speaks of.
    pub currencies: BTreeSet<Currency>,
    /// How many lines it has.
    pub lines: u64,
    /// The position up to which the log was read.
    pub through_position: u64,
    /// How its lines and the ledger's movements came out.
    pub counts: MatchCounts,
}

/// `reconciliation.items`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReconciliationItems {
    /// The next items, in their order: the differences first.
    pub items: Vec<Item>,
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
    pub fn decode(type_name: &str, schema_version: u32, data: Value) -> Result<Self, DecodeError> {
        let data = upcast(type_name, schema_version, data)?;
        let event = serde_json::json!({ "type": type_name, "data": data });
        Ok(serde_json::from_value(event)?)
    }
}

/// Turns the stored shape of an older version into today's, one version after another.
fn upcast(type_name: &str, schema_version: u32, data: Value) -> Result<Value, DecodeError> {
    match (type_name, schema_version) {
        ("payment.authorized", 1) => upcast(type_name, 2, with(data, "funding", Value::Null)),
        ("payment.authorized", 2) => Ok(data),
        (_, 1) if TYPES.contains(&type_name) => Ok(data),
        _ => Err(DecodeError::Unknown),
    }
}

/// Adds a member that an older shape did not have.
fn with(mut data: Value, member: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut data {
        members.insert(member.to_owned(), value);
    }
    data
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

    #[test]
    fn a_later_programs_events_are_unknown_and_broken_ones_malformed() {
        let unknown = |result| matches!(result, Err(DecodeError::Unknown));
        assert!(unknown(Event::decode("payment.teleported", 1, json!({}))));
        assert!(unknown(Event::decode("api_key.revoked", 0, json!({}))));
        assert!(unknown(Event::decode("api_key.revoked", 2, json!({}))));
        assert_eq!(
            Event::decode("api_key.revoked", 1, json!({})).unwrap(),
            Event::ApiKeyRevoked(ApiKeyRevoked {})
        );
        for data in [json!(null), json!({}), json!({ "amount": 5 })] {
            let decoded = Event::decode("client.deposited", 1, data);
            assert!(matches!(decoded, Err(DecodeError::Malformed(_))));
        }
    }
}
