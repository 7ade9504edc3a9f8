//! What one owner has in one currency, as the write side keeps it.
//!
//! Sums stop at the ends of `i64`: what is decided stays within [`BALANCE_MAX`], but a forged log may
//! hold any amounts, and folding it must not fail (I4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, PaymentCaptured};
use crate::journal::{Account, Posting};
use crate::money::BALANCE_MAX;
use crate::time::Day;

/// A client's money in one currency, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientBalance {
    /// What can be spent; never below zero.
    pub available: i64,
    /// What authorizations hold; never below zero.
    pub held: i64,
    /// How many authorizations that can still be captured and how many open disputes this money pays for.
    pub open: u32,
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
    /// Unsettled captures by the day from which they can be settled: `pending = Σ net − drawn`. A day that
    /// is over goes with the next settlement, so there are about as many as the longest delay has days.
    pub unsettled: BTreeMap<Day, Unsettled>,
    /// Where the row was changed last, and how often.
    pub row: RowVersion,
}

/// The captures of a merchant that can be settled from the same day on, summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unsettled {
    /// How many captures.
    pub count: u64,
    /// What they captured.
    pub gross: i64,
    /// The house's part of it.
    pub fees: i64,
}

impl Unsettled {
    /// Returns what the merchant gets of it.
    pub const fn net(&self) -> i64 {
        self.gross.saturating_sub(self.fees)
    }

    /// Adds other captures.
    pub const fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        add(&mut self.gross, other.gross);
        add(&mut self.fees, other.fees);
    }

    const fn of(capture: &PaymentCaptured) -> Self {
        Self { count: 1, gross: capture.amount.amount, fees: capture.fee.amount }
    }
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

    /// Counts an event that may change the row more than once.
    pub const fn touch_once(&mut self, position: u64) {
        if self.position != position {
            self.touch(position);
        }
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
    /// Tells whether `amount` more may become pending. All that is pending may become available, so both count
    /// together; a debt, which may end, makes no room for it.
    pub const fn has_room_for(&self, amount: i64) -> bool {
        is_within(self.pending.saturating_add(amount), self.settled())
    }

    /// Tells whether `amount` more may become available: of a debt it first pays that.
    pub const fn can_rise_by(&self, amount: i64) -> bool {
        is_within(self.pending, self.settled().saturating_add(amount))
    }

    /// Returns what is available, reserved or in transit.
    const fn settled(&self) -> i64 {
        self.available.saturating_add(self.reserved).saturating_add(self.in_transit)
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

    /// Tells whether `amount` may be taken from available and reserved: debts have a limit too.
    pub const fn can_reserve(&self, amount: i64) -> bool {
        let (available, reserved) =
            (self.available.saturating_sub(amount), self.reserved.saturating_add(amount));
        available >= -BALANCE_MAX && reserved <= BALANCE_MAX
    }

    /// Tells whether `amount` more may be reserved that comes from elsewhere.
    pub const fn can_reserve_more(&self, amount: i64) -> bool {
        self.can_rise_by(amount) && self.reserved.saturating_add(amount) <= BALANCE_MAX
    }

    /// Tells whether `amount` more may be in transit that comes from elsewhere.
    pub const fn can_send_more(&self, amount: i64) -> bool {
        self.can_rise_by(amount) && self.in_transit.saturating_add(amount) <= BALANCE_MAX
    }

    /// Tells whether the unsettled captures and `gross` more sum up within [`BALANCE_MAX`]: one settlement may
    /// take them all. Their net may be far less, after fees and refunds.
    pub fn can_settle(&self, gross: i64) -> bool {
        let unsettled = self.unsettled.values().fold(0_i64, |sum, of_day| sum.saturating_add(of_day.gross));
        gross <= BALANCE_MAX.saturating_sub(unsettled)
    }

    /// Sums up what can be settled on a day.
    pub fn due(&self, through: Day) -> Unsettled {
        let mut due = Unsettled::default();
        self.unsettled.range(..=through).for_each(|(_, of_day)| due.add(of_day));
        due
    }

    /// Notes what the next settlements need to know of an event: captures by day, what refunds drew, and
    /// what a settlement took.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::PaymentCaptured(capture) => {
                self.unsettled.entry(capture.settles_on).or_default().add(&Unsettled::of(capture));
            }
            Event::PaymentRefunded(refund) => add(&mut self.drawn, refund.drawn.amount),
            Event::SettlementClosed(settlement) => {
                self.unsettled.retain(|day, _| *day > settlement.through_day);
                self.drawn = self.drawn.saturating_sub(settlement.absorbed.amount);
            }
            _ => {}
        }
    }
}

