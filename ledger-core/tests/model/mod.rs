//! The reference model: the contract once more, as plain arithmetic over maps.
//!
//! It knows nothing of how the ledger decides and folds. It takes the same steps and predicts each one's outcome
//! (its first event's type, the code of a decline or refusal, or `nothing`) and every balance. [`words`] are what
//! it is told and the names of what comes of it; [`plan`] draws what comes next.

pub mod plan;
pub mod words;

use std::collections::BTreeMap;

use words::{Account::*, Part::*, *};

/// All that the model knows; everything has a number.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: i128,
    /// How many steps were taken, and what the last one came to.
    pub steps: usize,
    pub outcome: &'static str,
    pub settled: Vec<Settlement>,
    /// How far below zero it might take an account.
    overdraft_limit: i128,
    /// The steps that did something: the day, where the thing stood before, and whether a correction took it back.
    pub past: BTreeMap<usize, (i128, Step, &'static str, bool)>,
    pub status: BTreeMap<Thing, &'static str>,
    /// As credits, so that those of a currency sum to zero.
    pub accounts: Sums<(Account, Currency)>,
    pub card_holders: BTreeMap<u8, u8>,
    wrong_tries: Sums<u8>,
    pub merchants: BTreeMap<u8, Settings>,
    pub payments: BTreeMap<u8, Payment>,
    /// The payment, the amount, until when the merchant can respond, and whether it was reopened.
    pub disputes: BTreeMap<u8, (u8, i128, i128, bool)>,
    pub rates: BTreeMap<(Currency, Currency), Rate>,
    pub unsettled: BTreeMap<(u8, Currency), Vec<Captured>>,
    /// What refunds took from pending and no settlement has absorbed.
    pub drawn: Sums<(u8, Currency)>,
    /// Which step each is about, and who asked.
    pub corrections: BTreeMap<u8, (usize, u8)>,
}

#[derive(Clone, Debug, Default)]
pub struct Payment {
    pub merchant: u8,
    pub client: u8,
    pub currency: Currency,
    pub funding: Funding,
    pub expires_at: i128,
    /// Where its money is: what is done with it moves money from part to part.
    pub parts: Sums<Part>,
    pub net_fee: i128,
    pub fee_back: i128,
    /// What the client got back in the currency that pays: by refunds, and by each dispute that is lost.
    pub back: Sums<Option<u8>>,
}

