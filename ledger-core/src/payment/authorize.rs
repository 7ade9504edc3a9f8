//! Holding a client's money for a payment: the authorization, and increments to it.

use super::capture::{Part, captured};
use super::{Payment, Purse};
use crate::balance::{ClientBalance, MerchantBalance};
use crate::card::{Card, CardStatus, is_wrong_attempt};
use crate::client::{Client, ClientStatus};
use crate::command::{Authorize, Context, Increment};
use crate::envelope::Draft;
use crate::event::{
    CaptureMode, DeclineCode, Event, Funding, PaymentAuthorized, PaymentDeclined, PaymentIncremented,
};
use crate::ids::StreamId;
use crate::journal::JournalEntry;
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Money};
use crate::rejection::{Conflict, Rejection};
use crate::time::Day;

/// The card that a payment is made with, its holder, and what the holder can pay with.
#[derive(Clone, Debug)]
pub struct Payer<'a> {
    /// The card.
    pub card: &'a Card,
    /// The holder.
    pub client: &'a Client,
    /// What is available, in the order in which it is tried: the payment's own currency, then those with a
    /// rate to it, alphabetically.
    pub means: Vec<(Option<Funding>, i64)>,
}

/// Authorizes or declines a payment; captures it at once if the merchant wants.
pub fn authorize(
    command: &Authorize,
    payer: Option<Payer<'_>>,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    merchant.check_active()?;
    let purse = match check(command, payer.as_ref(), context.now.day()) {
        Ok(purse) => purse,
        Err(code) => return Ok(decline(command, code, payer.map(|payer| payer.card), context)),
    };
    let stream_id = StreamId::Payment(command.id);
    let amount = command.details.amount;
    let authorized = PaymentAuthorized {
        client_id: purse.client_id,
        expires_at: context.now.plus_days(command.valid_days),
        funding: purse.funding,
        details: command.details.clone(),
    };
    let mut drafts = vec![Draft {
        event_id: context.event_id,
        stream_id,
        event: Event::PaymentAuthorized(authorized),
        postings: JournalEntry::of([purse.hold(0, amount.amount)]),
    }];
    if command.details.capture == CaptureMode::Automatic {
        let part = Part { purse, before: 0, amount: amount.amount, released: 0, is_final: true };
        let (event, postings) = captured(&part, merchant, merchant_balance, context.now)?;
        drafts.push(Draft { event_id: context.event_id.plus(1), stream_id, event, postings });
    }
    Ok(drafts)
}

/// Finds what pays, or the first reason to decline.
fn check(command: &Authorize, payer: Option<&Payer<'_>>, today: Day) -> Result<Purse, DeclineCode> {
    let details = &command.details;
    if !command.number_valid {
        return Err(DeclineCode::InvalidNumber);
    }
    if details.card.expiry.is_past(today) {
        return Err(DeclineCode::ExpiredCard);
    }
    let Some(Payer { card, client, means }) = payer else { return Err(DeclineCode::CardNotRecognised) };
    if card.issued.expiry != details.card.expiry {
        return Err(DeclineCode::InvalidExpiry);
    }
    if !command.cvc_matches {
        return Err(DeclineCode::InvalidCvc);
    }
    if card.status == CardStatus::Blocked || client.status != ClientStatus::Open {
        return Err(DeclineCode::CardBlocked);
    }
    let Money { amount, currency } = details.amount;
    let covers = |(funding, available): &(Option<Funding>, i64)| {
        let purse = Purse { client_id: client.id, currency, funding: *funding };
        // No request holds less than one, and no payment's total passes the limit.
        let covered =
            (1..=BALANCE_MAX).contains(&amount) && purse.cost(amount).is_some_and(|cost| cost <= *available);
        covered.then_some(purse)
    };
    means.iter().find_map(covers).ok_or(DeclineCode::InsufficientFunds)
}

/// Declines a payment, and blocks its card if that was one wrong attempt too many.
fn decline(command: &Authorize, code: DeclineCode, card: Option<&Card>, context: &Context) -> Vec<Draft> {
    let client_id = card.map(|card| card.issued.client_id);
    let details = command.details.clone();
    let mut drafts = vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payment(command.id),
        event: Event::PaymentDeclined(PaymentDeclined { client_id, decline_code: code, details }),
        postings: JournalEntry::none(),
    }];
    if let Some(card) = card
        && is_wrong_attempt(code)
        && card.is_at_last_attempt()
    {
        drafts.push(card.block_by_attempts(context.event_id.plus(1)));
    }
    drafts
}

/// Holds more for a payment, from the same purse and at the same rate.
pub fn increment(
    command: &Increment,
    payment: &Payment,
    merchant: &Merchant,
    client_balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let closed = |payment_status| Conflict::PaymentNotIncrementable { payment_status };
    let amounts = payment.amounts(Some(command.merchant_id), Some(command.amount), closed)?;
    if amounts.capturable() <= 0 {
        return Err(closed(payment.status().name()).into());
    }
    amounts.check_in_time(context.now)?;
    merchant.check_active()?;
    let amount = command.amount;
    if amount.amount <= 0 || amount.amount > BALANCE_MAX.saturating_sub(amounts.authorized) {
        return Err(Conflict::BalanceLimitExceeded { limit: payment.money(BALANCE_MAX) }.into());
    }
    let purse = amounts.purse;
    let requested = purse.leg(amounts.authorized, amount.amount);
    if requested.amount > client_balance.available {
        let available = Money::new(client_balance.available, purse.pays_in());
        return Err(Conflict::InsufficientFunds { available, requested }.into());
    }
    let event = Event::PaymentAuthorizationIncremented(PaymentIncremented {
        merchant_id: command.merchant_id,
        client_id: purse.client_id,
        amount,
    });
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payment(payment.id),
        event,
        postings: JournalEntry::of([purse.hold(amounts.authorized, amount.amount)]),
    }])
}

