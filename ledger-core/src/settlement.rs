//! Settlements: captures whose day has come become available to their merchant.
//!
//! The write side sums captures up by the day from which they can be settled, so closing a settlement
//! costs the same whether it takes one capture or a hundred thousand. Which ones it takes follows from the
//! log: each capture is in the first settlement behind it that reaches its day.

use crate::balance::MerchantBalance;
use crate::command::{Context, Settle};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, SettlementClosed};
use crate::ids::{MerchantId, SettlementId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::money::{Currency, Money};
use crate::rejection::Rejection;
use crate::stamp::Stamp;
use crate::time::Day;

/// A settlement: its one event, in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// The settlement.
    pub id: SettlementId,
    /// What it took.
    pub closed: SettlementClosed,
    /// Where its stream stands.
    pub stamp: Stamp,
}

impl Settlement {
    /// Takes the settlement of an event. `None` if the event is none of one.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        match (envelope.stream_id(), envelope.event()) {
            (StreamId::Settlement(id), Event::SettlementClosed(closed)) => {
                Some(Self { id, closed: closed.clone(), stamp: Stamp::first(envelope) })
            }
            _ => None,
        }
    }
}

/// Closes a settlement for each candidate that has something due; none for the others.
pub fn settle(
    command: &Settle,
    balances: &[(MerchantId, Currency, MerchantBalance)],
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let as_of = command.as_of.unwrap_or(context.now);
    if as_of > context.now {
        return Err(Rejection::TooEarly);
    }
    let through_day = as_of.day();
    let closed = balances
        .iter()
        .filter_map(|(merchant_id, currency, balance)| close(*merchant_id, *currency, balance, through_day));
    let numbered = (0..).zip(closed).map(|(n, (closed, postings))| Draft {
        event_id: context.event_id.plus(n),
        stream_id: StreamId::Settlement(command.id.plus(n)),
        event: Event::SettlementClosed(closed),
        postings,
    });
    Ok(numbered.collect())
}

/// Sums up what is due, and makes up for what refunds have drawn from it.
fn close(
    merchant_id: MerchantId,
    currency: Currency,
    balance: &MerchantBalance,
    through_day: Day,
) -> Option<(SettlementClosed, JournalEntry)> {
    let due = balance.due(through_day);
    if due.count == 0 {
        return None;
    }
    let money = |amount| Money::new(amount, currency);
    let absorbed = balance.drawn.min(due.net());
    let amount = money(due.net() - absorbed);
    let postings = JournalEntry::of([Move::new(
        Account::MerchantPending(merchant_id),
        Account::MerchantAvailable(merchant_id),
        amount,
    )]);
    let closed = SettlementClosed {
        merchant_id,
        currency,
        through_day,
        count: due.count,
        gross: money(due.gross),
        fees: money(due.fees),
        absorbed: money(absorbed),
        amount,
    };
    Some((closed, postings))
}
