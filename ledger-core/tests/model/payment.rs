//! Payments and their disputes: who pays, what is done with them, and their arithmetic.

use super::words::Account::{Available, ClientAvailable, Pending};
use super::words::{Act, Currency, DAY, Decimal, Flag, LIMIT, Mistake, Money, Ruling, amount_in, fraction};
use super::{Model, Refused, ensure};

/// A payment's totals, in its currency.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payment {
    pub merchant: u8,
    pub client: u8,
    pub currency: Currency,
    /// The currency that pays, and at what rate: 1 if it is the payment's own.
    pub funding: (Currency, Decimal),
    pub expires_at: i128,
    /// `declined`, `warned` or `expired`.
    pub mark: &'static str,
    pub authorized: i128,
    pub capturable: i128,
    pub captured: i128,
    pub refunded: i128,
    pub disputed: i128,
    pub charged_back: i128,
    pub fee: i128,
    pub fee_back: i128,
    /// What went back to the client, in the currency that pays; and what of it by refunds.
    pub back: i128,
    pub back_refunded: i128,
}

#[derive(Clone, Copy, Debug)]
pub struct Dispute {
    pub payment: u8,
    pub amount: i128,
    pub status: &'static str,
    pub respond_by: i128,
    pub answered: bool,
    pub reopened: bool,
    /// What the client got for it, in the currency that pays.
    pub back: i128,
}

/// The amount: all that is left unless less is asked for. That nothing is left is a matter of state.
fn ask(left: i128, asked: Option<Money>, none: &'static str, exceeds: &'static str) -> Refused<i128> {
    ensure(left > 0, none)?;
    let amount = asked.map_or(left, |money| money.0);
    ensure(amount <= left, exceeds).map(|()| amount)
}

fn half_up(dividend: i128, divisor: i128) -> i128 {
    (2 * dividend + divisor).div_euclid(2 * divisor)
}

impl Model {
    /// Finds who pays and with what, or why the payment is declined.
    pub(super) fn payer(
        &mut self,
        number: u8,
        money: Money,
        mistake: Mistake,
    ) -> Refused<(u8, (Currency, Decimal))> {
        ensure(mistake != Mistake::Number, "invalid_number")?;
        ensure(mistake != Mistake::PastExpiry, "expired_card")?;
        ensure(mistake != Mistake::UnknownCard, "card_not_recognised")?;
        let (client, wrong) = self.cards.get_mut(&number).ok_or("card_not_recognised")?;
        *wrong = if mistake == Mistake::None { 0 } else { *wrong + 1 };
        let is_blocked = self.flags[&(Flag::Blocked, number)] || *wrong == 5;
        self.flags.insert((Flag::Blocked, number), is_blocked);
        ensure(mistake != Mistake::Expiry, "invalid_expiry")?;
        ensure(mistake != Mistake::Cvc, "invalid_cvc")?;
        let client = *client;
        ensure(!is_blocked && !self.flags[&(Flag::Closed, client)], "card_blocked")?;
        let rates = self.rates.iter().filter(|((_, to), (_, until))| *to == money.1 && self.now < *until);
        let others = rates.map(|((from, _), (rate, _))| (*from, *rate));
        let covers = |funding: &(Currency, Decimal)| {
            let p = Payment { funding: *funding, currency: money.1, ..Payment::default() };
            p.cost(money.0) <= self.has(ClientAvailable(client), funding.0)
        };
        let funding = [(money.1, (1, 0))].into_iter().chain(others).find(covers);
        funding.map(|funding| (client, funding)).ok_or("insufficient_funds")
    }

    pub(super) fn act(&mut self, id: u8, p: &mut Payment, act: Act) -> Refused {
        let (is_open, is_late) = (p.capturable > 0, self.now >= p.expires_at);
        let is_held = |none| ensure(is_open, none).and_then(|()| ensure(!is_late, "authorization_expired"));
        match act {
            Act::Increment((amount, _)) => {
                is_held("payment_not_incrementable")?;
                ensure(!self.flags[&(Flag::Suspended, p.merchant)], "merchant_suspended")?;
                let [before, _] = p.legs();
                (p.authorized, p.capturable) = (p.authorized + amount, p.capturable + amount);
                ensure(p.authorized <= LIMIT, "balance_limit_exceeded")?;
                let available = self.has(ClientAvailable(p.client), p.funding.0);
                ensure(p.legs()[0] - before <= available, "insufficient_funds")?;
            }
            Act::Capture(asked, is_final) => {
                is_held("payment_not_capturable")?;
                let amount = ask(p.capturable, asked, "", "capture_exceeds_authorization")?;
                self.capture(p, amount, is_final)?;
            }
            Act::Void => {
                is_held("payment_not_voidable")?;
                p.capturable = 0;
            }
            Act::Refund(asked) => {
                let amount = ask(p.refundable(), asked, "payment_not_refundable", "refund_exceeds_captured")?;
                self.refund(p, amount)?;
            }
            Act::Warn => {
                ensure(is_open && !is_late && p.mark != "warned", "nothing")?;
                ensure(self.now >= p.expires_at - DAY, "too_early")?;
                p.mark = "warned";
            }
            Act::Expire => {
                ensure(is_open, "nothing")?;
                ensure(is_late, "too_early")?;
                (p.capturable, p.mark) = (0, "expired");
            }
            Act::Dispute(dispute, asked) => {
                let exceeds = "dispute_exceeds_refundable";
                let amount = ask(p.refundable(), asked, "payment_not_disputable", exceeds)?;
                p.disputed += amount;
                self.disputes.insert(dispute, Dispute::open(id, amount, self.now, false));
            }
        }
        Ok(())
    }

