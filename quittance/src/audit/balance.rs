//! What the accounts hold after the events so far.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::account::{Holder, Purpose, Side};
use super::money::BALANCE_MAX;

/// How many days of unsettled captures are told apart: the longest delay, today, and all before.
const UNSETTLED_DAYS_MAX: usize = 32;

/// All accounts of one holder in one currency.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    amounts: [i128; 5],
    /// What refunds took from pending and no settlement has absorbed.
    pub(super) drawn: i128,
    /// Unsettled net by the day from which it can be settled.
    pub(super) unsettled: BTreeMap<NaiveDate, i128>,
    /// How many events have moved money here.
    pub(super) version: u64,
    /// The position of the last one.
    pub(super) position: u64,
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

    /// Notes a capture's net under the day from which it can be settled. Beyond the days that are told
    /// apart, the two oldest are joined under the later one.
    pub(super) fn note_unsettled(&mut self, day: NaiveDate, net: i128) {
        *self.unsettled.entry(day).or_default() += net;
        if self.unsettled.len() > UNSETTLED_DAYS_MAX
            && let Some((_, oldest)) = self.unsettled.pop_first()
            && let Some(mut next) = self.unsettled.first_entry()
        {
            *next.get_mut() += oldest;
        }
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
        let unsettled: i128 = self.unsettled.values().sum();
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

    #[test]
    fn the_oldest_days_are_joined() {
        let mut balance = Balance::default();
        (0..40).for_each(|n| balance.note_unsettled(day(n), 1));
        assert_eq!(balance.unsettled.len(), UNSETTLED_DAYS_MAX);
        assert_eq!(balance.unsettled.first_key_value(), Some((&day(8), &9)));
    }

    #[test]
    fn pending_is_what_is_unsettled_less_what_was_drawn() {
        let holder = Holder::Merchant("mer_019700000000700080000000000000ff".parse::<MerchantId>().unwrap());
        let mut balance = Balance::default();
        balance.note_unsettled(day(1), 100);
        balance.drawn = 30;
        balance.add(Purpose::Pending, 70);
        assert_eq!(balance.broken_rule(holder), None);
        balance.add(Purpose::Pending, 1);
        assert!(balance.broken_rule(holder).is_some());
    }
}
