//! Given, when, then: the rules of payments.

use crate::card_number::Expiry;
use crate::command::{Authorize, Command, PayoutNews, Void};
use crate::event::{
    DeclineCode, Event, PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentDetails, PaymentRefunded,
    PaymentVoided,
};
use crate::fee::RefundFee;
use crate::ids::StreamId;
use crate::journal::{Account, Leg, Posting};
use crate::money::{BALANCE_MAX, Money};
use crate::payment::{Payment, Status};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::testing::*;
use crate::time::Timestamp;

/// The end of the test's authorizations: seven days after they began.
fn expires_at() -> Timestamp {
    "2026-12-01T08:00:00Z".parse().unwrap()
}

fn details(command: Command) -> PaymentDetails {
    let Command::Authorize(authorize) = command else { panic!() };
    authorize.details
}

fn expired() -> Conflict {
    Conflict::AuthorizationExpired { expires_at: expires_at() }
}

fn not_capturable(payment_status: &'static str) -> Conflict {
    Conflict::PaymentNotCapturable { payment_status }
}

fn not_voidable(payment_status: &'static str) -> Conflict {
    Conflict::PaymentNotVoidable { payment_status }
}

fn not_refundable(payment_status: &'static str) -> Conflict {
    Conflict::PaymentNotRefundable { payment_status }
}

fn capturable(capturable: i64, requested: i64) -> Conflict {
    Conflict::CaptureExceedsAuthorization { capturable: eur(capturable), requested: eur(requested) }
}

fn refundable(refundable: i64, requested: i64) -> Conflict {
    Conflict::RefundExceedsCaptured { refundable: eur(refundable), requested: eur(requested) }
}

impl Ledger {
    /// The last command declined a payment.
    fn then_declined(self, code: DeclineCode) -> Self {
        let Event::PaymentDeclined(declined) = self.appended()[0].event() else { panic!() };
        assert_eq!(declined.decline_code, code);
        assert!(self.appended()[0].draft.postings.postings().is_empty());
        self
    }

    /// The last capture took and released so much, for that fee.
    fn then_captured(self, amount: i64, fee: i64, released: i64) -> Self {
        let PaymentCaptured { amount: a, fee: f, released: r, .. } = self.captured();
        assert_eq!([*a, *f, *r], [amount, fee, released].map(eur));
        self
    }

    /// The last refund gave so much back, of which the house and the merchant's pending balance gave.
    fn then_refunded(self, amount: i64, fee_returned: i64, drawn: i64) -> Self {
        let PaymentRefunded { amount: a, fee_returned: f, drawn: d, .. } = self.refunded();
        assert_eq!([*a, *f, *d], [amount, fee_returned, drawn].map(eur));
        self
    }
}

// The example of the contract.

#[test]
fn a_hundred_euros_paid_and_refunded_in_full_leave_everyone_at_zero() {
    Ledger::shop()
        .when(pay(1, eur(10_000)))
        .then_types(["payment.authorized", "payment.captured"])
        .then_client(1, 0, 0)
        .then_merchant(1, 9_835, 0)
        .then_fees(165)
        .when(refund(1))
        .then_types(["payment.refunded"])
        .then_client(1, 10_000, 0)
        .then_merchant(1, 0, 0)
        .then_fees(0)
        .then_status(1, Status::Refunded);
}

// Authorize.

#[test]
fn an_automatic_payment_is_authorized_and_captured_at_once() {
    let authorized = PaymentAuthorized {
        client_id: client(1),
        expires_at: expires_at(),
        funding: None,
        details: details(pay(1, eur(10_000))),
    };
    let captured = PaymentCaptured {
        merchant_id: merchant(1),
        client_id: client(1),
        amount: eur(10_000),
        fee: eur(165),
        fee_version: 1,
        is_final: true,
        released: eur(0),
        settles_on: "2026-11-26T00:00:00Z".parse::<Timestamp>().unwrap().day(),
    };
    let ledger = Ledger::shop()
        .when(pay(1, eur(10_000)))
        .then([Event::PaymentAuthorized(authorized), Event::PaymentCaptured(captured)])
        .then_status(1, Status::Captured);
    let [first, second] = ledger.appended() else { panic!() };
    assert_eq!((first.version, second.version), (1, 2));
    assert_ne!(first.draft.event_id, second.draft.event_id);
}

