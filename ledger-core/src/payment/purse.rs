//! What pays for a payment: a client's money in the payment's currency, or in another.
//!
//! Paid in another currency, everything on the client's side is a difference of `f` over the payment's
//! running totals, where `f(x)` is `x` converted at the rate that was recorded at authorization, rounded up
//! to a minor unit, and `f(0) = 0`. So no order of parts makes the client pay more than the whole.

use crate::event::Funding;
use crate::ids::ClientId;
use crate::journal::{Account, JournalEntry, Move, Posting};
use crate::money::{Currency, Money};

/// Whose money pays for a payment, and in which currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purse {
    /// Whose it is.
    pub client_id: ClientId,
    /// The payment's currency.
    pub currency: Currency,
    /// The currency that pays, where it is another.
    pub funding: Option<Funding>,
}

impl Purse {
    /// Returns the currency that pays.
    pub fn pays_in(&self) -> Currency {
        self.funding.map_or(self.currency, |funding| funding.currency)
    }

    /// Computes f: what a total of the payment costs in the currency that pays. `None` if it is more than
    /// can be counted.
    pub fn cost(&self, total: i64) -> Option<i64> {
        match self.funding {
            None => Some(total),
            Some(funding) => funding.rate.cost(Money::new(total, self.currency), funding.currency),
        }
    }

    /// Returns what `more` on top of a total costs: `f(total + more) − f(total)`.
    pub fn leg(&self, total: i64, more: i64) -> Money {
        let cost = |total: i64| self.cost(total).unwrap_or(i64::MAX);
        let difference = cost(total.saturating_add(more)).saturating_sub(cost(total));
        Money::new(difference, self.pays_in())
    }

    /// Holds `more` on top of what is authorized.
    pub(super) fn hold(&self, authorized: i64, more: i64) -> Move {
        Move::new(self.available(), self.held(), self.leg(authorized, more))
    }

    /// Releases all of what is authorized but not captured.
    pub(super) fn release(&self, captured: i64, rest: i64) -> Move {
        Move::new(self.held(), self.available(), self.leg(captured, rest))
    }

    /// Returns the account that captures are paid from, and what fills it: held money itself, or, out of
    /// it, the house's position between the currencies.
    pub(super) fn pay(&self, captured: i64, more: i64) -> (Account, Option<Move>) {
        match self.funding {
            None => (self.held(), None),
            Some(_) => {
                let exchanged = Move::new(self.held(), Account::HouseFx, self.leg(captured, more));
                (Account::HouseFx, Some(exchanged))
            }
        }
    }

    /// Returns the account that money goes back to, and what empties it: the mirror of [`Self::pay`].
    pub(super) fn pay_back(&self, leg: Money) -> (Account, Option<Move>) {
        match self.funding {
            None => (self.available(), None),
            Some(_) => (Account::HouseFx, Some(Move::new(Account::HouseFx, self.available(), leg))),
        }
    }

    /// Returns what an event's postings have brought into the purse, less what they took.
    pub(super) fn brought_by(&self, entry: &JournalEntry) -> i64 {
        let is_mine = |posting: &&Posting| {
            posting.account == self.available() && posting.money().currency == self.pays_in()
        };
        entry.postings().iter().filter(is_mine).fold(0, |sum, posting| sum.saturating_add(posting.effect()))
    }

    const fn available(&self) -> Account {
        Account::ClientAvailable(self.client_id)
    }

