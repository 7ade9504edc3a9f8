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
mod tests {
    use super::NO_RESPONSE;
    use crate::command::{Command, OpenDispute, PayoutNews, ReopenDispute, SubmitEvidence};
    use crate::event::{
        DisputeDecided, DisputeReopened, Event, EvidenceSubmitted, PaymentDisputed, PaymentRefunded,
    };
    use crate::journal::{Account, Leg, Posting};
    use crate::money::BALANCE_MAX;
    use crate::payment::{Dispute, DisputeStatus, Status};
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;
    use crate::time::Timestamp;

    /// Fourteen days after the beginning: until then the merchant may respond.
    const RESPOND_BY: &str = "2026-12-08T08:00:00.000000Z";

    impl Ledger {
        fn dispute(&self, n: u8, of: u8) -> &Dispute {
            let payment = self.state.payment(payment(of)).unwrap();
            payment.dispute(dispute(n)).unwrap().1
        }

        /// Dispute `n` of payment 1 stands there.
        fn then_dispute(self, n: u8, status: DisputeStatus) -> Self {
            assert_eq!(self.dispute(n, 1).status, status);
            self
        }
    }

    /// A payment of 100.00 EUR, captured; its money is pending.
    fn paid() -> Ledger {
        Ledger::shop().given(pay(1, eur(10_000)))
    }

    /// The same, disputed in full.
    fn disputed() -> Ledger {
        paid().given(open_dispute(1, 1))
    }

    fn closed_since(dispute_status: &'static str, respond_by: &str) -> Conflict {
        Conflict::DisputeClosed { dispute_status, respond_by: respond_by.parse().unwrap() }
    }

    fn closed(dispute_status: &'static str) -> Conflict {
        closed_since(dispute_status, RESPOND_BY)
    }

    fn exceeds(refundable: i64, requested: i64) -> Conflict {
        Conflict::DisputeExceedsRefundable { refundable: eur(refundable), requested: eur(requested) }
    }

    fn not_disputable(payment_status: &'static str) -> Conflict {
        Conflict::PaymentNotDisputable { payment_status }
    }

    fn decided(amount: i64, reason: Option<Reason>) -> DisputeDecided {
        DisputeDecided {
            merchant_id: merchant(1),
            client_id: client(1),
            dispute_id: dispute(1),
            amount: eur(amount),
            reason,
        }
    }

    // Opening.