#[test]
fn a_manual_payment_is_held_until_it_is_captured() {
    Ledger::shop()
        .when(hold(1, eur(4_000)))
        .then_types(["payment.authorized"])
        .then_client(1, 6_000, 4_000)
        .then_merchant(1, 0, 0)
        .then_status(1, Status::Authorized)
        .then_payer(1, client(1))
        .when(capture(1))
        .then_captured(4_000, 81, 0)
        .then_client(1, 6_000, 0)
        .then_merchant(1, 3_919, 0)
        .then_status(1, Status::Captured);
}

#[test]
fn no_payment_without_its_merchant() {
    Ledger::new().when(pay(1, eur(1))).then_rejected(Rejection::NotFound);
}

#[test]
fn declines_follow_their_order() {
    let earlier = Expiry { month: 10, year: 2026 };
    // Everything is wrong at first; each step puts one thing right.
    let everything = |pay: &mut Authorize| {
        pay.number_valid = false;
        pay.details.card.expiry = earlier;
        pay.details.card.id = None;
        pay.cvc_matches = false;
    };
    let valid_number = |pay: &mut Authorize| {
        everything(pay);
        pay.number_valid = true;
    };
    let not_expired = |pay: &mut Authorize| {
        valid_number(pay);
        pay.details.card.expiry = Expiry { month: 12, year: 2030 };
    };
    let known_card = |pay: &mut Authorize| {
        not_expired(pay);
        pay.details.card.id = Some(card(1));
    };
    let right_expiry = |pay: &mut Authorize| {
        known_card(pay);
        pay.details.card.expiry = expiry();
    };
    let right_cvc = |pay: &mut Authorize| {
        right_expiry(pay);
        pay.cvc_matches = true;
    };
    let much = eur(10_001);
    Ledger::shop()
        .given(block_card(1))
        .when(pay_with(1, much, everything))
        .then_declined(DeclineCode::InvalidNumber)
        .when(pay_with(2, much, valid_number))
        .then_declined(DeclineCode::ExpiredCard)
        .when(pay_with(3, much, not_expired))
        .then_declined(DeclineCode::CardNotRecognised)
        .when(pay_with(4, much, known_card))
        .then_declined(DeclineCode::InvalidExpiry)
        .when(pay_with(5, much, right_expiry))
        .then_declined(DeclineCode::InvalidCvc)
        .when(pay_with(6, much, right_cvc))
        .then_declined(DeclineCode::CardBlocked)
        .given(unblock_card(1))
        .when(pay_with(7, much, right_cvc))
        .then_declined(DeclineCode::InsufficientFunds)
        .given(deposit(1, eur(1)))
        .when(pay_with(8, much, right_cvc))
        .then_types(["payment.authorized", "payment.captured"]);
}

#[test]
fn a_decline_keeps_what_was_asked_and_moves_nothing() {
    let ledger = Ledger::shop().when(pay(1, eur(10_001)));
    let declined = PaymentDeclined {
        client_id: Some(client(1)),
        decline_code: DeclineCode::InsufficientFunds,
        details: details(pay(1, eur(10_001))),
    };
    ledger
        .then([Event::PaymentDeclined(declined)])
        .then_client(1, 10_000, 0)
        .then_status(1, Status::Declined)
        .then_payer(1, client(1));
}

#[test]
fn a_decline_of_an_unknown_card_knows_no_client() {
    let unknown = |pay: &mut Authorize| pay.details.card.id = None;
    let ledger = Ledger::shop().when(pay_with(1, eur(1), unknown));
    let Event::PaymentDeclined(declined) = ledger.appended()[0].event() else { panic!() };
    assert_eq!((declined.client_id, declined.details.card.id), (None, None));
    assert_eq!(ledger.state.payment(payment(1)).unwrap().client_id(), None);
}

