//! What can be told to the ledger, in small numbers: the words that the model and its plans share.

/// A day, in microseconds.
pub const DAY: i128 = 86_400_000_000;

/// No balance and no payment's total may pass it.
pub const LIMIT: i128 = 9_007_199_254_740_991;

/// An ISO 4217 code.
pub type Currency = &'static str;
/// Minor units of a currency.
pub type Money = (i128, Currency);
/// Digits, and how many of them are decimals: (10850, 4) is 1.0850.
pub type Decimal = (i128, u32);

/// Currencies of all lengths.
pub const CURRENCIES: [Currency; 5] = ["EUR", "JPY", "KWD", "CLF", "USD"];

/// How many decimals a currency's amounts have.
pub fn decimals(currency: Currency) -> u32 {
    match currency {
        "JPY" => 0,
        "KWD" => 3,
        "CLF" => 4,
        _ => 2,
    }
}

/// Writes a decimal as requests do.
pub fn written((digits, decimals): Decimal) -> String {
    let digits = format!("{digits:0>width$}", width = decimals as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals as usize);
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

/// A rate as a fraction: minor units of what is paid in per minor unit of what pays.
pub fn fraction((digits, scale): Decimal, pays: Currency, paid_in: Currency) -> (i128, i128) {
    (digits * 10_i128.pow(decimals(paid_in)), 10_i128.pow(scale + decimals(pays)))
}

/// What a list has in a currency.
pub fn amount_in(list: &[Money], currency: Currency) -> i128 {
    list.iter().find(|money| money.1 == currency).map_or(0, |money| money.0)
}

/// An account, by its owner's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
    ClientAvailable(u8),
    ClientHeld(u8),
    Pending(u8),
    Available(u8),
    Reserved(u8),
    InTransit(u8),
    Bank,
    Fees,
    Fx,
    Losses,
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

/// One command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    OpenClient(u8),
    Deposit(u8, Money),
    Withdraw(u8, Money),
    CloseClient(u8),
    IssueCard { client: u8, number: u8 },
    BlockCard(u8),
    UnblockCard(u8),
    OpenMerchant(u8, Settings),
    ChangeSettings(u8, Settings),
    Suspend(u8),
    Reinstate(u8),
    DepositToMerchant(u8, Money),
    WriteOff(u8, Money),
    CreateKey(u8, Option<u8>),
    RevokeKey(u8),
    Pay { id: u8, merchant: u8, number: u8, money: Money, automatic: bool, mistake: Mistake, days: i128 },
    Increment { id: u8, merchant: u8, money: Money },
    Capture { id: u8, merchant: u8, money: Option<Money>, is_final: bool },
    Void { id: u8, merchant: u8 },
    Refund { id: u8, merchant: u8, money: Option<Money> },
    Warn(u8),
    Expire(u8),
    Dispute { id: u8, payment: u8, money: Option<Money> },
    Evidence { id: u8, payment: u8, merchant: u8 },
    Win { id: u8, payment: u8 },
    Lose { id: u8, payment: u8 },
    LoseUnanswered { id: u8, payment: u8 },
    Reopen { id: u8, payment: u8 },
    Settle { merchant: Option<u8>, currency: Option<Currency>, as_of: Option<i128> },
    RequestPayout { id: u8, merchant: u8, money: Money },
    ChangePayout(u8, News),
    SetRate { from: Currency, to: Currency, rate: Decimal, valid_until: i128 },
}

impl Step {
    /// The event that tells of it, if all goes well.
    pub fn event(&self) -> &'static str {
        match self {
            Self::OpenClient(_) => "client.opened",
            Self::Deposit(..) => "client.deposited",
            Self::Withdraw(..) => "client.withdrawn",
            Self::CloseClient(_) => "client.closed",
            Self::IssueCard { .. } => "card.issued",
            Self::BlockCard(_) => "card.blocked",
            Self::UnblockCard(_) => "card.unblocked",
            Self::OpenMerchant(..) => "merchant.opened",
            Self::ChangeSettings(..) => "merchant.settings_changed",
            Self::Suspend(_) => "merchant.suspended",
            Self::Reinstate(_) => "merchant.reinstated",
            Self::DepositToMerchant(..) => "merchant.deposited",
            Self::WriteOff(..) => "merchant.balance_written_off",
            Self::CreateKey(..) => "api_key.created",
            Self::RevokeKey(_) => "api_key.revoked",
            Self::Pay { .. } => "payment.authorized",
            Self::Increment { .. } => "payment.authorization_incremented",
            Self::Capture { .. } => "payment.captured",
            Self::Void { .. } => "payment.voided",
            Self::Refund { .. } => "payment.refunded",
            Self::Warn(_) => "payment.authorization_expiring",
            Self::Expire(_) => "payment.expired",
            Self::Dispute { .. } => "payment.disputed",
            Self::Evidence { .. } => "payment.dispute_evidence_submitted",
            Self::Win { .. } => "payment.dispute_won",
            Self::Lose { .. } | Self::LoseUnanswered { .. } => "payment.dispute_lost",
            Self::Reopen { .. } => "payment.dispute_reopened",
            Self::Settle { .. } => "settlement.closed",
            Self::RequestPayout { .. } => "payout.requested",
            Self::ChangePayout(_, News::Paid) => "payout.paid",
            Self::ChangePayout(_, News::Failed) => "payout.failed",
            Self::ChangePayout(_, News::Returned) => "payout.returned",
            Self::SetRate { .. } => "fx.rate_set",
        }
    }
}

/// What a payer got wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mistake {
    None,
    Number,
    PastExpiry,
    UnknownCard,
    Expiry,
    Cvc,
}

/// What the bank says of a payout.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum News {
    Paid,
    Failed,
    Returned,
}
