//! Giving captured money back to the client.

use super::Payment;
use crate::balance::{ClientBalance, MerchantBalance};
use crate::command::{Context, Refund};
use crate::envelope::Draft;
use crate::event::{Event, PaymentRefunded};
use crate::fee::{RefundFee, amount_in, given_back};
use crate::ids::StreamId;
use crate::journal::{Account, JournalEntry, Move};
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};

/// Gives all or a part of what was captured back to the client.
pub fn refund(
    command: &Refund,
    payment: &Payment,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    client_balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let none_left = |payment_status| Conflict::PaymentNotRefundable { payment_status };
    let amounts = payment.amounts(Some(command.merchant_id), command.amount, none_left)?;
    let refundable = payment.money(amounts.refundable());
    if refundable.amount <= 0 {
        return Err(none_left(payment.status().name()).into());
    }
    let amount = command.amount.unwrap_or(refundable);
    if !(1..=refundable.amount).contains(&amount.amount) {
        return Err(Conflict::RefundExceedsCaptured { refundable, requested: amount }.into());
    }
    let fee_returned = payment.money(match merchant.settings.refund_fee {
        RefundFee::Kept => 0,
        RefundFee::Returned => {
            let refunded = amounts.refunded.saturating_add(amount.amount);
            given_back(amounts.fee_taken, amounts.fee_returned, amounts.captured, refunded, amount.amount)
        }
    });
    let from_merchant = payment.money(amount.amount - fee_returned.amount);
    let sources = draw(from_merchant, merchant_balance, merchant)?;
    let purse = amounts.purse;
    let leg = amounts.leg_back(amount.amount);
    if !client_balance.has_room_for(leg.amount) {
        let limit = Money::new(BALANCE_MAX, purse.pays_in());
        return Err(Conflict::BalanceLimitExceeded { limit }.into());
    }
    let (target, exchanged) = purse.pay_back(leg);
    let paid = [
        Move::new(Account::HouseFees, target, fee_returned),
        Move::new(Account::MerchantAvailable(merchant.id), target, sources.available),
        Move::new(Account::MerchantPending(merchant.id), target, sources.pending),
    ];
    let event = Event::PaymentRefunded(PaymentRefunded {
        merchant_id: merchant.id,
        client_id: purse.client_id,
        refund_id: command.id,
        amount,
        fee_returned,
        drawn: sources.pending,
        reason: command.reason.clone().map(Reason::Person),
    });
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payment(payment.id),
        event,
        postings: JournalEntry::of(paid.into_iter().chain(exchanged)),
    }])
}

/// Where a refund's money comes from.
struct Sources {
    available: Money,
    pending: Money,
}

/// Takes money from a merchant: what is available first, then what is pending, then from available what
/// neither covers, down to the merchant's negative limit.
fn draw(amount: Money, balance: &MerchantBalance, merchant: &Merchant) -> Result<Sources, Rejection> {
    let currency = amount.currency;
    let available = balance.available.max(0).min(amount.amount);
    let pending = balance.pending.max(0).min(amount.amount - available);
    let uncovered = amount.amount - available - pending;
    let limit = amount_in(&merchant.settings.negative_limit, currency).min(BALANCE_MAX);
    let credit = limit.saturating_add(balance.available.saturating_sub(available));
    if uncovered > 0 && uncovered > credit {
        let reach = credit.max(0).saturating_add(available + pending);
        return Err(Conflict::InsufficientAvailableBalance {
            available: Money::new(reach, currency),
            requested: amount,
        }
        .into());
    }
    Ok(Sources {
        available: Money::new(available + uncovered, currency),
        pending: Money::new(pending, currency),
    })
}