/// Tells whether a merchant's money is within [`BALANCE_MAX`], wherever it will be moved to.
const fn is_within(pending: i64, settled: i64) -> bool {
    let settled = if settled.is_negative() { 0 } else { settled };
    pending.saturating_add(settled) <= BALANCE_MAX
}

/// Adds to a sum, which stops at the ends of its type.
pub(crate) const fn add(sum: &mut i64, amount: i64) {
    *sum = sum.saturating_add(amount);
}

#[cfg(test)]
mod tests {
    use crate::balance::{ClientBalance, MerchantBalance, Unsettled};
    use crate::fee::RefundFee;
    use crate::money::BALANCE_MAX;
    use crate::testing::*;
    use crate::time::{Day, Timestamp};

    impl Ledger {
        fn balance(&self) -> MerchantBalance {
            self.state.merchant_balance(merchant(1), euro())
        }

        /// The merchant's unsettled sums, oldest day first: the day, how many captures, what they captured,
        /// and the fees of it.
        fn unsettled(&self) -> Vec<(String, u64, i64, i64)> {
            let tell = |(day, sum): (Day, Unsettled)| (day.to_string(), sum.count, sum.gross, sum.fees);
            self.balance().unsettled.into_iter().map(tell).collect()
        }
    }

    fn day(day: &str, count: u64, gross: i64, fees: i64) -> (String, u64, i64, i64) {
        (day.to_owned(), count, gross, fees)
    }

    /// A shop whose captures cost nothing.
    fn free_of_charge() -> Ledger {
        Ledger::shop().given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
    }

    #[test]
    fn what_is_reserved_and_what_is_in_transit_have_limits_of_their_own() {
        let balance = MerchantBalance { available: -500, reserved: 500, ..MerchantBalance::default() };
        assert!(balance.can_send_more(BALANCE_MAX) && !balance.can_reserve_more(BALANCE_MAX));
        assert!(balance.can_reserve_more(BALANCE_MAX - 500) && !balance.can_send_more(BALANCE_MAX + 1));
        let balance = MerchantBalance { available: -500, in_transit: 500, ..MerchantBalance::default() };
        assert!(balance.can_reserve_more(BALANCE_MAX) && !balance.can_send_more(BALANCE_MAX));
    }

    #[test]
    fn captures_of_a_day_are_one_sum() {
        let ledger = free_of_charge().given(pay(1, eur(100))).given(pay(2, eur(20)));
        assert_eq!(ledger.unsettled(), [day("2026-11-26", 2, 120, 0)]);
        let ledger = ledger.days_later(1).given(pay(3, eur(3)));
        assert_eq!(ledger.unsettled(), [day("2026-11-26", 2, 120, 0), day("2026-11-27", 1, 3, 0)]);
    }

    #[test]
    fn a_shorter_delay_may_settle_a_later_capture_first() {
        let ledger = free_of_charge()
            .given(pay(1, eur(100)))
            .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
            .given(pay(2, eur(20)));
        assert_eq!(ledger.unsettled(), [day("2026-11-24", 1, 20, 0), day("2026-11-26", 1, 100, 0)]);
    }

    #[test]
    fn sums_are_net_of_fees() {
        let ledger = Ledger::shop().given(pay(1, eur(10_000)));
        assert_eq!(ledger.unsettled(), [day("2026-11-26", 1, 10_000, 165)]);
    }

    #[test]
    fn a_capture_that_is_all_fee_is_counted() {
        let ledger = Ledger::shop().given(pay(1, eur(10)));
        assert_eq!(ledger.unsettled(), [day("2026-11-26", 1, 10, 10)]);
        assert_eq!((ledger.balance().pending, ledger.balance().row.version), (0, 1));
    }

    #[test]
    fn a_refund_from_pending_is_noted_as_drawn() {
        let ledger = Ledger::shop().given(pay(1, eur(10_000))).given(refund_part(1, eur(5_000)));
        let balance = ledger.balance();
        assert_eq!((balance.pending, balance.drawn), (4_918, 4_917));
        assert_eq!(ledger.unsettled(), [day("2026-11-26", 1, 10_000, 165)]);
    }

