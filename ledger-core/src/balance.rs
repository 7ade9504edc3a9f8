//! What one owner has in one currency, as the write side keeps it.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::journal::{Account, Posting};
use crate::money::BALANCE_MAX;
use crate::time::Day;

/// How many days of unsettled captures are told apart: the longest delay, today, and all before.
pub const UNSETTLED_DAYS_MAX: usize = 32;

/// A client's money in one currency, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientBalance {
    /// What can be spent; never below zero.
    pub available: i64,
    /// What authorizations hold; never below zero.
    pub held: i64,
    /// Where the row was changed last, and how often.
    pub row: RowVersion,
}

/// A merchant's money in one currency, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MerchantBalance {
    /// Captures that are not settled; never below zero.
    pub pending: i64,
    /// What can be paid out.
    pub available: i64,
    /// What disputes hold.
    pub reserved: i64,
    /// Payouts on their way.
    pub in_transit: i64,
    /// What refunds took from pending and no settlement has absorbed yet.
    pub drawn: i64,
    /// Unsettled net per day from which it can be settled: `pending = Σ unsettled − drawn`.
    pub unsettled: BTreeMap<Day, i64>,
    /// Where the row was changed last, and how often.
    pub row: RowVersion,
}

/// The version of a write-side row: how many events have changed it, and the last one's position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowVersion {
    /// How many events have changed the row; 0 where there is none yet.
    pub version: u64,
    /// The position of the last one.
    pub position: u64,
}

impl RowVersion {
    /// Counts one more event.
    pub const fn touch(&mut self, position: u64) {
        self.version += 1;
        self.position = position;
    }
}

impl ClientBalance {
    /// Tells whether `amount` more would still be within [`BALANCE_MAX`].
    pub const fn has_room_for(&self, amount: i64) -> bool {
        amount <= BALANCE_MAX.saturating_sub(self.available.saturating_add(self.held))
    }

    /// Applies a posting to one of the client's accounts.
    pub fn post(&mut self, posting: &Posting) {
        match posting.account {
            Account::ClientAvailable(_) => self.available += posting.effect(),
            Account::ClientHeld(_) => self.held += posting.effect(),
            Account::MerchantPending(_)
            | Account::MerchantAvailable(_)
            | Account::MerchantReserved(_)
            | Account::MerchantInTransit(_)
            | Account::HouseFees
            | Account::HouseBank
            | Account::HouseFx
            | Account::HouseLosses => {}
        }
    }
}

impl MerchantBalance {
    /// Tells whether `amount` more would still be within [`BALANCE_MAX`].
    pub const fn has_room_for(&self, amount: i64) -> bool {
        let settled = self.available.saturating_add(self.reserved).saturating_add(self.in_transit);
        let largest = if settled > 0 { self.pending.saturating_add(settled) } else { self.pending };
        amount <= BALANCE_MAX.saturating_sub(largest)
    }

    /// Applies a posting to one of the merchant's accounts.
    pub fn post(&mut self, posting: &Posting) {
        match posting.account {
            Account::MerchantPending(_) => self.pending += posting.effect(),
            Account::MerchantAvailable(_) => self.available += posting.effect(),
            Account::MerchantReserved(_) => self.reserved += posting.effect(),
            Account::MerchantInTransit(_) => self.in_transit += posting.effect(),
            Account::ClientAvailable(_)
            | Account::ClientHeld(_)
            | Account::HouseFees
            | Account::HouseBank
            | Account::HouseFx
            | Account::HouseLosses => {}
        }
    }

    /// Notes what the next settlements need to know of an event: captures by day, and what refunds drew.
    pub fn note(&mut self, event: &Event) {
        if let Event::PaymentCaptured(capture) = event {
            *self.unsettled.entry(capture.settles_on).or_default() +=
                capture.amount.amount - capture.fee.amount;
            if self.unsettled.len() > UNSETTLED_DAYS_MAX {
                self.join_oldest_days();
            }
        }
        if let Event::PaymentRefunded(refund) = event {
            self.drawn += refund.drawn.amount;
        }
    }

    /// Joins the two oldest days under the later one: a settlement that reaches it takes both.
    fn join_oldest_days(&mut self) {
        if let Some((_, oldest)) = self.unsettled.pop_first()
            && let Some(mut next) = self.unsettled.first_entry()
        {
            *next.get_mut() += oldest;
        }
    }
}
