//! What the model's arithmetic is made of: money, rates, and what payments and disputes are by themselves.

/// No balance and no payment's total may pass it.
pub const LIMIT: i128 = 9_007_199_254_740_991;
/// A day, in microseconds.
pub const DAY: i128 = 86_400_000_000;

/// An ISO 4217 code.
pub type Currency = &'static str;
/// Minor units of a currency.
pub type Money = (i128, Currency);

/// Currencies of all lengths.
pub const CURRENCIES: [Currency; 5] = ["EUR", "JPY", "KWD", "CLF", "USD"];

pub fn decimals(currency: Currency) -> u32 {
    match currency {
        "JPY" => 0,
        "KWD" => 3,
        "CLF" => 4,
        _ => 2,
    }
}

pub fn half_up(dividend: i128, divisor: i128) -> i128 {
    (2 * dividend + divisor).div_euclid(2 * divisor)
}

pub fn amount_in(list: &[Money], currency: Currency) -> i128 {
    list.iter().find(|money| money.1 == currency).map_or(0, |money| money.0)
}

/// A rate as a fraction: minor units of what is paid in per minor unit of what pays.
pub fn fraction(rate: &str, pays: Currency, paid_in: Currency) -> (i128, i128) {
    let (whole, part) = rate.split_once('.').unwrap_or((rate, ""));
    let digits: i128 = format!("{whole}{part}").parse().expect("a rate is digits");
    let scale = u32::try_from(part.len()).expect("a rate is short") + decimals(pays);
    // One of `pays` buys `rate` of `paid_in`: 10^pays minor units buy rate × 10^paid_in.
    (digits * 10_i128.pow(decimals(paid_in)), 10_i128.pow(scale))
}

/// An account, by its owner's number and its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
    Client(u8, &'static str),
    Merchant(u8, &'static str),
    House(&'static str),
}

/// A merchant's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// In ten thousandths of a percent.
    pub percent: i128,
    pub fixed: &'static [Money],
    /// In days.
    pub delay: i128,
    pub keeps_fee: bool,
    pub limit: &'static [Money],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Payment {
    pub merchant: u8,
    pub client: u8,
    pub currency: Currency,
    pub funding: Option<(Currency, &'static str)>,
    pub declined: bool,
    pub expires_at: i128,
    pub warned: bool,
    pub expired: bool,
    pub authorized: i128,
    pub captured: i128,
    pub released: i128,
    pub refunded: i128,
    pub charged_back: i128,
    pub fee: i128,
    pub fee_back: i128,
}

impl Payment {
    pub fn capturable(&self) -> i128 {
        self.authorized - self.captured - self.released
    }

    pub fn pays_in(&self) -> Currency {
        self.funding.map_or(self.currency, |(currency, _)| currency)
    }

    /// f: what a total costs, in the currency that pays, rounded up.
    pub fn cost(&self, total: i128) -> i128 {
        let Some((pays, rate)) = self.funding else { return total };
        let (numerator, denominator) = fraction(rate, pays, self.currency);
        (total * denominator + numerator - 1).div_euclid(numerator)
    }

    /// What `more` on top of a total costs: a difference of f.
    pub fn leg(&self, total: i128, more: i128) -> Money {
        (self.cost(total + more) - self.cost(total), self.pays_in())
    }

    /// Where the payment stands, with so much in open disputes: the first that holds.
    pub fn status(&self, disputed: i128) -> &'static str {
        let (back, left) = (self.refunded + self.charged_back, self.capturable());
        let statuses = [
            (self.declined, "declined"),
            (disputed > 0, "disputed"),
            (self.captured > 0 && back == self.captured && left == 0, "refunded"),
            (back > 0, "partially_refunded"),
            (self.captured > 0 && left == 0, "captured"),
            (self.captured > 0, "partially_captured"),
            (self.expired, "expired"),
            (left == 0, "voided"),
        ];
        statuses.iter().find(|(holds, _)| *holds).map_or("authorized", |(_, status)| status)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Dispute {
    pub payment: u8,
    pub amount: i128,
    pub status: &'static str,
    pub respond_by: i128,
    pub reopened: bool,
}

impl Dispute {
    pub fn open(payment: u8, amount: i128, now: i128) -> Self {
        Self { payment, amount, status: "needs_response", respond_by: now + 14 * DAY, reopened: false }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.status, "needs_response" | "under_review")
    }

    pub fn is_unanswered(&self, now: i128) -> bool {
        self.status == "needs_response" && now >= self.respond_by
    }
}
