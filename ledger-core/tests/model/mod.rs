//! The reference model: the contract once more, as plain arithmetic over maps.
//!
//! It knows nothing of how the ledger decides and folds. It takes the same steps and predicts each one's
//! outcome (the type of its first event, the code of a decline or refusal, or `nothing`) and every balance.
//! [`words`] are what it is told, [`payment`] is one payment's arithmetic, [`plan`] draws what comes next.

pub mod payment;
pub mod plan;
pub mod words;

use std::collections::BTreeMap;

use payment::{Dispute, Payment};
use words::Account::{self, *};
use words::{Currency, DAY, Decimal, LIMIT, Mistake, Money, News, Settings, Step, amount_in};

pub type Accounts = BTreeMap<(Account, Currency), i128>;

/// All that the model knows; everything has a number.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: i128,
    /// What all below adds up to; as credits, so that those of a currency sum to zero.
    pub accounts: Accounts,
    /// What came in and went out, but for payouts.
    pub cash: Accounts,
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
    pub rates: BTreeMap<(Currency, Currency), (Decimal, i128)>,
    /// Captures that no settlement has taken, by their day: count, gross and fees.
    pub unsettled: BTreeMap<(u8, Currency), BTreeMap<i128, [i128; 3]>>,
    /// What refunds took from pending and no settlement has absorbed.
    pub drawn: BTreeMap<(u8, Currency), i128>,
    /// The last step's settlements: whose, in what; count, gross, fees, absorbed and amount.
    pub settled: Vec<(u8, Currency, [i128; 5])>,
    pub outcome: &'static str,
}

type Refused<T> = Result<T, &'static str>;

fn ensure(holds: bool, otherwise: &'static str) -> Refused<()> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn found<T: Copy>(map: &BTreeMap<u8, T>, id: u8) -> Refused<T> {
    map.get(&id).copied().ok_or("not_found")
}

fn add(sums: &mut Accounts, from: Account, to: Account, (amount, currency): Money) {
    *sums.entry((from, currency)).or_default() -= amount;
    *sums.entry((to, currency)).or_default() += amount;
}

/// Sets what a command wishes to be so; nothing happens if it is so already.
fn set<T: Copy + PartialEq>(map: &mut BTreeMap<u8, T>, id: u8, value: T) -> Refused<()> {
    let was = map.insert(id, value).ok_or("not_found")?;
    ensure(was != value, "nothing")
}

