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