    #[test]
    fn a_dispute_reserves_what_is_available_below_zero_if_need_be() {
        let event = PaymentDisputed {
            merchant_id: merchant(1),
            client_id: client(1),
            dispute_id: dispute(1),
            amount: eur(10_000),
            reason: Reason::Person(sealed("never came")),
            respond_by: RESPOND_BY.parse().unwrap(),
        };
        let ledger = paid()
            .when(open_dispute(1, 1))
            .then([Event::PaymentDisputed(event)])
            .then_merchant(1, 9_835, -10_000)
            .then_reserved(1, -10_000, 10_000)
            .then_client(1, 0, 0)
            .then_status(1, Status::Disputed)
            .then_dispute(1, DisputeStatus::NeedsResponse);
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::MerchantAvailable(merchant(1)), Leg::Debit(eur(10_000))),
                posting(Account::MerchantReserved(merchant(1)), Leg::Credit(eur(10_000))),
            ]
        );
        let found = ledger.dispute(1, 1);
        assert_eq!((found.amount, found.reopened, &found.evidence), (10_000, false, &None));
        assert_eq!(found.origin, ledger.appended()[0].draft.event_id);
        assert_eq!(found.reason, Reason::Person(sealed("never came")));
        // The settlement makes up for the debt.
        ledger.settled(1).then_merchant(1, 0, -165).then_reserved(1, -165, 10_000);
    }

    #[test]
    fn one_and_all_can_be_disputed_and_not_a_cent_more() {
        paid()
            .when(open_dispute_part(1, 1, eur(10_001)))
            .then_rejected(exceeds(10_000, 10_001))
            .when(open_dispute_part(1, 1, eur(1)))
            .then_reserved(1, -1, 1)
            .when(open_dispute_part(2, 1, eur(10_000)))
            .then_rejected(exceeds(9_999, 10_000))
            .when(open_dispute_part(2, 1, eur(9_999)))
            .then_reserved(1, -10_000, 10_000)
            .when(open_dispute_part(3, 1, eur(1)))
            .then_rejected(not_disputable("disputed"));
    }

    #[test]
    fn the_default_is_all_that_is_refundable() {
        let ledger = paid().given(refund_part(1, eur(3_000))).given(open_dispute(1, 1));
        assert_eq!(ledger.dispute(1, 1).amount, 7_000);
        ledger.when(refund(1)).then_rejected(Conflict::PaymentNotRefundable { payment_status: "disputed" });
    }

    #[test]
    fn what_is_disputed_is_not_refundable() {
        paid()
            .given(open_dispute_part(1, 1, eur(6_000)))
            .when(refund_part(1, eur(4_001)))
            .then_rejected(Conflict::RefundExceedsCaptured { refundable: eur(4_000), requested: eur(4_001) })
            .given(refund(1))
            .then_status(1, Status::Disputed)
            .given(win(1, 1))
            .then_status(1, Status::PartiallyRefunded)
            .when(refund_part(1, eur(6_001)))
            .then_rejected(Conflict::RefundExceedsCaptured { refundable: eur(6_000), requested: eur(6_001) });
    }

    #[test]
    fn nothing_to_dispute_is_a_state_of_the_payment() {
        Ledger::shop()
            .given(hold(1, eur(10_001)))
            .when(open_dispute(1, 1))
            .then_rejected(not_disputable("declined"))
            .given(hold(2, eur(100)))
            .when(open_dispute_part(1, 2, eur(101)))
            .then_rejected(not_disputable("authorized"))
            .given(void(2))
            .when(open_dispute(1, 2))
            .then_rejected(not_disputable("voided"))
            .given(pay(3, eur(100)))
            .given(refund(3))
            .when(open_dispute(1, 3))
            .then_rejected(not_disputable("refunded"))
            .given(pay(4, eur(100)))
            .given(open_dispute(1, 4))
            .given(lose(1, 4))
            .when(open_dispute(2, 4))
            .then_rejected(not_disputable("refunded"));
    }

    #[test]
    fn another_currency_is_refused_before_the_state_is_looked_at() {
        paid()
            .given(refund(1))
            .when(open_dispute_part(1, 1, jpy(1)))
            .then_rejected(Rejection::CurrencyMismatch)
            .when(open_dispute_part(1, 9, jpy(1)))
            .then_rejected(Rejection::NotFound);
    }

    #[test]
    fn what_is_captured_of_an_open_authorization_can_be_disputed() {
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .given(capture_part(1, eur(4_000), false))
            .when(open_dispute_part(1, 1, eur(4_001)))
            .then_rejected(exceeds(4_000, 4_001))
            .given(open_dispute(1, 1))
            .then_status(1, Status::Disputed)
            // The authorization goes on meanwhile.
            .when(capture_part(1, eur(1_000), false))
            .then_types(["payment.captured"])
            .days_later(7)
            .when(expire(1))
            .then_types(["payment.expired"])
            .then_status(1, Status::Disputed)
            .given(lose(1, 1))
            .then_status(1, Status::PartiallyRefunded)
            .given(refund(1))
            .then_status(1, Status::Refunded);
    }

    #[test]
    fn amounts_that_no_request_has_are_not_disputed() {
        for amount in [0, -1, i64::MIN, i64::MAX] {
            paid().when(open_dispute_part(1, 1, eur(amount))).then_rejected(exceeds(10_000, amount));
        }
    }

    #[test]
    fn a_merchants_debt_and_its_reserve_have_a_limit() {
        let past = Conflict::BalanceLimitExceeded { limit: eur(-BALANCE_MAX) };
        // All that can be captured, twice, the first of it paid out.
        let free =
            |ledger: Ledger| ledger.given(change_settings(1, |change| change.fee = Some(fee("0", &[]))));
        let ledger = free(Ledger::shop())
            .given(deposit(1, eur(BALANCE_MAX - 10_000)))
            .given(pay(1, eur(BALANCE_MAX)))
            .settled(1)
            .given(request_payout(1, eur(BALANCE_MAX)))
            .given(change_payout(1, PayoutNews::Paid))
            .given(deposit(1, eur(BALANCE_MAX)))
            .given(pay(2, eur(BALANCE_MAX)));
        let ledger = ledger
            .given(open_dispute(1, 1))
            .then_reserved(1, -BALANCE_MAX, BALANCE_MAX)
            .when(open_dispute_part(2, 2, eur(1)))
            .then_rejected(past.clone())
            .settled(1)
            .then_reserved(1, 0, BALANCE_MAX)
            .when(open_dispute_part(2, 2, eur(1)))
            .then_rejected(past)
            .given(lose(1, 1))
            .then_client(1, BALANCE_MAX, 0);
        ledger.when(open_dispute_part(2, 2, eur(BALANCE_MAX))).then_reserved(1, -BALANCE_MAX, BALANCE_MAX);
    }

    // Evidence.

    #[test]
    fn evidence_puts_a_dispute_under_review_and_the_last_word_counts() {
        let submitted = |text| {
            Event::PaymentDisputeEvidenceSubmitted(EvidenceSubmitted {
                merchant_id: merchant(1),
                client_id: client(1),
                dispute_id: dispute(1),
                text: sealed(text),
            })
        };
        let ledger = disputed()
            .when(submit(1, 1, "signed for"))
            .then([submitted("signed for")])
            .then_dispute(1, DisputeStatus::UnderReview)
            .later(5)
            .when(submit(1, 1, "a photo"))
            .then([submitted("a photo")])
            .then_dispute(1, DisputeStatus::UnderReview)
            .then_reserved(1, -10_000, 10_000);
        let event_id = ledger.appended()[0].draft.event_id;
        let found = ledger.dispute(1, 1);
        assert_eq!(found.evidence, Some((event_id, sealed("a photo"))));
        let begin: Timestamp = BEGIN.parse().unwrap();
        assert_eq!(found.stamp.created_at, begin);
        assert_eq!(found.stamp.updated_at, begin.plus_micros(5));
    }

    #[test]
    fn evidence_is_taken_until_respond_by() {
        disputed().later(14 * DAY - 1).when(submit(1, 1, "late")).then_dispute(1, DisputeStatus::UnderReview);
        let late = disputed().later(14 * DAY);
        late.when(submit(1, 1, "too late")).then_rejected(closed("needs_response"));
        disputed()
            .given(submit(1, 1, "in time"))
            .later(14 * DAY)
            .when(submit(1, 1, "too late"))
            .then_rejected(closed("under_review"));
    }

    #[test]
    fn only_the_disputes_merchant_is_heard() {
        let of = |n, payment_n, merchant_n| {
            let dispute = dispute_of(n, payment_n);
            Command::SubmitEvidence(SubmitEvidence {
                dispute,
                merchant_id: merchant(merchant_n),
                text: sealed("?"),
            })
        };
        disputed()
            .given(open_merchant(2))
            .when(of(1, 1, 2))
            .then_rejected(Rejection::NotFound)
            .when(of(2, 1, 1))
            .then_rejected(Rejection::NotFound)
            .given(win(1, 1))
            .when(of(1, 1, 2))
            .then_rejected(Rejection::NotFound)
            .when(of(1, 1, 1))
            .then_rejected(closed("won"));
    }

    // Won and lost.

    #[test]
    fn a_won_dispute_gives_the_merchant_its_money_back() {
        disputed()
            .when(win(1, 1))
            .then([Event::PaymentDisputeWon(decided(10_000, None))])
            .then_merchant(1, 9_835, 0)
            .then_reserved(1, 0, 0)
            .then_status(1, Status::Captured)
            .then_dispute(1, DisputeStatus::Won);
        disputed().given(submit(1, 1, "signed for")).when(win(1, 1)).then_dispute(1, DisputeStatus::Won);
    }

    #[test]
    fn a_lost_dispute_gives_the_client_its_money_and_no_fee_back() {
        let ledger = disputed()
            .when(lose(1, 1))
            .then([Event::PaymentDisputeLost(decided(10_000, None))])
            .then_merchant(1, 9_835, -10_000)
            .then_reserved(1, -10_000, 0)
            .then_client(1, 10_000, 0)
            .then_fees(165)
            .then_status(1, Status::Refunded)
            .then_dispute(1, DisputeStatus::Lost);
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::MerchantReserved(merchant(1)), Leg::Debit(eur(10_000))),
                posting(Account::ClientAvailable(client(1)), Leg::Credit(eur(10_000))),
            ]
        );
        assert_eq!((ledger.amounts(1).charged_back, ledger.amounts(1).refunded), (10_000, 0));
        disputed().given(submit(1, 1, "signed for")).when(lose(1, 1)).then_dispute(1, DisputeStatus::Lost);
    }

    #[test]
    fn a_refund_behind_a_lost_dispute_gives_its_own_part_of_the_fee_back() {
        let ledger = paid().given(open_dispute_part(1, 1, eur(4_000))).given(lose(1, 1));
        // Of the fee of 1.65: 6000 of 10,000.
        let ledger = ledger.given(deposit_to_merchant(1, eur(100))).when(refund(1));
        let PaymentRefunded { amount, fee_returned, .. } = ledger.refunded();
        assert_eq!((*amount, *fee_returned), (eur(6_000), eur(99)));
        ledger.then_status(1, Status::Refunded).then_fees(66).then_client(1, 10_000, 0);
    }

    #[test]
    fn what_is_decided_is_closed_also_for_the_same_again() {
        disputed()
            .given(win(1, 1))
            .when(win(1, 1))
            .then_rejected(closed("won"))
            .when(lose(1, 1))
            .then_rejected(closed("won"));
        disputed()
            .given(lose(1, 1))
            .when(lose(1, 1))
            .then_rejected(closed("lost"))
            .when(win(1, 1))
            .then_rejected(closed("lost"))
            .when(submit(1, 1, "?"))
            .then_rejected(closed("lost"))
            .when(reopen(1, 1))
            .then_rejected(closed("lost"));
    }

    #[test]
    fn disputes_of_a_payment_are_decided_one_by_one() {
        paid()
            .given(open_dispute_part(1, 1, eur(1_000)))
            .given(open_dispute_part(2, 1, eur(2_000)))
            .given(lose(2, 1))
            .then_dispute(1, DisputeStatus::NeedsResponse)
            .then_dispute(2, DisputeStatus::Lost)
            .then_reserved(1, -3_000, 1_000)
            .then_status(1, Status::Disputed)
            .given(win(1, 1))
            .then_dispute(2, DisputeStatus::Lost)
            .then_reserved(1, -2_000, 0)
            .then_status(1, Status::PartiallyRefunded);
    }

    #[test]
    fn a_client_cannot_be_credited_past_the_limit() {
        disputed()
            .given(deposit(1, eur(BALANCE_MAX - 9_999)))
            .when(lose(1, 1))
            .then_rejected(past_the_limit())
            .days_later(14)
            .when(lose_unanswered(1, 1))
            .then_rejected(past_the_limit())
            .given(withdraw(1, eur(1)))
            .when(lose(1, 1))
            .then_client(1, BALANCE_MAX, 0);
    }

    // No response.

    #[test]
    fn silence_loses_a_dispute_exactly_at_respond_by() {
        let reason = Some(Reason::Machine("no_response".to_owned()));
        assert_eq!(NO_RESPONSE, "no_response");
        disputed()
            .later(14 * DAY - 1)
            .when(lose_unanswered(1, 1))
            .then_rejected(Rejection::TooEarly)
            .then_dispute(1, DisputeStatus::NeedsResponse)
            .later(1)
            .when(lose_unanswered(1, 1))
            .then([Event::PaymentDisputeLost(decided(10_000, reason))])
            .then_client(1, 10_000, 0)
            .then_dispute(1, DisputeStatus::Lost)
            .when(lose_unanswered(1, 1))
            .then_nothing();
    }

    #[test]
    fn who_said_something_is_not_silent() {
        let answered = || disputed().given(submit(1, 1, "signed for")).later(14 * DAY);
        answered().when(lose_unanswered(1, 1)).then_nothing().then_dispute(1, DisputeStatus::UnderReview);
        // A reviewed dispute can be decided at any time.
        answered().when(win(1, 1)).then_dispute(1, DisputeStatus::Won);
        answered().when(lose(1, 1)).then_dispute(1, DisputeStatus::Lost);
        disputed().given(win(1, 1)).later(14 * DAY).when(lose_unanswered(1, 1)).then_nothing();
    }

    #[test]
    fn a_dispute_that_ran_out_in_silence_is_not_won() {
        disputed().later(14 * DAY - 1).when(win(1, 1)).then_dispute(1, DisputeStatus::Won);
        disputed()
            .later(14 * DAY)
            .when(win(1, 1))
            .then_rejected(closed("needs_response"))
            .when(lose(1, 1))
            .then([Event::PaymentDisputeLost(decided(10_000, None))]);
    }

    // Reopened.

    #[test]
    fn a_won_dispute_is_reopened_once() {
        let reopened = DisputeReopened {
            merchant_id: merchant(1),
            client_id: client(1),
            dispute_id: dispute(1),
            amount: eur(10_000),
            reason: Some(Reason::Person(sealed("forged"))),
            respond_by: "2026-12-18T08:00:00Z".parse().unwrap(),
        };
        let because = |reason| {
            Command::ReopenDispute(ReopenDispute { dispute: dispute_of(1, 1), reason: Some(sealed(reason)) })
        };
        let ledger = disputed()
            .when(reopen(1, 1))
            .then_rejected(closed("needs_response"))
            .given(submit(1, 1, "signed for"))
            .when(reopen(1, 1))
            .then_rejected(closed("under_review"))
            .given(win(1, 1))
            .days_later(10)
            .when(because("forged"))
            .then([Event::PaymentDisputeReopened(reopened)])
            .then_reserved(1, -10_000, 10_000)
            .then_status(1, Status::Disputed)
            .then_dispute(1, DisputeStatus::NeedsResponse);
        let found = ledger.dispute(1, 1);
        assert!(found.reopened && found.evidence.is_some());
        ledger
            .given(win(1, 1))
            .when(reopen(1, 1))
            .then_rejected(closed_since("won", "2026-12-18T08:00:00Z"))
            .then_reserved(1, 0, 0);
    }

    #[test]
    fn a_reopened_dispute_has_its_own_time() {
        let reopened = || disputed().given(win(1, 1)).days_later(10).given(reopen(1, 1));
        reopened().later(14 * DAY - 1).when(submit(1, 1, "late")).then_dispute(1, DisputeStatus::UnderReview);
        reopened()
            .later(14 * DAY - 1)
            .when(lose_unanswered(1, 1))
            .then_rejected(Rejection::TooEarly)
            .later(1)
            .when(win(1, 1))
            .then_rejected(closed_since("needs_response", "2026-12-18T08:00:00Z"))
            .when(lose_unanswered(1, 1))
            .then_dispute(1, DisputeStatus::Lost);
    }

    #[test]
    fn a_dispute_is_reopened_only_as_far_as_is_refundable() {
        let won = || paid().given(open_dispute_part(1, 1, eur(6_000))).given(win(1, 1)).settled(1);
        won().given(refund_part(1, eur(4_000))).when(reopen(1, 1)).then_types(["payment.dispute_reopened"]);
        won().given(refund_part(1, eur(4_001))).when(reopen(1, 1)).then_rejected(exceeds(5_999, 6_000));
        won()
            .given(open_dispute_part(2, 1, eur(4_001)))
            .when(reopen(1, 1))
            .then_rejected(exceeds(5_999, 6_000));
        // Nothing at all is the payment's state; the dispute's own comes first.
        won().given(refund(1)).when(reopen(1, 1)).then_rejected(not_disputable("refunded"));
        won()
            .given(reopen(1, 1))
            .given(lose(1, 1))
            .given(refund_part(1, eur(3_000)))
            .when(reopen(1, 1))
            .then_rejected(closed_since("lost", "2026-12-10T08:00:00Z"));
    }

    #[test]
    fn a_reopened_dispute_reserves_within_the_limit() {
        let past = Conflict::BalanceLimitExceeded { limit: eur(-BALANCE_MAX) };
        let free = Ledger::shop().given(change_settings(1, |change| change.fee = Some(fee("0", &[]))));
        free.given(pay(1, eur(1)))
            .given(open_dispute(1, 1))
            .given(win(1, 1))
            .given(deposit(1, eur(BALANCE_MAX - 9_999)))
            .settled(1)
            .given(request_payout(1, eur(1)))
            .given(change_payout(1, PayoutNews::Paid))
            .given(pay(2, eur(BALANCE_MAX)))
            .given(open_dispute(2, 2))
            .then_reserved(1, -BALANCE_MAX, BALANCE_MAX)
            .when(reopen(1, 1))
            .then_rejected(past);
    }

    #[test]
    fn an_unknown_payment_has_no_disputes() {
        let command = OpenDispute {
            id: dispute(1),
            payment_id: payment(9),
            amount: None,
            reason: sealed("never came"),
        };
        paid().when(Command::OpenDispute(command)).then_rejected(Rejection::NotFound);
    }
}
