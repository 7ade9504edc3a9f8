//! Capturing held money for the merchant, in one part or many.

use super::{Amounts, Payment, Purse};
use crate::balance::MerchantBalance;
use crate::command::{Capture, Context};
use crate::envelope::Draft;
use crate::event::{Event, PaymentCaptured};
use crate::ids::StreamId;
use crate::journal::{Account, JournalEntry, Move};
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Money};
use crate::rejection::{Conflict, Rejection};
use crate::time::Timestamp;

/// Captures all or a part of what is held, and releases the rest if the capture is final.
pub fn capture(
    command: &Capture,
    payment: &Payment,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let none_left = |payment_status| Conflict::PaymentNotCapturable { payment_status };
    let amounts = payment.amounts(Some(command.merchant_id), command.amount, none_left)?;
    let capturable = payment.money(amounts.capturable());
    if capturable.amount <= 0 {
        return Err(none_left(payment.status().name()).into());
    }
    amounts.check_in_time(context.now)?;
    let amount = command.amount.unwrap_or(capturable);
    if !(1..=capturable.amount).contains(&amount.amount) {
        return Err(Conflict::CaptureExceedsAuthorization { capturable, requested: amount }.into());
    }
    let part = Part {
        purse: amounts.purse,
        before: amounts.captured,
        amount: amount.amount,
        released: if command.is_final { capturable.amount.saturating_sub(amount.amount) } else { 0 },
        is_final: command.is_final,
    };
    let (event, postings) = captured(&part, merchant, merchant_balance, context.now)?;
    Ok(vec![Draft { event_id: context.event_id, stream_id: StreamId::Payment(payment.id), event, postings }])
}

impl Amounts {
    /// Refuses what comes after the authorization's end, whatever the scheduler did until then.
    pub(super) fn check_in_time(&self, now: Timestamp) -> Result<(), Conflict> {
        if now >= self.expires_at {
            return Err(Conflict::AuthorizationExpired { expires_at: self.expires_at });
        }
        Ok(())
    }
}

/// What one capture takes and releases, in minor units of the payment's currency.
pub(super) struct Part {
    pub(super) purse: Purse,
    /// What was captured before; only the first capture bears the fixed fee.
    pub(super) before: i64,
    pub(super) amount: i64,
    pub(super) released: i64,
    pub(super) is_final: bool,
}

/// Makes a capture's event and postings.
pub(super) fn captured(
    part: &Part,
    merchant: &Merchant,
    balance: &MerchantBalance,
    now: Timestamp,
) -> Result<(Event, JournalEntry), Rejection> {
    let Part { purse, before, amount, released, is_final } = *part;
    let money = |amount| Money::new(amount, purse.currency);
    let fee = merchant.settings.fee.on_capture(money(amount), before == 0);
    let net = amount - fee;
    if !balance.has_room_for(net) || !balance.can_settle(amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: money(BALANCE_MAX) }.into());
    }
    let (source, exchanged) = purse.pay(before, amount);
    let paid = [
        Move::new(source, Account::MerchantPending(merchant.id), money(net)),
        Move::new(source, Account::HouseFees, money(fee)),
        purse.release(before.saturating_add(amount), released),
    ];
    let event = Event::PaymentCaptured(PaymentCaptured {
        merchant_id: merchant.id,
        client_id: purse.client_id,
        amount: money(amount),
        fee: money(fee),
        fee_version: merchant.settings.fee_version,
        is_final,
        released: money(released),
        settles_on: now.day().plus(merchant.settings.settlement_delay_days),
    });
    Ok((event, JournalEntry::of(exchanged.into_iter().chain(paid))))
}