#[cfg(test)]
mod tests {
    use crate::command::{Command, Increment};
    use crate::event::{Event, PaymentIncremented};
    use crate::journal::{Account, Leg, Posting};
    use crate::money::BALANCE_MAX;
    use crate::payment::Status;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;

    fn not_incrementable(payment_status: &'static str) -> Conflict {
        Conflict::PaymentNotIncrementable { payment_status }
    }

    fn too_little(available: i64, requested: i64) -> Conflict {
        Conflict::InsufficientFunds { available: eur(available), requested: eur(requested) }
    }

    #[test]
    fn an_increment_holds_more() {
        let incremented =
            PaymentIncremented { merchant_id: merchant(1), client_id: client(1), amount: eur(2_500) };
        let ledger = Ledger::shop()
            .given(hold(1, eur(5_000)))
            .when(increment(1, eur(2_500)))
            .then([Event::PaymentAuthorizationIncremented(incremented)])
            .then_client(1, 2_500, 7_500)
            .then_status(1, Status::Authorized);
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::ClientAvailable(client(1)), Leg::Debit(eur(2_500))),
                posting(Account::ClientHeld(client(1)), Leg::Credit(eur(2_500))),
            ]
        );
        // The merchant can capture all of it, and pays the fixed fee once.
        ledger.when(capture(1)).then_merchant(1, 7_500 - 105 - 25, 0).then_client(1, 2_500, 0);
    }

    #[test]
    fn all_that_is_available_can_be_added_and_not_a_cent_more() {
        Ledger::shop()
            .given(hold(1, eur(4_000)))
            .when(increment(1, eur(6_001)))
            .then_rejected(too_little(6_000, 6_001))
            .when(increment(1, eur(1)))
            .then_types(["payment.authorization_incremented"])
            .when(increment(1, eur(5_999)))
            .then_client(1, 0, 10_000)
            .when(increment(1, eur(1)))
            .then_rejected(too_little(0, 1));
    }

    #[test]
    fn a_partially_captured_payment_can_grow() {
        Ledger::shop()
            .given(hold(1, eur(1_000)))
            .given(capture_part(1, eur(400), false))
            .when(increment(1, eur(500)))
            .then_client(1, 8_500, 1_100)
            .when(capture_part(1, eur(1_100), false))
            .then_client(1, 8_500, 0)
            .when(increment(1, eur(1)))
            .then_rejected(not_incrementable("captured"));
    }

    #[test]
    fn what_is_closed_can_not_grow() {
        Ledger::shop()
            .given(hold(1, eur(10_001)))
            .when(increment(1, eur(1)))
            .then_rejected(not_incrementable("declined"))
            .given(hold(2, eur(100)))
            .given(void(2))
            .when(increment(2, eur(1)))
            .then_rejected(not_incrementable("voided"))
            .given(hold(3, eur(100)))
            .days_later(7)
            .given(expire(3))
            .when(increment(3, eur(1)))
            .then_rejected(not_incrementable("expired"));
    }

    #[test]
    fn an_increment_comes_before_the_end_and_does_not_move_it() {
        let held = || Ledger::shop().given(hold(1, eur(100))).later(7 * DAY - 1);
        let expired = Conflict::AuthorizationExpired { expires_at: "2026-12-01T08:00:00Z".parse().unwrap() };
        held().when(increment(1, eur(1))).then_types(["payment.authorization_incremented"]);
        held().given(increment(1, eur(1))).later(1).when(increment(1, eur(1))).then_rejected(expired);
    }

    #[test]
    fn refusals_of_an_increment_follow_their_order() {
        let as_merchant = |n, amount| {
            Command::Increment(Increment { payment_id: payment(1), merchant_id: merchant(n), amount })
        };
        let ledger = Ledger::shop()
            .given(open_merchant(2))
            .given(hold(1, eur(100)))
            .given(suspend(1))
            .when(as_merchant(2, jpy(1)))
            .then_rejected(Rejection::NotFound)
            .when(as_merchant(1, jpy(1)))
            .then_rejected(Rejection::CurrencyMismatch);
        let suspended_at = BEGIN.parse().unwrap();
        let ledger = ledger
            .when(increment(1, eur(BALANCE_MAX)))
            .then_rejected(Conflict::MerchantSuspended { suspended_at })
            .given(reinstate(1))
            .when(increment(1, eur(BALANCE_MAX - 99)))
            .then_rejected(past_the_limit())
            .when(increment(1, eur(BALANCE_MAX - 100)))
            .then_rejected(too_little(9_900, BALANCE_MAX - 100))
            .given(suspend(1))
            .days_later(7);
        let expires_at = "2026-12-01T08:00:00Z".parse().unwrap();
        ledger
            .when(increment(1, eur(1)))
            .then_rejected(Conflict::AuthorizationExpired { expires_at })
            .given(expire(1))
            .when(increment(1, eur(1)))
            .then_rejected(not_incrementable("expired"));
    }

    #[test]
    fn amounts_that_no_request_has_are_not_added() {
        for amount in [0, -1, i64::MIN, i64::MAX] {
            Ledger::shop()
                .given(hold(1, eur(100)))
                .when(increment(1, eur(amount)))
                .then_rejected(past_the_limit());
        }
    }
}
