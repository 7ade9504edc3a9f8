//! Disputes: the client's bank takes captured money back, unless the merchant convinces it otherwise.
//!
//! ```text
//! needs_response ── evidence ── under_review
//!       │                            │
//!       └────── won or lost ─────────┘        won ── reopened, once ── needs_response
//! ```
//!
//! A dispute that was lost by mistake is opened again by a correction: it waits for the merchant if nobody
//! had responded and there is time, else it is under review, so that only an operator ends it.
//!
//! While a dispute is open, its amount is reserved: out of what is available to the merchant, below zero if
//! need be. A dispute that nobody responds to in time is lost.

use super::{Amounts, Payment, RESPONSE_DAYS};
use crate::balance::{ClientBalance, MerchantBalance};
use crate::command::{Context, DisputeOf, OpenDispute, ReopenDispute, SubmitEvidence};
use crate::envelope::{Draft, Envelope};
use crate::event::{
    DisputeDecided, DisputeReopened, DisputeResumed, Event, EvidenceSubmitted, PaymentDisputed, ResumedStatus,
};
use crate::ids::{DisputeId, EventId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::money::{BALANCE_MAX, Money};
use crate::personal::{Reason, Sealed};
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// The machine's reason for losing a dispute that nobody responded to.
pub const NO_RESPONSE: &str = "no_response";

/// A dispute of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispute {
    /// The dispute.
    pub id: DisputeId,
    /// The event that opened it: its reason is bound to it.
    pub origin: EventId,
    /// How much, in minor units of the payment's currency.
    pub amount: i64,
    /// Why.
    pub reason: Reason,
    /// Where it stands.
    pub status: DisputeStatus,
    /// Until then evidence is taken; without any the dispute is lost.
    pub respond_by: Timestamp,
    /// What the merchant said last, and the event that it is bound to.
    pub evidence: Option<(EventId, Sealed)>,
    /// Whether the merchant has said something since it was opened the last time.
    pub answered: bool,
    /// Whether it was opened again.
    pub reopened: bool,
    /// Its first and its last event; the version is the payment's.
    pub stamp: Stamp,
}

/// Where a dispute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisputeStatus {
    /// The merchant has said nothing yet.
    NeedsResponse,
    /// The merchant has said something.
    UnderReview,
    /// The merchant keeps the money.
    Won,
    /// The client has the money back.
    Lost,
}

impl From<ResumedStatus> for DisputeStatus {
    fn from(status: ResumedStatus) -> Self {
        match status {
            ResumedStatus::NeedsResponse => Self::NeedsResponse,
            ResumedStatus::UnderReview => Self::UnderReview,
        }
    }
}

impl DisputeStatus {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeedsResponse => "needs_response",
            Self::UnderReview => "under_review",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// Tells whether it is still to be decided.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::NeedsResponse | Self::UnderReview)
    }
}

impl Dispute {
    pub(super) fn open(event: &PaymentDisputed, envelope: &Envelope) -> Self {
        Self {
            id: event.dispute_id,
            origin: envelope.draft.event_id,
            amount: event.amount.amount,
            reason: event.reason.clone(),
            status: DisputeStatus::NeedsResponse,
            respond_by: event.respond_by,
            evidence: None,
            answered: false,
            reopened: false,
            stamp: Stamp::first(envelope),
        }
    }