#[test]
fn a_payment_is_folded_from_its_stream() {
    let ledger = Ledger::shop().given(pay(1, eur(1_000))).given(refund_part(1, eur(300)));
    let folded = |ledger: &Ledger, n| {
        let stream = ledger.log.iter().filter(|event| event.stream_id() == StreamId::Payment(payment(n)));
        assert_eq!(Payment::fold(stream.clone()).as_ref(), ledger.state.payment(payment(n)));
        assert_eq!(Payment::fold(stream.skip(1)), None);
    };
    folded(&ledger, 1);
    folded(&ledger.when(pay(2, eur(10_001))), 2);
}

#[test]
fn a_card_pays_to_the_end_of_its_month() {
    let last_moment: Timestamp = "2029-11-30T23:59:59.999999Z".parse().unwrap();
    let wait = last_moment.micros() - BEGIN.parse::<Timestamp>().unwrap().micros();
    Ledger::shop()
        .later(wait)
        .when(hold(1, eur(1)))
        .then_types(["payment.authorized"])
        .later(1)
        .when(hold(2, eur(1)))
        .then_declined(DeclineCode::ExpiredCard);
}

#[test]
fn all_that_is_available_can_be_paid_and_not_a_cent_more() {
    Ledger::shop()
        .when(hold(1, eur(10_001)))
        .then_declined(DeclineCode::InsufficientFunds)
        .when(hold(2, eur(6_000)))
        .then_types(["payment.authorized"])
        .when(hold(3, eur(4_001)))
        .then_declined(DeclineCode::InsufficientFunds)
        .when(hold(4, eur(4_000)))
        .then_types(["payment.authorized"])
        .then_client(1, 0, 10_000);
}

#[test]
fn a_payment_is_paid_in_its_own_currency() {
    Ledger::shop().when(pay(1, jpy(1))).then_declined(DeclineCode::InsufficientFunds);
}

#[test]
fn amounts_that_no_request_has_are_declined() {
    for amount in [0, -1, i64::MIN, i64::MAX] {
        Ledger::shop().when(pay(1, eur(amount))).then_declined(DeclineCode::InsufficientFunds);
    }
}

#[test]
fn a_merchant_cannot_earn_past_the_limit() {
    let full = Ledger::shop()
        .given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
        .given(deposit(1, eur(BALANCE_MAX - 10_000)))
        .given(pay(1, eur(BALANCE_MAX)))
        .then_merchant(1, BALANCE_MAX, 0)
        .given(deposit(1, eur(10_000)));
    full.when(pay(2, eur(1)))
        .then_rejected(past_the_limit())
        .then_client(1, 10_000, 0)
        .given(hold(3, eur(1)))
        .when(capture(3))
        .then_rejected(past_the_limit())
        .then_client(1, 9_999, 1)
        .when(void(3))
        .then_client(1, 10_000, 0);
}

#[test]
fn what_one_settlement_may_take_has_the_limit_too() {
    // All of it is fee, so nothing is pending; but a settlement tells of the gross.
    let full = Ledger::shop()
        .given(change_settings(1, |change| change.fee = Some(fee("100", &[]))))
        .given(deposit(1, eur(BALANCE_MAX - 10_000)))
        .given(pay(1, eur(BALANCE_MAX - 1)))
        .then_merchant(1, 0, 0)
        .given(deposit(1, eur(10_000)));
    full.when(pay(2, eur(2)))
        .then_rejected(past_the_limit())
        .when(pay(2, eur(1)))
        .then_types(["payment.authorized", "payment.captured"])
        .given(hold(3, eur(1)))
        .when(capture(3))
        .then_rejected(past_the_limit())
        .settled(1)
        .when(capture(3))
        .then_captured(1, 1, 0);
}

// Capture.

