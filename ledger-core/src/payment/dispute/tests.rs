//! Given, when, then: the rules of disputes.

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
    let free = |ledger: Ledger| ledger.given(change_settings(1, |change| change.fee = Some(fee("0", &[]))));
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
    won().given(open_dispute_part(2, 1, eur(4_001))).when(reopen(1, 1)).then_rejected(exceeds(5_999, 6_000));
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
    let command =
        OpenDispute { id: dispute(1), payment_id: payment(9), amount: None, reason: sealed("never came") };
    paid().when(Command::OpenDispute(command)).then_rejected(Rejection::NotFound);
}
