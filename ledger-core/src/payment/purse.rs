//! What pays for a payment: a client's money in the payment's currency, or in another.
//!
//! Paid in another currency, everything on the client's side is a difference of `f` over the payment's
//! running totals, where `f(x)` is `x` converted at the rate that was recorded at authorization, rounded up
//! to a minor unit, and `f(0) = 0`. So no order of parts makes the client pay more than the whole.

use crate::event::Funding;
use crate::ids::ClientId;
use crate::journal::{Account, Move};
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
    pub(super) fn pay_back(&self, given_back: i64, more: i64) -> (Account, Option<Move>) {
        match self.funding {
            None => (self.available(), None),
            Some(_) => {
                let exchanged = Move::new(Account::HouseFx, self.available(), self.leg(given_back, more));
                (Account::HouseFx, Some(exchanged))
            }
        }
    }

    const fn available(&self) -> Account {
        Account::ClientAvailable(self.client_id)
    }

    const fn held(&self) -> Account {
        Account::ClientHeld(self.client_id)
    }
}
