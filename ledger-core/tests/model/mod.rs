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
        match next.decide(step).and_then(|()| next.within_limit()) {
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
                self.pay(Bank, ClientAvailable(id), money);
            }
            Step::Withdraw(id, money) => {
                found(&self.clients, id)?;
                self.pay(ClientAvailable(id), Bank, money);
                ensure(self.has(ClientAvailable(id), money.1) >= 0, "insufficient_available_balance")?;
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
                self.pay(Bank, Available(id), money);
            }
            Step::WriteOff(id, money) => {
                found(&self.merchants, id)?;
                self.pay(Losses, Available(id), money);
                ensure(self.has(Available(id), money.1) <= 0, "write_off_exceeds_debt")?;
            }
            Step::CreateKey(id, merchant) => {
                merchant.map_or(Ok(()), |id| found(&self.merchants, id).map(drop))?;
                self.revoked.insert(id, false);
            }
            Step::RevokeKey(id) => set(&mut self.revoked, id, true)?,
            Step::Pay { id, merchant, number, money, automatic, mistake, days } => {
                ensure(!found(&self.suspended, merchant)?, "merchant_suspended")?;
                let asked = Payment { merchant, currency: money.1, ..Payment::default() };
                match self.payer(number, money, mistake) {
                    Ok((client, funding)) => {
                        let (authorized, expires_at) = (money.0, now + days * DAY);
                        let p = Payment {
                            client,
                            funding,
                            authorized,
                            capturable: authorized,
                            expires_at,
                            ..asked
                        };
                        self.keep(id, p);
                        if automatic {
                            self.capture(id, p, authorized, true)?;
                        }
                    }
                    Err(code) => {
                        self.outcome = code;
                        self.payments.insert(id, Payment { declined: true, ..asked });
                    }
                }
            }
            Step::Increment { id, merchant, money } => {
                let mut p = self.held(id, merchant, Some(money), "payment_not_incrementable")?;
                ensure(!self.suspended[&merchant], "merchant_suspended")?;
                (p.authorized, p.capturable) = (p.authorized + money.0, p.capturable + money.0);
                ensure(p.authorized <= LIMIT, "balance_limit_exceeded")?;
                self.keep(id, p);
                ensure(self.has(ClientAvailable(p.client), p.funding.0) >= 0, "insufficient_funds")?;
            }
            Step::Capture { id, merchant, money, is_final } => {
                let p = self.held(id, merchant, money, CAPTURE[0])?;
                self.capture(id, p, ask(p.capturable, money, CAPTURE)?, is_final)?;
            }
            Step::Void { id, merchant } => {
                let p = self.held(id, merchant, None, "payment_not_voidable")?;
                self.keep(id, Payment { capturable: 0, ..p });
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
                self.keep(id, Payment { capturable: 0, expired: true, ..p });
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
                self.close(id, dispute, p, true);
            }
            Step::Lose { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.is_open(), "dispute_closed")?;
                self.close(id, dispute, p, false);
            }
            Step::LoseUnanswered { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.status == "needs_response", "nothing")?;
                ensure(now >= dispute.respond_by, "too_early")?;
                self.close(id, dispute, p, false);
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
                self.pay(Available(merchant), InTransit(merchant), money);
                ensure(self.has(Available(merchant), money.1) >= 0, "insufficient_available_balance")?;
                self.payouts.insert(id, (merchant, money, "requested"));
            }
            Step::ChangePayout(id, news) => {
                let (merchant, money, status) = found(&self.payouts, id)?;
                let (from, to, status) = match (status, news) {
                    ("requested", News::Paid) => (InTransit(merchant), Bank, "paid"),
                    ("requested", News::Failed) => (InTransit(merchant), Available(merchant), "failed"),
                    ("paid", News::Returned) => (Bank, Available(merchant), "returned"),
                    _ => return Err("payout_closed"),
                };
                self.payouts.insert(id, (merchant, money, status));
                self.pay(from, to, money);
            }
            Step::SetRate { from, to, rate, valid_until } => {
                ensure(now < valid_until, "fx_rate_expired")?;
                self.rates.insert((from, to), (rate, valid_until));
            }
        }
        Ok(())
    }

    fn pay(&mut self, from: Account, to: Account, (amount, currency): Money) {
        *self.accounts.entry((from, currency)).or_default() -= amount;
        *self.accounts.entry((to, currency)).or_default() += amount;
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

    /// Keeps a payment's new totals, and moves the client's money by what they change.
    fn keep(&mut self, id: u8, p: Payment) {
        let was = self.payments.insert(id, p).map_or([0; 3], |was| was.legs());
        let [promised, spent, back] = [0, 1, 2].map(|n| (p.legs()[n] - was[n], p.funding.0));
        self.pay(ClientAvailable(p.client), ClientHeld(p.client), promised);
        self.pay(ClientHeld(p.client), Fx, spent);
        self.pay(Fx, ClientAvailable(p.client), back);
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

    fn capture(&mut self, id: u8, was: Payment, amount: i128, is_final: bool) -> Refused<()> {
        let settings = self.merchants[&was.merchant];
        let p = was.capture(amount, is_final, &settings);
        let fee = p.fee - was.fee;
        self.keep(id, p);
        self.pay(Fx, Fees, (fee, p.currency));
        self.pay(Fx, Pending(p.merchant), (amount - fee, p.currency));
        let days = self.unsettled.entry((p.merchant, p.currency)).or_default();
        let day = days.entry(self.now.div_euclid(DAY) + settings.delay).or_default();
        *day = [day[0] + 1, day[1] + amount, day[2] + fee];
        ensure(days.values().map(|day| day[1]).sum::<i128>() <= LIMIT, "balance_limit_exceeded")
    }

    /// The merchant owes what was refunded: from available as far as it goes, from pending, then on credit.
    fn refund(&mut self, id: u8, was: Payment, amount: i128) -> Refused<()> {
        let settings = self.merchants[&was.merchant];
        let p = was.refund(amount, &settings);
        let fee_back = p.fee_back - was.fee_back;
        let (owed, available) = (amount - fee_back, self.has(Available(p.merchant), p.currency));
        let first = available.max(0).min(owed);
        let drawn = self.has(Pending(p.merchant), p.currency).min(owed - first);
        let left = available - (owed - drawn);
        let covered = first + drawn == owed || left >= -amount_in(settings.limit, p.currency);
        ensure(covered, "insufficient_available_balance")?;
        *self.drawn.entry((p.merchant, p.currency)).or_default() += drawn;
        self.pay(Fees, Fx, (fee_back, p.currency));
        self.pay(Available(p.merchant), Fx, (owed - drawn, p.currency));
        self.pay(Pending(p.merchant), Fx, (drawn, p.currency));
        self.keep(id, p);
        Ok(())
    }

    /// Opens a dispute, or again one that was won.
    fn reserve(&mut self, id: u8, payment: u8, p: Payment, amount: i128, reopened: bool) {
        let (disputed, refundable) = (p.disputed + amount, p.refundable - amount);
        self.payments.insert(payment, Payment { disputed, refundable, ..p });
        self.pay(Available(p.merchant), Reserved(p.merchant), (amount, p.currency));
        let (status, respond_by) = ("needs_response", self.now + 14 * DAY);
        self.disputes.insert(id, Dispute { payment, amount, status, respond_by, reopened });
    }

    /// Ends a dispute: its money goes back to the merchant, or to the client.
    fn close(&mut self, id: u8, dispute: Dispute, mut p: Payment, is_won: bool) {
        let (status, to, total) = match is_won {
            true => ("won", Available(p.merchant), &mut p.refundable),
            false => ("lost", Fx, &mut p.charged_back),
        };
        *total += dispute.amount;
        p.disputed -= dispute.amount;
        self.pay(Reserved(p.merchant), to, (dispute.amount, p.currency));
        self.keep(dispute.payment, p);
        self.disputes.insert(id, Dispute { status, ..dispute });
    }

    fn settle(&mut self, merchant: Option<u8>, currency: Option<Currency>, through: i128) -> Refused<()> {
        let is_asked =
            |of: &(u8, Currency)| merchant.is_none_or(|m| m == of.0) && currency.is_none_or(|c| c == of.1);
        for ((m, c), mut due) in self.unsettled.clone().into_iter().filter(|(of, _)| is_asked(of)) {
            self.unsettled.insert((m, c), due.split_off(&(through + 1)));
            let [count, gross, fees] = [0, 1, 2].map(|n| due.values().map(|day| day[n]).sum::<i128>());
            let drawn = self.drawn.entry((m, c)).or_default();
            let absorbed = (gross - fees).min(*drawn);
            *drawn -= absorbed;
            let amount = gross - fees - absorbed;
            if count > 0 {
                self.pay(Pending(m), Available(m), (amount, c));
                self.settled.push((m, c, [count, gross, fees, absorbed, amount]));
            }
        }
        ensure(!self.settled.is_empty(), "nothing")
    }
}