/// Refuses with the first code that applies.
fn refuse<const N: usize>(codes: [(bool, &'static str); N]) -> Refused {
    codes.iter().find(|(applies, _)| *applies).map_or(Ok(()), |(_, code)| Err(code))
}

/// f: what a total costs in the currency that pays, rounded up.
pub fn cost((pays, rate, paid_in): Funding, total: i128) -> i128 {
    let (numerator, denominator) = fraction(rate, pays, paid_in);
    (total * denominator + numerator - 1) / numerator
}

impl Model {
    /// Takes a step; one that is refused changes nothing but the time.
    pub fn apply(&mut self, wait: i128, step: &Step) {
        (self.now, self.steps) = (self.now + wait, self.steps + 1);
        let mut next = Self { outcome: step.event(), settled: vec![], overdraft_limit: 0, ..self.clone() };
        match next.decide(*step).and_then(|()| next.add_up(*step)) {
            Ok(()) => *self = next,
            Err(code) => (self.outcome, self.settled) = (code, vec![]),
        }
    }

    /// Carries out a step, or refuses it; what was changed until then does not count.
    fn decide(&mut self, step: Step) -> Refused {
        let standing = step.of().map(|thing| self.status.get(&thing).ok_or("not_found")).transpose()?;
        let is_new = matches!(step, Step::IssueCard { .. } | Step::Move(Cash::Deposit, ..))
            || matches!(step, Step::Pay { .. } | Step::RequestPayout { .. });
        let [is_closed, is_suspended] = ["closed", "suspended"].map(|it| is_new && standing == Some(&it));
        refuse([(is_closed, "client_closed"), (is_suspended, "merchant_suspended")])?;
        let was = step.change().and_then(|(thing, status)| self.status.insert(thing, status)).unwrap_or("");
        match step {
            Step::OpenMerchant(id, settings) | Step::ChangeSettings(id, settings) => {
                refuse([(self.merchants.insert(id, settings) == Some(settings), "nothing")])?;
            }
            Step::IssueCard { client, number } => {
                refuse([(self.card_holders.insert(number, client).is_some(), "card_already_registered")])?;
            }
            Step::Set(flag, id, to) => {
                let is_unblock = (flag, to) == (Flag::Blocked, false);
                let forgives = is_unblock && std::mem::take(&mut self.wrong_tries[id]) > 0;
                let has = CURRENCIES.iter().any(|it| self.accounts[(ClientAvailable(id), *it)] > 0);
                let waits = |p: &Payment| p.client == id && p.parts[Capturable] + p.parts[Disputed] > 0;
                let is_busy = flag == Flag::Closed && (has || self.payments.values().any(waits));
                refuse([(was == flag.status(to) && !forgives, "nothing"), (is_busy, "client_not_empty")])?;
            }
            Step::Move(Cash::WriteOff, id, (amount, currency)) => {
                refuse([(-self.accounts[(Available(id), currency)] < amount, "write_off_exceeds_debt")])?;
            }
            Step::OpenClient(_) | Step::Move(..) | Step::CreateKey(..) | Step::RequestPayout { .. } => {}
            Step::Pay { id, merchant, number, money: (amount, currency), automatic, mistake, days } => {
                let (expires_at, funding) = (self.now + days * DAY, (currency, (1, 0), currency));
                let mut p = Payment { merchant, currency, funding, expires_at, ..Payment::default() };
                let declined = self.charge(&mut p, number, amount, mistake).err();
                self.payments.insert(id, p);
                self.outcome = declined.unwrap_or(self.outcome);
                if automatic && declined.is_none() {
                    self.act(id, None, Act::Capture(None, true), was)?;
                }
            }
            Step::Act { id, by, act } => self.act(id, by, act, was)?,
            Step::Settle { merchant, currency, as_of } => {
                let through = as_of.unwrap_or(self.now);
                for (&(m, c), captures) in &mut self.unsettled {
                    let is_asked = merchant.is_none_or(|it| it == m) && currency.is_none_or(|it| it == c);
                    let is_due = |it: &mut Captured| is_asked && it.0 <= through / DAY;
                    let due: Vec<_> = captures.extract_if(.., is_due).collect();
                    let (gross, fees) = due.iter().fold((0, 0), |sum, it| (sum.0 + it.1, sum.1 + it.2));
                    let absorbed = self.drawn[(m, c)].min(gross - fees);
                    self.drawn[(m, c)] -= absorbed;
                    let sums = [due.len() as i128, gross, fees, absorbed, gross - fees - absorbed];
                    self.settled.extend((!due.is_empty()).then_some((m, c, sums)));
                }
                refuse([(through > self.now, "too_early"), (self.settled.is_empty(), "nothing")])?;
            }
            Step::ChangePayout(_, news) => refuse([(was != news.needs(), "payout_closed")])?,
            Step::SetRate { from, to, rate, valid_until } => {
                refuse([(valid_until <= self.now, "fx_rate_expired")])?;
                self.rates.insert((from, to), (rate, valid_until));
            }
            Step::RequestCorrection { id, nth, day, by } => {
                let (from, ..) = self.past.get(&nth).ok_or("not_found")?;
                refuse([(!(*from..=self.now / DAY).contains(&day), "date_out_of_range")])?;
                self.corrections.insert(id, (nth, by));
                self.clone().take_back(nth)?;
            }
            Step::ApproveCorrection { id, by } => {
                let (nth, asked_by) = self.corrections[&id];
                refuse([(was == "approved", "nothing"), (by == asked_by, "correction_needs_another_key")])?;
                self.take_back(nth)?;
            }
        }
        self.past.insert(self.steps, (self.now / DAY, step, was, false));
        Ok(())
    }

    /// Charges the card that the payer tells of, or says why it is declined.
    fn charge(&mut self, p: &mut Payment, number: u8, amount: i128, mistake: Mistake) -> Refused {
        refuse([(!matches!(mistake, Mistake::None | Mistake::Expiry | Mistake::Cvc), mistake.code())])?;
        p.client = *self.card_holders.get(&number).ok_or("card_not_recognised")?;
        self.wrong_tries[number] = if mistake == Mistake::None { 0 } else { self.wrong_tries[number] + 1 };
        let card = if self.wrong_tries[number] == 5 { "blocked" } else { self.status[&Thing::Card(number)] };
        self.status.insert(Thing::Card(number), card);
        let is_blocked = card == "blocked" || self.status[&Thing::Client(p.client)] == "closed";
        refuse([(mistake != Mistake::None, mistake.code()), (is_blocked, "card_blocked")])?;
        let rates = self.rates.iter().filter(|((_, to), (_, until))| *to == p.currency && self.now < *until);
        let others = rates.map(|((from, to), (rate, _))| (*from, *rate, *to));
        let covers = |it: &Funding| cost(*it, amount) <= self.accounts[(ClientAvailable(p.client), it.0)];
        p.funding = [p.funding].into_iter().chain(others).find(covers).ok_or("insufficient_funds")?;
        p.parts[Capturable] = amount;
        Ok(())
    }

    /// Its merchant or the house does something with a payment; without an amount, with all that is left for it.
    fn act(&mut self, id: u8, by: Option<u8>, mut act: Act, was: &str) -> Refused {
        let mut p = self.payments[&id].clone();
        let (asked, [from, to], [none, exceeds]) = (act.asked().copied(), act.parts(), act.codes());
        let dispute = act.dispute().map(|it| self.disputes.get(&it).ok_or("not_found")).transpose()?;
        let (of, all, ends, reopened) = *dispute.unwrap_or(&(id, p.parts[from], p.expires_at, false));
        let is_others = of != id || by.is_some_and(|it| it != p.merchant);
        let is_foreign = asked.is_some_and(|money| money.1 != p.currency);
        refuse([(is_others, "not_found"), (is_foreign, "currency_mismatch")])?;
        let (amount, m, c) = (asked.map_or(all, |money| money.0), p.merchant, p.currency);
        let (is_early, is_late, waits) = (self.now < ends - DAY, self.now >= ends, was == "needs_response");
        let is_open = waits || was == "under_review";
        let is_decided = matches!(act, Act::Reopen(_)) && (was != "won" || reopened);
        refuse([(is_decided, "dispute_closed"), (p.parts[from] == 0, none)])?;
        refuse([(is_late && from == Capturable && by.is_some(), "authorization_expired")])?;
        p.parts.shift(from, to, amount);
        refuse([(p.parts[from] < 0, exceeds)])?;
        let (captured, settings) = (p.parts.since(Refundable), self.merchants[&m]);
        match act {
            Act::Increment(_) => {
                p.parts[Capturable] += amount;
                refuse([(self.status[&Thing::Merchant(m)] == "suspended", "merchant_suspended")])?;
                refuse([(p.parts.since(Released) > LIMIT, "balance_limit_exceeded")])?;
            }
            Act::Capture(_, is_final) => {
                let fixed = if captured == amount { amount_in(settings.fixed, c) } else { 0 };
                let fee = amount.min((amount * settings.percent + 500_000) / 1_000_000 + fixed);
                p.net_fee += fee;
                let day = self.now / DAY + settings.delay;
                self.unsettled.entry((m, c)).or_default().push((day, amount, fee));
                p.parts.shift(Capturable, Released, if is_final { p.parts[Capturable] } else { 0 });
            }
            Act::Refund(_) => {
                // Half up, as every fee.
                let taken = p.net_fee + p.fee_back;
                let due = (2 * taken * p.parts[Refunded] + captured) / (2 * captured) - p.fee_back;
                let fee = if settings.keeps_fee { 0 } else { due.clamp(0, amount) };
                (p.net_fee, p.fee_back) = (p.net_fee - fee, p.fee_back + fee);
                // What is owed comes from available as far as it goes, then from pending, then on credit.
                let [available, pending] = [Available(m), Pending(m)].map(|it| self.accounts[(it, c)]);
                self.drawn[(m, c)] += pending.min(amount - fee - available.clamp(0, amount - fee));
                self.overdraft_limit = amount_in(settings.limit, c);
            }
            Act::Void => {}
            Act::Warn => refuse([(is_late || was == "warned", "nothing"), (is_early, "too_early")])?,
            Act::Expire => refuse([(!is_late, "too_early")])?,
            Act::Dispute(it, _) | Act::Reopen(it) => {
                self.disputes.insert(it, (id, amount, self.now + 14 * DAY, act.dispute().is_some()));
                self.overdraft_limit = i128::MAX;
            }
            Act::Submit(_) => refuse([(!is_open || is_late, "dispute_closed")])?,
            Act::Win(_) => refuse([(!is_open || is_late && waits, "dispute_closed")])?,
            Act::Lose(_) => refuse([(!is_open, "dispute_closed")])?,
            Act::LoseUnanswered(_) => refuse([(!waits, "nothing"), (!is_late, "too_early")])?,
        }
        if matches!(to, Refunded | ChargedBack) {
            // Corrections may have brought it out of step.
            p.back[act.dispute()] += (cost(p.funding, p.parts.since(Refunded)) - p.back.since(None)).max(0);
        }
        self.payments.insert(id, p);
        Ok(())
    }

    /// Takes back what a step did, if that can be corrected, and was not, and nothing came after it.
    fn take_back(&mut self, nth: usize) -> Refused {
        let (_, step, was, is_corrected) = self.past.get_mut(&nth).ok_or("not_found")?;
        refuse([(std::mem::replace(is_corrected, true), "event_already_corrected")])?;
        match *step {
            Step::Move(Cash::Deposit | Cash::Withdrawal | Cash::MerchantDeposit, ..) => Ok(()),
            Step::ChangePayout(id, News::Paid) => {
                refuse([(self.status.insert(Thing::Payout(id), *was) != Some("paid"), "payout_closed")])
            }
            Step::Act { id, act: Act::Lose(it) | Act::LoseUnanswered(it), .. } => {
                let (_, amount, respond_by, _) = self.disputes[&it];
                let p = self.payments.get_mut(&id).ok_or("not_found")?;
                p.parts.shift(ChargedBack, Disputed, amount);
                p.back[Some(it)] = 0;
                let status = if self.now < respond_by { *was } else { "under_review" };
                refuse([(self.status.insert(Thing::Dispute(it), status) != Some("lost"), "dispute_closed")])
            }
            _ => Err("event_not_correctable"),
        }
    }

    /// Adds up what was moved and what payments have come to; no account may then lack money, or have too much.
    fn add_up(&mut self, step: Step) -> Refused {
        let before = std::mem::take(&mut self.accounts);
        let mut pay = |from, to, (amount, of): Money| self.accounts.shift((from, of), (to, of), amount);
        for (_, step, ..) in self.past.values().filter(|(.., is_corrected)| !is_corrected) {
            let status = step.change().map_or("", |(thing, _)| self.status[&thing]);
            step.moves(status).into_iter().for_each(|([from, to], money)| pay(from, to, money));
        }
        for p in self.payments.values() {
            let [promised, spent] = [Capturable, Refundable].map(|part| cost(p.funding, p.parts.since(part)));
            pay(ClientAvailable(p.client), ClientHeld(p.client), (promised - spent, p.funding.0));
            pay(ClientAvailable(p.client), Fx, (spent - p.back.since(None), p.funding.0));
            pay(Fx, Fees, (p.net_fee, p.currency));
            pay(Fx, Available(p.merchant), (p.parts[Refundable] - p.net_fee, p.currency));
            pay(Fx, Reserved(p.merchant), (p.parts[Disputed], p.currency));
        }
        let (mut lacks, mut exceeds, mut totals) = (false, false, Sums::default());
        for (&(m, c), captures) in &self.unsettled {
            let net = captures.iter().map(|(_, gross, fee)| gross - fee).sum::<i128>();
            pay(Available(m), Pending(m), (net - self.drawn[(m, c)], c));
            exceeds |= captures.iter().map(|(_, gross, _)| gross).sum::<i128>() > LIMIT;
        }
        for (&(account, currency), &balance) in self.accounts.iter() {
            let Some(owner) = account.owner() else { continue };
            totals[(owner, currency)] += balance;
            lacks |= balance < before[(account, currency)].min(-self.overdraft_limit);
            exceeds |= balance.abs() > LIMIT;
        }
        exceeds |= totals.iter().any(|(_, total)| *total > LIMIT);
        refuse([(lacks, step.lacking()), (exceeds, "balance_limit_exceeded")])
    }

    /// Where a payment stands.
    pub fn stands(&self, id: u8) -> &'static str {
        let (parts, status) = (&self.payments[&id].parts, self.status[&Thing::Payment(id)]);
        match (parts.since(Refundable), parts.since(Refunded), parts[Capturable]) {
            _ if parts.since(Released) == 0 => "declined",
            _ if parts[Disputed] > 0 => "disputed",
            (0, ..) => status,
            (captured, back, 0) if captured == back => "refunded",
            (_, 1.., _) => "partially_refunded",
            (.., 0) => "captured",
            _ => "partially_captured",
        }
    }
}