#[test]
fn a_final_capture_releases_the_rest_in_the_same_event() {
    let ledger = Ledger::shop().given(hold(1, eur(10_000))).when(capture_part(1, eur(6_000), true));
    let posting = |account, leg| Posting { account, leg };
    assert_eq!(
        ledger.appended()[0].draft.postings.postings(),
        [
            posting(Account::ClientHeld(client(1)), Leg::Debit(eur(10_000))),
            posting(Account::MerchantPending(merchant(1)), Leg::Credit(eur(5_891))),
            posting(Account::HouseFees, Leg::Credit(eur(109))),
            posting(Account::ClientAvailable(client(1)), Leg::Credit(eur(4_000))),
        ]
    );
    ledger
        .then_types(["payment.captured"])
        .then_captured(6_000, 109, 4_000)
        .then_client(1, 4_000, 0)
        .then_status(1, Status::Captured)
        .when(capture(1))
        .then_rejected(not_capturable("captured"));
}

#[test]
fn a_capture_that_is_not_final_leaves_the_rest_held() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .when(capture_part(1, eur(6_000), false))
        .then_captured(6_000, 109, 0)
        .then_client(1, 0, 4_000)
        .then_status(1, Status::PartiallyCaptured);
}

#[test]
fn the_fixed_fee_is_taken_once_a_payment() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .when(capture_part(1, eur(1_000), false))
        .then_captured(1_000, 14 + 25, 0)
        .when(capture_part(1, eur(1_000), false))
        .then_captured(1_000, 14, 0)
        .when(capture(1))
        .then_captured(8_000, 112, 0)
        .then_merchant(1, 10_000 - 165, 0)
        .then_fees(165)
        .then_status(1, Status::Captured);
}

#[test]
fn captures_in_parts_take_exactly_what_was_held() {
    Ledger::shop()
        .given(hold(1, eur(3)))
        .given(capture_part(1, eur(1), false))
        .given(capture_part(1, eur(1), false))
        .when(capture_part(1, eur(2), true))
        .then_rejected(capturable(1, 2))
        .when(capture_part(1, eur(1), false))
        .then_client(1, 9_997, 0)
        .then_status(1, Status::Captured);
}

#[test]
fn a_fee_never_exceeds_its_capture() {
    let ledger = Ledger::shop().when(pay(1, eur(10))).then_captured(10, 10, 0).then_merchant(1, 0, 0);
    assert_eq!(ledger.appended()[1].draft.postings.postings().len(), 2);
    ledger.then_fees(10).when(refund(1)).then_refunded(10, 10, 0).then_fees(0).then_client(1, 10_000, 0);
}

#[test]
fn more_than_what_is_left_cannot_be_captured() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .when(capture_part(1, eur(10_001), true))
        .then_rejected(capturable(10_000, 10_001))
        .given(capture_part(1, eur(4_000), false))
        .when(capture_part(1, eur(6_001), false))
        .then_rejected(capturable(6_000, 6_001))
        .then_client(1, 0, 6_000);
}

#[test]
fn amounts_that_no_request_has_are_not_captured() {
    for amount in [0, -1, i64::MIN, i64::MAX] {
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .when(capture_part(1, eur(amount), true))
            .then_rejected(capturable(10_000, amount));
    }
}

#[test]
fn nothing_to_capture_is_a_state_of_the_payment() {
    Ledger::shop()
        .given(pay(1, eur(100)))
        .when(capture(1))
        .then_rejected(not_capturable("captured"))
        .when(capture_part(1, eur(i64::MAX), true))
        .then_rejected(not_capturable("captured"))
        .given(pay(2, eur(10_000)))
        .then_declined(DeclineCode::InsufficientFunds)
        .when(capture(2))
        .then_rejected(not_capturable("declined"))
        .given(hold(3, eur(100)))
        .given(void(3))
        .when(capture(3))
        .then_rejected(not_capturable("voided"))
        .when(capture(9))
        .then_rejected(Rejection::NotFound);
}

#[test]
fn an_authorization_ends_exactly_at_its_moment() {
    let held = || Ledger::shop().given(hold(1, eur(10_000))).given(capture_part(1, eur(1_000), false));
    held().later(7 * DAY - 1).when(capture(1)).then_captured(9_000, 126, 0);
    held().later(7 * DAY - 1).when(void(1)).then_types(["payment.voided"]);
    held()
        .later(7 * DAY)
        .when(capture(1))
        .then_rejected(expired())
        .when(void(1))
        .then_rejected(expired())
        .then_client(1, 0, 9_000)
        .when(refund(1))
        .then_types(["payment.refunded"]);
}

