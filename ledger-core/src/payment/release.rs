//! Giving held money back that was not captured: a void, or the end of the authorization's time.

use super::{Amounts, Outcome, Payment, WARNING_DAYS};
use crate::command::{Context, Void};
use crate::envelope::Draft;
use crate::event::{Event, PaymentExpired, PaymentExpiring, PaymentVoided};
use crate::ids::StreamId;
use crate::journal::JournalEntry;
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};

/// Releases all that is not captured.
pub fn void(command: &Void, payment: &Payment, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let none_left = |payment_status| Conflict::PaymentNotVoidable { payment_status };
    let amounts = payment.amounts(Some(command.merchant_id), None, none_left)?;
    if amounts.capturable() <= 0 {
        return Err(none_left(payment.status().name()).into());
    }
    amounts.check_in_time(context.now)?;
    let event = Event::PaymentVoided(PaymentVoided {
        merchant_id: command.merchant_id,
        client_id: amounts.purse.client_id,
        amount: payment.money(amounts.capturable()),
        reason: command.reason.clone().map(Reason::Person),
    });
    Ok(vec![draft(payment, event, release_all(amounts), context)])
}

/// Releases all that was not captured in time; nothing happens if nothing is left.
pub fn expire(payment: &Payment, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let Some(amounts) = open_authorization(payment) else { return Ok(Vec::new()) };
    if context.now < amounts.expires_at {
        return Err(Rejection::TooEarly);
    }
    let event = Event::PaymentExpired(PaymentExpired {
        merchant_id: payment.details.merchant_id,
        client_id: amounts.purse.client_id,
        amount: payment.money(amounts.capturable()),
    });
    Ok(vec![draft(payment, event, release_all(amounts), context)])
}

/// Tells that an authorization has a day left; nothing happens if it was told, or is over.
pub fn warn_of_expiry(payment: &Payment, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let Some(amounts) = open_authorization(payment) else { return Ok(Vec::new()) };
    if amounts.warned || context.now >= amounts.expires_at {
        return Ok(Vec::new());
    }
    if context.now.plus_days(WARNING_DAYS) < amounts.expires_at {
        return Err(Rejection::TooEarly);
    }
    let event = Event::PaymentAuthorizationExpiring(PaymentExpiring {
        merchant_id: payment.details.merchant_id,
        client_id: amounts.purse.client_id,
        expires_at: amounts.expires_at,
        capturable: payment.money(amounts.capturable()),
    });
    Ok(vec![draft(payment, event, JournalEntry::none(), context)])
}

/// Finds the totals of a payment that something can still be captured of.
fn open_authorization(payment: &Payment) -> Option<&Amounts> {
    match &payment.outcome {
        Outcome::Approved(amounts) if amounts.capturable() > 0 => Some(amounts),
        Outcome::Approved(_) | Outcome::Declined { .. } => None,
    }
}

fn release_all(amounts: &Amounts) -> JournalEntry {
    JournalEntry::of([amounts.purse.release(amounts.captured, amounts.capturable())])
}

fn draft(payment: &Payment, event: Event, postings: JournalEntry, context: &Context) -> Draft {
    Draft { event_id: context.event_id, stream_id: StreamId::Payment(payment.id), event, postings }
}

#[cfg(test)]
mod tests {
    use crate::event::{Event, PaymentExpired, PaymentExpiring};
    use crate::payment::Status;
    use crate::rejection::Rejection;
    use crate::testing::*;

    fn expired(amount: i64) -> Event {
        Event::PaymentExpired(PaymentExpired {
            merchant_id: merchant(1),
            client_id: client(1),
            amount: eur(amount),
        })
    }

    #[test]
    fn an_authorization_expires_exactly_at_its_end() {
        Ledger::shop()
            .given(hold(1, eur(4_000)))
            .later(7 * DAY - 1)
            .when(expire(1))
            .then_rejected(Rejection::TooEarly)
            .then_client(1, 6_000, 4_000)
            .later(1)
            .when(expire(1))
            .then([expired(4_000)])
            .then_client(1, 10_000, 0)
            .then_status(1, Status::Expired);
    }

    #[test]
    fn brands_have_times_of_their_own() {
        Ledger::shop()
            .given(pay_with(1, eur(100), |pay| {
                pay.details.capture = crate::event::CaptureMode::Manual;
                pay.valid_days = 30;
            }))
            .later(30 * DAY - 1)
            .when(expire(1))
            .then_rejected(Rejection::TooEarly)
            .when(capture_part(1, eur(1), false))
            .then_types(["payment.captured"])
            .later(1)
            .when(expire(1))
            .then([expired(99)]);
    }

    #[test]
    fn expiry_releases_only_what_was_not_captured() {
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .given(capture_part(1, eur(6_000), false))
            .days_later(7)
            .when(expire(1))
            .then([expired(4_000)])
            .then_client(1, 4_000, 0)
            .then_status(1, Status::Captured)
            .when(refund(1))
            .then_status(1, Status::Refunded)
            .then_client(1, 10_000, 0);
    }

    #[test]
    fn where_nothing_is_left_nothing_expires() {
        let over = Ledger::shop()
            .given(pay(1, eur(100)))
            .given(hold(2, eur(100)))
            .given(void(2))
            .given(hold(3, eur(10_000)))
            .given(hold(4, eur(100)))
            .days_later(7)
            .given(expire(4));
        (1..=4).fold(over, |ledger, n| {
            let ledger = ledger.when(expire(n)).then_nothing();
            ledger.when(warn(n)).then_nothing()
        });
    }

    #[test]
    fn a_day_before_its_end_it_is_told_once() {
        let expiring = PaymentExpiring {
            merchant_id: merchant(1),
            client_id: client(1),
            expires_at: "2026-12-01T08:00:00Z".parse().unwrap(),
            capturable: eur(3_000),
        };
        let ledger = Ledger::shop()
            .given(hold(1, eur(4_000)))
            .given(capture_part(1, eur(1_000), false))
            .later(6 * DAY - 1)
            .when(warn(1))
            .then_rejected(Rejection::TooEarly)
            .later(1)
            .when(warn(1))
            .then([Event::PaymentAuthorizationExpiring(expiring)])
            .then_client(1, 6_000, 3_000)
            .when(warn(1))
            .then_nothing();
        assert!(ledger.amounts(1).warned);
        ledger.later(DAY - 1).when(capture(1)).then_status(1, Status::Captured);
    }

    #[test]
    fn it_is_told_up_to_the_end_and_not_after() {
        let held = || Ledger::shop().given(hold(1, eur(100)));
        held().later(7 * DAY - 1).when(warn(1)).then_types(["payment.authorization_expiring"]);
        held().later(7 * DAY).when(warn(1)).then_nothing().when(expire(1)).then([expired(100)]);
    }
}
