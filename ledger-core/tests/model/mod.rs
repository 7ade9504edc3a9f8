//! The reference model: the contract once more, as plain arithmetic over maps.
//!
//! It knows nothing of how the ledger decides and folds. It takes the same steps and predicts each one's outcome
//! (its first event's type, the code of a decline or refusal, or `nothing`) and every balance. What is done with a
//! payment is in [`payment`]; [`words`] are what the model is told, and [`plan`] draws what comes next.

pub mod payment;
pub mod plan;
pub mod words;

use std::collections::BTreeMap;

use payment::{Dispute, Payment};
use words::Account::{self, *};
use words::{Cash, Currency, DAY, Decimal, Flag, LIMIT, Money, News, Ruling, Settings, Step};

/// All that the model knows; everything has a number.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: i128,
    /// As credits, so that those of a currency sum to zero.
    pub accounts: BTreeMap<(Account, Currency), i128>,
    pub flags: BTreeMap<(Flag, u8), bool>,
    /// The holder, and the wrong attempts.
    pub cards: BTreeMap<u8, (u8, u8)>,
    pub merchants: BTreeMap<u8, Settings>,
    pub payments: BTreeMap<u8, Payment>,
    pub disputes: BTreeMap<u8, Dispute>,
    pub payouts: BTreeMap<u8, (u8, Money, &'static str)>,
    /// Each pair's rate, and until when it is valid.
    pub rates: BTreeMap<(Currency, Currency), (Decimal, i128)>,
    /// Captures that no settlement has taken, by their day: count, gross and fees.
    pub unsettled: BTreeMap<(u8, Currency), BTreeMap<i128, [i128; 3]>>,
    /// What refunds took from pending and no settlement has absorbed.
    pub drawn: BTreeMap<(u8, Currency), i128>,
    /// The last step's settlements: count, gross, fees, absorbed and amount.
    pub settled: Vec<(u8, Currency, [i128; 5])>,
    /// How many steps were taken; the days of those that did something, and what has corrected them.
    pub steps: usize,
    pub past: BTreeMap<usize, (i128, Step, Option<u8>)>,
    /// Which step each is about, and who asked.
    pub corrections: BTreeMap<u8, (usize, u8)>,
    pub outcome: &'static str,
}

type Refused<T = ()> = Result<T, &'static str>;

fn ensure(holds: bool, otherwise: &'static str) -> Refused {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn found<K: Ord, T: Copy>(map: &BTreeMap<K, T>, id: K) -> Refused<T> {
    map.get(&id).copied().ok_or("not_found")
}

impl Model {
    /// Takes a step; one that is refused changes nothing but the time.
    pub fn apply(&mut self, wait: i128, step: &Step) {
        (self.now, self.steps) = (self.now + wait, self.steps + 1);
        self.settled.clear();
        let mut next = Self { outcome: step.event(), ..self.clone() };
        match next.decide(*step).and_then(|()| next.add_up(*step)) {
            Ok(()) => *self = next,
            Err(code) => self.outcome = code,
        }
    }

    pub fn has(&self, account: Account, currency: Currency) -> i128 {
        self.accounts.get(&(account, currency)).copied().unwrap_or_default()
    }

    pub fn today(&self) -> i128 {
        self.now.div_euclid(DAY)
    }