    pub(super) fn capture(&mut self, p: &mut Payment, amount: i128, is_final: bool) -> Refused {
        let settings = self.merchants[&p.merchant];
        let fixed = if p.captured == 0 { amount_in(settings.fixed, p.currency) } else { 0 };
        let fee = amount.min(half_up(amount * settings.percent, 1_000_000) + fixed);
        (p.captured, p.fee) = (p.captured + amount, p.fee + fee);
        p.capturable = if is_final { 0 } else { p.capturable - amount };
        let days = self.unsettled.entry((p.merchant, p.currency)).or_default();
        let [count, gross, fees] = days.entry(self.now.div_euclid(DAY) + settings.delay).or_default();
        (*count, *gross, *fees) = (*count + 1, *gross + amount, *fees + fee);
        ensure(days.values().map(|day| day[1]).sum::<i128>() <= LIMIT, "balance_limit_exceeded")
    }

    /// What the merchant owes comes from available as far as it goes, then from pending, then on credit.
    fn refund(&mut self, p: &mut Payment, amount: i128) -> Refused {
        let settings = self.merchants[&p.merchant];
        p.refunded += amount;
        let due = if settings.keeps_fee { 0 } else { half_up(p.fee * p.refunded, p.captured) };
        let fee = (due - p.fee_back).clamp(0, amount);
        p.fee_back += fee;
        p.back_refunded += p.give_back();
        let owed = amount - fee;
        let [available, pending] = [Available, Pending].map(|of| self.has(of(p.merchant), p.currency));
        let drawn = pending.min(owed - available.clamp(0, owed));
        *self.drawn.entry((p.merchant, p.currency)).or_default() += drawn;
        let is_lent = available - (owed - drawn) >= -amount_in(settings.limit, p.currency);
        ensure(available.max(0) + pending >= owed || is_lent, "insufficient_available_balance")
    }
}

impl Payment {
    /// f: what a total costs in the currency that pays, rounded up.
    pub fn cost(&self, total: i128) -> i128 {
        let (numerator, denominator) = fraction(self.funding.1, self.funding.0, self.currency);
        (total * denominator + numerator - 1).div_euclid(numerator)
    }

    /// What is promised to the merchant, and what left the client: f of the running totals.
    pub fn legs(&self) -> [i128; 2] {
        [self.captured + self.capturable, self.captured].map(|total| self.cost(total))
    }

    /// Gives back what it now comes to; returns how much that is. Corrections may have brought it out of step.
    fn give_back(&mut self) -> i128 {
        let due = (self.cost(self.refunded + self.charged_back) - self.back).max(0);
        self.back += due;
        due
    }

    pub fn refundable(&self) -> i128 {
        self.captured - self.refunded - self.disputed - self.charged_back
    }

    /// Where the payment stands: the first that holds.
    pub fn status(&self) -> &'static str {
        let (back, is_open) = (self.refunded + self.charged_back, self.capturable > 0);
        let statuses = [
            (self.mark == "declined", "declined"),
            (self.disputed > 0, "disputed"),
            (self.captured > 0 && back == self.captured && !is_open, "refunded"),
            (back > 0, "partially_refunded"),
            (self.captured > 0 && !is_open, "captured"),
            (self.captured > 0, "partially_captured"),
            (self.mark == "expired", "expired"),
            (!is_open, "voided"),
        ];
        statuses.iter().find(|(holds, _)| *holds).map_or("authorized", |(_, status)| status)
    }
}

impl Dispute {
    /// Opens it: the merchant has 14 days to respond.
    pub fn open(payment: u8, amount: i128, now: i128, reopened: bool) -> Self {
        let (status, respond_by) = ("needs_response", now + 14 * DAY);
        Self { payment, amount, status, respond_by, answered: false, reopened, back: 0 }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.status, "needs_response" | "under_review")
    }

    /// What is disputed is reserved; it goes back to the merchant, or to the client.
    pub fn rule(&mut self, p: &mut Payment, ruling: Ruling, now: i128) -> Refused {
        let (waits, is_late) = (self.status == "needs_response", now >= self.respond_by);
        let (is_open, amount) = (self.is_open(), self.amount);
        match ruling {
            Ruling::Evidence(by) => {
                ensure(by == p.merchant, "not_found")?;
                ensure(is_open && !is_late, "dispute_closed")?;
                (self.status, self.answered) = ("under_review", true);
            }
            Ruling::Win => {
                ensure(is_open && !(waits && is_late), "dispute_closed")?;
                (self.status, p.disputed) = ("won", p.disputed - amount);
            }
            Ruling::Lose | Ruling::LoseUnanswered => {
                let by_silence = ruling == Ruling::LoseUnanswered;
                ensure(is_open || by_silence, "dispute_closed")?;
                ensure(waits || !by_silence, "nothing")?;
                ensure(is_late || !by_silence, "too_early")?;
                (p.disputed, p.charged_back) = (p.disputed - amount, p.charged_back + amount);
                (self.status, self.back) = ("lost", p.give_back());
            }
            Ruling::Reopen => {
                ensure(self.status == "won" && !self.reopened, "dispute_closed")?;
                ensure(p.refundable() > 0, "payment_not_disputable")?;
                ensure(p.refundable() >= amount, "dispute_exceeds_refundable")?;
                p.disputed += amount;
                *self = Self::open(self.payment, amount, now, true);
            }
        }
        Ok(())
    }
}