    /// Folds a later event of the dispute in.
    pub(super) fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        match envelope.event() {
            Event::PaymentDisputeEvidenceSubmitted(event) => {
                self.evidence = Some((envelope.draft.event_id, event.text.clone()));
                self.answered = true;
                self.status = DisputeStatus::UnderReview;
            }
            Event::PaymentDisputeWon(_) => self.status = DisputeStatus::Won,
            Event::PaymentDisputeLost(_) => self.status = DisputeStatus::Lost,
            Event::PaymentDisputeReopened(event) => {
                self.status = DisputeStatus::NeedsResponse;
                self.respond_by = event.respond_by;
                self.answered = false;
                self.reopened = true;
            }
            Event::JournalCorrected(event) => {
                if let Some(resumed) = event.dispute {
                    self.status = resumed.status.into();
                }
            }
            _ => {}
        }
    }

    /// Tells where it stands once the event that lost it is corrected.
    ///
    /// # Errors
    ///
    /// It is not lost.
    pub fn resume(&self, now: Timestamp) -> Result<DisputeResumed, Conflict> {
        if self.status != DisputeStatus::Lost {
            return Err(self.closed());
        }
        let waits = !self.answered && now < self.respond_by;
        let status = if waits { ResumedStatus::NeedsResponse } else { ResumedStatus::UnderReview };
        Ok(DisputeResumed { status, respond_by: self.respond_by })
    }

    /// Tells whether the merchant's time to say something ran out in silence.
    fn is_unanswered(&self, now: Timestamp) -> bool {
        self.status == DisputeStatus::NeedsResponse && now >= self.respond_by
    }

    const fn closed(&self) -> Conflict {
        Conflict::DisputeClosed { dispute_status: self.status.name(), respond_by: self.respond_by }
    }
}

/// Opens a dispute; never of more than what has not gone back and is not disputed already.
pub fn open_dispute(
    command: &OpenDispute,
    payment: &Payment,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let none_left = |payment_status| Conflict::PaymentNotDisputable { payment_status };
    let amounts = payment.amounts(None, command.amount, none_left)?;
    let refundable = payment.money(amounts.refundable());
    if refundable.amount <= 0 {
        return Err(none_left(payment.status().name()).into());
    }
    let amount = command.amount.unwrap_or(refundable);
    if !(1..=refundable.amount).contains(&amount.amount) {
        return Err(Conflict::DisputeExceedsRefundable { refundable, requested: amount }.into());
    }
    let event = Event::PaymentDisputed(PaymentDisputed {
        merchant_id: payment.details.merchant_id,
        client_id: amounts.purse.client_id,
        dispute_id: command.id,
        amount,
        reason: Reason::Person(command.reason.clone()),
        respond_by: context.now.plus_days(RESPONSE_DAYS),
    });
    let entry = reserve(payment, amount, merchant_balance)?;
    Ok(vec![draft(payment, event, entry, context)])
}

/// Adds what the merchant has to say; the last word counts.
pub fn submit_evidence(
    command: &SubmitEvidence,
    payment: &Payment,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    if payment.details.merchant_id != command.merchant_id {
        return Err(Rejection::NotFound);
    }
    let (amounts, dispute) = payment.dispute(command.dispute.id).ok_or(Rejection::NotFound)?;
    if !dispute.status.is_open() || context.now >= dispute.respond_by {
        return Err(dispute.closed().into());
    }
    let event = Event::PaymentDisputeEvidenceSubmitted(EvidenceSubmitted {
        merchant_id: command.merchant_id,
        client_id: amounts.purse.client_id,
        dispute_id: dispute.id,
        text: command.text.clone(),
    });
    Ok(vec![draft(payment, event, JournalEntry::none(), context)])
}

/// Ends a dispute for the merchant, unless its time to respond ran out in silence: then it is lost.
pub fn win(command: &DisputeOf, payment: &Payment, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let (amounts, dispute) = payment.dispute(command.id).ok_or(Rejection::NotFound)?;
    if !dispute.status.is_open() || dispute.is_unanswered(context.now) {
        return Err(dispute.closed().into());
    }
    let merchant_id = payment.details.merchant_id;
    let amount = payment.money(dispute.amount);
    let entry = JournalEntry::of([Move::new(
        Account::MerchantReserved(merchant_id),
        Account::MerchantAvailable(merchant_id),
        amount,
    )]);
    let event = Event::PaymentDisputeWon(decided(payment, amounts, dispute, None));
    Ok(vec![draft(payment, event, entry, context)])
}

/// Ends a dispute for the client.
pub fn lose(
    command: &DisputeOf,
    payment: &Payment,
    client_balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let (amounts, dispute) = payment.dispute(command.id).ok_or(Rejection::NotFound)?;
    if !dispute.status.is_open() {
        return Err(dispute.closed().into());
    }
    charge_back(payment, amounts, dispute, client_balance, None, context)
}