    /// Carries out a step, or refuses it; what was changed until then does not count.
    fn decide(&mut self, step: Step) -> Refused {
        match step {
            Step::OpenClient(id) => drop(self.flags.insert((Flag::Closed, id), false)),
            Step::IssueCard { client, number } => {
                ensure(!found(&self.flags, (Flag::Closed, client))?, "client_closed")?;
                ensure(self.cards.insert(number, (client, 0)).is_none(), "card_already_registered")?;
                self.flags.insert((Flag::Blocked, number), false);
            }
            Step::OpenMerchant(id, settings) => {
                self.flags.insert((Flag::Suspended, id), false);
                self.merchants.insert(id, settings);
            }
            Step::ChangeSettings(id, settings) => {
                ensure(self.merchants.insert(id, settings).ok_or("not_found")? != settings, "nothing")?;
            }
            Step::CreateKey(id, merchant) => {
                merchant.map_or(Ok(()), |id| found(&self.merchants, id).map(drop))?;
                self.flags.insert((Flag::Revoked, id), false);
            }
            Step::Set(flag, id, to) => {
                let changes = self.flags.insert((flag, id), to).ok_or("not_found")? != to;
                let forgives =
                    flag == Flag::Blocked && std::mem::take(&mut self.cards.entry(id).or_default().1) > 0;
                ensure(changes || forgives && !to, "nothing")?;
                ensure(flag != Flag::Closed || self.is_empty(id), "client_not_empty")?;
            }
            Step::Move(cash, id, (amount, currency)) => {
                let closed = found(&self.flags, (cash.flag(), id))?;
                let [has, owes] = cash.accounts(id).map(|account| self.has(account, currency));
                match cash {
                    Cash::Deposit => ensure(!closed, "client_closed")?,
                    Cash::Withdrawal => ensure(has >= amount, "insufficient_available_balance")?,
                    Cash::MerchantDeposit => {}
                    Cash::WriteOff => ensure(-owes >= amount, "write_off_exceeds_debt")?,
                }
            }
            Step::Pay { id, merchant, number, money, automatic, mistake, days } => {
                ensure(!found(&self.flags, (Flag::Suspended, merchant))?, "merchant_suspended")?;
                let mut p = Payment { merchant, currency: money.1, mark: "declined", ..Payment::default() };
                match self.payer(number, money, mistake) {
                    Ok((client, funding)) => {
                        let expires_at = self.now + days * DAY;
                        p = Payment { client, funding, expires_at, mark: "", ..p };
                        (p.authorized, p.capturable) = (money.0, money.0);
                        if automatic {
                            self.capture(&mut p, money.0, true)?;
                        }
                    }
                    Err(code) => self.outcome = code,
                }
                self.payments.insert(id, p);
            }
            Step::Act { id, by, mut act } => {
                let mut p = found(&self.payments, id)?;
                ensure(by.is_none_or(|merchant| merchant == p.merchant), "not_found")?;
                ensure(act.asked().is_none_or(|money| money.1 == p.currency), "currency_mismatch")?;
                self.act(id, &mut p, act)?;
                self.payments.insert(id, p);
            }
            Step::Rule { id, payment, ruling } => {
                let mut dispute = found(&self.disputes, id)?;
                ensure(dispute.payment == payment, "not_found")?;
                let p = self.payments.get_mut(&payment).ok_or("not_found")?;
                dispute.rule(p, ruling, self.now)?;
                self.disputes.insert(id, dispute);
            }
            Step::Settle { merchant, currency, as_of } => {
                merchant.map_or(Ok(()), |id| found(&self.merchants, id).map(drop))?;
                ensure(as_of.is_none_or(|as_of| as_of <= self.now), "too_early")?;
                self.settle(merchant, currency, as_of.unwrap_or(self.now).div_euclid(DAY))?;
            }
            Step::RequestPayout { id, merchant, money } => {
                ensure(!found(&self.flags, (Flag::Suspended, merchant))?, "merchant_suspended")?;
                ensure(self.has(Available(merchant), money.1) >= money.0, "insufficient_available_balance")?;
                self.payouts.insert(id, (merchant, money, "requested"));
            }
            Step::ChangePayout(id, news) => {
                let payout = self.payouts.get_mut(&id).ok_or("not_found")?;
                ensure(payout.2 == news.change().0, "payout_closed")?;
                payout.2 = news.change().1;
            }
            Step::SetRate { from, to, rate, valid_until } => {
                ensure(self.now < valid_until, "fx_rate_expired")?;
                self.rates.insert((from, to), (rate, valid_until));
            }
            Step::RequestCorrection { id, nth, day, by } => {
                let (its_day, ..) = found(&self.past, nth)?;
                ensure((its_day..=self.today()).contains(&day), "date_out_of_range")?;
                self.check_correctable(nth)?;
                self.corrections.insert(id, (nth, by));
            }
            Step::ApproveCorrection { id, by } => {
                let (nth, requested_by) = found(&self.corrections, id)?;
                ensure(self.past[&nth].2 != Some(id), "nothing")?;
                ensure(by != requested_by, "correction_needs_another_key")?;
                self.check_correctable(nth)?;
                self.take_back(self.past[&nth].1)?;
                self.past.entry(nth).and_modify(|past| past.2 = Some(id));
            }
        }
        Ok(())
    }

