//! A payment and a dispute by themselves: their totals, fees, and what they cost in another currency.

use super::words::{Currency, Decimal, Settings, amount_in, fraction};

/// A payment's totals, in its currency.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payment {
    pub merchant: u8,
    pub client: u8,
    pub currency: Currency,
    /// The currency that pays, and at what rate: 1 if it is the payment's own.
    pub funding: (Currency, Decimal),
    pub expires_at: i128,
    pub declined: bool,
    pub warned: bool,
    pub expired: bool,
    pub authorized: i128,
    pub capturable: i128,
    pub captured: i128,
    pub refundable: i128,
    pub refunded: i128,
    pub disputed: i128,
    pub charged_back: i128,
    pub fee: i128,
    pub fee_back: i128,
}

#[derive(Clone, Copy, Debug)]
pub struct Dispute {
    pub payment: u8,
    pub amount: i128,
    pub status: &'static str,
    pub respond_by: i128,
    pub reopened: bool,
}

fn half_up(dividend: i128, divisor: i128) -> i128 {
    (2 * dividend + divisor).div_euclid(2 * divisor)
}

impl Payment {
    /// f: what a total costs in the currency that pays, rounded up.
    pub fn cost(&self, total: i128) -> i128 {
        let (numerator, denominator) = fraction(self.funding.1, self.funding.0, self.currency);
        (total * denominator + numerator - 1).div_euclid(numerator)
    }

    /// What is promised to the merchant, what left the client, and what came back: f of the running totals.
    pub fn legs(&self) -> [i128; 3] {
        let promised = self.captured + self.capturable;
        [promised, self.captured, self.refunded + self.charged_back].map(|total| self.cost(total))
    }

    pub fn capture(&mut self, amount: i128, is_final: bool, settings: &Settings) {
        let fixed = if self.captured == 0 { amount_in(settings.fixed, self.currency) } else { 0 };
        self.fee += amount.min(half_up(amount * settings.percent, 1_000_000) + fixed);
        self.captured += amount;
        self.refundable += amount;
        self.capturable = if is_final { 0 } else { self.capturable - amount };
    }

    pub fn refund(&mut self, amount: i128, settings: &Settings) {
        self.refunded += amount;
        self.refundable -= amount;
        let share = if settings.keeps_fee { 0 } else { half_up(self.fee * self.refunded, self.captured) };
        self.fee_back += (share - self.fee_back).clamp(0, amount);
    }

    /// Where the payment stands: the first that holds.
    pub fn status(&self) -> &'static str {
        let (back, is_open) = (self.refunded + self.charged_back, self.capturable > 0);
        let statuses = [
            (self.declined, "declined"),
            (self.disputed > 0, "disputed"),
            (self.captured > 0 && back == self.captured && !is_open, "refunded"),
            (back > 0, "partially_refunded"),
            (self.captured > 0 && !is_open, "captured"),
            (self.captured > 0, "partially_captured"),
            (self.expired, "expired"),
            (!is_open, "voided"),
        ];
        statuses.iter().find(|(holds, _)| *holds).map_or("authorized", |(_, status)| status)
    }
}

impl Dispute {
    pub fn is_open(&self) -> bool {
        matches!(self.status, "needs_response" | "under_review")
    }
}