#[test]
fn nothing_left_comes_before_expired_and_expired_before_too_much() {
    Ledger::shop()
        .given(pay(1, eur(100)))
        .given(hold(2, eur(100)))
        .later(7 * DAY)
        .when(capture(1))
        .then_rejected(not_capturable("captured"))
        .when(void(1))
        .then_rejected(not_voidable("captured"))
        .when(capture_part(2, eur(101), true))
        .then_rejected(expired());
}

#[test]
fn a_capture_is_settled_so_many_utc_days_later() {
    for (delay, wait, day) in [
        (0, 0, "2026-11-24"),
        (2, 0, "2026-11-26"),
        (30, 0, "2026-12-24"),
        (0, 16 * DAY / 24 - 1, "2026-11-24"),
        (0, 16 * DAY / 24, "2026-11-25"),
    ] {
        let ledger = Ledger::shop()
            .given(change_settings(1, |change| change.settlement_delay_days = Some(delay)))
            .later(wait)
            .when(pay(1, eur(100)));
        assert_eq!(ledger.captured().settles_on.to_string(), day, "{delay} {wait}");
    }
}

#[test]
fn a_capture_records_the_settings_of_its_moment() {
    let ledger = Ledger::shop()
        .given(hold(1, eur(10_000)))
        .given(capture_part(1, eur(1_000), false))
        .given(change_settings(1, |change| change.fee = Some(fee("2", &[eur(50)]))))
        .when(capture_part(1, eur(1_000), false))
        .then_captured(1_000, 20, 0);
    assert_eq!(ledger.captured().fee_version, 2);
    let ledger = ledger.when(pay(2, eur(1)));
    assert_eq!(ledger.appended()[0].event().type_name(), "payment.declined");
    let ledger =
        ledger.given(change_settings(1, |change| change.refund_fee = Some(RefundFee::Kept))).when(capture(1));
    assert_eq!(ledger.captured().fee_version, 3);
}

#[test]
fn another_merchants_payment_is_not_found() {
    let others = |ledger: Ledger| {
        ledger
            .when(capture_with(1, |capture| capture.merchant_id = merchant(2)))
            .then_rejected(Rejection::NotFound)
            .when(refund_with(1, |refund| refund.merchant_id = merchant(2)))
            .then_rejected(Rejection::NotFound)
            .when(Command::Void(Void { payment_id: payment(1), merchant_id: merchant(2), reason: None }))
            .then_rejected(Rejection::NotFound)
    };
    let two = || Ledger::shop().given(open_merchant(2));
    others(two().given(hold(1, eur(100))));
    others(two().given(pay(1, eur(100))));
    others(two().given(pay(1, eur(10_001)))).then_status(1, Status::Declined);
    // Not even the currency is told.
    two()
        .given(hold(1, eur(100)))
        .when(capture_with(1, |capture| {
            capture.merchant_id = merchant(2);
            capture.amount = Some(jpy(1));
        }))
        .then_rejected(Rejection::NotFound);
}

#[test]
fn another_currency_is_refused_before_the_state_is_looked_at() {
    let paid = Ledger::shop().given(hold(1, eur(100))).given(pay(2, eur(100))).given(pay(3, eur(10_000)));
    [1, 2, 3].into_iter().fold(paid, |ledger, n| {
        ledger
            .when(capture_part(n, jpy(1), true))
            .then_rejected(Rejection::CurrencyMismatch)
            .when(refund_part(n, jpy(1)))
            .then_rejected(Rejection::CurrencyMismatch)
    });
}

// Void.

#[test]
fn a_void_releases_all_that_is_held() {
    let voided = |amount, reason| {
        Event::PaymentVoided(PaymentVoided {
            merchant_id: merchant(1),
            client_id: client(1),
            amount: eur(amount),
            reason,
        })
    };
    Ledger::shop()
        .given(hold(1, eur(4_000)))
        .when(void(1))
        .then([voided(4_000, None)])
        .then_client(1, 10_000, 0)
        .then_status(1, Status::Voided)
        .given(hold(2, eur(4_000)))
        .when(Command::Void(Void {
            payment_id: payment(2),
            merchant_id: merchant(1),
            reason: Some(sealed("sold out")),
        }))
        .then([voided(4_000, Some(Reason::Person(sealed("sold out"))))]);
}

