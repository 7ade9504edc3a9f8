//! What the accounts hold after the events so far.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::account::{Holder, Purpose, Side};
use super::money::BALANCE_MAX;

/// All accounts of one holder in one currency.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    amounts: [i128; 5],
    /// How many authorizations that can still be captured and how many open disputes a client pays for
    /// in this currency.
    pub(super) open: i64,
    /// What refunds took from pending and no settlement has absorbed.
    pub(super) drawn: i128,
    /// Unsettled captures by the day from which they can be settled.
    pub(super) unsettled: BTreeMap<NaiveDate, Captures>,
    /// The day of the first of each day's unsettled captures.
    pub(super) captured_on: BTreeMap<NaiveDate, NaiveDate>,
    /// What payouts brought to the bank and did not come back.
    pub(super) paid_out: i128,
    /// How many events have changed this.
    pub(super) version: u64,
    /// The position of the last one.
    pub(super) position: u64,
    /// The position of the last one that moved money here.
    pub(super) posted: u64,
}

/// Captures, summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Captures {
    pub(super) count: u64,
    pub(super) gross: i128,
    pub(super) fees: i128,
}

impl Captures {
    pub(super) const fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.gross += other.gross;
        self.fees += other.fees;
    }

    /// Returns what the merchant gets of them.
    pub(super) const fn net(&self) -> i128 {
        self.gross - self.fees
    }
}

impl Balance {
    pub(super) const fn amount(&self, purpose: Purpose) -> i128 {
        self.amounts[purpose as usize]
    }

    /// Adds to an account, and returns what it holds then.
    pub(super) const fn add(&mut self, purpose: Purpose, minor: i128) -> i128 {
        let amount = &mut self.amounts[purpose as usize];
        *amount += minor;
        *amount
    }

    /// Counts an event that changes this, once however often it does.
    pub(super) const fn touch(&mut self, position: u64) {
        if self.position != position {
            self.version += 1;
            self.position = position;
        }
    }

    /// Notes a capture of today under the day from which it can be settled.
    pub(super) fn note_capture(&mut self, day: NaiveDate, capture: &Captures, today: NaiveDate) {
        self.unsettled.entry(day).or_default().add(capture);
        self.captured_on.entry(day).or_insert(today);
    }

    /// Forgets what a settlement through a day took.
    pub(super) fn settle(&mut self, through: NaiveDate) {
        self.unsettled.retain(|day, _| *day > through);
        self.captured_on.retain(|day, _| *day > through);
    }

    /// Sums up what a settlement through a day takes.
    pub(super) fn due(&self, through: NaiveDate) -> Captures {
        let mut due = Captures::default();
        self.unsettled.range(..=through).for_each(|(_, captures)| due.add(captures));
        due
    }

    /// Tells the first rule that the balance breaks, with what it holds instead.
    pub(super) fn broken_rule(&self, holder: Holder) -> Option<(&'static str, i128)> {
        use Purpose::{Available, Held, InTransit, Pending, Reserved};
        for purpose in [Held, Pending, Reserved, InTransit] {
            if self.amount(purpose) < 0 {
                return Some(("at least zero", self.amount(purpose)));
            }
        }
        match holder {
            Holder::Client(_) if self.amount(Available) < 0 => {
                return Some(("at least zero", self.amount(Available)));
            }
            Holder::Client(_) if self.amount(Available) + self.amount(Held) > BALANCE_MAX => {
                return Some(("within the limit", self.amount(Available) + self.amount(Held)));
            }
            Holder::Client(_) | Holder::Merchant(_) => {}
        }
        if let Some(beyond) =
            self.amounts.into_iter().find(|amount| amount.unsigned_abs() > BALANCE_MAX as u128)
        {
            return Some(("within the limit", beyond));
        }
        let unsettled: i128 = self.unsettled.values().map(Captures::net).sum();
        (self.amount(Pending) != unsettled - self.drawn)
            .then_some(("pending equal to unsettled net minus drawn", self.amount(Pending)))
    }
}

/// What was debited and credited to one of the house's accounts in one currency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) debits: i128,
    pub(super) credits: i128,
    /// The position of the last event that posted to it.
    pub(super) position: u64,
}

impl Totals {
    pub(super) const fn add(&mut self, side: Side, minor: i128, position: u64) {
        match side {
            Side::Debit => self.debits += minor,
            Side::Credit => self.credits += minor,
        }
        self.position = position;
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::ids::MerchantId;

    use super::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_num_days_from_ce_opt(740_000 + n as i32).unwrap()
    }

    fn captured(balance: &mut Balance, n: u32, gross: i128, fees: i128) {
        balance.note_capture(day(n), &Captures { count: 1, gross, fees }, day(0));
    }

    #[test]
    fn a_settlement_takes_the_days_up_to_its_own() {
        let mut balance = Balance::default();
        (0..40).for_each(|n| captured(&mut balance, n, 10, 1));
        assert_eq!(balance.due(day(9)), Captures { count: 10, gross: 100, fees: 10 });
        assert_eq!(balance.due(day(9)).net(), 90);
        balance.settle(day(9));
        assert_eq!(balance.due(day(9)), Captures::default());
        assert_eq!(balance.due(day(39)).count, 30);
    }

    #[test]
    fn pending_is_what_is_unsettled_less_what_was_drawn() {
        let holder = Holder::Merchant("mer_019700000000700080000000000000ff".parse::<MerchantId>().unwrap());
        let mut balance = Balance::default();
        captured(&mut balance, 1, 110, 10);
        balance.drawn = 30;
        balance.add(Purpose::Pending, 70);
        assert_eq!(balance.broken_rule(holder), None);
        balance.add(Purpose::Pending, 1);
        assert!(balance.broken_rule(holder).is_some());
    }

    #[test]
    fn an_event_counts_once() {
        let mut balance = Balance::default();
        for position in [3, 3, 5] {
            balance.touch(position);
        }
        assert_eq!((balance.version, balance.position), (2, 5));
    }
}
