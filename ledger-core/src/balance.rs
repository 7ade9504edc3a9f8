//! What one owner has in one currency, as the write side keeps it.
//!
//! Sums stop at the ends of `i64`: what is decided stays within [`BALANCE_MAX`], but a forged log may
//! hold any amounts, and folding it must not fail (I4).

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
            Account::ClientAvailable(_) => add(&mut self.available, posting.effect()),
            Account::ClientHeld(_) => add(&mut self.held, posting.effect()),
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
            Account::MerchantPending(_) => add(&mut self.pending, posting.effect()),
            Account::MerchantAvailable(_) => add(&mut self.available, posting.effect()),
            Account::MerchantReserved(_) => add(&mut self.reserved, posting.effect()),
            Account::MerchantInTransit(_) => add(&mut self.in_transit, posting.effect()),
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
            let net = capture.amount.amount.saturating_sub(capture.fee.amount);
            add(self.unsettled.entry(capture.settles_on).or_default(), net);
            if self.unsettled.len() > UNSETTLED_DAYS_MAX {
                self.join_oldest_days();
            }
        }
        if let Event::PaymentRefunded(refund) = event {
            add(&mut self.drawn, refund.drawn.amount);
        }
    }

    /// Joins the two oldest days under the later one: a settlement that reaches it takes both.
    fn join_oldest_days(&mut self) {
        if let Some((_, oldest)) = self.unsettled.pop_first()
            && let Some(mut next) = self.unsettled.first_entry()
        {
            add(next.get_mut(), oldest);
        }
    }
}

/// Adds to a sum, which stops at the ends of its type.
pub(crate) const fn add(sum: &mut i64, amount: i64) {
    *sum = sum.saturating_add(amount);
}

#[cfg(test)]
mod tests {
    use crate::balance::{ClientBalance, MerchantBalance, UNSETTLED_DAYS_MAX};
    use crate::fee::RefundFee;
    use crate::money::BALANCE_MAX;
    use crate::testing::*;

    impl Ledger {
        fn balance(&self) -> MerchantBalance {
            self.state.merchant_balance(merchant(1), euro())
        }

        /// The merchant's unsettled sums, oldest day first.
        fn unsettled(&self) -> Vec<(String, i64)> {
            self.balance().unsettled.into_iter().map(|(day, sum)| (day.to_string(), sum)).collect()
        }
    }

    /// A shop whose captures cost nothing.
    fn free_of_charge() -> Ledger {
        Ledger::shop().given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
    }

    #[test]
    fn captures_of_a_day_are_one_sum() {
        let ledger = free_of_charge().given(pay(1, eur(100))).given(pay(2, eur(20)));
        assert_eq!(ledger.unsettled(), [("2026-11-26".to_owned(), 120)]);
        let ledger = ledger.days_later(1).given(pay(3, eur(3)));
        assert_eq!(ledger.unsettled(), [("2026-11-26".to_owned(), 120), ("2026-11-27".to_owned(), 3)]);
    }

    #[test]
    fn a_shorter_delay_may_settle_a_later_capture_first() {
        let ledger = free_of_charge()
            .given(pay(1, eur(100)))
            .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
            .given(pay(2, eur(20)));
        assert_eq!(ledger.unsettled(), [("2026-11-24".to_owned(), 20), ("2026-11-26".to_owned(), 100)]);
    }

    #[test]
    fn sums_are_net_of_fees() {
        let ledger = Ledger::shop().given(pay(1, eur(10_000)));
        assert_eq!(ledger.unsettled(), [("2026-11-26".to_owned(), 9_835)]);
    }

    #[test]
    fn a_capture_that_is_all_fee_leaves_no_sum() {
        let ledger = Ledger::shop().given(pay(1, eur(10)));
        assert_eq!(ledger.balance(), MerchantBalance::default());
    }

    #[test]
    fn a_refund_from_pending_is_noted_as_drawn() {
        let ledger = Ledger::shop().given(pay(1, eur(10_000))).given(refund_part(1, eur(5_000)));
        let balance = ledger.balance();
        assert_eq!((balance.pending, balance.drawn), (4_918, 4_917));
        assert_eq!(ledger.unsettled(), [("2026-11-26".to_owned(), 9_835)]);
    }

    #[test]
    fn a_refund_from_available_draws_nothing() {
        let ledger =
            Ledger::shop().given(pay(1, eur(10_000))).settled(1, 9_835).given(refund_part(1, eur(5_000)));
        assert_eq!(ledger.balance().drawn, 0);
    }