#[test]
fn a_void_after_a_capture_keeps_what_was_captured() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .given(capture_part(1, eur(6_000), false))
        .when(void(1))
        .then_client(1, 4_000, 0)
        .then_merchant(1, 5_891, 0)
        .then_status(1, Status::Captured)
        .when(refund(1))
        .then_refunded(6_000, 109, 5_891)
        .then_status(1, Status::Refunded);
}

#[test]
fn nothing_to_void_is_a_state_of_the_payment() {
    Ledger::shop()
        .given(pay(1, eur(100)))
        .when(void(1))
        .then_rejected(not_voidable("captured"))
        .given(hold(2, eur(100)))
        .given(void(2))
        .when(void(2))
        .then_rejected(not_voidable("voided"))
        .given(pay(3, eur(10_000)))
        .when(void(3))
        .then_rejected(not_voidable("declined"))
        .when(void(9))
        .then_rejected(Rejection::NotFound);
}

// Refund.

#[test]
fn a_refund_says_where_the_money_came_from() {
    let refunded = PaymentRefunded {
        merchant_id: merchant(1),
        client_id: client(1),
        refund_id: refund_id(1),
        amount: eur(10_000),
        fee_returned: eur(165),
        drawn: eur(9_835),
        reason: Some(Reason::Person(sealed("broken"))),
    };
    let ledger = Ledger::shop()
        .given(pay(1, eur(10_000)))
        .when(refund_with(1, |refund| refund.reason = Some(sealed("broken"))))
        .then([Event::PaymentRefunded(refunded)]);
    let posting = |account, leg| Posting { account, leg };
    assert_eq!(
        ledger.appended()[0].draft.postings.postings(),
        [
            posting(Account::HouseFees, Leg::Debit(eur(165))),
            posting(Account::MerchantPending(merchant(1)), Leg::Debit(eur(9_835))),
            posting(Account::ClientAvailable(client(1)), Leg::Credit(eur(10_000))),
        ]
    );
}

#[test]
fn refunds_in_parts_give_back_exactly_what_was_paid() {
    Ledger::shop()
        .given(pay(1, eur(10_000)))
        .when(refund_part(1, eur(3_333)))
        .then_refunded(3_333, 55, 3_278)
        .then_status(1, Status::PartiallyRefunded)
        .when(refund_part(1, eur(3_333)))
        .then_refunded(3_333, 55, 3_278)
        .when(refund(1))
        .then_refunded(3_334, 55, 3_279)
        .then_status(1, Status::Refunded)
        .then_client(1, 10_000, 0)
        .then_merchant(1, 0, 0)
        .then_fees(0);
}

#[test]
fn the_default_is_all_that_is_left() {
    Ledger::shop()
        .given(pay(1, eur(10_000)))
        .given(refund_part(1, eur(9_999)))
        .when(refund(1))
        .then_refunded(1, 0, 1)
        .when(refund(1))
        .then_rejected(not_refundable("refunded"));
}

#[test]
fn no_more_than_was_captured_can_be_refunded() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .given(capture_part(1, eur(6_000), false))
        .when(refund_part(1, eur(6_001)))
        .then_rejected(refundable(6_000, 6_001))
        .given(refund_part(1, eur(2_000)))
        .when(refund_part(1, eur(4_001)))
        .then_rejected(refundable(4_000, 4_001));
    for amount in [0, -1, i64::MIN, i64::MAX] {
        Ledger::shop()
            .given(pay(1, eur(100)))
            .when(refund_part(1, eur(amount)))
            .then_rejected(refundable(100, amount));
    }
}

