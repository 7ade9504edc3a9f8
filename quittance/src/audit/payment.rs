//! Payments: what was asked, and the running totals of what became of it. Their rules are in [`attempt`],
//! [`hold`], [`refund`] and [`dispute`].
//!
//! [`attempt`]: super::attempt
//! [`hold`]: super::hold
//! [`refund`]: super::refund
//! [`dispute`]: super::dispute

use ledger_core::Currency;
use ledger_core::ids::{CardId, ClientId, MerchantId, PaymentId, StreamId};

use super::account::{Account, Holder, House, Move, Purpose};
use super::card::Face;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::fx::Funding;
use super::ledger::{Desk, Ledger};
use super::moment::Moment;
use super::money::Money;
use super::subject::Opened;

/// A payment.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) details: Details,
    pub(super) client: Option<ClientId>,
    pub(super) standing: Standing,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) merchant: MerchantId,
    pub(super) amount: Money,
    pub(super) card: Option<CardId>,
    pub(super) face: Face,
    pub(super) automatic: bool,
    pub(super) reference: Option<Box<str>>,
    pub(super) description: Opened,
    pub(super) metadata: Opened,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Declined(&'static str),
    Approved(Box<Approved>),
}

/// The running totals of a payment that was authorized, in minor units of its currency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Approved {
    pub(super) client: ClientId,
    pub(super) currency: Currency,
    /// The currency that pays, where it is another.
    pub(super) funding: Option<Funding>,
    pub(super) expires_at: Moment,
    /// Whether it was told that the end is near.
    pub(super) warned: bool,
    /// Whether the rest was released because the time was over.
    pub(super) expired: bool,
    pub(super) authorized: i128,
    pub(super) captured: i128,
    pub(super) released: i128,
    pub(super) refunded: i128,
    /// What open disputes are about, and how many there are.
    pub(super) disputed: i128,
    pub(super) disputes_open: i64,
    /// Lost in disputes.
    pub(super) charged_back: i128,
    pub(super) fee_taken: i128,
    pub(super) fee_returned: i128,
    /// What refunds brought back in the currency that pays.
    pub(super) refunded_paying: i128,
    /// What went back in the currency that pays, by refunds and lost disputes.
    pub(super) given_back_paying: i128,
}

impl Approved {
    /// Begins the totals of an authorization.
    pub(super) const fn new(
        client: ClientId,
        money: Money,
        funding: Option<Funding>,
        expires_at: Moment,
    ) -> Self {
        Self {
            client,
            currency: money.currency,
            funding,
            expires_at,
            warned: false,
            expired: false,
            authorized: money.minor,
            captured: 0,
            released: 0,
            refunded: 0,
            disputed: 0,
            disputes_open: 0,
            charged_back: 0,
            fee_taken: 0,
            fee_returned: 0,
            refunded_paying: 0,
            given_back_paying: 0,
        }
    }

    pub(super) const fn capturable(&self) -> i128 {
        self.authorized - self.captured - self.released
    }

    pub(super) const fn refundable(&self) -> i128 {
        self.captured - self.given_back() - self.disputed
    }

    /// Returns what went back to the client, by refunds and lost disputes.
    pub(super) const fn given_back(&self) -> i128 {
        self.refunded + self.charged_back
    }

    /// Counts what keeps the client from being closed.
    fn open(&self) -> i64 {
        self.disputes_open + i64::from(self.capturable() > 0)
    }

    /// Returns the currency that pays.
    pub(super) fn paying(&self) -> Currency {
        self.funding.map_or(self.currency, |funding| funding.currency)
    }

    /// Computes f: what a total costs in the currency that pays.
    pub(super) fn cost(&self, total: i128) -> i128 {
        self.funding.map_or(total, |funding| funding.rate.cost(total, self.currency, funding.currency))
    }

    /// Computes what so much more than a running total costs in the currency that pays.
    pub(super) fn leg(&self, total: i128, more: i128) -> Money {
        Money::new(self.cost(total + more) - self.cost(total), self.paying())
    }

    /// Computes what so much more given back brings in the currency that pays: what all of it costs, less what
    /// went back before. Corrections leave that beside the running total, and more than all never goes back.
    pub(super) fn leg_back(&self, more: i128) -> Money {
        let all = self.cost(self.given_back() + more);
        Money::new((all - self.given_back_paying).max(0), self.paying())
    }

    /// Returns one of the client's accounts.
    pub(super) const fn account(&self, purpose: Purpose) -> Account {
        Account::client(self.client, purpose)
    }

    /// Holds so much more than is authorized.
    pub(super) fn hold(&self, more: i128) -> Move {
        let [debit, credit] = [Purpose::Available, Purpose::Held].map(|at| self.account(at));
        Move { debit, credit, money: self.leg(self.authorized, more) }
    }

    /// Releases what is held beyond a captured total.
    pub(super) fn release(&self, captured: i128, rest: i128) -> Move {
        let [debit, credit] = [Purpose::Held, Purpose::Available].map(|at| self.account(at));
        Move { debit, credit, money: self.leg(captured, rest) }
    }

