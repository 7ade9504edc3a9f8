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
        // No request holds less than one.
        let covered = amount > 0 && purse.cost(amount).is_some_and(|cost| cost <= *available);
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
