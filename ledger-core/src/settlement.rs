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
    let amount = money(due.net().saturating_sub(absorbed));
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

#[cfg(test)]
mod tests {
    use crate::event::{Event, SettlementClosed};
    use crate::fee::RefundFee;
    use crate::journal::{Account, Leg, Posting};
    use crate::payment::Status;
    use crate::rejection::Rejection;
    use crate::testing::*;
    use crate::time::{Day, Timestamp};

    fn day(day: &str) -> Day {
        format!("{day}T00:00:00Z").parse::<Timestamp>().unwrap().day()
    }

    /// A settlement of merchant 1 in EUR.
    fn closed(through: &str, count: u64, [gross, fees, absorbed, amount]: [i64; 4]) -> Event {
        Event::SettlementClosed(SettlementClosed {
            merchant_id: merchant(1),
            currency: euro(),
            through_day: day(through),
            count,
            gross: eur(gross),
            fees: eur(fees),
            absorbed: eur(absorbed),
            amount: eur(amount),
        })
    }

    fn settle_euros(n: u8) -> crate::command::Command {
        settle(n, [(1, euro())])
    }

    #[test]
    fn captures_become_available_when_their_day_begins() {
        let ledger = Ledger::shop()
            .given(pay(1, eur(4_000)))
            .given(pay(2, eur(6_000)))
            .until("2026-11-25T23:59:59.999999Z")
            .when(settle_euros(1))
            .then_nothing()
            .later(1)
            .when(settle_euros(1))
            .then([closed("2026-11-26", 2, [10_000, 190, 0, 9_810])])
            .then_merchant(1, 0, 9_810);
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::MerchantPending(merchant(1)), Leg::Debit(eur(9_810))),
                posting(Account::MerchantAvailable(merchant(1)), Leg::Credit(eur(9_810))),
            ]
        );
        let found = ledger.state.settlement(settlement(1)).unwrap();
        assert_eq!(Event::SettlementClosed(found.closed.clone()), *ledger.appended()[0].event());
        assert_eq!((found.id, found.stamp.version), (settlement(1), 1));
    }

    #[test]
    fn each_capture_is_settled_once() {
        Ledger::shop()
            .given(pay(1, eur(100)))
            .settled(1)
            .when(settle_euros(2))
            .then_nothing()
            .given(pay(2, eur(200)))
            .days_later(2)
            .when(settle_euros(2))
            .then([closed("2026-11-28", 1, [200, 28, 0, 172])])
            .when(settle_euros(3))
            .then_nothing();
    }

    #[test]
    fn a_past_moment_takes_what_its_day_could_take() {
        let busy = || {
            let delay = |days| change_settings(1, move |change| change.settlement_delay_days = Some(days));
            Ledger::shop()
                .given(pay(1, eur(1_000)))
                .given(delay(0))
                .given(pay(2, eur(2_000)))
                .days_later(1)
                .given(pay(3, eur(3_000)))
        };
        let settle = |n, as_of| settle_as_of(n, [(1, euro())], Some(as_of));
        busy()
            .when(settle(1, "2026-11-23T23:59:59.999999Z"))
            .then_nothing()
            .when(settle(1, "2026-11-24T00:00:00Z"))
            .then([closed("2026-11-24", 1, [2_000, 53, 0, 1_947])])
            .when(settle(2, "2026-11-24T23:59:59.999999Z"))
            .then_nothing()
            .when(settle(2, "2026-11-25T00:00:00Z"))
            .then([closed("2026-11-25", 1, [3_000, 67, 0, 2_933])])
            .when(settle(3, "2026-11-26T00:00:00Z"))
            .then_rejected(Rejection::TooEarly)
            .days_later(1)
            .when(settle(3, "2026-11-26T00:00:00Z"))
            .then([closed("2026-11-26", 1, [1_000, 39, 0, 961])]);
    }

    #[test]
    fn merchants_and_currencies_are_settled_apart() {
        let pay =
            |n, merchant_n, amount| pay_with(n, amount, |pay| pay.details.merchant_id = merchant(merchant_n));
        let ledger = Ledger::shop()
            .given(open_merchant(2))
            .given(deposit(1, jpy(10_000)))
            .given(pay(1, 1, eur(100)))
            .given(pay(2, 1, jpy(1_000)))
            .given(pay(3, 2, jpy(2_000)))
            .days_later(2)
            .when(settle(
                7,
                [(2, euro()), (2, jpy(0).currency), (1, jpy(0).currency), (1, euro()), (9, euro())],
            ));
        let told = ledger.appended().iter().map(|envelope| {
            let Event::SettlementClosed(closed) = envelope.event() else { panic!() };
            (envelope.stream_id(), closed.merchant_id, closed.amount)
        });
        let expected = [
            (settlement(7), merchant(1), eur(74)),
            (settlement(8), merchant(1), jpy(986)),
            (settlement(9), merchant(2), jpy(1_972)),
        ];
        assert_eq!(
            told.collect::<Vec<_>>(),
            expected.map(|(id, merchant, amount)| (crate::ids::StreamId::Settlement(id), merchant, amount))
        );
        let ids: std::collections::BTreeSet<_> =
            ledger.appended().iter().map(|envelope| envelope.draft.event_id).collect();
        assert_eq!(ids.len(), 3);
        ledger.when(settle::<0>(10, [])).then_nothing();
    }

    #[test]
    fn a_new_merchant_can_refund_its_first_payment_in_full() {
        Ledger::shop()
            .given(pay(1, eur(10_000)))
            .when(refund(1))
            .then_merchant(1, 0, 0)
            .then_client(1, 10_000, 0)
            .then_fees(0)
            .then_status(1, Status::Refunded)
            .days_later(2)
            .when(settle_euros(1))
            .then([closed("2026-11-26", 1, [10_000, 165, 9_835, 0])])
            .then_merchant(1, 0, 0);
    }

    #[test]
    fn what_refunds_drew_is_absorbed_up_to_what_is_settled() {
        let ledger = Ledger::shop()
            .given(pay(1, eur(1_000)))
            .days_later(1)
            .given(pay(2, eur(9_000)))
            // 961 and 8,874 are pending; the refund takes 2,958 of it.
            .given(refund_part(2, eur(3_000)));
        assert_eq!(ledger.state.merchant_balance(merchant(1), euro()).drawn, 2_950);
        let ledger = ledger
            .then_merchant(1, 961 + 8_849 - 2_950, 0)
            .until("2026-11-26T00:00:00Z")
            .when(settle_euros(1))
            .then([closed("2026-11-26", 1, [1_000, 39, 961, 0])])
            .then_merchant(1, 961 + 8_849 - 2_950, 0);
        assert_eq!(ledger.appended()[0].draft.postings.postings(), []);
        assert_eq!(ledger.state.merchant_balance(merchant(1), euro()).drawn, 2_950 - 961);
        let ledger = ledger
            .days_later(1)
            .when(settle_euros(2))
            .then([closed("2026-11-27", 1, [9_000, 151, 1_989, 6_860])])
            .then_merchant(1, 0, 6_860);
        assert_eq!(ledger.state.merchant_balance(merchant(1), euro()).drawn, 0);
        ledger.when(refund_part(2, eur(1_000))).then_merchant(1, 0, 6_860 - 1_000 + 17);
    }

    #[test]
    fn captures_without_net_are_counted() {
        Ledger::shop()
            .given(pay(1, eur(25)))
            .given(pay(2, eur(10)))
            .days_later(2)
            .when(settle_euros(1))
            .then([closed("2026-11-26", 2, [35, 35, 0, 0])])
            .when(settle_euros(2))
            .then_nothing();
    }

    #[test]
    fn debts_are_paid_and_suspension_stops_nothing() {
        Ledger::shop()
            .given(change_settings(1, |change| {
                change.refund_fee = Some(RefundFee::Kept);
                change.negative_limit = Some(vec![eur(1_000)]);
            }))
            .given(pay(1, eur(5_000)))
            .given(refund(1))
            .then_merchant(1, 0, -95)
            .given(pay(2, eur(1_000)))
            .given(suspend(1))
            .days_later(2)
            .when(settle_euros(1))
            .then([closed("2026-11-26", 2, [6_000, 134, 4_905, 961])])
            .then_merchant(1, 0, 866);
    }
}