    /// Takes so much more than is captured out of what is held: the account that it can be paid from then,
    /// and the exchange that filled it, if there is one.
    pub(super) fn pay(&self, more: i128) -> (Account, Option<Move>) {
        let held = self.account(Purpose::Held);
        self.exchanged(held, |house| Move {
            debit: held,
            credit: house,
            money: self.leg(self.captured, more),
        })
    }

    /// Gives so much more than before back to the client: the account that it must be paid to, and the
    /// exchange that empties it, if there is one.
    pub(super) fn pay_back(&self, more: i128) -> (Account, Option<Move>) {
        let credit = self.account(Purpose::Available);
        self.exchanged(credit, |debit| Move { debit, credit, money: self.leg_back(more) })
    }

    fn exchanged(&self, own: Account, exchange: impl FnOnce(Account) -> Move) -> (Account, Option<Move>) {
        let house = Account::House(House::Fx);
        match self.funding {
            None => (own, None),
            Some(_) => (house, Some(exchange(house))),
        }
    }

    /// Checks that an event comes before the authorization's end, whatever the scheduler did until then.
    pub(super) fn check_in_time(&self, event: &Event, desk: &mut Desk<'_>) {
        let in_time = event.at < self.expires_at;
        desk.check.holds(in_time, "recorded_at", "before the authorization expires", event.at);
    }
}

impl Payment {
    /// Returns the first status that holds.
    pub(super) const fn status(&self) -> &'static str {
        let totals = match &self.standing {
            Standing::Declined(_) => return "declined",
            Standing::Approved(totals) => totals,
        };
        let (captured, given_back, is_open) = (totals.captured, totals.given_back(), totals.capturable() > 0);
        if totals.disputed > 0 {
            "disputed"
        } else if captured > 0 && given_back == captured && !is_open {
            "refunded"
        } else if given_back > 0 {
            "partially_refunded"
        } else if captured > 0 {
            if is_open { "partially_captured" } else { "captured" }
        } else if is_open {
            "authorized"
        } else if totals.expired {
            "expired"
        } else {
            "voided"
        }
    }
}

/// An approved payment as a later event finds it.
pub(super) struct Found {
    pub(super) id: PaymentId,
    pub(super) merchant: MerchantId,
    pub(super) currency: Currency,
    pub(super) totals: Approved,
}

impl Found {
    /// Returns one of the merchant's accounts.
    pub(super) const fn account(&self, purpose: Purpose) -> Account {
        Account::merchant(self.merchant, purpose)
    }

    /// Returns an amount in the payment's currency.
    pub(super) const fn money(&self, minor: i128) -> Money {
        Money::new(minor, self.currency)
    }
}

impl Ledger {
    /// Finds the payment of a later event: it was approved, and the event names its merchant and client.
    pub(super) fn approved(
        &self,
        event: &Event,
        data: Fields<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<Found, Malformed> {
        let id = payment_id(event)?;
        let payment =
            self.payments.get(&id).ok_or(Malformed::new("stream_id", "a payment that was authorized"))?;
        let Standing::Approved(totals) = &payment.standing else {
            return Err(Malformed::new("stream_id", "a payment that was not declined"));
        };
        let merchant = payment.details.merchant;
        desk.check.same("merchant_id", merchant, data.id("merchant_id")?);
        desk.check.same("client_id", totals.client, data.id("client_id")?);
        Ok(Found { id, merchant, currency: totals.currency, totals: **totals })
    }

    /// Changes the totals of an approved payment, and counts what that opens or ends for the client.
    pub(super) fn totals(&mut self, id: PaymentId, position: u64, change: impl FnOnce(&mut Approved)) {
        if let Some(Payment { standing: Standing::Approved(totals), .. }) = self.payments.get_mut(&id) {
            let before = totals.open();
            change(totals);
            let now = **totals;
            self.count_open(&now, now.open() - before, position);
        }
    }

    /// Notes a payment that was approved.
    pub(super) fn begin(&mut self, id: PaymentId, details: Details, totals: Approved, position: u64) {
        let standing = Standing::Approved(Box::new(totals));
        self.payments.insert(id, Payment { details, client: Some(totals.client), standing });
        self.count_open(&totals, totals.open(), position);
    }

    fn count_open(&mut self, totals: &Approved, opened: i64, position: u64) {
        if opened != 0 {
            let balance = self.change(Holder::Client(totals.client), totals.paying(), position);
            balance.open += opened;
        }
    }
}

/// Reads an amount in the payment's currency, not below zero.
pub(super) fn minor(data: Fields<'_>, name: &'static str, currency: Currency) -> Result<i128, Malformed> {
    let money = data.money(name)?;
    let fits = money.currency == currency && money.minor >= 0;
    fits.then_some(money.minor).ok_or(Malformed::new(name, "an amount in the payment's currency"))
}

pub(super) fn payment_id(event: &Event) -> Result<PaymentId, Malformed> {
    match event.stream {
        StreamId::Payment(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a payment's")),
    }
}