/// The amount: all that is left unless less is asked for. That nothing is left is a matter of state.
fn ask(left: i128, asked: Option<Money>, [none, exceeds]: [&'static str; 2]) -> Refused<i128> {
    ensure(left > 0, none)?;
    let amount = asked.map_or(left, |money| money.0);
    ensure(amount <= left, exceeds).map(|()| amount)
}

const CAPTURE: [&str; 2] = ["payment_not_capturable", "capture_exceeds_authorization"];
const REFUND: [&str; 2] = ["payment_not_refundable", "refund_exceeds_captured"];
const DISPUTE: [&str; 2] = ["payment_not_disputable", "dispute_exceeds_refundable"];

impl Model {
    /// Takes a step; one that is refused changes nothing but the time.
    pub fn apply(&mut self, wait: i128, step: &Step) {
        self.now += wait;
        self.settled.clear();
        let mut next = Self { outcome: step.event(), ..self.clone() };
        let decided = next.decide(step);
        next.accounts = next.balances();
        match decided.and_then(|()| next.within_limit()) {
            Ok(()) => *self = next,
            Err(code) => self.outcome = code,
        }
    }

    pub fn has(&self, account: Account, currency: Currency) -> i128 {
        self.accounts.get(&(account, currency)).copied().unwrap_or_default()
    }

    /// Carries out a step, or refuses it; what was changed until then does not count.
    fn decide(&mut self, step: &Step) -> Refused<()> {
        let now = self.now;
        match *step {
            Step::OpenClient(id) => drop(self.clients.insert(id, true)),
            Step::Deposit(id, money) => {
                ensure(found(&self.clients, id)?, "client_closed")?;
                add(&mut self.cash, Bank, ClientAvailable(id), money);
            }
            Step::Withdraw(id, money) => {
                found(&self.clients, id)?;
                ensure(self.has(ClientAvailable(id), money.1) >= money.0, "insufficient_available_balance")?;
                add(&mut self.cash, ClientAvailable(id), Bank, money);
            }
            Step::CloseClient(id) => {
                set(&mut self.clients, id, false)?;
                let is_its = |account| matches!(account, ClientAvailable(it) | ClientHeld(it) if it == id);
                let has = self.accounts.iter().any(|((account, _), has)| is_its(*account) && *has != 0);
                let waits = |p: &Payment| p.client == id && p.capturable + p.disputed > 0;
                ensure(!has && !self.payments.values().any(waits), "client_not_empty")?;
            }
            Step::IssueCard { client, number } => {
                ensure(found(&self.clients, client)?, "client_closed")?;
                ensure(self.cards.insert(number, (client, Some(0))).is_none(), "card_already_registered")?;
            }
            Step::BlockCard(number) => {
                let (client, _) = found(&self.cards, number)?;
                set(&mut self.cards, number, (client, None))?;
            }
            Step::UnblockCard(number) => {
                let (client, _) = found(&self.cards, number)?;
                set(&mut self.cards, number, (client, Some(0)))?;
            }
            Step::OpenMerchant(id, settings) => {
                self.merchants.insert(id, settings);
                self.suspended.insert(id, false);
            }
            Step::ChangeSettings(id, settings) => set(&mut self.merchants, id, settings)?,
            Step::Suspend(id) => set(&mut self.suspended, id, true)?,
            Step::Reinstate(id) => set(&mut self.suspended, id, false)?,
            Step::DepositToMerchant(id, money) => {
                found(&self.merchants, id)?;
                add(&mut self.cash, Bank, Available(id), money);
            }
            Step::WriteOff(id, money) => {
                found(&self.merchants, id)?;
                ensure(money.0 <= -self.has(Available(id), money.1), "write_off_exceeds_debt")?;
                add(&mut self.cash, Losses, Available(id), money);
            }
            Step::CreateKey(id, merchant) => {
                merchant.map_or(Ok(()), |id| found(&self.merchants, id).map(drop))?;
                self.revoked.insert(id, false);
            }
            Step::RevokeKey(id) => set(&mut self.revoked, id, true)?,
            Step::Pay { id, merchant, number, money, automatic, mistake, days } => {
                ensure(!found(&self.suspended, merchant)?, "merchant_suspended")?;
                let mut p = Payment { merchant, currency: money.1, ..Payment::default() };
                match self.payer(number, money, mistake) {
                    Ok(payer) => {
                        (p.client, p.funding) = payer;
                        (p.authorized, p.capturable, p.expires_at) = (money.0, money.0, now + days * DAY);
                        if automatic {
                            self.capture(&mut p, money.0, true)?;
                        }
                    }
                    Err(code) => (self.outcome, p.declined) = (code, true),
                }
                self.payments.insert(id, p);
            }
            Step::Increment { id, merchant, money } => {
                let was = self.held(id, merchant, Some(money), "payment_not_incrementable")?;
                ensure(!self.suspended[&merchant], "merchant_suspended")?;
                let (authorized, capturable) = (was.authorized + money.0, was.capturable + money.0);
                ensure(authorized <= LIMIT, "balance_limit_exceeded")?;
                let p = Payment { authorized, capturable, ..was };
                let available = self.has(ClientAvailable(p.client), p.funding.0);
                ensure(p.legs()[0] - was.legs()[0] <= available, "insufficient_funds")?;
                self.payments.insert(id, p);
            }
            Step::Capture { id, merchant, money, is_final } => {
                let mut p = self.held(id, merchant, money, CAPTURE[0])?;
                let amount = ask(p.capturable, money, CAPTURE)?;
                self.capture(&mut p, amount, is_final)?;
                self.payments.insert(id, p);
            }
            Step::Void { id, merchant } => {
                let p = self.held(id, merchant, None, "payment_not_voidable")?;
                self.payments.insert(id, Payment { capturable: 0, ..p });
            }
            Step::Refund { id, merchant, money } => {
                let p = self.payment(id, merchant, money)?;
                self.refund(id, p, ask(p.refundable, money, REFUND)?)?;
            }
            Step::Warn(id) => {
                let p = found(&self.payments, id)?;
                ensure(p.capturable > 0 && !p.warned && now < p.expires_at, "nothing")?;
                ensure(now >= p.expires_at - DAY, "too_early")?;
                self.payments.insert(id, Payment { warned: true, ..p });
            }
            Step::Expire(id) => {
                let p = found(&self.payments, id)?;
                ensure(p.capturable > 0, "nothing")?;
                ensure(now >= p.expires_at, "too_early")?;
                self.payments.insert(id, Payment { capturable: 0, expired: true, ..p });
            }
            Step::Dispute { id, payment, money } => {
                let p = self.payment(payment, found(&self.payments, payment)?.merchant, money)?;
                self.reserve(id, payment, p, ask(p.refundable, money, DISPUTE)?, false);
            }
            Step::Evidence { id, payment, merchant } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(p.merchant == merchant, "not_found")?;
                ensure(dispute.is_open() && now < dispute.respond_by, "dispute_closed")?;
                self.disputes.insert(id, Dispute { status: "under_review", ..dispute });
            }
            Step::Win { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                let is_lost = dispute.status == "needs_response" && now >= dispute.respond_by;
                ensure(dispute.is_open() && !is_lost, "dispute_closed")?;
                self.close(id, dispute, p, "won");
            }
            Step::Lose { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.is_open(), "dispute_closed")?;
                self.close(id, dispute, p, "lost");
            }
            Step::LoseUnanswered { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.status == "needs_response", "nothing")?;
                ensure(now >= dispute.respond_by, "too_early")?;
                self.close(id, dispute, p, "lost");
            }
            Step::Reopen { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.status == "won" && !dispute.reopened, "dispute_closed")?;
                ask(p.refundable, Some((dispute.amount, p.currency)), DISPUTE)?;
                self.reserve(id, payment, p, dispute.amount, true);
            }
            Step::Settle { merchant, currency, as_of } => {
                merchant.map_or(Ok(()), |id| found(&self.merchants, id).map(drop))?;
                ensure(as_of.is_none_or(|as_of| as_of <= now), "too_early")?;
                self.settle(merchant, currency, as_of.unwrap_or(now).div_euclid(DAY))?;
            }
            Step::RequestPayout { id, merchant, money } => {
                ensure(!found(&self.suspended, merchant)?, "merchant_suspended")?;
                ensure(self.has(Available(merchant), money.1) >= money.0, "insufficient_available_balance")?;
                self.payouts.insert(id, (merchant, money, "requested"));
            }
            Step::ChangePayout(id, news) => {
                let (merchant, money, status) = found(&self.payouts, id)?;
                let status = match (status, news) {
                    ("requested", News::Paid) => "paid",
                    ("requested", News::Failed) => "failed",
                    ("paid", News::Returned) => "returned",
                    _ => return Err("payout_closed"),
                };
                self.payouts.insert(id, (merchant, money, status));
            }
            Step::SetRate { from, to, rate, valid_until } => {
                ensure(now < valid_until, "fx_rate_expired")?;
                self.rates.insert((from, to), (rate, valid_until));
            }
        }
        Ok(())
    }

    /// What everything adds up to: all but cash is a matter of what payments and payouts have come to.
    fn balances(&self) -> Accounts {
        let mut sums = self.cash.clone();
        let mut pay = |from, to, money| add(&mut sums, from, to, money);
        for p in self.payments.values().filter(|p| !p.declined) {
            let ([promised, spent, back], (pays, _)) = (p.legs(), p.funding);
            pay(ClientAvailable(p.client), ClientHeld(p.client), (promised - spent, pays));
            pay(ClientAvailable(p.client), Fx, (spent - back, pays));
            let (earned, fee) = (p.captured - p.refunded - p.charged_back, p.fee - p.fee_back);
            pay(Fx, Available(p.merchant), (earned - fee, p.currency));
            pay(Fx, Fees, (fee, p.currency));
            pay(Available(p.merchant), Reserved(p.merchant), (p.disputed, p.currency));
        }
        for ((m, c), days) in &self.unsettled {
            let net: i128 = days.values().map(|[_, gross, fees]| gross - fees).sum();
            pay(Available(*m), Pending(*m), (net - self.drawn.get(&(*m, c)).unwrap_or(&0), c));
        }
        for (m, money, status) in self.payouts.values() {
            match *status {
                "requested" => pay(Available(*m), InTransit(*m), *money),
                "paid" => pay(Available(*m), Bank, *money),
                _ => {}
            }
        }
        sums
    }

    fn within_limit(&self) -> Refused<()> {
        for (account, currency) in self.accounts.keys() {
            let has = |account| self.has(account, currency);
            let total = match *account {
                ClientAvailable(id) | ClientHeld(id) => has(ClientAvailable(id)) + has(ClientHeld(id)),
                Pending(id) | Available(id) | Reserved(id) | InTransit(id) => {
                    has(Pending(id)) + (has(Available(id)) + has(Reserved(id)) + has(InTransit(id))).max(0)
                }
                Bank | Fees | Fx | Losses => continue,
            };
            ensure(total <= LIMIT && has(*account).abs() <= LIMIT, "balance_limit_exceeded")?;
        }
        Ok(())
    }

    /// Finds a payment for its merchant, and checks the currency of what is asked.
    fn payment(&self, id: u8, merchant: u8, asked: Option<Money>) -> Refused<Payment> {
        let p = found(&self.payments, id)?;
        ensure(p.merchant == merchant, "not_found")?;
        ensure(asked.is_none_or(|money| money.1 == p.currency), "currency_mismatch").map(|()| p)
    }

    /// Finds a payment that still holds something, if it is not too late.
    fn held(&self, id: u8, merchant: u8, asked: Option<Money>, none: &'static str) -> Refused<Payment> {
        let p = self.payment(id, merchant, asked)?;
        ensure(p.capturable > 0, none)?;
        ensure(self.now < p.expires_at, "authorization_expired").map(|()| p)
    }

    fn dispute(&self, id: u8, payment: u8) -> Refused<(Dispute, Payment)> {
        let dispute = found(&self.disputes, id)?;
        ensure(dispute.payment == payment, "not_found").map(|()| (dispute, self.payments[&payment]))
    }

    /// Finds who pays and with what, or why the payment is declined.
    fn payer(&mut self, number: u8, money: Money, mistake: Mistake) -> Refused<(u8, (Currency, Decimal))> {
        ensure(mistake != Mistake::Number, "invalid_number")?;
        ensure(mistake != Mistake::PastExpiry, "expired_card")?;
        ensure(mistake != Mistake::UnknownCard, "card_not_recognised")?;
        let (client, wrong) = self.cards.get_mut(&number).ok_or("card_not_recognised")?;
        let attempts = |n| if mistake == Mistake::None { 0 } else { n + 1 };
        *wrong = wrong.map(attempts).filter(|n| *n < 5);
        let (client, is_blocked) = (*client, wrong.is_none());
        ensure(mistake != Mistake::Expiry, "invalid_expiry")?;
        ensure(mistake != Mistake::Cvc, "invalid_cvc")?;
        ensure(!is_blocked && self.clients[&client], "card_blocked")?;
        let rates = self.rates.iter().filter(|((_, to), (_, until))| *to == money.1 && self.now < *until);
        let others = rates.map(|((from, _), (rate, _))| (*from, *rate));
        let covers = |funding: &(Currency, Decimal)| {
            let p = Payment { funding: *funding, currency: money.1, ..Payment::default() };
            p.cost(money.0) <= self.has(ClientAvailable(client), funding.0)
        };
        let funding = [(money.1, (1, 0))].into_iter().chain(others).find(covers);
        funding.map(|funding| (client, funding)).ok_or("insufficient_funds")
    }

    fn capture(&mut self, p: &mut Payment, amount: i128, is_final: bool) -> Refused<()> {
        let (settings, before) = (self.merchants[&p.merchant], p.fee);
        p.capture(amount, is_final, &settings);
        let days = self.unsettled.entry((p.merchant, p.currency)).or_default();
        let day = days.entry(self.now.div_euclid(DAY) + settings.delay).or_default();
        *day = [day[0] + 1, day[1] + amount, day[2] + p.fee - before];
        ensure(days.values().map(|day| day[1]).sum::<i128>() <= LIMIT, "balance_limit_exceeded")
    }

    /// What the merchant owes comes from available as far as it goes, then from pending, then on credit.
    fn refund(&mut self, id: u8, mut p: Payment, amount: i128) -> Refused<()> {
        let (settings, before) = (self.merchants[&p.merchant], p.fee_back);
        p.refund(amount, &settings);
        let owed = amount - (p.fee_back - before);
        let [available, pending] =
            [Available, Pending].map(|account| self.has(account(p.merchant), p.currency));
        let drawn = pending.min(owed - available.clamp(0, owed));
        let is_covered = available.max(0) + pending >= owed;
        let is_lent = available - (owed - drawn) >= -amount_in(settings.limit, p.currency);
        ensure(is_covered || is_lent, "insufficient_available_balance")?;
        *self.drawn.entry((p.merchant, p.currency)).or_default() += drawn;
        self.payments.insert(id, p);
        Ok(())
    }

    /// Opens a dispute, or again one that was won.
    fn reserve(&mut self, id: u8, payment: u8, p: Payment, amount: i128, reopened: bool) {
        let (disputed, refundable) = (p.disputed + amount, p.refundable - amount);
        self.payments.insert(payment, Payment { disputed, refundable, ..p });
        let (status, respond_by) = ("needs_response", self.now + 14 * DAY);
        self.disputes.insert(id, Dispute { payment, amount, status, respond_by, reopened });
    }

    /// Ends a dispute: its money goes back to the merchant, or to the client.
    fn close(&mut self, id: u8, dispute: Dispute, mut p: Payment, status: &'static str) {
        p.disputed -= dispute.amount;
        *(if status == "won" { &mut p.refundable } else { &mut p.charged_back }) += dispute.amount;
        self.payments.insert(dispute.payment, p);
        self.disputes.insert(id, Dispute { status, ..dispute });
    }

    fn settle(&mut self, merchant: Option<u8>, currency: Option<Currency>, through: i128) -> Refused<()> {
        for ((m, c), days) in &mut self.unsettled {
            if merchant.is_none_or(|it| it == *m) && currency.is_none_or(|it| it == *c) {
                let later = days.split_off(&(through + 1));
                let due = std::mem::replace(days, later);
                let [count, gross, fees] = [0, 1, 2].map(|n| due.values().map(|day| day[n]).sum::<i128>());
                let drawn = self.drawn.entry((*m, c)).or_default();
                let absorbed = (gross - fees).min(*drawn);
                *drawn -= absorbed;
                self.settled.push((*m, c, [count, gross, fees, absorbed, gross - fees - absorbed]));
            }
        }
        self.settled.retain(|(_, _, [count, ..])| *count > 0);
        ensure(!self.settled.is_empty(), "nothing")
    }
}