#[test]
fn nothing_to_refund_is_a_state_of_the_payment() {
    Ledger::shop()
        .given(hold(1, eur(100)))
        .when(refund(1))
        .then_rejected(not_refundable("authorized"))
        .when(refund_part(1, eur(101)))
        .then_rejected(not_refundable("authorized"))
        .given(void(1))
        .when(refund(1))
        .then_rejected(not_refundable("voided"))
        .given(pay(2, eur(10_001)))
        .when(refund(2))
        .then_rejected(not_refundable("declined"))
        .when(refund(9))
        .then_rejected(Rejection::NotFound);
}

#[test]
fn a_kept_fee_is_the_merchants_loss() {
    let kept = Ledger::shop()
        .given(change_settings(1, |change| change.refund_fee = Some(RefundFee::Kept)))
        .given(deposit(1, eur(10_000)))
        .given(pay(1, eur(10_000)))
        .given(pay(2, eur(10_000)));
    kept.when(refund(1))
        .then_refunded(10_000, 0, 10_000)
        .then_client(1, 10_000, 0)
        .then_merchant(1, 9_670, 0)
        .then_fees(330);
}

#[test]
fn a_fee_that_is_given_back_again_is_evened_out() {
    let set = |refund_fee| change_settings(1, |change| change.refund_fee = Some(refund_fee));
    Ledger::shop()
        .given(pay(1, eur(10_000)))
        .given(set(RefundFee::Kept))
        .when(refund_part(1, eur(5_000)))
        .then_refunded(5_000, 0, 5_000)
        .given(set(RefundFee::Returned))
        .when(refund_part(1, eur(1_000)))
        .then_refunded(1_000, 99, 901)
        .when(refund(1))
        .then_refunded(4_000, 66, 3_934)
        .then_fees(0);
}

#[test]
fn captures_and_refunds_may_take_turns() {
    Ledger::shop()
        .given(hold(1, eur(10_000)))
        .given(capture_part(1, eur(1_000), false))
        .when(refund(1))
        .then_refunded(1_000, 39, 961)
        .then_status(1, Status::PartiallyRefunded)
        .when(refund(1))
        .then_rejected(not_refundable("partially_refunded"))
        .when(capture(1))
        .then_captured(9_000, 126, 0)
        .then_status(1, Status::PartiallyRefunded)
        .when(refund(1))
        .then_refunded(9_000, 126, 8_874)
        .then_client(1, 10_000, 0)
        .then_merchant(1, 0, 0)
        .then_fees(0);
}

#[test]
fn a_refund_takes_what_is_available_first() {
    Ledger::shop()
        .given(pay(1, eur(10_000)))
        .given(deposit_to_merchant(1, eur(4_000)))
        .then_merchant(1, 9_835, 4_000)
        .when(refund_part(1, eur(3_000)))
        .then_refunded(3_000, 50, 0)
        .then_merchant(1, 9_835, 1_050)
        .when(refund_part(1, eur(2_000)))
        .then_refunded(2_000, 33, 917)
        .then_merchant(1, 8_918, 0);
}

/// A merchant that keeps no fee back and has 98.35 EUR of a payment of 100.00 EUR.
fn poor(negative_limit: &[Money]) -> Ledger {
    Ledger::shop()
        .given(change_settings(1, |change| {
            change.refund_fee = Some(RefundFee::Kept);
            change.negative_limit = Some(negative_limit.to_vec());
        }))
        .given(pay(1, eur(10_000)))
}

#[test]
fn without_a_limit_the_merchant_owes_nothing() {
    poor(&[])
        .when(refund(1))
        .then_rejected(not_covered(9_835, 10_000))
        .settled(1)
        .when(refund(1))
        .then_rejected(not_covered(9_835, 10_000))
        .when(refund_part(1, eur(9_835)))
        .then_refunded(9_835, 0, 0)
        .then_merchant(1, 0, 0)
        .when(refund(1))
        .then_rejected(not_covered(0, 165));
}

