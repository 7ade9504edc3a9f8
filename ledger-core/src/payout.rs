//! Payouts: available money on its way to a merchant's bank account.
//!
//! ```text
//! requested ──┬─ paid ── returned
//!             └─ failed
//! ```

use crate::balance::MerchantBalance;
use crate::command::{ChangePayout, Context, PayoutNews, RequestPayout};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, PayoutChanged, PayoutRequested};
use crate::ids::{EventId, PayoutId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;

/// A payout, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payout {
    /// The payout.
    pub id: PayoutId,
    /// What was asked.
    pub requested: PayoutRequested,
    /// Where the money is.
    pub status: PayoutStatus,
    /// What the bank's last news was explained by, and the event that it is bound to.
    pub reason: Option<(EventId, Reason)>,
    /// Where the stream stands.
    pub stamp: Stamp,
}

/// Where the money of a payout is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayoutStatus {
    /// On its way.
    Requested,
    /// At the merchant's bank.
    Paid,
    /// With the merchant here again: it never left.
    Failed,
    /// With the merchant here again: it left and came back.
    Returned,
}

impl PayoutStatus {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

impl Payout {
    /// Begins a payout with its first event.
    pub fn request(id: PayoutId, requested: &PayoutRequested, envelope: &Envelope) -> Self {
        let requested = requested.clone();
        Self { id, requested, status: PayoutStatus::Requested, reason: None, stamp: Stamp::first(envelope) }
    }

    /// Folds a whole stream; `None` unless it begins as payouts do.
    pub fn fold<'a>(stream: impl IntoIterator<Item = &'a Envelope>) -> Option<Self> {
        let mut stream = stream.into_iter();
        let first = stream.next()?;
        let (StreamId::Payout(id), Event::PayoutRequested(requested)) = (first.stream_id(), first.event())
        else {
            return None;
        };
        let mut payout = Self::request(id, requested, first);
        stream.for_each(|later| payout.evolve(later));
        Some(payout)
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        let (status, changed) = match envelope.event() {
            Event::PayoutPaid(changed) => (PayoutStatus::Paid, changed),
            Event::PayoutFailed(changed) => (PayoutStatus::Failed, changed),
            Event::PayoutReturned(changed) => (PayoutStatus::Returned, changed),
            _ => return,
        };
        self.status = status;
        self.reason = changed.reason.clone().map(|reason| (envelope.draft.event_id, reason));
    }
}

/// Sends available money on its way; never more than there is.
pub fn request(
    command: &RequestPayout,
    merchant: &Merchant,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    merchant.check_active()?;
    let RequestPayout { id, merchant_id, amount, reference } = command.clone();
    if !(1..=balance.available).contains(&amount.amount) {
        let available = Money::new(balance.available, amount.currency);
        return Err(Conflict::InsufficientAvailableBalance { available, requested: amount }.into());
    }
    let on_its_way =
        Move::new(Account::MerchantAvailable(merchant_id), Account::MerchantInTransit(merchant_id), amount);
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payout(id),
        event: Event::PayoutRequested(PayoutRequested { merchant_id, amount, reference }),
        postings: JournalEntry::of([on_its_way]),
    }])
}

/// Notes what the bank said of a payout.
pub fn change(
    command: &ChangePayout,
    payout: &Payout,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let PayoutRequested { merchant_id, amount, .. } = payout.requested;
    let reason = command.reason.clone().map(Reason::Person);
    let changed = PayoutChanged { merchant_id, amount, reason };
    let (available, in_transit) =
        (Account::MerchantAvailable(merchant_id), Account::MerchantInTransit(merchant_id));
    let (event, debit, credit) = match (payout.status, command.news) {
        (PayoutStatus::Requested, PayoutNews::Paid) => {
            (Event::PayoutPaid(changed), in_transit, Account::HouseBank)
        }
        (PayoutStatus::Requested, PayoutNews::Failed) => {
            (Event::PayoutFailed(changed), in_transit, available)
        }
        (PayoutStatus::Paid, PayoutNews::Returned) => {
            if !balance.has_room_for(amount.amount) {
                let limit = Money::new(BALANCE_MAX, amount.currency);
                return Err(Conflict::BalanceLimitExceeded { limit }.into());
            }
            (Event::PayoutReturned(changed), Account::HouseBank, available)
        }
        (status, PayoutNews::Paid | PayoutNews::Failed | PayoutNews::Returned) => {
            return Err(Conflict::PayoutClosed { payout_status: status.name() }.into());
        }
    };
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payout(payout.id),
        event,
        postings: JournalEntry::of([Move::new(debit, credit, amount)]),
    }])
}