/// Ends a dispute for the client because the merchant said nothing in time; nothing happens if it did, or
/// if the dispute is closed.
pub fn lose_unanswered(
    command: &DisputeOf,
    payment: &Payment,
    client_balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let (amounts, dispute) = payment.dispute(command.id).ok_or(Rejection::NotFound)?;
    if dispute.status != DisputeStatus::NeedsResponse {
        return Ok(Vec::new());
    }
    if !dispute.is_unanswered(context.now) {
        return Err(Rejection::TooEarly);
    }
    let reason = Some(Reason::Machine(NO_RESPONSE.to_owned()));
    charge_back(payment, amounts, dispute, client_balance, reason, context)
}

/// Opens a dispute again that the merchant had won: once, and only as far as the money has not gone back
/// in the meantime.
pub fn reopen(
    command: &ReopenDispute,
    payment: &Payment,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let (amounts, dispute) = payment.dispute(command.dispute.id).ok_or(Rejection::NotFound)?;
    if dispute.status != DisputeStatus::Won || dispute.reopened {
        return Err(dispute.closed().into());
    }
    let (amount, refundable) = (payment.money(dispute.amount), payment.money(amounts.refundable()));
    if refundable.amount <= 0 {
        return Err(Conflict::PaymentNotDisputable { payment_status: payment.status().name() }.into());
    }
    if amount.amount > refundable.amount {
        return Err(Conflict::DisputeExceedsRefundable { refundable, requested: amount }.into());
    }
    let event = Event::PaymentDisputeReopened(DisputeReopened {
        merchant_id: payment.details.merchant_id,
        client_id: amounts.purse.client_id,
        dispute_id: dispute.id,
        amount,
        reason: command.reason.clone().map(Reason::Person),
        respond_by: context.now.plus_days(RESPONSE_DAYS),
    });
    let entry = reserve(payment, amount, merchant_balance)?;
    Ok(vec![draft(payment, event, entry, context)])
}

/// Reserves a merchant's available money, which may sink below zero.
fn reserve(payment: &Payment, amount: Money, balance: &MerchantBalance) -> Result<JournalEntry, Rejection> {
    if !balance.can_reserve(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: payment.money(-BALANCE_MAX) }.into());
    }
    let merchant_id = payment.details.merchant_id;
    Ok(JournalEntry::of([Move::new(
        Account::MerchantAvailable(merchant_id),
        Account::MerchantReserved(merchant_id),
        amount,
    )]))
}

/// Gives a dispute's reserved money to the client. No fee is given back.
fn charge_back(
    payment: &Payment,
    amounts: &Amounts,
    dispute: &Dispute,
    client_balance: &ClientBalance,
    reason: Option<Reason>,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let purse = amounts.purse;
    let leg = amounts.leg_back(dispute.amount);
    if !client_balance.has_room_for(leg.amount) {
        let limit = Money::new(BALANCE_MAX, purse.pays_in());
        return Err(Conflict::BalanceLimitExceeded { limit }.into());
    }
    let (target, exchanged) = purse.pay_back(leg);
    let reserved = Account::MerchantReserved(payment.details.merchant_id);
    let paid = Move::new(reserved, target, payment.money(dispute.amount));
    let entry = JournalEntry::of([paid].into_iter().chain(exchanged));
    let event = Event::PaymentDisputeLost(decided(payment, amounts, dispute, reason));
    Ok(vec![draft(payment, event, entry, context)])
}

fn decided(
    payment: &Payment,
    amounts: &Amounts,
    dispute: &Dispute,
    reason: Option<Reason>,
) -> DisputeDecided {
    DisputeDecided {
        merchant_id: payment.details.merchant_id,
        client_id: amounts.purse.client_id,
        dispute_id: dispute.id,
        amount: payment.money(dispute.amount),
        reason,
    }
}

fn draft(payment: &Payment, event: Event, postings: JournalEntry, context: &Context) -> Draft {
    Draft { event_id: context.event_id, stream_id: StreamId::Payment(payment.id), event, postings }
}

#[cfg(test)]
mod tests;