    #[test]
    fn thirty_two_days_are_told_apart_and_the_oldest_joined() {
        let mut ledger = free_of_charge();
        for n in 0..32 {
            ledger = ledger.given(pay(n, eur(1))).days_later(1);
        }
        assert_eq!(ledger.unsettled().len(), UNSETTLED_DAYS_MAX);
        assert_eq!(ledger.unsettled()[0], ("2026-11-26".to_owned(), 1));
        for n in 32..50 {
            ledger = ledger.given(pay(n, eur(1))).days_later(1);
            assert_eq!(ledger.unsettled().len(), UNSETTLED_DAYS_MAX);
        }
        // Nineteen days became one; no cent is lost and no day that is yet to come is touched.
        assert_eq!(ledger.unsettled()[0], ("2026-12-14".to_owned(), 19));
        assert!(ledger.unsettled()[1..].iter().all(|(_, sum)| *sum == 1));
        assert_eq!(ledger.balance().pending, 50);
    }

    #[test]
    fn days_to_come_are_never_joined() {
        // The longest delay first: 31 days from today on, and one for all before.
        let delay = |days| change_settings(1, move |change| change.settlement_delay_days = Some(days));
        let mut ledger = free_of_charge().given(delay(0));
        for n in 0..5 {
            ledger = ledger.given(pay(n, eur(1))).days_later(1);
        }
        for days in 0..=30_u8 {
            ledger = ledger.given(delay(days.into())).given(pay(100 + days, eur(1)));
        }
        let sums = ledger.unsettled();
        assert_eq!(sums.len(), UNSETTLED_DAYS_MAX);
        assert_eq!(sums[0], ("2026-11-28".to_owned(), 5));
        assert_eq!(sums[1], ("2026-11-29".to_owned(), 1));
        assert_eq!(sums[31], ("2026-12-29".to_owned(), 1));
    }

    #[test]
    fn an_event_counts_once_in_each_row_that_it_touches() {
        // Held and available of the client, in a capture that releases the rest.
        let ledger = Ledger::shop().given(hold(1, eur(100))).given(capture_part(1, eur(60), true));
        let row = ledger.state.client_balance(client(1), euro()).row;
        assert_eq!((row.version, row.position), (3, 6));
        // Available and pending of the merchant, in a refund from both.
        let ledger = Ledger::shop().given(pay(1, eur(10_000))).settled(1, 1_000).given(refund(1));
        let row = ledger.balance().row;
        assert_eq!((row.version, row.position), (2, 7));
        assert_eq!(ledger.balance().drawn, 8_835);
    }

    #[test]
    fn currencies_are_rows_of_their_own() {
        let ledger = Ledger::shop().given(deposit(1, jpy(7)));
        let yen = ledger.state.client_balance(client(1), jpy(0).currency);
        assert_eq!((yen.available, yen.row.version), (7, 1));
        assert_eq!(ledger.state.client_balance(client(1), euro()).row.version, 1);
    }

    #[test]
    fn a_client_has_room_for_what_the_limit_leaves() {
        let balance = ClientBalance { available: BALANCE_MAX - 10, held: 7, ..ClientBalance::default() };
        assert!(balance.has_room_for(3) && !balance.has_room_for(4));
        assert!(!balance.has_room_for(i64::MAX));
        let over = ClientBalance { available: i64::MAX, held: i64::MAX, ..ClientBalance::default() };
        assert!(!over.has_room_for(0));
    }

    #[test]
    fn a_merchant_has_room_for_all_that_may_become_available() {
        let balance = |pending, available, reserved, in_transit| MerchantBalance {
            pending,
            available,
            reserved,
            in_transit,
            ..MerchantBalance::default()
        };
        let ten = BALANCE_MAX - 10;
        for full in [balance(ten, 0, 0, 0), balance(0, ten, 0, 0), balance(1, 2, 3, ten - 6)] {
            assert!(full.has_room_for(10) && !full.has_room_for(11), "{full:?}");
        }
        // A debt makes no room: pending counts by itself.
        assert!(!balance(ten, -500, 0, 0).has_room_for(11));
        assert!(!balance(i64::MAX, i64::MAX, i64::MAX, i64::MAX).has_room_for(0));
    }

    #[test]
    fn a_kept_fee_leaves_drawn_within_the_unsettled_sums() {
        let ledger = Ledger::shop()
            .given(change_settings(1, |change| change.refund_fee = Some(RefundFee::Kept)))
            .given(pay(1, eur(5_000)))
            .given(pay(2, eur(5_000)))
            .given(refund(1));
        let balance = ledger.balance();
        assert_eq!(balance.drawn, 5_000);
        assert_eq!(balance.pending, balance.unsettled.values().sum::<i64>() - balance.drawn);
    }
}
