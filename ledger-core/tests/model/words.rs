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
    IssueCard {
        client: u8,
        number: u8,
    },
    OpenMerchant(u8, Settings),
    ChangeSettings(u8, Settings),
    CreateKey(u8, Option<u8>),
    /// Makes something so, or not so any more.
    Set(Flag, u8, bool),
    /// Money comes, goes or is lost.
    Move(Cash, u8, Money),
    Pay {
        id: u8,
        merchant: u8,
        number: u8,
        money: Money,
        automatic: bool,
        mistake: Mistake,
        days: i128,
    },
    /// Something is done with a payment: by a merchant, or by the house.
    Act {
        id: u8,
        by: Option<u8>,
        act: Act,
    },
    /// A dispute, which is of that payment, goes on.
    Rule {
        id: u8,
        payment: u8,
        ruling: Ruling,
    },
    Settle {
        merchant: Option<u8>,
        currency: Option<Currency>,
        as_of: Option<i128>,
    },
    RequestPayout {
        id: u8,
        merchant: u8,
        money: Money,
    },
    ChangePayout(u8, News),
    SetRate {
        from: Currency,
        to: Currency,
        rate: Decimal,
        valid_until: i128,
    },
    /// Asks, with a key, that what the nth step did is taken back; that belongs to a day.
    RequestCorrection {
        id: u8,
        nth: usize,
        day: i128,
        by: u8,
    },
    /// Takes it back, with a key.
    ApproveCorrection {
        id: u8,
        by: u8,
    },
}

/// What is so of a client, card, merchant or key, or is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Flag {
    Closed,
    Blocked,
    Suspended,
    Revoked,
}

/// Money of a client or merchant that comes from outside or goes there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cash {
    Deposit,
    Withdrawal,
    MerchantDeposit,
    WriteOff,
}

/// What is done with a payment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Act {
    Increment(Money),
    /// The rest is given up if it is final.
    Capture(Option<Money>, bool),
    Void,
    Refund(Option<Money>),
    Warn,
    Expire,
    /// Opens the dispute of that number.
    Dispute(u8, Option<Money>),
}

/// What becomes of a dispute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ruling {
    /// The merchant says something.
    Evidence(u8),
    Win,
    Lose,
    LoseUnanswered,
    Reopen,
}

impl Cash {
    /// From where the money of that client or merchant comes, and to where it goes.
    pub fn accounts(self, id: u8) -> [Account; 2] {
        match self {
            Self::Deposit => [Account::Bank, Account::ClientAvailable(id)],
            Self::Withdrawal => [Account::ClientAvailable(id), Account::Bank],
            Self::MerchantDeposit => [Account::Bank, Account::Available(id)],
            Self::WriteOff => [Account::Losses, Account::Available(id)],
        }
    }

    /// What is known of its client or merchant.
    pub fn flag(self) -> Flag {
        match self {
            Self::Deposit | Self::Withdrawal => Flag::Closed,
            Self::MerchantDeposit | Self::WriteOff => Flag::Suspended,
        }
    }
}

impl Act {
    /// The money that it asks for.
    pub fn asked(&mut self) -> Option<&mut Money> {
        match self {
            Self::Increment(money) => Some(money),
            Self::Capture(asked, _) | Self::Refund(asked) | Self::Dispute(_, asked) => asked.as_mut(),
            Self::Void | Self::Warn | Self::Expire => None,
        }
    }
}

impl Step {
    /// The event that tells of it, if all goes well.
    pub fn event(&self) -> &'static str {
        match self {
            Self::OpenClient(_) => "client.opened",
            Self::IssueCard { .. } => "card.issued",
            Self::OpenMerchant(..) => "merchant.opened",
            Self::ChangeSettings(..) => "merchant.settings_changed",
            Self::CreateKey(..) => "api_key.created",
            Self::Set(Flag::Closed, ..) => "client.closed",
            Self::Set(Flag::Blocked, _, true) => "card.blocked",
            Self::Set(Flag::Blocked, _, false) => "card.unblocked",
            Self::Set(Flag::Suspended, _, true) => "merchant.suspended",
            Self::Set(Flag::Suspended, _, false) => "merchant.reinstated",
            Self::Set(Flag::Revoked, ..) => "api_key.revoked",
            Self::Move(Cash::Deposit, ..) => "client.deposited",
            Self::Move(Cash::Withdrawal, ..) => "client.withdrawn",
            Self::Move(Cash::MerchantDeposit, ..) => "merchant.deposited",
            Self::Move(Cash::WriteOff, ..) => "merchant.balance_written_off",
            Self::Pay { .. } => "payment.authorized",
            Self::Act { act, .. } => match act {
                Act::Increment(_) => "payment.authorization_incremented",
                Act::Capture(..) => "payment.captured",
                Act::Void => "payment.voided",
                Act::Refund(_) => "payment.refunded",
                Act::Warn => "payment.authorization_expiring",
                Act::Expire => "payment.expired",
                Act::Dispute(..) => "payment.disputed",
            },
            Self::Rule { ruling, .. } => match ruling {
                Ruling::Evidence(_) => "payment.dispute_evidence_submitted",
                Ruling::Win => "payment.dispute_won",
                Ruling::Lose | Ruling::LoseUnanswered => "payment.dispute_lost",
                Ruling::Reopen => "payment.dispute_reopened",
            },
            Self::Settle { .. } => "settlement.closed",
            Self::RequestPayout { .. } => "payout.requested",
            Self::ChangePayout(_, News::Paid) => "payout.paid",
            Self::ChangePayout(_, News::Failed) => "payout.failed",
            Self::ChangePayout(_, News::Returned) => "payout.returned",
            Self::SetRate { .. } => "fx.rate_set",
            Self::RequestCorrection { .. } => "correction.requested",
            Self::ApproveCorrection { .. } => "correction.approved",
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

impl News {
    /// Where a payout has to stand for it, and where it stands then.
    pub fn change(self) -> (&'static str, &'static str) {
        match self {
            Self::Paid => ("requested", "paid"),
            Self::Failed => ("requested", "failed"),
            Self::Returned => ("paid", "returned"),
        }
    }
}
