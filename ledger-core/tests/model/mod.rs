//! The reference model: the contract once more, as plain arithmetic over maps.
//!
//! It knows nothing of how the ledger decides and folds. It takes the same steps and predicts each one's
//! outcome (the type of its first event, the code of a decline or refusal, or `nothing`) and every balance.
//! Here is how money moves; [`rules`] says what may move it.

mod rules;
pub mod step;
pub mod values;

use std::collections::BTreeMap;

use step::{Mistake, Step};
use values::Account::{Client, House, Merchant};
use values::{Account, Currency, DAY, Dispute, LIMIT, Money, Payment, Settings, amount_in, half_up};

/// All that the model knows; everything has a number.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: i128,
    /// All as credits, so that those of a currency sum to zero.
    pub accounts: BTreeMap<(Account, Currency), i128>,
    /// Whether each client is open.
    pub clients: BTreeMap<u8, bool>,
    /// By number: the holder, and the wrong attempts unless it is blocked.
    pub cards: BTreeMap<u8, (u8, Option<u8>)>,
    pub merchants: BTreeMap<u8, Settings>,
    /// Whether each merchant is suspended, and each key revoked.
    pub suspended: BTreeMap<u8, bool>,
    pub revoked: BTreeMap<u8, bool>,
    pub payments: BTreeMap<u8, Payment>,
    pub disputes: BTreeMap<u8, Dispute>,
    /// Whose each payout is, and where it stands.
    pub payouts: BTreeMap<u8, (u8, Money, &'static str)>,
    /// Each pair's rate, and until when it is valid.
    pub rates: BTreeMap<(Currency, Currency), (&'static str, i128)>,
    /// Captures that are not settled: merchant, currency, day, gross, fee.
    pub unsettled: Vec<(u8, Currency, i128, i128, i128)>,
    pub drawn: BTreeMap<(u8, Currency), i128>,
    /// The last step's settlements: whose, in what; count, gross, fees, absorbed and amount.
    pub settled: Vec<(u8, Currency, [i128; 5])>,
    pub outcome: &'static str,
}

type Outcome = Result<&'static str, &'static str>;

pub fn ensure(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Sets what a command wishes to be so; nothing happens if it is so already.
fn set<T: PartialEq>(slot: Option<&mut T>, value: T, event: &'static str) -> Outcome {
    let slot = slot.ok_or("not_found")?;
    let is_so = *slot == value;
    *slot = value;
    Ok(if is_so { "nothing" } else { event })
}

impl Model {
    /// Takes a step; one that is refused changes nothing but the time.
    pub fn apply(&mut self, wait: i128, step: &Step) {
        self.now += wait;
        self.settled.clear();
        let mut next = self.clone();
        match next.decide(step) {
            Ok(outcome) => *self = Self { outcome, ..next },
            Err(outcome) => self.outcome = outcome,
        }
    }

    pub fn has(&self, account: Account, currency: Currency) -> i128 {
        self.accounts.get(&(account, currency)).copied().unwrap_or_default()
    }

    pub fn refundable(&self, payment: u8) -> i128 {
        let p = &self.payments[&payment];
        p.captured - p.refunded - p.charged_back - self.disputed(payment)
    }

    pub fn disputed(&self, payment: u8) -> i128 {
        let open = self.disputes.values().filter(|dispute| dispute.payment == payment && dispute.is_open());
        open.map(|dispute| dispute.amount).sum()
    }

    fn pay(&mut self, from: Account, to: Account, (amount, currency): Money) {
        assert!(amount >= 0, "{from:?} {to:?} {amount}");
        *self.accounts.entry((from, currency)).or_default() -= amount;
        *self.accounts.entry((to, currency)).or_default() += amount;
    }

    /// Checks that an owner is within the limit.
    fn within(&self, owner: Account, currency: Currency) -> Result<(), &'static str> {
        let has = |account| self.has(account, currency);
        let sum = match owner {
            Client(id, _) => has(Client(id, "available")) + has(Client(id, "held")),
            Merchant(id, _) => {
                let settled = ["available", "reserved", "in_transit"].map(|name| has(Merchant(id, name)));
                has(Merchant(id, "pending")) + settled.iter().sum::<i128>().max(0)
            }
            House(_) => 0,
        };
        ensure(sum <= LIMIT, "balance_limit_exceeded")
    }

    /// Pays an owner what must leave it within the limit.
    fn add(&mut self, from: Account, to: Account, money: Money) -> Result<(), &'static str> {
        self.pay(from, to, money);
        self.within(to, money.1)
    }

    fn merchant(&self, id: u8) -> Result<Settings, &'static str> {
        self.merchants.get(&id).copied().ok_or("not_found")
    }

    fn payment(&self, id: u8) -> Result<Payment, &'static str> {
        self.payments.get(&id).copied().ok_or("not_found")
    }

    /// Finds a payment for its merchant, and checks the currency of what is asked.
    fn owned(&self, id: u8, merchant: u8, asked: Option<Money>) -> Result<Payment, &'static str> {
        let p = self.payment(id)?;
        ensure(p.merchant == merchant, "not_found")?;
        ensure(asked.is_none_or(|money| money.1 == p.currency), "currency_mismatch")?;
        Ok(p)
    }

    fn dispute(&self, id: u8, payment: u8) -> Result<(Dispute, Payment), &'static str> {
        let dispute = self.disputes.get(&id).filter(|dispute| dispute.payment == payment);
        Ok((*dispute.ok_or("not_found")?, self.payment(payment)?))
    }

    fn capture(&mut self, id: u8, p: Payment, amount: i128, is_final: bool) -> Outcome {
        let settings = self.merchant(p.merchant)?;
        let fixed = if p.captured == 0 { amount_in(settings.fixed, p.currency) } else { 0 };
        let fee = amount.min(half_up(amount * settings.percent, 1_000_000) + fixed);
        let (held, released) = (Client(p.client, "held"), if is_final { p.capturable() - amount } else { 0 });
        let source = if p.funding.is_some() { House("fx") } else { held };
        if source != held {
            self.pay(held, source, p.leg(p.captured, amount));
        }
        self.pay(source, House("fees"), (fee, p.currency));
        self.pay(held, Client(p.client, "available"), p.leg(p.captured + amount, released));
        let day = self.now.div_euclid(DAY) + settings.delay;
        self.unsettled.push((p.merchant, p.currency, day, amount, fee));
        let gross = |it: &&(u8, Currency, i128, i128, i128)| (it.0, it.1) == (p.merchant, p.currency);
        let gross: i128 = self.unsettled.iter().filter(gross).map(|it| it.3).sum();
        ensure(gross <= LIMIT, "balance_limit_exceeded")?;
        let [captured, released, fees] = [p.captured + amount, p.released + released, p.fee + fee];
        self.payments.insert(id, Payment { captured, released, fee: fees, ..p });
        self.add(source, Merchant(p.merchant, "pending"), (amount - fee, p.currency))?;
        Ok("payment.captured")
    }

    fn release(&mut self, id: u8, p: Payment, expired: bool) {
        let leg = p.leg(p.captured, p.capturable());
        self.pay(Client(p.client, "held"), Client(p.client, "available"), leg);
        self.payments.insert(id, Payment { released: p.released + p.capturable(), expired, ..p });
    }

    /// Gives money of a payment back to its client.
    fn give_back(&mut self, p: &Payment, sources: &[(Account, i128)]) -> Result<(), &'static str> {
        let client = Client(p.client, "available");
        let target = if p.funding.is_some() { House("fx") } else { client };
        sources.iter().for_each(|(source, amount)| self.pay(*source, target, (*amount, p.currency)));
        if target != client {
            let amount = sources.iter().map(|(_, amount)| amount).sum();
            self.pay(target, client, p.leg(p.refunded + p.charged_back, amount));
        }
        self.within(client, p.pays_in())
    }

    fn reserve(&mut self, p: &Payment, amount: i128) -> Result<(), &'static str> {
        let [available, reserved] = ["available", "reserved"].map(|name| Merchant(p.merchant, name));
        self.pay(available, reserved, (amount, p.currency));
        let within = self.has(available, p.currency) >= -LIMIT && self.has(reserved, p.currency) <= LIMIT;
        ensure(within, "balance_limit_exceeded")
    }

    fn lose(&mut self, id: u8, dispute: Dispute, p: Payment) -> Outcome {
        self.disputes.insert(id, Dispute { status: "lost", ..dispute });
        let charged_back = p.charged_back + dispute.amount;
        self.payments.insert(dispute.payment, Payment { charged_back, ..p });
        self.give_back(&p, &[(Merchant(p.merchant, "reserved"), dispute.amount)])?;
        Ok("payment.dispute_lost")
    }

    /// Finds who pays with which currency, or why the payment is declined.
    fn payer(&mut self, number: u8, asked: Money, mistake: Mistake) -> Result<Payment, &'static str> {
        ensure(mistake != Mistake::Number, "invalid_number")?;
        ensure(mistake != Mistake::PastExpiry, "expired_card")?;
        ensure(mistake != Mistake::UnknownCard, "card_not_recognised")?;
        let (client, wrong) = self.cards.get_mut(&number).ok_or("card_not_recognised")?;
        let (client, is_wrong) = (*client, mistake != Mistake::None);
        *wrong = wrong.map(|n| if is_wrong { n + 1 } else { 0 }).filter(|n| *n < 5);
        let is_blocked = wrong.is_none();
        ensure(mistake != Mistake::Expiry, "invalid_expiry")?;
        ensure(mistake != Mistake::Cvc, "invalid_cvc")?;
        ensure(!is_blocked && self.clients[&client], "card_blocked")?;
        let with = |funding| Payment { client, funding, currency: asked.1, ..Payment::default() };
        let rates = self.rates.iter().filter(|((_, to), (_, until))| *to == asked.1 && self.now < *until);
        let others = rates.map(|((from, _), (rate, _))| with(Some((*from, *rate))));
        let covers = |p: &Payment| p.cost(asked.0) <= self.has(Client(client, "available"), p.pays_in());
        [with(None)].into_iter().chain(others).find(covers).ok_or("insufficient_funds")
    }

    fn authorize(&mut self, id: u8, p: Payment, automatic: bool) -> Outcome {
        self.pay(Client(p.client, "available"), Client(p.client, "held"), p.leg(0, p.authorized));
        self.payments.insert(id, p);
        if automatic {
            self.capture(id, p, p.authorized, true)?;
        }
        Ok("payment.authorized")
    }

    fn refund(&mut self, id: u8, p: Payment, amount: i128) -> Outcome {
        let settings = self.merchant(p.merchant)?;
        let refunded = p.refunded + amount;
        let returned =
            if settings.keeps_fee { 0 } else { half_up(p.fee * refunded, p.captured) - p.fee_back };
        let (returned, key) = (returned.clamp(0, amount), (p.merchant, p.currency));
        let [available, pending] = ["available", "pending"].map(|name| Merchant(p.merchant, name));
        let owed = amount - returned;
        let first = self.has(available, p.currency).max(0).min(owed);
        let then = self.has(pending, p.currency).min(owed - first);
        let after = self.has(available, p.currency) - (owed - then);
        let covered = first + then == owed || after >= -amount_in(settings.limit, p.currency);
        ensure(covered, "insufficient_available_balance")?;
        *self.drawn.entry(key).or_default() += then;
        self.payments.insert(id, Payment { refunded, fee_back: p.fee_back + returned, ..p });
        self.give_back(&p, &[(House("fees"), returned), (available, owed - then), (pending, then)])?;
        Ok("payment.refunded")
    }

    fn settle(&mut self, merchant: Option<u8>, currency: Option<Currency>, through: i128) -> Outcome {
        let mut due = BTreeMap::<(u8, Currency), [i128; 3]>::new();
        for (m, c, day, gross, fee) in std::mem::take(&mut self.unsettled) {
            if day <= through && merchant.is_none_or(|it| it == m) && currency.is_none_or(|it| it == c) {
                let [count, sum, fees] = due.entry((m, c)).or_default();
                (*count, *sum, *fees) = (*count + 1, *sum + gross, *fees + fee);
            } else {
                self.unsettled.push((m, c, day, gross, fee));
            }
        }
        for ((m, c), [count, gross, fees]) in due {
            let drawn = self.drawn.entry((m, c)).or_default();
            let absorbed = (gross - fees).min(*drawn);
            *drawn -= absorbed;
            let amount = gross - fees - absorbed;
            self.pay(Merchant(m, "pending"), Merchant(m, "available"), (amount, c));
            self.settled.push((m, c, [count, gross, fees, absorbed, amount]));
        }
        Ok(if self.settled.is_empty() { "nothing" } else { "settlement.closed" })
    }
}