    #[test]
    fn a_refund_from_available_draws_nothing() {
        let ledger = Ledger::shop().given(pay(1, eur(10_000))).settled(1).given(refund_part(1, eur(5_000)));
        assert_eq!(ledger.balance().drawn, 0);
    }

    #[test]
    fn a_settlement_takes_the_days_that_are_over_and_forgets_them() {
        let mut ledger = free_of_charge();
        for n in 0..50 {
            ledger = ledger.given(pay(n, eur(1))).days_later(1);
        }
        assert_eq!(ledger.unsettled().len(), 50);
        assert_eq!(ledger.balance().pending, 50);
        // 2027-01-13: what was captured up to the 11th is due.
        let ledger = ledger.given(settle(1, [(1, euro())]));
        assert_eq!(ledger.unsettled(), [day("2027-01-14", 1, 1, 0)]);
        ledger.then_merchant(1, 1, 49);
    }

    #[test]
    fn what_is_due_is_summed_up_to_a_day() {
        let ledger = free_of_charge()
            .given(pay(1, eur(100)))
            .days_later(1)
            .given(pay(2, eur(20)))
            .given(change_settings(1, |change| change.fee = Some(fee("10", &[]))))
            .given(pay(3, eur(50)));
        let due = |at: &str| {
            let due = ledger.balance().due(at.parse::<Timestamp>().unwrap().day());
            (due.count, due.gross, due.fees)
        };
        assert_eq!(due("2026-11-25T23:59:59Z"), (0, 0, 0));
        assert_eq!(due("2026-11-26T00:00:00Z"), (1, 100, 0));
        assert_eq!(due("2026-11-27T00:00:00Z"), (3, 170, 5));
    }

    #[test]
    fn an_event_counts_once_in_each_row_that_it_touches() {
        // Held and available of the client, in a capture that releases the rest.
        let ledger = Ledger::shop().given(hold(1, eur(100))).given(capture_part(1, eur(60), true));
        let row = ledger.state.client_balance(client(1), euro()).row;
        assert_eq!((row.version, row.position), (3, 6));
        // Available and pending of the merchant, in a refund from both.
        let ledger = Ledger::shop()
            .given(pay(1, eur(10_000)))
            .given(deposit_to_merchant(1, eur(1_000)))
            .given(refund(1));
        let row = ledger.balance().row;
        assert_eq!((row.version, row.position), (3, 8));
        assert_eq!(ledger.balance().drawn, 8_835);
        // Pending, available and the unsettled sums, in a settlement.
        let row = ledger.settled(1).balance().row;
        assert_eq!((row.version, row.position), (4, 9));
        // The client's count of what is open, in events that move none of its money.
        let row = Ledger::shop().given(pay(1, eur(100))).given(open_dispute(1, 1));
        let row = row.state.client_balance(client(1), euro()).row;
        assert_eq!((row.version, row.position), (4, 7));
    }

    #[test]
    fn an_event_that_changes_no_row_counts_in_none() {
        let ledger =
            Ledger::shop().given(hold(1, eur(100))).given(pay(2, eur(100))).given(open_dispute(1, 2));
        let rows = |ledger: &Ledger| {
            let client = ledger.state.client_balance(client(1), euro()).row;
            (client.version, ledger.balance().row.version)
        };
        let before = rows(&ledger);
        let ledger = ledger.given(submit(1, 2, "signed for")).days_later(6).given(warn(1));
        assert_eq!(rows(&ledger), before);
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
        // A debt makes no room for captures: pending counts by itself.
        assert!(balance(ten, -500, 0, 0).has_room_for(10) && !balance(ten, -500, 0, 0).has_room_for(11));
        // What becomes available pays the debt first, whatever is reserved or in transit.
        for (full, room) in [
            (balance(ten, 0, 0, 0), 10),
            (balance(ten, -500, 0, 0), 510),
            (balance(ten, -500, 300, 100), 110),
            (balance(1, 2, 3, ten - 6), 10),
            (balance(BALANCE_MAX, -500, 500, 0), 0),
        ] {
            assert!(full.can_rise_by(room) && !full.can_rise_by(room + 1), "{full:?}");
        }
        assert!(!balance(0, 0, 0, 0).can_rise_by(i64::MAX));
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
        assert_eq!(
            balance.pending,
            balance.unsettled.values().map(Unsettled::net).sum::<i64>() - balance.drawn
        );
    }
}