    const fn held(&self) -> Account {
        Account::ClientHeld(self.client_id)
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{DeclineCode, Event, Funding};
    use crate::journal::{Account, Leg, Posting};
    use crate::money::{BALANCE_MAX, Money};
    use crate::payment::Status;
    use crate::rejection::Conflict;
    use crate::testing::*;

    impl Ledger {
        /// Client 1 has so much available and so much held in a currency.
        fn then_purse(self, currency: &str, available: i64, held: i64) -> Self {
            let balance = self.state.client_balance(client(1), money(0, currency).currency);
            assert_eq!((balance.available, balance.held), (available, held), "{currency}");
            self
        }

        /// The last payment was funded by a currency, at a rate.
        fn then_funded(self, currency: &str, rate: &str) -> Self {
            let funding = Funding { currency: money(0, currency).currency, rate: rate.parse().unwrap() };
            assert_eq!(self.funding(), Some(funding));
            self
        }

        fn funding(&self) -> Option<Funding> {
            match self.appended()[0].event() {
                Event::PaymentAuthorized(authorized) => authorized.funding,
                other => panic!("{other:?}"),
            }
        }

        fn then_not_covered(self) -> Self {
            let Event::PaymentDeclined(declined) = self.appended()[0].event() else { panic!() };
            assert_eq!(declined.decline_code, DeclineCode::InsufficientFunds);
            self
        }

        /// What the last event moved between the client and the house's position, in EUR.
        fn exchanged(&self) -> i64 {
            let postings = self.appended()[0].draft.postings.postings().iter();
            let mut exchanged = postings
                .filter(|posting| posting.account == Account::HouseFx && posting.money().currency == euro());
            let found = exchanged.next().map_or(0, |posting| posting.money().amount);
            assert_eq!(exchanged.next(), None);
            found
        }
    }

    /// A shop without fees whose client has 1000.00 EUR; a euro is 160 yen, so a yen costs 0.625 cents.
    fn abroad() -> Ledger {
        Ledger::shop()
            .given(deposit(1, eur(90_000)))
            .given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
            .given(set_rate("EUR", "JPY", "160", 30))
    }

    #[test]
    fn every_leg_of_a_payment_in_another_currency() {
        let posting = |account, leg| Posting { account, leg };
        let (available, held) = (Account::ClientAvailable(client(1)), Account::ClientHeld(client(1)));
        let pending = Account::MerchantPending(merchant(1));
        let ledger = Ledger::shop()
            .given(deposit(1, eur(10_000)))
            .given(set_rate("EUR", "JPY", "160.05", 30))
            .when(hold(1, jpy(20_000)))
            .then_funded("EUR", "160.05")
            .then_purse("EUR", 7_503, 12_497)
            .then_purse("JPY", 0, 0)
            .when(capture_part(1, jpy(16_005), true));
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(held, Leg::Debit(eur(12_497))),
                posting(Account::HouseFx, Leg::Debit(jpy(16_005))),
                posting(Account::HouseFx, Leg::Credit(eur(10_000))),
                posting(pending, Leg::Credit(jpy(15_781))),
                posting(Account::HouseFees, Leg::Credit(jpy(224))),
                posting(available, Leg::Credit(eur(2_497))),
            ]
        );
        let ledger = ledger
            .then_purse("EUR", 10_000, 0)
            .then_account(Account::HouseFx, eur(10_000))
            .then_account(Account::HouseFx, jpy(-16_005))
            .then_account(pending, jpy(15_781))
            .when(refund_part(1, jpy(5)));
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(pending, Leg::Debit(jpy(5))),
                posting(Account::HouseFx, Leg::Debit(eur(4))),
                posting(Account::HouseFx, Leg::Credit(jpy(5))),
                posting(available, Leg::Credit(eur(4))),
            ]
        );
        let ledger = ledger.given(open_dispute_part(1, 1, jpy(16_000))).when(lose(1, 1));
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::MerchantReserved(merchant(1)), Leg::Debit(jpy(16_000))),
                posting(Account::HouseFx, Leg::Debit(eur(9_996))),
                posting(Account::HouseFx, Leg::Credit(jpy(16_000))),
                posting(available, Leg::Credit(eur(9_996))),
            ]
        );
        assert_eq!(ledger.amounts(1).refunded_to_purse, 4);
        ledger
            .then_purse("EUR", 20_000, 0)
            .then_account(Account::HouseFx, eur(0))
            .then_account(Account::HouseFx, jpy(0));
    }

    #[test]
    fn parts_cost_the_differences_of_the_totals() {
        // f: 1, 2, 2, 3, 4, 4.
        let mut ledger = abroad().given(hold(1, jpy(6))).then_purse("EUR", 99_996, 4);
        for leg in [1, 1, 0, 1, 1, 0] {
            ledger = ledger.when(capture_part(1, jpy(1), false));
            assert_eq!(ledger.exchanged(), leg);
        }
        ledger = ledger.then_purse("EUR", 99_996, 0).then_status(1, Status::Captured);
        // Refunds and lost disputes run over one total of their own.
        for (n, leg) in [1, 1, 0, 1, 1, 0].into_iter().enumerate() {
            let n = u8::try_from(n).unwrap();
            ledger = if n.is_multiple_of(2) {
                ledger.when(refund_part(1, jpy(1)))
            } else {
                ledger.given(open_dispute_part(n, 1, jpy(1))).when(lose(n, 1))
            };
            assert_eq!(ledger.exchanged(), leg);
        }
        assert_eq!(ledger.amounts(1).refunded_to_purse, 1 + 1);
        ledger.then_purse("EUR", 100_000, 0).then_account(Account::HouseFx, eur(0));
    }

    #[test]
    fn increments_and_releases_are_differences_too() {
        abroad()
            .given(hold(1, jpy(2)))
            .then_purse("EUR", 99_998, 2)
            .given(increment(1, jpy(1)))
            .then_purse("EUR", 99_998, 2)
            .given(increment(1, jpy(3)))
            .then_purse("EUR", 99_996, 4)
            .given(capture_part(1, jpy(1), false))
            .then_purse("EUR", 99_996, 3)
            .given(void(1))
            .then_purse("EUR", 99_999, 0);
        abroad()
            .given(hold(1, jpy(6)))
            .given(capture_part(1, jpy(2), false))
            .days_later(7)
            .given(expire(1))
            .then_purse("EUR", 99_998, 0);
        // A rest that costs nothing more.
        abroad().given(hold(1, jpy(3))).given(capture_part(1, jpy(2), true)).then_purse("EUR", 99_998, 0);
    }

    #[test]
    fn exponents_of_all_lengths() {
        for (from, to, rate, deposited, asked, cost) in [
            ("EUR", "JPY", "160", 1_000, 1_600, 1_000),
            ("JPY", "EUR", "0.0062", 2_000, 1_000, 1_613),
            ("EUR", "KWD", "0.33", 304, 1_000, 304),
            ("KWD", "JPY", "490", 205, 100, 205),
            ("CLF", "EUR", "37.50", 2_667, 1_000, 2_667),
            ("JPY", "CLF", "0.000165", 6_061, 10_000, 6_061),
        ] {
            let ledger = Ledger::new()
                .given(open_client(1))
                .given(issue_card(1, 1))
                .given(open_merchant(1))
                .given(deposit(1, money(deposited, from)))
                .given(set_rate(from, to, rate, 1))
                .when(hold(1, money(asked, to)))
                .then_funded(from, rate)
                .then_purse(from, deposited - cost, cost);
            ledger.given(capture(1)).given(refund(1)).then_purse(from, deposited, 0);
        }
    }

    #[test]
    fn all_that_is_available_pays_and_not_a_cent_more() {
        let ledger = Ledger::shop().given(set_rate("EUR", "JPY", "160", 30));
        ledger
            .when(hold(1, jpy(16_001)))
            .then_not_covered()
            .when(hold(2, jpy(16_000)))
            .then_purse("EUR", 0, 10_000)
            .when(hold(3, jpy(1)))
            .then_not_covered();
    }

    #[test]
    fn an_increment_is_covered_by_what_funds_the_payment() {
        let ledger = Ledger::shop()
            .given(set_rate("EUR", "JPY", "160", 30))
            .given(hold(1, jpy(15_999)))
            .then_purse("EUR", 0, 10_000)
            // The last yen was paid for by the rounding.
            .given(increment(1, jpy(1)))
            .then_purse("EUR", 0, 10_000)
            .given(deposit(1, jpy(500)));
        ledger
            .when(increment(1, jpy(2)))
            .then_rejected(Conflict::InsufficientFunds { available: eur(0), requested: eur(2) })
            .given(deposit(1, eur(2)))
            .when(increment(1, jpy(2)))
            .then_purse("EUR", 0, 10_002)
            .then_purse("JPY", 500, 0);
    }

    #[test]
    fn the_payments_own_currency_comes_first() {
        abroad()
            .given(deposit(1, jpy(100)))
            .when(hold(1, jpy(100)))
            .then_purse("JPY", 0, 100)
            .when(hold(2, jpy(1)))
            .then_funded("EUR", "160");
        // It pays alone or not at all.
        abroad()
            .given(deposit(1, jpy(99)))
            .when(hold(1, jpy(100)))
            .then_funded("EUR", "160")
            .then_purse("JPY", 99, 0);
    }

    #[test]
    fn no_currency_pays_for_itself_at_a_rate() {
        let ledger = Ledger::shop().given(set_rate("EUR", "EUR", "2", 1));
        ledger
            .when(hold(1, eur(10_001)))
            .then_not_covered()
            .when(hold(2, eur(10_000)))
            .then_client(1, 0, 10_000);
    }

    #[test]
    fn then_the_alphabetically_first_that_covers_it() {
        // Deposited and set in another order.
        let rich = || {
            Ledger::shop()
                .given(deposit(1, money(1_000, "USD")))
                .given(deposit(1, money(1_000, "CHF")))
                .given(deposit(1, money(1_000, "GBP")))
                .given(set_rate("USD", "JPY", "100", 3))
                .given(set_rate("GBP", "JPY", "100", 2))
                .given(set_rate("CHF", "JPY", "100", 1))
                .given(set_rate("JPY", "CHF", "100", 3))
        };
        rich().when(hold(1, jpy(1_000))).then_funded("CHF", "100");
        rich().when(hold(1, jpy(1_001))).then_not_covered();
        rich().given(deposit(1, money(1, "GBP"))).when(hold(1, jpy(1_001))).then_funded("GBP", "100");
        // A better rate does not matter, and the euros have none.
        let ledger = rich().given(set_rate("USD", "JPY", "200", 3));
        ledger.when(hold(1, jpy(1_000))).then_funded("CHF", "100");
        rich().later(DAY - 1).when(hold(1, jpy(1_000))).then_funded("CHF", "100");
        rich().later(DAY).when(hold(1, jpy(1_000))).then_funded("GBP", "100");
        rich().later(2 * DAY).when(hold(1, jpy(1_000))).then_funded("USD", "100");
        rich().later(3 * DAY).when(hold(1, jpy(1_000))).then_not_covered();
    }

    #[test]
    fn the_rate_stays_for_the_payments_life() {
        abroad()
            .given(hold(1, jpy(16_000)))
            .then_purse("EUR", 90_000, 10_000)
            .given(set_rate("EUR", "JPY", "100", 31))
            .given(increment(1, jpy(16_000)))
            .then_purse("EUR", 80_000, 20_000)
            .when(hold(2, jpy(16_000)))
            .then_funded("EUR", "100")
            .then_purse("EUR", 64_000, 36_000)
            .given(void(2))
            .given(capture(1))
            .then_purse("EUR", 80_000, 0)
            // Long after both rates have expired.
            .days_later(40)
            .given(refund(1))
            .then_purse("EUR", 100_000, 0);
    }

    #[test]
    fn an_automatic_payment_is_exchanged_at_once() {
        abroad()
            .when(pay(1, jpy(16_000)))
            .then_types(["payment.authorized", "payment.captured"])
            .then_purse("EUR", 90_000, 0)
            .then_account(Account::MerchantPending(merchant(1)), jpy(16_000))
            .then_account(Account::HouseFx, eur(10_000))
            .then_account(Account::HouseFx, jpy(-16_000));
    }

    #[test]
    fn limits_are_those_of_the_currency_that_pays() {
        let paid = abroad().given(pay(1, jpy(16_000))).given(open_dispute_part(1, 1, jpy(8_000)));
        let limit = Conflict::BalanceLimitExceeded { limit: eur(BALANCE_MAX) };
        // 90,000 there, 5,000 to come.
        paid.given(deposit(1, eur(BALANCE_MAX - 94_999)))
            .when(lose(1, 1))
            .then_rejected(limit.clone())
            .when(refund(1))
            .then_rejected(limit)
            .given(withdraw(1, eur(1)))
            .when(refund(1))
            .then_purse("EUR", BALANCE_MAX, 0);
    }

    #[test]
    fn what_went_back_counts_before_a_refund() {
        // f: 1, 2, 2, 3. The third yen brings nothing more, and needs no room.
        let paid = abroad().given(pay(1, jpy(6))).given(open_dispute_part(1, 1, jpy(2))).given(lose(1, 1));
        let full = paid.given(deposit(1, eur(BALANCE_MAX - 99_998))).then_purse("EUR", BALANCE_MAX, 0);
        let limit = Conflict::BalanceLimitExceeded { limit: eur(BALANCE_MAX) };
        let ledger = full.when(refund_part(1, jpy(1))).then_purse("EUR", BALANCE_MAX, 0);
        assert_eq!((ledger.exchanged(), ledger.amounts(1).refunded_to_purse), (0, 0));
        let ledger = ledger.when(refund_part(1, jpy(1))).then_rejected(limit.clone());
        // The same of a dispute that is lost.
        let ledger = ledger.given(open_dispute_part(2, 1, jpy(1))).when(lose(2, 1)).then_rejected(limit);
        let ledger = ledger.given(withdraw(1, eur(1))).when(refund_part(1, jpy(1)));
        assert_eq!((ledger.exchanged(), ledger.amounts(1).refunded_to_purse), (1, 1));
        let ledger = ledger.given(withdraw(1, eur(1))).when(lose(2, 1));
        assert_eq!((ledger.exchanged(), ledger.amounts(1).refunded_to_purse), (1, 1));
        // The sixth yen is free again.
        let ledger = ledger.given(open_dispute(3, 1)).when(lose(3, 1)).then_purse("EUR", BALANCE_MAX, 0);
        assert_eq!((ledger.exchanged(), ledger.amounts(1).charged_back), (0, 4));
    }

    #[test]
    fn what_can_not_be_counted_is_not_covered() {
        let ledger = abroad()
            .given(deposit(1, eur(1_000_000)))
            .given(set_rate("EUR", "JPY", "0.000000000001", 30))
            .when(hold(1, jpy(BALANCE_MAX)))
            .then_not_covered()
            .given(set_rate("EUR", "JPY", "999999999999", 30))
            // A payment's total has the limit too, however little it costs.
            .when(hold(2, jpy(BALANCE_MAX + 1)))
            .then_not_covered()
            .when(hold(3, jpy(BALANCE_MAX)))
            .then_funded("EUR", "999999999999");
        let limit = Money::new(BALANCE_MAX, jpy(0).currency);
        ledger.when(increment(3, jpy(1))).then_rejected(Conflict::BalanceLimitExceeded { limit });
    }
}