#[test]
fn the_available_balance_may_reach_the_negative_limit_and_not_pass_it() {
    poor(&[eur(164)]).when(refund(1)).then_rejected(not_covered(9_999, 10_000));
    poor(&[jpy(999), eur(165)])
        .when(refund(1))
        .then_refunded(10_000, 0, 9_835)
        .then_merchant(1, 0, -165)
        .given(pay(2, eur(1_000)))
        .then_merchant(1, 961, -165)
        .when(refund_part(2, eur(962)))
        .then_rejected(not_covered(961, 962))
        .when(refund_part(2, eur(961)))
        .then_merchant(1, 0, -165);
}

#[test]
fn the_limit_of_another_currency_does_not_count() {
    poor(&[jpy(1_000_000)]).when(refund(1)).then_rejected(not_covered(9_835, 10_000));
}

#[test]
fn a_lowered_limit_stops_new_debt_and_not_what_is_covered() {
    poor(&[eur(165)])
        .given(refund(1))
        .given(change_settings(1, |change| change.negative_limit = Some(Vec::new())))
        .given(pay(2, eur(1_000)))
        .when(refund(2))
        .then_rejected(not_covered(961, 1_000))
        .when(refund_part(2, eur(961)))
        .then_merchant(1, 0, -165);
}

#[test]
fn limits_that_no_request_has_do_no_harm() {
    for limit in [i64::MAX, i64::MIN] {
        let ledger = poor(&[eur(limit)]).settled(1).when(refund(1));
        if limit > 0 {
            ledger.then_merchant(1, 0, -165);
        } else {
            ledger.then_rejected(not_covered(9_835, 10_000));
        }
    }
}

#[test]
fn no_limit_lets_a_debt_pass_that_of_every_balance() {
    let paid_out = |ledger: Ledger, n| {
        let ledger = ledger.given(pay(n, eur(BALANCE_MAX))).settled(1);
        ledger.given(request_payout(n, eur(BALANCE_MAX))).given(change_payout(n, PayoutNews::Paid))
    };
    let ledger = Ledger::shop()
        .given(change_settings(1, |change| {
            change.fee = Some(fee("0", &[]));
            change.negative_limit = Some(vec![eur(i64::MAX)]);
        }))
        .given(deposit(1, eur(BALANCE_MAX - 10_000)));
    let ledger = paid_out(ledger, 1).given(deposit(1, eur(BALANCE_MAX)));
    paid_out(ledger, 2)
        .given(refund(1))
        .then_merchant(1, 0, -BALANCE_MAX)
        .given(withdraw(1, eur(BALANCE_MAX)))
        .when(refund_part(2, eur(1)))
        .then_rejected(not_covered(0, 1));
}

#[test]
fn a_client_cannot_be_refunded_past_the_limit() {
    Ledger::shop()
        .given(deposit(1, eur(BALANCE_MAX - 10_000)))
        .given(pay(1, eur(100)))
        .given(deposit(1, eur(1)))
        .when(refund(1))
        .then_rejected(past_the_limit())
        .when(refund_part(1, eur(99)))
        .then_client(1, BALANCE_MAX, 0);
}

#[test]
fn a_blocked_card_still_gets_its_refund() {
    Ledger::shop().given(pay(1, eur(100))).given(block_card(1)).when(refund(1)).then_client(1, 10_000, 0);
}

// Status.

#[test]
fn a_declined_payment_stays_declined() {
    let ledger = Ledger::shop().given(pay(1, eur(10_001)));
    assert_eq!(ledger.state.payment(payment(1)).unwrap().status().name(), "declined");
    let statuses = [
        Status::Declined,
        Status::Refunded,
        Status::PartiallyRefunded,
        Status::Captured,
        Status::PartiallyCaptured,
        Status::Voided,
        Status::Authorized,
    ];
    let names = [
        "declined",
        "refunded",
        "partially_refunded",
        "captured",
        "partially_captured",
        "voided",
        "authorized",
    ];
    assert_eq!(statuses.map(Status::name), names);
}

#[test]
fn all_refunded_while_more_can_be_captured_is_partial() {
    Ledger::shop()
        .given(hold(1, eur(100)))
        .given(capture_part(1, eur(60), false))
        .given(refund(1))
        .then_status(1, Status::PartiallyRefunded)
        .given(void(1))
        .then_status(1, Status::Refunded);
}