    /// Adds everything up: all but cash is a matter of what payments and payouts have come to.
    fn add_up(&mut self, step: Step) -> Refused {
        self.past.insert(self.steps, (self.today(), step, None));
        self.accounts.clear();
        let mut pay = |from, to, (amount, currency): Money| {
            *self.accounts.entry((from, currency)).or_default() -= amount;
            *self.accounts.entry((to, currency)).or_default() += amount;
        };
        for past in self.past.values() {
            if let (_, Step::Move(cash, id, money), None) = *past {
                let [from, to] = cash.accounts(id);
                pay(from, to, money);
            }
        }
        for p in self.payments.values().filter(|p| p.mark != "declined") {
            let ([promised, spent], (pays, _)) = (p.legs(), p.funding);
            pay(ClientAvailable(p.client), ClientHeld(p.client), (promised - spent, pays));
            pay(ClientAvailable(p.client), Fx, (spent - p.back, pays));
            let (earned, fee) = (p.captured - p.refunded - p.charged_back, p.fee - p.fee_back);
            pay(Fx, Available(p.merchant), (earned - fee, p.currency));
            pay(Fx, Fees, (fee, p.currency));
            pay(Available(p.merchant), Reserved(p.merchant), (p.disputed, p.currency));
        }
        for ((m, c), days) in &self.unsettled {
            let net: i128 = days.values().map(|[_, gross, fees]| gross - fees).sum();
            pay(Available(*m), Pending(*m), (net - self.drawn.get(&(*m, c)).unwrap_or(&0), c));
        }
        for (m, money, status) in self.payouts.values().filter(|it| matches!(it.2, "requested" | "paid")) {
            pay(Available(*m), if *status == "paid" { Bank } else { InTransit(*m) }, *money);
        }
        for ((account, currency), balance) in &self.accounts {
            let has = |account| self.has(account, currency);
            let total = match *account {
                ClientAvailable(id) | ClientHeld(id) => has(ClientAvailable(id)) + has(ClientHeld(id)),
                Pending(id) | Available(id) | Reserved(id) | InTransit(id) => {
                    has(Pending(id)) + (has(Available(id)) + has(Reserved(id)) + has(InTransit(id))).max(0)
                }
                Bank | Fees | Fx | Losses => continue,
            };
            ensure(total <= LIMIT && balance.abs() <= LIMIT, "balance_limit_exceeded")?;
        }
        Ok(())
    }

    /// Whether a client has nothing, and nothing can come to it.
    fn is_empty(&self, id: u8) -> bool {
        let is_its = |account| matches!(account, ClientAvailable(it) | ClientHeld(it) if it == id);
        let has = self.accounts.iter().any(|((account, _), has)| is_its(*account) && *has != 0);
        !has && !self.payments.values().any(|p| p.client == id && p.capturable + p.disputed > 0)
    }

    fn settle(&mut self, merchant: Option<u8>, currency: Option<Currency>, through: i128) -> Refused {
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

    /// Whether the step is of a kind that is corrected, and was not, and nothing came after it.
    fn check_correctable(&self, nth: usize) -> Refused {
        let (_, step, corrected_by) = self.past[&nth];
        let (stands, code) = match step {
            Step::Move(cash, ..) if cash != Cash::WriteOff => (true, ""),
            Step::ChangePayout(id, News::Paid) => (self.payouts[&id].2 == "paid", "payout_closed"),
            Step::Rule { id, ruling: Ruling::Lose | Ruling::LoseUnanswered, .. } => {
                (self.disputes[&id].status == "lost", "dispute_closed")
            }
            _ => return Err("event_not_correctable"),
        };
        ensure(corrected_by.is_none(), "event_already_corrected")?;
        ensure(stands, code)
    }

    /// Takes back what a step did, as far as there is still something there.
    fn take_back(&mut self, step: Step) -> Refused {
        let covered = match step {
            Step::Move(cash, id, (amount, currency)) => {
                let [_, to] = cash.accounts(id);
                to == Bank || self.has(to, currency) >= amount
            }
            Step::Rule { id, payment, .. } => {
                let (mut dispute, mut p) = (self.disputes[&id], self.payments[&payment]);
                let (amount, back) = (dispute.amount, dispute.back);
                let waits = !dispute.answered && self.now < dispute.respond_by;
                dispute.status = if waits { "needs_response" } else { "under_review" };
                (p.disputed, p.charged_back, p.back) =
                    (p.disputed + amount, p.charged_back - amount, p.back - back);
                self.disputes.insert(id, dispute);
                self.payments.insert(payment, p);
                self.has(ClientAvailable(p.client), p.funding.0) >= back
            }
            Step::ChangePayout(id, _) => {
                self.payouts.entry(id).and_modify(|payout| payout.2 = "requested");
                true
            }
            _ => true,
        };
        ensure(covered, "insufficient_available_balance")
    }
}
